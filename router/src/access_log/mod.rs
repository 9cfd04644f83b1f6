//! The access log: one record per request, written off the request path.
//!
//! A thread buffers its records and hands them over in batches; when the queue is full they are
//! dropped and counted. Nothing here can make a request wait.

pub(crate) mod buffer;
mod line;
pub(crate) mod writer;

use std::net::SocketAddr;
use std::time::Duration;

use cfx_protocol::route::Endpoint;
use http::{HeaderValue, Method, Uri, Version};
use jiff::Timestamp;

/// What one request did.
#[derive(Debug, Clone)]
pub(crate) struct AccessRecord {
    pub(crate) started_at: Timestamp,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) referer: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) client: SocketAddr,
    /// The last instance that was tried.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) forwarded_proto: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) took: Duration,
    /// Of `took`, what passed between handing the request to the instance and its last byte.
    pub(crate) upstream_took: Duration,
    pub(crate) failed_attempts: u32,
    pub(crate) failed_attempts_took: Duration,
    /// `X-Cf-RouterError`.
    pub(crate) router_error: Option<HeaderValue>,
}
