//! Every way in which the router itself answers, as gorouter words it.
//!
//! `ROWS` is the table; `kind` and `message` are exhaustive, so that the compiler keeps it
//! complete.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::ProxyBody;
use super::exchange::Exchange;

pub(crate) static ROUTER_ERROR: HeaderName = HeaderName::from_static("x-cf-routererror");

/// Nobody may keep the answer.
const NEVER_CACHE: Option<&str> = Some("no-cache, no-store");
/// Keeps a stampede away for two seconds.
const CACHE_BRIEFLY: Option<&str> = Some("public,max-age=2");

/// What all failures of a kind have in common.
#[derive(Debug)]
struct Row {
    /// In metrics.
    label: &'static str,
    status: u16,
    /// `X-Cf-RouterError`; the kind without one is Go's own answer in gorouter.
    error: Option<&'static str>,
    caching: Option<&'static str>,
    /// After a doubt about the head nothing else on the connection can be trusted.
    close: bool,
}

impl Row {
    const fn new(
        label: &'static str,
        status: u16,
        error: Option<&'static str>,
        caching: Option<&'static str>,
        close: bool,
    ) -> Self {
        Self {
            label,
            status,
            error,
            caching,
            close,
        }
    }
}

const UNKNOWN_ROUTE: usize = 0;
const UNKNOWN_INSTANCE: usize = 1;
const INVALID_APP_INSTANCE: usize = 2;
const INVALID_PROCESS_INSTANCE: usize = 3;
const EMPTY_HOST: usize = 4;
const NO_ENDPOINTS: usize = 5;
const CONNECTION_LIMIT: usize = 6;
const ENDPOINT: usize = 7;
const HEAD_TOO_LARGE: usize = 8;
const BAD_HOST: usize = 9;
const METHOD_NOT_ALLOWED: usize = 10;
/// The client left before the answer: counted and logged, never answered.
pub(crate) const CLIENT_GONE: usize = 11;
const COUNT: usize = 12;

#[rustfmt::skip]
const ROWS: [Row; COUNT] = [
    Row::new("unknown_route", 404, Some("unknown_route"), NEVER_CACHE, false),
    Row::new("unknown_instance", 400, Some("unknown_route"), NEVER_CACHE, false),
    Row::new("invalid_app_instance", 400, Some("invalid_cf_app_instance_header"), NEVER_CACHE, false),
    Row::new("invalid_process_instance", 400, Some("invalid_cf_process_instance_header"), NEVER_CACHE, false),
    Row::new("empty_host", 400, Some("empty_host"), CACHE_BRIEFLY, false),
    Row::new("no_endpoints", 503, Some("no_endpoints"), CACHE_BRIEFLY, false),
    Row::new("connection_limit_reached", 503, Some("Connection Limit Reached"), None, false),
    Row::new("endpoint_failure", 502, Some("endpoint_failure"), None, false),
    Row::new("head_too_large", 431, Some("max-request-size-exceeded"), None, true),
    Row::new("bad_host", 400, None, None, true),
    Row::new("method_not_allowed", 405, None, None, true),
    Row::new("client_gone", 499, None, None, true),
];

/// Label of each kind in metrics.
pub(crate) static LABELS: [&str; COUNT] = {
    let mut labels = [""; COUNT];
    let mut kind = 0;
    while kind < COUNT {
        labels[kind] = ROWS[kind].label;
        kind += 1;
    }
    labels
};

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

impl Failure {
    fn kind(&self) -> usize {
        match self {
            Self::UnknownRoute(_) => UNKNOWN_ROUTE,
            Self::NoAppInstance { .. } | Self::NoProcessInstance { .. } => UNKNOWN_INSTANCE,
            Self::InvalidAppInstance => INVALID_APP_INSTANCE,
            Self::InvalidProcessInstance => INVALID_PROCESS_INSTANCE,
            Self::EmptyHost => EMPTY_HOST,
            Self::NoEndpoints(_) => NO_ENDPOINTS,
            Self::ConnectionLimit(_) => CONNECTION_LIMIT,
            Self::Endpoint(_) => ENDPOINT,
            Self::HeadTooLarge => HEAD_TOO_LARGE,
            Self::BadHost(_) => BAD_HOST,
            Self::MethodNotAllowed => METHOD_NOT_ALLOWED,
        }
    }

    /// What the body says after the status; a head that is too large gets no body.
    fn message(&self) -> Option<String> {
        let message = match self {
            Self::UnknownRoute(host) => format!("Requested route ('{host}') does not exist."),
            Self::NoAppInstance { guid, index, host } => format!(
                "Requested instance ('{index}') with guid ('{guid}') does not exist for route ('{host}')"
            ),
            Self::NoProcessInstance { guid, index, host } => {
                let index = index.as_ref().map(|index| format!(" ('{index}')"));
                format!(
                    "Requested instance{} with process guid ('{guid}') does not exist for route ('{host}')",
                    index.unwrap_or_default()
                )
            }
            Self::InvalidAppInstance => "Invalid X-CF-App-Instance Header".to_owned(),
            Self::InvalidProcessInstance => "Invalid X-CF-Process-Instance Header".to_owned(),
            Self::EmptyHost => "Request had empty Host header".to_owned(),
            Self::NoEndpoints(host) => {
                format!("Requested route ('{host}') has no available endpoints.")
            }
            Self::ConnectionLimit(host) => {
                format!("Requested route ('{host}') has reached the connection limit.")
            }
            Self::Endpoint(_) => "Registered endpoint failed to handle the request.".to_owned(),
            Self::HeadTooLarge => return None,
            Self::BadHost(detail) => (*detail).to_owned(),
            Self::MethodNotAllowed => "CONNECT is not supported".to_owned(),
        };
        Some(message)
    }

    fn router_error(&self, row: &Row) -> Option<HeaderValue> {
        match self {
            Self::Endpoint(detail) => {
                HeaderValue::try_from(format!("endpoint_failure ({detail})")).ok()
            }
            _ => row.error.map(HeaderValue::from_static),
        }
    }

    pub(crate) fn into_response(self, exchange: &Exchange) -> Response<ProxyBody> {
        let kind = self.kind();
        let row = &ROWS[kind];
        let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let body = self.message().map(|message| {
            let reason = status.canonical_reason().unwrap_or_default();
            ProxyBody::text(format!("{} {reason}: {message}\n", row.status))
        });
        let mut response = Response::new(body.unwrap_or_else(ProxyBody::empty));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let error = self.router_error(row);
        if let Some(error) = &error {
            headers.insert(&ROUTER_ERROR, error.clone());
        }
        exchange.failed(kind, error);
        if let Some(caching) = row.caching {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if row.close && !exchange.is_http2() {
            super::headers::close(headers);
        }
        response
    }
}
