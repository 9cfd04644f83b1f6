//! Which servers the CLI believes: those of the system's bundle, those of one given authority, or
//! (asked for by the user, never by default) anyone.

use std::sync::Arc;

use cfx_process::tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::ClientError;

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    System,
    /// PEM of an authority.
    Authority(String),
    /// `--skip-ssl-validation`.
    Anyone,
}

impl Trust {
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, ClientError> {
        tls::install_provider();
        let builder = ClientConfig::builder();
        let config = match self {
            Self::System => builder.with_root_certificates(tls::system_roots()),
            Self::Authority(pem) => builder.with_root_certificates(roots(pem)?),
            Self::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified::new())),
        };
        Ok(Arc::new(config.with_no_client_auth()))
    }
}

fn roots(pem: &str) -> Result<RootCertStore, ClientError> {
    let unusable = |detail: String| ClientError::Authority { detail };
    let mut store = RootCertStore::empty();
    for certificate in tls::chain(pem).map_err(|error| unusable(error.to_string()))? {
        store
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(store)
}

/// Believes any certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct Unverified(CryptoProvider);

impl Unverified {
    fn new() -> Self {
        Self(aws_lc_rs::default_provider())
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
