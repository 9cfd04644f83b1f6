//! What an operator decides about an autoscaler, and the limits it keeps. Nothing here reads files
//! or the environment.

use std::net::SocketAddr;
use std::time::Duration;

/// Between two looks at every app with rules.
pub const TICK: Duration = Duration::from_secs(1);
/// Apps with rules: at one tick a second their evaluation takes a hundredth of a core.
pub const APPS_MAX: usize = 10_000;
/// Requests a second of one caller, as Cloud Foundry's autoscaler allows.
pub const REQUESTS_PER_SECOND: u32 = 10;

/// Everything an autoscaler is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its API; port 0 asks for a free one, see `Running::addresses`.
    pub listen: SocketAddr,
    /// `/healthz` and `/metrics`; none serves neither.
    pub admin_listen: Option<SocketAddr>,
    pub tick: Duration,
}

impl Config {
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            admin_listen: None,
            tick: TICK,
        }
    }
}
