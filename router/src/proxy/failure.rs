//! Every way in which the router itself answers, as gorouter words it.
//!
//! The table is `Failure::parts`: status, `X-Cf-RouterError`, message, caching. The compiler
//! keeps it complete.

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::ProxyBody;
use super::exchange::Exchange;

pub(crate) static ROUTER_ERROR: HeaderName = HeaderName::from_static("x-cf-routererror");

/// Nobody may keep the answer.
const NEVER_CACHE: &str = "no-cache, no-store";
/// Keeps a stampede away for two seconds.
const CACHE_BRIEFLY: &str = "public,max-age=2";

/// Label of each kind in metrics, in the order of `Failure::kind`.
pub(crate) const KINDS: [&str; 11] = [
    "unknown_route",
    "invalid_cf_app_instance_header",
    "invalid_cf_process_instance_header",
    "empty_host",
    "no_endpoints",
    "connection_limit_reached",
    "endpoint_failure",
    "max-request-size-exceeded",
    "bad_host",
    "method_not_allowed",
    "client_gone",
];
/// Index in `KINDS` of requests whose client left before the answer.
pub(crate) const CLIENT_GONE: usize = 10;

/// Why a request gets the router's own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    UnknownRoute(String),
    NoAppInstance {
        guid: String,
        index: String,
        host: String,
    },
    NoProcessInstance {
        guid: String,
        index: Option<String>,
        host: String,
    },
    InvalidAppInstance,
    InvalidProcessInstance,
    EmptyHost,
    NoEndpoints(String),
    ConnectionLimit(String),
    /// What the last attempt met.
    Endpoint(String),
    HeadTooLarge,
    BadHost(&'static str),
    MethodNotAllowed,
}

/// How one failure is worded.
struct Wording {
    kind: usize,
    status: StatusCode,
    error: Option<String>,
    message: String,
    caching: Option<&'static str>,
    close: bool,
}

impl Failure {
    fn wording(self) -> Wording {
        use StatusCode as Code;
        let error = |name: &str| Some(name.to_owned());
        let (kind, status, error, message, caching) = match self {
            Self::UnknownRoute(host) => (
                0,
                Code::NOT_FOUND,
                error("unknown_route"),
                format!("Requested route ('{host}') does not exist."),
                Some(NEVER_CACHE),
            ),
            Self::NoAppInstance { guid, index, host } => (
                0,
                Code::BAD_REQUEST,
                error("unknown_route"),
                format!(
                    "Requested instance ('{index}') with guid ('{guid}') does not exist for route ('{host}')"
                ),
                Some(NEVER_CACHE),
            ),
            Self::NoProcessInstance { guid, index, host } => {
                let instance = index.map_or_else(
                    || "instance".to_owned(),
                    |index| format!("instance ('{index}')"),
                );
                (
                    0,
                    Code::BAD_REQUEST,
                    error("unknown_route"),
                    format!(
                        "Requested {instance} with process guid ('{guid}') does not exist for route ('{host}')"
                    ),
                    Some(NEVER_CACHE),
                )
            }
            Self::InvalidAppInstance => (
                1,
                Code::BAD_REQUEST,
                error("invalid_cf_app_instance_header"),
                "Invalid X-CF-App-Instance Header".to_owned(),
                Some(NEVER_CACHE),
            ),
            Self::InvalidProcessInstance => (
                2,
                Code::BAD_REQUEST,
                error("invalid_cf_process_instance_header"),
                "Invalid X-CF-Process-Instance Header".to_owned(),
                Some(NEVER_CACHE),
            ),
            Self::EmptyHost => (
                3,
                Code::BAD_REQUEST,
                error("empty_host"),
                "Request had empty Host header".to_owned(),
                Some(CACHE_BRIEFLY),
            ),
            Self::NoEndpoints(host) => (
                4,
                Code::SERVICE_UNAVAILABLE,
                error("no_endpoints"),
                format!("Requested route ('{host}') has no available endpoints."),
                Some(CACHE_BRIEFLY),
            ),
            Self::ConnectionLimit(host) => (
                5,
                Code::SERVICE_UNAVAILABLE,
                error("Connection Limit Reached"),
                format!("Requested route ('{host}') has reached the connection limit."),
                None,
            ),
            Self::Endpoint(detail) => (
                6,
                Code::BAD_GATEWAY,
                Some(format!("endpoint_failure ({detail})")),
                "Registered endpoint failed to handle the request.".to_owned(),
                None,
            ),
            Self::HeadTooLarge => (
                7,
                Code::REQUEST_HEADER_FIELDS_TOO_LARGE,
                error("max-request-size-exceeded"),
                String::new(),
                None,
            ),
            Self::BadHost(detail) => (8, Code::BAD_REQUEST, None, detail.to_owned(), None),
            Self::MethodNotAllowed => (
                9,
                Code::METHOD_NOT_ALLOWED,
                None,
                "CONNECT is not supported".to_owned(),
                None,
            ),
        };
        Wording {
            kind,
            status,
            error,
            message,
            caching,
            // After a doubt about the head nothing else on the connection can be trusted.
            close: matches!(kind, 7..=9),
        }
    }

    pub(crate) fn into_response(self, exchange: &Exchange) -> Response<ProxyBody> {
        let wording = self.wording();
        exchange.failed(wording.kind, wording.error.as_deref());
        let body = if wording.message.is_empty() {
            ProxyBody::empty()
        } else {
            let reason = wording.status.canonical_reason().unwrap_or_default();
            let code = wording.status.as_u16();
            ProxyBody::text(format!("{code} {reason}: {}\n", wording.message))
        };
        let mut response = Response::new(body);
        *response.status_mut() = wording.status;
        let headers = response.headers_mut();
        if let Some(Ok(error)) = wording.error.map(HeaderValue::try_from) {
            headers.insert(&ROUTER_ERROR, error);
        }
        if let Some(caching) = wording.caching {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if wording.close && !exchange.is_http2() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
