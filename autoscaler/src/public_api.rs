//! The platform's public API, as any client of it: tokens by client credentials, deadlines, bounded
//! answers.
//!
//! It reads where UAA and log-cache are from the root document, so it could serve any Cloud
//! Foundry; its tokens go only to the hosts that this document named.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_process::clock::Clock;
use cfx_process::http_client::innermost;
use cfx_process::public_connector::PublicConnector;
use cfx_process::tls::{self, TlsError};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

/// Time for a call to answer: a tick that waits longer than this is no tick.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, bytes: an hour of one metric of 300 instances, one sample a second, is a half.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// A token is renewed when it has less than this to live.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// Longest refusal that is quoted, characters.
const DETAIL_MAX_CHARS: usize = 300;
const AGENT: &str = concat!("cfx-autoscaler/", env!("CARGO_PKG_VERSION"));
pub(crate) const JSON: &str = "application/json";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Why a call gave no answer that could be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("the platform's API at {address} does not answer: {detail}")]
    Unreachable { address: String, detail: String },
    #[error("{what} was refused with {status}: {detail}")]
    Refused {
        what: String,
        status: StatusCode,
        detail: String,
    },
    #[error("the answer to {what} cannot be understood: {detail}")]
    Garbled { what: String, detail: String },
}

impl CallError {
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Garbled { .. } => None,
        }
    }
}

/// Who the autoscaler is to the platform.
#[derive(Clone)]
pub struct Credentials {
    pub client: String,
    pub secret: String,
}

/// Without the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credentials").field(&self.client).finish()
    }
}

/// A whole answer with a good status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) etag: Option<String>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| garbled(what, error))
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            content_type: JSON,
            if_match: None,
            body: Bytes::new(),
        }
    }

    pub(crate) fn post(path: impl Into<String>, content_type: &'static str, body: String) -> Self {
        Self {
            method: Method::POST,
            content_type,
            body: body.into(),
            ..Self::get(path)
        }
    }

    fn what(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// Calls the platform; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct PublicApi(Arc<Inner>);

struct Inner {
    http: Client<PublicConnector, Full<Bytes>>,
    /// Scheme, host and port.
    address: String,
    credentials: Credentials,
    clock: Clock,
    places: OnceCell<Places>,
    token: Mutex<Option<Token>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicApi")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Where the other public APIs are.
#[derive(Debug, Clone)]
struct Places {
    uaa: String,
    log_cache: String,
}

#[derive(Debug, Clone)]
struct Token {
    authorization: HeaderValue,
    /// On the monotonic clock.
    renew_at: Duration,
}

#[derive(Debug, Deserialize)]
struct Root {
    links: std::collections::BTreeMap<String, Option<RootLink>>,
}

#[derive(Debug, Deserialize)]
struct RootLink {
    href: String,
}

#[derive(Debug, Deserialize)]
struct TokenReply {
    access_token: String,
    expires_in: u64,
}

impl PublicApi {
    /// `authority` is the PEM of whom to trust under https; none means the system's.
    pub fn new(
        address: &str,
        credentials: Credentials,
        authority: Option<&str>,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let connector = PublicConnector::new(tls::public_client(authority)?);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self(Arc::new(Inner {
            http,
            address: address.trim_end_matches('/').to_owned(),
            credentials,
            clock,
            places: OnceCell::new(),
            token: Mutex::new(None),
        })))
    }

    /// A call of v3 as the autoscaler itself.
    pub(crate) async fn call(&self, ask: Ask) -> Result<Reply, CallError> {
        self.as_itself(&self.0.address, ask).await
    }

    /// A call of log-cache as the autoscaler itself.
    pub(crate) async fn log_cache(&self, ask: Ask) -> Result<Reply, CallError> {
        let origin = self.places().await?.log_cache.clone();
        self.as_itself(&origin, ask).await
    }

    /// A call of v3 with somebody else's token: it sees what they may see.
    pub(crate) async fn as_caller(
        &self,
        authorization: &HeaderValue,
        ask: Ask,
    ) -> Result<Reply, CallError> {
        self.exchange(&self.0.address, &ask, Some(authorization))
            .await
    }

    async fn as_itself(&self, origin: &str, ask: Ask) -> Result<Reply, CallError> {
        let token = self.token().await?;
        let reply = self.exchange(origin, &ask, Some(&token)).await;
        match reply {
            // The platform's keys may have changed under a token that looked good.
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                *self.0.token.lock() = None;
                let token = self.token().await?;
                self.exchange(origin, &ask, Some(&token)).await
            }
            reply => reply,
        }
    }

    async fn places(&self) -> Result<&Places, CallError> {
        let find = async || {
            let ask = Ask::get("/");
            let reply = self.exchange(&self.0.address, &ask, None).await?;
            let root: Root = reply.json("GET /")?;
            let link = |name: &str| {
                let href = root.links.get(name)?.as_ref()?.href.as_str();
                Some(href.trim_end_matches('/').to_owned())
            };
            let missing = |name: &str| garbled("GET /", format!("it links to no {name}"));
            Ok(Places {
                uaa: link("uaa")
                    .or_else(|| link("login"))
                    .ok_or_else(|| missing("uaa"))?,
                log_cache: link("log_cache").ok_or_else(|| missing("log_cache"))?,
            })
        };
        self.0.places.get_or_try_init(find).await
    }

    async fn token(&self) -> Result<HeaderValue, CallError> {
        let now = self.0.clock.monotonic();
        let kept = self.0.token.lock().clone();
        if let Some(token) = kept.filter(|token| now < token.renew_at) {
            return Ok(token.authorization);
        }
        let uaa = self.places().await?.uaa.clone();
        let form = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &self.0.credentials.client),
            ("client_secret", &self.0.credentials.secret),
        ]);
        let ask = Ask::post("/oauth/token", FORM, form);
        let reply: TokenReply = self
            .exchange(&uaa, &ask, None)
            .await?
            .json("POST /oauth/token")?;
        let bearer = HeaderValue::try_from(format!("bearer {}", reply.access_token));
        let mut authorization = bearer.map_err(|error| garbled("POST /oauth/token", error))?;
        authorization.set_sensitive(true);
        let life = Duration::from_secs(reply.expires_in).saturating_sub(TOKEN_MARGIN);
        *self.0.token.lock() = Some(Token {
            authorization: authorization.clone(),
            renew_at: now + life,
        });
        Ok(authorization)
    }

    async fn exchange(
        &self,
        origin: &str,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<Reply, CallError> {
        let request = request(origin, ask, authorization)?;
        let unreachable = |detail: String| CallError::Unreachable {
            address: origin.to_owned(),
            detail,
        };
        let call = async {
            let answer = self.0.http.request(request).await;
            let (head, body) = answer
                .map_err(|error| unreachable(innermost(&error)))?
                .into_parts();
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
            let body = body.map_err(|error| garbled(&ask.what(), error))?;
            Ok((head, body.to_bytes()))
        };
        let answered = tokio::time::timeout(CALL_TIMEOUT, call).await;
        let (head, body) =
            answered.map_err(|_| unreachable(format!("no answer in {CALL_TIMEOUT:?}")))??;
        if head.status.is_success() {
            return Ok(Reply {
                etag: etag(&head.headers),
                body,
            });
        }
        Err(CallError::Refused {
            what: ask.what(),
            status: head.status,
            detail: detail(&body),
        })
    }
}

fn request(
    origin: &str,
    ask: &Ask,
    authorization: Option<&HeaderValue>,
) -> Result<Request<Full<Bytes>>, CallError> {
    let mut builder = Request::builder()
        .method(ask.method.clone())
        .uri(format!("{origin}{}", ask.path))
        .header(ACCEPT, JSON)
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, ask.content_type);
    if let Some(tag) = &ask.if_match {
        builder = builder.header(IF_MATCH, tag);
    }
    if let Some(authorization) = authorization {
        builder = builder.header(AUTHORIZATION, authorization);
    }
    builder
        .body(Full::new(ask.body.clone()))
        .map_err(|error| garbled(&ask.what(), error))
}

fn etag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    Some(tag.to_owned())
}

/// What a v3 or UAA error says; the body's beginning when it is neither.
fn detail(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = json["errors"][0]["detail"]
        .as_str()
        .or_else(|| json["error_description"].as_str())
        .or_else(|| json["error"].as_str());
    let text = match said {
        Some(said) => said.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().take(DETAIL_MAX_CHARS).collect()
}

fn garbled(what: &str, error: impl std::fmt::Display) -> CallError {
    CallError::Garbled {
        what: what.to_owned(),
        detail: error.to_string(),
    }
}

/// `a=b&c=d`, escaped.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}
