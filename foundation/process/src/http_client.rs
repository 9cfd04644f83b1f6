//! The client side of the internal links: mutual TLS to whichever controller answers.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cfx_protocol::link::{Role, SHA256_HEADER};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::identity::dns_name;
use crate::ndjson::NdjsonReader;

/// Time to connect and finish the TLS handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a small call to answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer of a small call, bytes.
pub const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A body of any kind.
pub type AnyBody = BoxBody<Bytes, std::io::Error>;

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody answers; trying again later may help.
    #[error("no controller answers at {addresses}: {detail}")]
    Unreachable { addresses: String, detail: String },
    #[error("the controller did not answer {what} within {after:?}")]
    Deadline { what: String, after: Duration },
    #[error("the controller answered {what} with {status}: {detail}")]
    Refused {
        what: String,
        status: StatusCode,
        detail: String,
    },
    #[error("the answer to {what} cannot be understood: {detail}")]
    Garbled { what: String, detail: String },
}

impl LinkError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Deadline { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Garbled { .. } => false,
        }
    }
}

/// Calls the controllers; cloning it is cheap. It sticks to the controller that answered last.
#[derive(Clone, Debug)]
pub struct InternalClient {
    client: Client<Connector, AnyBody>,
    addresses: Arc<[SocketAddr]>,
    current: Arc<AtomicUsize>,
}

impl InternalClient {
    /// `addresses` must not be empty.
    #[must_use]
    pub fn new(tls: Arc<rustls::ClientConfig>, addresses: Vec<SocketAddr>) -> Self {
        let connector = Connector {
            tls: tokio_rustls::TlsConnector::from(tls),
        };
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            addresses: addresses.into(),
            current: Arc::default(),
        }
    }

    /// A small call with a JSON body and a JSON answer.
    pub async fn post<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, LinkError> {
        let what = format!("POST {path}");
        let body = serde_json::to_vec(question).map_err(|error| garbled(&what, &error))?;
        let answer = self
            .small_call(&what, Method::POST, path, "application/json", body.into())
            .await?;
        let answer: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        serde_json::from_slice(answer).map_err(|error| garbled(&what, &error))
    }

    /// A small call that sends bytes and ignores the answer's body.
    pub async fn post_bytes(
        &self,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<(), LinkError> {
        self.small_call(
            &format!("POST {path}"),
            Method::POST,
            path,
            content_type,
            body,
        )
        .await
        .map(drop)
    }

    /// An endless stream of frames. The caller watches for silence.
    pub async fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        line_max_bytes: usize,
    ) -> Result<NdjsonReader<Incoming, T>, LinkError> {
        let body = self.download(path).await?;
        Ok(NdjsonReader::new(body, line_max_bytes))
    }

    /// A body to be read at the caller's pace.
    pub async fn download(&self, path: &str) -> Result<Incoming, LinkError> {
        let what = format!("GET {path}");
        let request = self.request(Method::GET, path, "application/json", empty());
        let answer = self.send(&what, request).await?;
        Ok(answer.into_body())
    }

    /// Send a large body with its digest; the deadline is the caller's.
    pub async fn upload(
        &self,
        path: &str,
        content_type: &'static str,
        length: u64,
        sha256: &str,
        body: AnyBody,
    ) -> Result<(), LinkError> {
        let what = format!("PUT {path}");
        let mut request = self.request(Method::PUT, path, content_type, body);
        request
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
        let digest =
            header::HeaderValue::from_str(sha256).map_err(|error| garbled(&what, &error))?;
        request.headers_mut().insert(SHA256_HEADER, digest);
        // The answer comes only after the whole body went out.
        let answer = self.client.request(request).await;
        self.check(&what, answer).await.map(drop)
    }

    async fn small_call(
        &self,
        what: &str,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Bytes, LinkError> {
        let request = self.request(method, path, content_type, full(body));
        let call = async {
            let answer = self.send(what, request).await?;
            let collected = Limited::new(answer.into_body(), ANSWER_MAX_BYTES)
                .collect()
                .await;
            collected
                .map(http_body_util::Collected::to_bytes)
                .map_err(|error| garbled(what, &error))
        };
        let deadline = || LinkError::Deadline {
            what: what.to_owned(),
            after: CALL_TIMEOUT,
        };
        tokio::time::timeout(CALL_TIMEOUT, call)
            .await
            .map_err(|_| deadline())?
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: AnyBody,
    ) -> Request<AnyBody> {
        let address = self.addresses[self.current.load(Ordering::Relaxed) % self.addresses.len()];
        let uri = Uri::builder()
            .scheme("https")
            .authority(address.to_string())
            .path_and_query(path)
            .build();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        // Paths are built by our own code from guids and constants.
        *request.uri_mut() = uri.unwrap_or_default();
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static(content_type),
        );
        request
    }

    async fn send(
        &self,
        what: &str,
        request: Request<AnyBody>,
    ) -> Result<http::Response<Incoming>, LinkError> {
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.client.request(request)).await;
        let deadline = || LinkError::Deadline {
            what: what.to_owned(),
            after: CALL_TIMEOUT,
        };
        self.check(what, answer.map_err(|_| deadline())?).await
    }

    async fn check(
        &self,
        what: &str,
        answer: Result<http::Response<Incoming>, hyper_util::client::legacy::Error>,
    ) -> Result<http::Response<Incoming>, LinkError> {
        let answer = answer.map_err(|error| {
            self.current.fetch_add(1, Ordering::Relaxed);
            let addresses = self
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            LinkError::Unreachable {
                addresses,
                detail: innermost(&error),
            }
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // A follower without a leader; another controller may know better.
            self.current.fetch_add(1, Ordering::Relaxed);
        }
        let detail = Limited::new(answer.into_body(), 4_096).collect().await;
        let detail = detail
            .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
            .unwrap_or_default();
        Err(LinkError::Refused {
            what: what.to_owned(),
            status,
            detail,
        })
    }
}

/// A body of bytes at hand.
#[must_use]
pub fn full(bytes: Bytes) -> AnyBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// No body.
#[must_use]
pub fn empty() -> AnyBody {
    full(Bytes::new())
}

fn garbled(what: &str, error: &dyn std::fmt::Display) -> LinkError {
    LinkError::Garbled {
        what: what.to_owned(),
        detail: error.to_string(),
    }
}

/// The error that all others came of: what a person can act on.
#[must_use]
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Connects by TCP and checks the peer as a controller, whatever its address.
#[derive(Clone)]
struct Connector {
    tls: tokio_rustls::TlsConnector,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

type Connecting = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<TlsStream>>> + Send>>;

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream>;
    type Error = std::io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let tls = self.tls.clone();
        Box::pin(async move {
            let connect = async {
                let address = uri
                    .authority()
                    .map(http::uri::Authority::as_str)
                    .unwrap_or_default();
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(dns_name(Role::Controller))
                    .map_err(std::io::Error::other)?;
                tls.connect(name, stream).await
            };
            let late =
                |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "connecting took too long");
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
                .await
                .map_err(late)??;
            Ok(TokioIo::new(TlsStream(stream)))
        })
    }
}

/// A connection as hyper-util's client wants it.
#[derive(Debug)]
struct TlsStream(tokio_rustls::client::TlsStream<TcpStream>);

impl Connection for TlsStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
