//! What an operator decides about a controller. Everything is resolved before it comes here:
//! nothing reads files or the environment.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything a controller is started with.
#[derive(Clone)]
pub struct Config {
    /// Where blobs are kept. The store is an edge.
    pub data_dir: PathBuf,
    /// The public API; port 0 asks for a free one, see `Running`.
    pub api_listen: SocketAddr,
    /// TLS of the public API; none serves plain HTTP.
    pub api_tls: Option<Arc<rustls::ServerConfig>>,
    /// The listener for cells and routers, always mutual TLS.
    pub internal_listen: SocketAddr,
    /// `/healthz` and `/metrics`; none serves neither.
    pub admin_listen: Option<SocketAddr>,
    /// The origin in links. None: the one that each request was sent to.
    pub external_url: Option<String>,
    /// Set this password of `admin`; none makes one on the first start.
    pub admin_password: Option<String>,
    /// The default domain of apps.
    pub apps_domain: String,
    /// Ports that people reach the routers by; none when not served.
    pub http_port: Option<u16>,
    pub https_port: Option<u16>,
    /// The platform's autoscaler, when it has one.
    pub autoscaler: Option<Autoscaler>,
}

/// How the API reaches the autoscaler, and how the autoscaler signs in.
#[derive(Clone)]
pub struct Autoscaler {
    /// Its API; requests for it are passed on to there.
    pub address: SocketAddr,
    /// Of the UAA client `autoscaler`.
    pub client_secret: String,
}

/// Without the secret.
impl fmt::Debug for Autoscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Autoscaler")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("api_listen", &self.api_listen)
            .field("internal_listen", &self.internal_listen)
            .field("admin_listen", &self.admin_listen)
            .field("external_url", &self.external_url)
            .field("apps_domain", &self.apps_domain)
            .field("autoscaler", &self.autoscaler)
            .finish_non_exhaustive()
    }
}
