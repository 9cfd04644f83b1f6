//! What handlers work with. Cloning it is cheap; there is one per controller.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;

use crate::auth::Auth;
use crate::blobs::Blobs;
use crate::cells::Observed;
use crate::convergence::status::Platform;
use crate::events::Events;
use crate::log_cache::LogCache;
use crate::metrics_history::MetricsHistory;
use crate::state::StateHandle;

/// What the API knows and can reach.
#[derive(Clone)]
pub struct Context {
    pub state: StateHandle,
    pub clock: Clock,
    pub ids: IdSource,
    pub observed: Observed,
    pub platform: Platform,
    pub blobs: Blobs,
    pub log_cache: LogCache,
    pub metrics: MetricsHistory,
    pub events: Arc<Events>,
    pub auth: Auth,
    pub settings: Arc<Settings>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What an operator decided about the API.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The origin in links. None: the one that each request was sent to.
    pub external_url: Option<String>,
    /// The listener speaks TLS itself.
    pub tls: bool,
    /// The default domain of apps.
    pub apps_domain: String,
    /// Ports that people reach the routers by; none when not served.
    pub http_port: Option<u16>,
    pub https_port: Option<u16>,
    /// PEM of the platform's certificate authority, for those who join.
    pub authority: String,
    /// Where they join.
    pub controllers: Vec<SocketAddr>,
    /// Where the autoscaler serves its API; none when there is none.
    pub autoscaler: Option<SocketAddr>,
}
