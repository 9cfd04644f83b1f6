//! What an operator chooses about a router, and the limits it keeps.
//!
//! Defaults of limits are gorouter's where it has one. Nothing here reads files or the
//! environment.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::RouterGuid;

use crate::tls::Certificates;

/// Largest request head, bytes; past it 431. gorouter's cap.
pub const REQUEST_HEAD_MAX_BYTES: usize = 1024 * 1024;
/// Time a request may take as a whole, body included; upgraded connections are exempt.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(900);
/// Time to connect to an instance.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time a client has to finish the TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client's connection may stay open between requests.
pub const CLIENT_IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// Time a client has to send a request head; gorouter has no such limit and can be starved.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time a client may send no byte of a body, or take none of an answer.
pub const CLIENT_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time a connection to an instance is kept without use.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Unused connections kept to one instance, per thread.
pub const UPSTREAM_IDLE_MAX: usize = 100;
/// Requests at once to one instance.
pub const UPSTREAM_IN_FLIGHT_MAX: u32 = 500;
/// Attempts of one request after which it fails.
pub const ATTEMPTS_MAX: usize = 3;
/// While nothing was sent, other instances are tried for this long, however many.
pub const DIAL_BUDGET: Duration = Duration::from_secs(1);
/// An instance that did not take a connection is avoided for this long: a quarter of gorouter's
/// route lifetime.
pub const FAILED_PAUSE: Duration = Duration::from_secs(30);
/// Client connections per thread; past it new ones wait in the backlog.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Time between announcing the end (health 503, `Connection: close`) and closing the listeners.
pub const DRAIN_WAIT: Duration = Duration::from_secs(20);
/// Time that requests in flight then have to finish.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(900);

/// Everything a router is started with.
#[derive(Debug, Clone)]
pub struct Config {
    pub guid: RouterGuid,
    /// Plain listeners; port 0 asks for a free one, see `Running::addresses`.
    pub http: Vec<SocketAddr>,
    /// TLS listeners.
    pub https: Vec<SocketAddr>,
    /// Plain listeners that only instances reach: these also answer internal routes.
    pub internal: Vec<SocketAddr>,
    /// Health, metrics and the table; loopback.
    pub admin: Option<SocketAddr>,
    /// What the TLS listeners present; may be replaced while running.
    pub certificates: Arc<Certificates>,
    /// Where the last good table is kept; none keeps none.
    pub table_file: Option<PathBuf>,
    /// Where access log lines are also written.
    pub access_log_file: Option<PathBuf>,
    pub threads: NonZeroUsize,
    pub limits: Limits,
    pub drain: Drain,
}

/// The limits of one router; each constant of the same name gives the reason.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub request_head_max_bytes: usize,
    pub request_timeout: Duration,
    pub dial_timeout: Duration,
    pub tls_handshake_timeout: Duration,
    pub client_idle_timeout: Duration,
    pub request_head_timeout: Duration,
    pub client_stall_timeout: Duration,
    pub upstream_idle_timeout: Duration,
    pub upstream_idle_max: usize,
    pub upstream_in_flight_max: u32,
    pub attempts_max: usize,
    pub dial_budget: Duration,
    pub failed_pause: Duration,
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_head_max_bytes: REQUEST_HEAD_MAX_BYTES,
            request_timeout: REQUEST_TIMEOUT,
            dial_timeout: DIAL_TIMEOUT,
            tls_handshake_timeout: TLS_HANDSHAKE_TIMEOUT,
            client_idle_timeout: CLIENT_IDLE_TIMEOUT,
            request_head_timeout: REQUEST_HEAD_TIMEOUT,
            client_stall_timeout: CLIENT_STALL_TIMEOUT,
            upstream_idle_timeout: UPSTREAM_IDLE_TIMEOUT,
            upstream_idle_max: UPSTREAM_IDLE_MAX,
            upstream_in_flight_max: UPSTREAM_IN_FLIGHT_MAX,
            attempts_max: ATTEMPTS_MAX,
            dial_budget: DIAL_BUDGET,
            failed_pause: FAILED_PAUSE,
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// How a router ends.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    pub wait: Duration,
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            wait: DRAIN_WAIT,
            timeout: DRAIN_TIMEOUT,
        }
    }
}
