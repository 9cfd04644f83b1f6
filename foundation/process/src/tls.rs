//! rustls configurations from identities. One crypto provider: aws-lc-rs.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::identity::Identity;

/// Where distributions keep the authorities that the system trusts.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the PEM cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
    #[error("clients cannot be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Install the crypto provider once per process; later calls do nothing.
pub fn install_provider() {
    // The error means it is installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// What the server asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    Anyone,
    /// With a certificate of the platform, or without one: the handlers look.
    MayIdentify,
}

/// A server's side. Internal servers use `MayIdentify`, because joining comes before having a
/// certificate; every other internal endpoint demands one.
pub fn server(
    identity: &Identity,
    clients: Clients,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    install_provider();
    let builder = match clients {
        Clients::Anyone => ServerConfig::builder().with_no_client_auth(),
        Clients::MayIdentify => {
            let roots = Arc::new(roots(&identity.authority)?);
            let verifier = WebPkiClientVerifier::builder(roots)
                .allow_unauthenticated()
                .build()?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(chain(&identity.certificate)?, key(&identity.key)?)?;
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A client's side that presents its identity and trusts only the platform's authority.
pub fn client(identity: &Identity) -> Result<Arc<ClientConfig>, TlsError> {
    install_provider();
    let config = ClientConfig::builder()
        .with_root_certificates(roots(&identity.authority)?)
        .with_client_auth_cert(chain(&identity.certificate)?, key(&identity.key)?)?;
    Ok(Arc::new(config))
}

/// A client's side before it has an identity: it trusts the authority it was told of.
pub fn joining_client(authority: &str) -> Result<Arc<ClientConfig>, TlsError> {
    install_provider();
    Ok(Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots(authority)?)
            .with_no_client_auth(),
    ))
}

/// The authorities that this system trusts. What cannot be read is left out: a bundle may hold
/// some that rustls refuses.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let mut bundles = SYSTEM_BUNDLES.iter().map(Path::new);
    let bundle = bundles.find(|path| path.exists());
    let pem = bundle.and_then(|path| std::fs::read_to_string(path).ok());
    if let Some(chain) = pem.and_then(|pem| chain(&pem).ok()) {
        store.add_parsable_certificates(chain);
    }
    store
}

/// A client of public addresses: it trusts the given authority, or those of the system.
pub fn public_client(authority: Option<&str>) -> Result<Arc<ClientConfig>, TlsError> {
    install_provider();
    let roots = match authority {
        Some(pem) => roots(pem)?,
        None => system_roots(),
    };
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// The certificates of a PEM text.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?)
}

/// The private key of a PEM text.
pub fn key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    Ok(PrivateKeyDer::from_pem_slice(pem.as_bytes())?)
}

fn roots(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in chain(pem)? {
        store.add(certificate)?;
    }
    Ok(store)
}
