//! One HTTP exchange under limits: deadlines, sizes, and a second try where that is safe.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_process::clock::Clock;
use cfx_process::public_connector::{CONNECT_TIMEOUT, PublicConnector};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::error::ClientError;
use super::trust::Trust;
use crate::output::Terminal;

/// Time for a call to answer.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for an upload or a download of bits.
pub(crate) const BITS_TIMEOUT: Duration = Duration::from_secs(1_800);
/// Largest answer, bytes: a page of 5,000 apps is a tenth of it.
pub(crate) const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How often a call that changes nothing is tried.
const TRIES: u32 = 3;
/// Wait before the second try; the third waits twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

const USER_AGENT: &str = concat!("cfx/", env!("CARGO_PKG_VERSION"));

pub(crate) type AnyBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A small call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Sends requests; cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: Client<PublicConnector, AnyBody>,
    clock: Clock,
    terminal: Arc<Terminal>,
}

impl Transport {
    pub(crate) fn new(
        trust: &Trust,
        clock: Clock,
        terminal: Arc<Terminal>,
    ) -> Result<Self, ClientError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(PublicConnector::new(trust.config()?));
        Ok(Self {
            client,
            clock,
            terminal,
        })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Any call but a POST is tried again when nobody answers or a gateway complains.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, ClientError> {
        let tries = if call.method == Method::POST {
            1
        } else {
            TRIES
        };
        let mut attempt = 1;
        loop {
            let result = self.once(&call).await;
            let again = match &result {
                Ok(answer) => matches!(answer.status.as_u16(), 502..=504),
                Err(error) => matches!(error, ClientError::Deadline { .. }),
            };
            if !again || attempt >= tries {
                return result;
            }
            self.clock.sleep(RETRY_PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn once(&self, call: &Call) -> Result<Answer, ClientError> {
        let mut request = Request::new(full(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.headers_mut() = call.headers.clone();
        self.exchange(&call.url, request, CALL_TIMEOUT).await
    }

    /// Send a prepared request once, and read the answer whole.
    pub(crate) async fn exchange(
        &self,
        url: &str,
        mut request: Request<AnyBody>,
        deadline: Duration,
    ) -> Result<Answer, ClientError> {
        *request.uri_mut() = url.parse().map_err(|error| ClientError::Address {
            address: url.to_owned(),
            detail: format!("{error}"),
        })?;
        request
            .headers_mut()
            .insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let started = self.clock.monotonic();
        let what = format!("{} {url}", request.method());
        let answer = tokio::time::timeout(deadline, self.read(url, request))
            .await
            .map_err(|_| ClientError::Deadline {
                address: origin(url),
                seconds: deadline.as_secs(),
            })??;
        let took = self.clock.monotonic().saturating_sub(started);
        self.terminal.trace(format!(
            "{what} -> {} ({} ms, {} bytes)",
            answer.status.as_u16(),
            took.as_millis(),
            answer.body.len()
        ));
        Ok(answer)
    }

    async fn read(&self, url: &str, request: Request<AnyBody>) -> Result<Answer, ClientError> {
        let answer = self.client.request(request).await;
        let (head, body) = answer.map_err(|error| broken(url, &error))?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES)
            .collect()
            .await
            .map_err(|error| ClientError::Garbled {
                what: url.to_owned(),
                detail: error.to_string(),
            })?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }
}

pub(crate) fn full(bytes: Bytes) -> AnyBody {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Scheme, host and port of a URL, for messages.
pub(crate) fn origin(url: &str) -> String {
    let path_at = url.find("://").map_or(0, |at| at + 3);
    match url[path_at..].find('/') {
        Some(slash) => url[..path_at + slash].to_owned(),
        None => url.to_owned(),
    }
}

fn broken(url: &str, error: &hyper_util::client::legacy::Error) -> ClientError {
    let mut innermost: &dyn std::error::Error = error;
    let mut untrusted = false;
    while let Some(source) = innermost.source() {
        innermost = source;
        untrusted |= matches!(
            innermost.downcast_ref::<rustls::Error>(),
            Some(rustls::Error::InvalidCertificate(_))
        );
    }
    // rustls errors travel inside io errors, whose source skips them.
    let detail = innermost.to_string();
    let address = origin(url);
    if untrusted || detail.contains("invalid peer certificate") {
        return ClientError::Untrusted { address, detail };
    }
    if error.source().is_some_and(|source| {
        source
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
    }) {
        let seconds = CONNECT_TIMEOUT.as_secs();
        return ClientError::Deadline { address, seconds };
    }
    ClientError::Unreachable { address, detail }
}
