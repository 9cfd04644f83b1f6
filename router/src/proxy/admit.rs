//! Which requests are let in, and for which host.
//!
//! hyper checks no Host header at all, so everything about it is checked here; a name that comes
//! out of `admit` may be looked up and shown in messages.

use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use smallvec::SmallVec;

use super::body::ProxyBody;
use super::failure::Failure;
use crate::config::Limits;
use crate::server::connection::Client;
use crate::server::core::Phase;

/// Bytes that a header line has beside name and value: `: ` and CR LF.
const LINE_OVERHEAD: usize = 4;
/// Load balancers call themselves this when they ask for the router's own health.
const HEALTH_PROBE: &[u8] = b"HTTP-Monitor/1.1";

/// The host a request is for.
#[derive(Debug)]
pub(crate) struct Host {
    /// As the client sent it.
    value: HeaderValue,
    /// Lower case, without port or final dot.
    name: SmallVec<[u8; 64]>,
}

impl Host {
    fn new(value: HeaderValue) -> Self {
        let name = without_port(value.as_bytes());
        let name = name.strip_suffix(b".").unwrap_or(name);
        let name = name.iter().map(u8::to_ascii_lowercase).collect();
        Self { value, name }
    }

    /// As it stands in the table.
    pub(crate) fn name(&self) -> &str {
        // `check` lets only ASCII through.
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// As it stands in messages.
    pub(crate) fn asked(&self) -> String {
        String::from_utf8_lossy(self.value.as_bytes()).into_owned()
    }

    pub(crate) fn value(&self) -> &HeaderValue {
        &self.value
    }
}

/// Check a request's head and settle its host: afterwards `Host` is there exactly once.
pub(crate) fn admit(parts: &mut Parts, client: &Client, limits: &Limits) -> Result<Host, Failure> {
    if head_bytes(parts) > limits.request_head_max_bytes {
        return Err(Failure::HeadTooLarge);
    }
    if parts.method == Method::CONNECT {
        return Err(Failure::MethodNotAllowed);
    }
    let value = host_value(parts)?;
    if !value.as_bytes().iter().all(|byte| is_host_byte(*byte)) {
        return Err(Failure::BadHost("malformed Host header"));
    }
    let host = Host::new(value);
    if host.name.is_empty() || host.name.as_slice() == client.ip.as_bytes() {
        return Err(Failure::EmptyHost);
    }
    if parts.headers.get(HOST) != Some(&host.value) {
        parts.headers.insert(HOST, host.value.clone());
    }
    Ok(host)
}

/// The target's authority goes before the header, as RFC 9112 wants it.
fn host_value(parts: &Parts) -> Result<HeaderValue, Failure> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Failure::BadHost("too many Host headers"));
    }
    if let Some(authority) = parts.uri.authority() {
        let authority = authority.as_str();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        return HeaderValue::try_from(host).map_err(|_| Failure::BadHost("malformed Host header"));
    }
    match first {
        Some(host) => Ok(host.clone()),
        None if parts.version == Version::HTTP_11 => {
            Err(Failure::BadHost("missing required Host header"))
        }
        None => Err(Failure::EmptyHost),
    }
}

fn head_bytes(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(1, |p| p.as_str().len());
    let lines = parts.headers.iter();
    let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + LINE_OVERHEAD);
    parts.method.as_str().len() + target + lines.sum::<usize>()
}

/// What Go's server accepts in a Host header.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

fn without_port(host: &[u8]) -> &[u8] {
    // An IPv6 address has colons of its own, inside brackets.
    if let Some(end) = memchr::memchr(b']', host) {
        return &host[..=end];
    }
    memchr::memchr(b':', host).map_or(host, |colon| &host[..colon])
}

pub(crate) fn is_health_probe(parts: &Parts) -> bool {
    let agent = parts.headers.get(USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes() == HEALTH_PROBE)
}

/// What load balancers hear: 503 once the router drains.
pub(crate) fn health(phase: Phase) -> Response<ProxyBody> {
    let serving = phase == Phase::Serving;
    let body = if serving { "ok\n" } else { "" };
    let mut response = Response::new(ProxyBody::text(body));
    if !serving {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    health_headers(response.headers_mut());
    response
}

fn health_headers(headers: &mut HeaderMap) {
    for (name, value) in [
        ("cache-control", "private, max-age=0"),
        ("expires", "0"),
        (CONTENT_TYPE.as_str(), "text/plain; charset=utf-8"),
    ] {
        if let Ok(name) = http::HeaderName::try_from(name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_its_final_dot_and_its_capitals() {
        for (asked, name) in [
            ("app.example.com", "app.example.com"),
            ("App.Example.COM:8080", "app.example.com"),
            ("app.example.com.", "app.example.com"),
            ("[::1]:80", "[::1]"),
            ("localhost:", "localhost"),
        ] {
            assert_eq!(Host::new(HeaderValue::from_static(asked)).name(), name);
        }
    }
}
