//! Serves an axum router on a listener, with or without TLS, under limits.
//!
//! Handlers find `PeerAddress` and, when the client presented a certificate of the platform,
//! `PeerIdentity` among the request's extensions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use crate::clock::Clock;
use crate::identity::{PeerIdentity, peer_identity};
use crate::shutdown::Shutdown;
use crate::supervisor::{OnEnd, Supervisor};

/// Connections at once; past it new ones wait in the backlog.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Time a client has to send its headers, and to finish the TLS handshake.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that requests in flight have to finish once the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest request head, bytes.
pub const HEADER_MAX_BYTES: u32 = 64 * 1024;
/// Wait after a failed accept (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);

/// What to serve and how.
#[derive(Clone, Debug)]
pub struct HttpServer {
    pub router: Router,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub clock: Clock,
    pub shutdown: Shutdown,
    pub supervisor: Supervisor,
}

impl HttpServer {
    /// Accept until the shutdown is requested. Spawn it under a supervisor.
    pub async fn run(self, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Some(Ok(permit)) = self.shutdown.or(permits.clone().acquire_owned()).await else {
                return;
            };
            match self.shutdown.or(listener.accept()).await {
                None => return,
                Some(Ok((stream, peer))) => {
                    let connection = self.clone().connection(stream, peer, permit);
                    self.supervisor
                        .spawn("http connection", OnEnd::Nothing, connection);
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, _permit: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = self.tls.clone() else {
            return self.serve(stream, peer, None).await;
        };
        let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
        match tokio::time::timeout(HEADER_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => {
                let certificate = stream
                    .get_ref()
                    .1
                    .peer_certificates()
                    .and_then(|chain| chain.first());
                let identity = certificate.and_then(|certificate| peer_identity(certificate).ok());
                self.serve(stream, peer, identity).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    }

    async fn serve<S>(self, stream: S, peer: SocketAddr, identity: Option<PeerIdentity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(peer));
            if let Some(identity) = identity {
                request.extensions_mut().insert(identity);
            }
            router.clone().call(request)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_MAX_BYTES as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEADER_MAX_BYTES);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.requested() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(DRAIN_TIMEOUT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}
