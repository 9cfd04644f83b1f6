//! One request as the generator sends it, and what came back.

use bytes::Bytes;
use http::{HeaderMap, Method};

/// A request. Where it goes is the wire's business.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// On a connection of its own, as a visitor who comes for the first time.
    pub(crate) is_new: bool,
    /// The answer's body is looked at.
    pub(crate) wants_body: bool,
}

/// An answer, read to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// What the router says when the answer is its own and not the app's (`X-Cf-RouterError`).
    pub(crate) router_error: Option<String>,
    /// Only when it was asked for.
    pub(crate) body: Bytes,
    pub(crate) bytes: u64,
    /// A connection was made for it.
    pub(crate) was_new: bool,
}

/// Why there is no answer. The text is the name under which it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum WireError {
    #[error("connection refused")]
    Refused,
    #[error("could not connect")]
    Connect,
    #[error("no connection in time")]
    ConnectTimeout,
    #[error("TLS handshake failed")]
    Tls,
    #[error("connection reset")]
    Reset,
    #[error("closed before the answer was whole")]
    Closed,
    #[error("no answer in time")]
    Timeout,
    #[error("not HTTP")]
    Protocol,
    #[error("the answer is too large")]
    TooLarge,
}
