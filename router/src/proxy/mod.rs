//! A request's way through the router; `pipeline` lists its stages in order.
//!
//! It behaves as gorouter does, with these exceptions, all of them on purpose:
//! - Content-Length together with Transfer-Encoding, and a bare LF in a head, are 400.
//! - A target over 65,534 bytes is 414, and one with a byte that RFC 3986 forbids may be 400:
//!   the HTTP library's limits.
//! - 400, 414 and 431 that the HTTP library gives before a request exists are not logged.
//! - CONNECT is 405, and an upgrade to h2c is answered as an ordinary request.
//! - Hop-by-hop headers are always removed, and `X-Forwarded-Client-Cert` too, because clients
//!   are asked for no certificate.
//! - An instance counts as loaded until the answer's last byte, not until its head.
//! - Interim answers (103) are not passed on.

pub(crate) mod admit;
pub(crate) mod balance;
pub(crate) mod body;
pub(crate) mod dial;
pub(crate) mod exchange;
pub(crate) mod failure;
pub(crate) mod headers;
pub(crate) mod pipeline;
pub(crate) mod retry;
pub(crate) mod sticky;
pub(crate) mod upgrade;
pub(crate) mod upstream;
