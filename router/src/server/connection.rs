//! One client connection, from accept to close.
//!
//! It finds out the protocol, hands each request to the pipeline and closes the connection when
//! a deadline is over or the thread ends. What a request means is not decided here.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::core::{Core, Phase};
use super::head_scan::{HeadScan, Signals};
use super::watchdog::Watch;
use crate::proxy::pipeline;
use crate::table::Reach;

/// First bytes of an HTTP/2 connection without TLS.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No HTTP/1 method begins like this.
const HTTP2_PREFACE_TELLS: usize = 4;
/// Wait for the rest of a preface that came in pieces.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

/// What a listener's connections are.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) reach: Reach,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// A client, for as long as its connection is open.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// The peer's address without port, as `X-Forwarded-For` wants it.
    pub(crate) ip: HeaderValue,
    pub(crate) reach: Reach,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
    signals: Arc<Signals>,
    /// Expires when the client itself is too slow. Streams of one HTTP/2 connection stall alone,
    /// so there only the request's own deadline and pings count, and this is never armed.
    watch: Watch,
    /// A request is being answered.
    busy: Cell<bool>,
    /// What `watch` was last armed for, between requests.
    head_open: Cell<bool>,
}

impl Client {
    fn new(core: &Core, peer: SocketAddr, door: &Door, http2: bool) -> Rc<Self> {
        let ip = peer.ip().to_string();
        Rc::new(Self {
            peer,
            ip: HeaderValue::try_from(ip).unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            reach: door.reach,
            tls: door.tls.is_some(),
            http2,
            signals: Arc::default(),
            watch: core.watchdog.watch(),
            busy: Cell::new(false),
            head_open: Cell::new(false),
        })
    }

    /// A whole head has arrived.
    pub(crate) fn request_begins(&self) {
        self.busy.set(true);
        self.stall_ends();
    }

    /// The client has to send or take bytes before anything can go on.
    pub(crate) fn stall_begins(&self, core: &Core) {
        if !self.http2 {
            self.watch
                .arm(core.now() + core.limits.client_stall_timeout);
        }
    }

    pub(crate) fn stall_ends(&self) {
        if !self.http2 {
            self.watch.disarm();
        }
    }

    /// The answer is out: the next head has its own time, once it begins.
    pub(crate) fn request_ends(&self, core: &Core) {
        if !self.http2 {
            self.busy.set(false);
            self.waits_for_head(core, self.signals.head_is_open());
        }
    }

    fn waits_for_head(&self, core: &Core, open: bool) {
        self.head_open.set(open);
        let limits = &core.limits;
        let limit = if open {
            limits.request_head_timeout
        } else {
            limits.client_idle_timeout
        };
        self.watch.arm(core.now() + limit);
    }

    /// Has a head begun since the last look?
    fn look(&self, core: &Core) {
        let open = self.signals.head_is_open();
        if !self.busy.get() && open != self.head_open.get() {
            self.waits_for_head(core, open);
        }
    }
}

/// Serve a connection until it ends.
pub(crate) async fn serve(core: Rc<Core>, stream: TcpStream, peer: SocketAddr, door: Door) {
    let _open = core.connection_opened();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    match door.tls.clone() {
        Some(acceptor) => serve_tls(core, stream, peer, &door, acceptor).await,
        None => match speaks_http2(&core, &stream).await {
            Ok(true) => serve_http2(core, stream, peer, &door).await,
            Ok(false) => serve_http1(core, stream, peer, &door).await,
            Err(error) => tracing::debug!(%peer, %error, "a connection said nothing"),
        },
    }
}

async fn serve_tls(
    core: Rc<Core>,
    stream: TcpStream,
    peer: SocketAddr,
    door: &Door,
    acceptor: TlsAcceptor,
) {
    let handshake = acceptor.accept(stream);
    match tokio::time::timeout(core.limits.tls_handshake_timeout, handshake).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_http2(core, stream, peer, door).await;
        }
        Ok(Ok(stream)) => serve_http1(core, stream, peer, door).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
    }
}

/// Look at the first bytes without taking them.
async fn speaks_http2(core: &Core, stream: &TcpStream) -> io::Result<bool> {
    let watch = core.watchdog.watch();
    watch.arm(core.now() + core.limits.request_head_timeout);
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let mut buffer = tokio::io::ReadBuf::new(&mut first);
        let count = poll_fn(|cx| match stream.poll_peek(cx, &mut buffer) {
            // Who has spoken is heard, even at the very end.
            Poll::Pending if is_over(core, &watch, cx) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            peeked => peeked,
        })
        .await?;
        let seen = count.min(HTTP2_PREFACE_TELLS);
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..seen] != HTTP2_PREFACE[..seen] {
            return Ok(false);
        }
        if seen == HTTP2_PREFACE_TELLS {
            return Ok(true);
        }
        core.clock.sleep(PREFACE_PAUSE).await;
        if poll_fn(|cx| Poll::Ready(is_over(core, &watch, cx))).await {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Is a connection without a request to be given up?
fn is_over(core: &Core, watch: &Watch, cx: &mut Context<'_>) -> bool {
    watch.poll_expired(cx).is_ready() || core.phase() >= Phase::Closing
}

async fn serve_http1<S>(core: Rc<Core>, stream: S, peer: SocketAddr, door: &Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = Client::new(&core, peer, door, false);
    let io = TokioIo::new(HeadScan::new(stream, client.signals.clone()));
    let service = {
        let (core, client) = (core.clone(), client.clone());
        service_fn(move |request| pipeline::handle(core.clone(), client.clone(), request))
    };
    let connection = core.http1.serve_connection(io, service).with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = false;
    client.request_ends(&core);
    let ended = poll_fn(|cx| {
        let mut polled = connection.as_mut().poll(cx);
        if polled.is_pending() && !closing && core.phase() >= Phase::Closing {
            // Only after a poll: a request that has arrived already is answered.
            closing = true;
            connection.as_mut().graceful_shutdown();
            polled = connection.as_mut().poll(cx);
        }
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        client.look(&core);
        match client.watch.poll_expired(cx) {
            Poll::Ready(()) => Poll::Ready(Err("the client was too slow".to_owned())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if let Err(reason) = ended {
        tracing::debug!(%peer, reason, "a connection ended early");
    }
}

async fn serve_http2<S>(core: Rc<Core>, stream: S, peer: SocketAddr, door: &Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = Client::new(&core, peer, door, true);
    let service = {
        let (core, client) = (core.clone(), client.clone());
        service_fn(move |request| pipeline::handle(core.clone(), client.clone(), request))
    };
    let connection = core.http2.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut closing = false;
    let ended = poll_fn(|cx| {
        // GOAWAY loses nothing, so there is no reason to wait for the listeners to close.
        if !closing && core.phase() >= Phase::Draining {
            closing = true;
            connection.as_mut().graceful_shutdown();
        }
        // Polled for its waker only: the phase's changes come by it.
        let _never_armed = client.watch.poll_expired(cx);
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP/2 connection ended early");
    }
}
