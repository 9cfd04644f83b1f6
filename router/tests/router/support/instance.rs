//! Instances behind the router: what they saw, and how a test wants them to answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A request as an instance saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.head.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }
}

pub(crate) type Body = BoxBody<Bytes, Infallible>;
type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A server on loopback; it ends with the test.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    seen: watch::Sender<Vec<Seen>>,
    connections: watch::Sender<usize>,
    _tasks: Supervisor,
}

impl Instance {
    /// Answers every request with 200 and `text`.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::answering(move |_| Response::new(Full::from(text).boxed())).await
    }

    pub(crate) async fn answering(
        answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::serving(move |seen| {
            let answer = answer(&seen);
            Box::pin(async move { answer })
        })
        .await
    }

    /// `answer` may take its time.
    pub(crate) async fn serving(
        answer: impl Fn(Seen) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let seen = watch::Sender::new(Vec::new());
        let answer = Arc::new(answer);
        let record = seen.clone();
        let mut instance = Self::raw(move |stream| {
            let (answer, record) = (answer.clone(), record.clone());
            Box::pin(serve(stream, answer, record))
        })
        .await;
        instance.seen = seen;
        instance
    }

    /// Does what it wants with each connection.
    pub(crate) async fn raw(
        connection: impl Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let tasks = Supervisor::new("test instance", Shutdown::new());
        let connections = watch::Sender::new(0);
        let (spawner, count) = (tasks.clone(), connections.clone());
        tasks.spawn("accept", OnEnd::Nothing, async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                spawner.spawn("connection", OnEnd::Nothing, connection(stream));
            }
        });
        Self {
            address,
            seen: watch::Sender::new(Vec::new()),
            connections,
            _tasks: tasks,
        }
    }

    /// The requests seen so far, their bodies read.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request came")
    }

    pub(crate) fn requests(&self) -> watch::Receiver<Vec<Seen>> {
        self.seen.subscribe()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.borrow()
    }
}

async fn serve(
    stream: TcpStream,
    answer: Arc<impl Fn(Seen) -> Answering + Send + Sync + 'static>,
    record: watch::Sender<Vec<Seen>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, record) = (answer.clone(), record.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let seen = Seen { head, body };
            record.send_modify(|all| all.push(seen.clone()));
            Ok::<_, hyper::Error>(answer(seen).await)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    // The router may close whenever it likes.
    drop(connection.await);
}
