//! What the TLS listeners present: a certificate by the name the client asks for.
//!
//! The set is replaced whole, while connections are open; new handshakes see the new set.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cfx_process::tls::{TlsError, chain, install_provider, key};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Protocols by preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate chain and its key, both PEM.
#[derive(Clone)]
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

/// The certificates in use; shared, and replaceable at any time.
#[derive(Debug)]
pub struct Certificates(ArcSwap<Set>);

#[derive(Debug, Default)]
struct Set {
    /// For clients that name no host, or one that nothing else fits.
    default: Option<Arc<CertifiedKey>>,
    /// Lower case; a wildcard is kept by what follows `*.`.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// No certificate: TLS handshakes fail until `replace`.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(Set::default())))
    }

    /// One certificate for every name.
    pub fn single(default: &Certificate) -> Result<Arc<Self>, TlsError> {
        let certificates = Self::none();
        certificates.replace(Some(default), &[])?;
        Ok(certificates)
    }

    /// Present `default`, and for each of the names (exact, or `*.` and a suffix) its own.
    /// Nothing changes when one of them cannot be used.
    pub fn replace(
        &self,
        default: Option<&Certificate>,
        named: &[(String, Certificate)],
    ) -> Result<(), TlsError> {
        let mut set = Set {
            default: default.map(certified).transpose()?,
            ..Set::default()
        };
        for (name, certificate) in named {
            let (certified, name) = (certified(certificate)?, name.to_ascii_lowercase());
            match name.strip_prefix("*.") {
                Some(suffix) => set.wildcard.insert(suffix.to_owned(), certified),
                None => set.exact.insert(name, certified),
            };
        }
        self.0.store(Arc::new(set));
        Ok(())
    }
}

impl Set {
    /// Exact first, then the wildcard with the most labels, then the default.
    fn choose(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        if let Some(found) = self.exact.get(&name) {
            return Some(found.clone());
        }
        let mut rest = name.as_str();
        while let Some((_, suffix)) = rest.split_once('.') {
            rest = suffix;
            if let Some(found) = self.wildcard.get(suffix) {
                return Some(found.clone());
            }
        }
        self.default.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let set = self.0.load();
        match hello.server_name() {
            Some(name) => set.choose(name),
            None => set.default.clone(),
        }
    }
}

fn certified(certificate: &Certificate) -> Result<Arc<CertifiedKey>, TlsError> {
    install_provider();
    let key = any_supported_type(&key(&certificate.key)?)?;
    Ok(Arc::new(CertifiedKey::new(
        chain(&certificate.certificate)?,
        key,
    )))
}

/// The listeners' side of TLS.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    install_provider();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}
