//! A router under test, its table, its log and its instances.

mod client;
mod instance;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AppGuid, ClusterGuid, InstanceGuid, ProcessGuid, RouteGuid, RouterGuid};
use cfx_protocol::metrics::RouterMetrics;
use cfx_protocol::route::{
    Balancing, Endpoint, EndpointProtocol, Route, RouteFrame, RouteOptions, TableAck,
};
use cfx_protocol::telemetry::LogEnvelope;
use cfx_router::{
    Certificates, Config, Drain, EdgeError, Edges, Error, Limits, LogSink, MetricsSink, Running,
    TableSource, TableStream, start,
};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub(crate) use client::{Answer, Client, get, raw, request};
pub(crate) use instance::Instance;

/// Longest time a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Wait until `value` satisfies `is`, or say what it was last.
pub(crate) async fn eventually<T: Clone + std::fmt::Debug>(
    seen: &mut watch::Receiver<T>,
    is: impl FnMut(&T) -> bool,
) -> T {
    let waiting = async { seen.wait_for(is).await.map(|value| value.clone()) };
    if let Ok(Ok(value)) = tokio::time::timeout(PATIENCE, waiting).await {
        return value;
    }
    panic!("never came true; last was {:?}", seen.borrow().clone())
}

/// Feeds frames to whoever dialled last.
#[derive(Debug)]
pub(crate) struct Table {
    streams: watch::Sender<Option<mpsc::UnboundedSender<RouteFrame>>>,
    acks: watch::Sender<Vec<TableAck>>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            streams: watch::Sender::new(None),
            acks: watch::Sender::new(Vec::new()),
        }
    }
}

impl Table {
    pub(crate) async fn send(&self, frame: RouteFrame) {
        let mut streams = self.streams.subscribe();
        loop {
            let stream = tokio::time::timeout(PATIENCE, streams.wait_for(Option::is_some)).await;
            let stream = stream.expect("the router dials").expect("open").clone();
            if stream.is_some_and(|stream| stream.send(frame.clone()).is_ok()) {
                return;
            }
            streams.changed().await.expect("open");
        }
    }

    /// End the stream that is open; the router dials again.
    pub(crate) fn hang_up(&self) {
        self.streams.send_replace(None);
    }

    pub(crate) fn acks(&self) -> watch::Receiver<Vec<TableAck>> {
        self.acks.subscribe()
    }

    pub(crate) fn dials(&self) -> watch::Receiver<Option<mpsc::UnboundedSender<RouteFrame>>> {
        self.streams.subscribe()
    }
}

#[async_trait]
impl TableSource for Table {
    async fn dial(&self) -> Result<Box<dyn TableStream>, EdgeError> {
        let (frames, stream) = mpsc::unbounded_channel();
        self.streams.send_replace(Some(frames));
        Ok(Box::new(Stream(stream)))
    }

    async fn acknowledge(&self, ack: TableAck) -> Result<(), EdgeError> {
        self.acks.send_modify(|acks| acks.push(ack));
        Ok(())
    }
}

struct Stream(mpsc::UnboundedReceiver<RouteFrame>);

#[async_trait]
impl TableStream for Stream {
    async fn next(&mut self) -> Result<Option<RouteFrame>, EdgeError> {
        Ok(self.0.recv().await)
    }
}

/// Keeps the access log lines of apps.
#[derive(Debug)]
pub(crate) struct Logs(watch::Sender<Vec<LogEnvelope>>);

impl Default for Logs {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

#[async_trait]
impl LogSink for Logs {
    async fn deliver(&self, batch: &[LogEnvelope]) -> Result<(), EdgeError> {
        self.0.send_modify(|lines| lines.extend_from_slice(batch));
        Ok(())
    }
}

/// Keeps what the router said of each second.
#[derive(Debug)]
pub(crate) struct Seconds(watch::Sender<Vec<RouterMetrics>>);

impl Default for Seconds {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

#[async_trait]
impl MetricsSink for Seconds {
    async fn deliver(&self, batch: &RouterMetrics) -> Result<(), EdgeError> {
        self.0.send_modify(|seconds| seconds.push(batch.clone()));
        Ok(())
    }
}

/// How a test wants its router.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) threads: usize,
    pub(crate) table_file: Option<std::path::PathBuf>,
    pub(crate) access_log_file: Option<std::path::PathBuf>,
    pub(crate) certificates: Arc<Certificates>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            drain: Drain {
                wait: Duration::ZERO,
                timeout: PATIENCE,
            },
            threads: 1,
            table_file: None,
            access_log_file: None,
            certificates: Certificates::none(),
        }
    }
}

/// A router at work, and the test's hand on everything around it.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) running: Running,
    pub(crate) shutdown: Shutdown,
    pub(crate) table: Arc<Table>,
    logs: Arc<Logs>,
    seconds: Arc<Seconds>,
    revision: u64,
}

pub(crate) fn token(epoch: u64, revision: u64) -> Token {
    Token {
        cluster: ClusterGuid(Uuid::from_u128(77)),
        epoch,
        revision,
    }
}

impl Router {
    pub(crate) async fn start(setup: Setup) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::try_start(setup, any).await.expect("starts")
    }

    /// With its first listener at `http`.
    pub(crate) async fn try_start(setup: Setup, http: SocketAddr) -> Result<Self, Error> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            guid: RouterGuid(Uuid::from_u128(5)),
            http: vec![http],
            https: vec![any],
            internal: vec![any],
            admin: Some(any),
            certificates: setup.certificates,
            table_file: setup.table_file,
            access_log_file: setup.access_log_file,
            threads: NonZeroUsize::new(setup.threads).expect("threads"),
            limits: setup.limits,
            drain: setup.drain,
        };
        let (table, logs) = (Arc::<Table>::default(), Arc::<Logs>::default());
        let seconds = Arc::<Seconds>::default();
        let edges = Edges {
            clock: Clock::system(),
            ids: IdSource::seeded(1),
            table: table.clone(),
            logs: logs.clone(),
            metrics: seconds.clone(),
        };
        let shutdown = Shutdown::new();
        let running = start(config, edges, shutdown.clone()).await?;
        Ok(Self {
            running,
            shutdown,
            table,
            logs,
            seconds,
            revision: 0,
        })
    }

    /// A router that serves `routes` already.
    pub(crate) async fn serving(setup: Setup, routes: Vec<Route>) -> Self {
        let mut router = Self::start(setup).await;
        router.publish(routes).await;
        router
    }

    /// Have every thread serve exactly `routes`.
    pub(crate) async fn publish(&mut self, routes: Vec<Route>) {
        self.revision += 1;
        let token = token(1, self.revision);
        self.table
            .send(RouteFrame::Snapshot { token, routes })
            .await;
        let served = self.running.serves(token);
        tokio::time::timeout(PATIENCE, served)
            .await
            .expect("served");
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running.addresses().http[0]
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.running.addresses().https[0]
    }

    pub(crate) fn internal(&self) -> SocketAddr {
        self.running.addresses().internal[0]
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.running.addresses().admin.expect("asked for")
    }

    /// The first access log line that contains `text`.
    pub(crate) async fn log_line(&self, text: &str) -> LogEnvelope {
        let has = |line: &LogEnvelope| String::from_utf8_lossy(&line.payload).contains(text);
        let lines = eventually(&mut self.logs.0.subscribe(), |lines| lines.iter().any(has)).await;
        lines.into_iter().find(has).expect("just seen")
    }

    /// What the router said of each second, as it goes on.
    pub(crate) fn seconds(&self) -> watch::Receiver<Vec<RouterMetrics>> {
        self.seconds.0.subscribe()
    }

    /// One number of `/metrics`, by its name and labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.running.metrics().render();
        let line = text.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        let value = line.and_then(|line| line.rsplit(' ').next());
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name} in {text}"))
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        let stopped = self.running.stopped();
        tokio::time::timeout(PATIENCE, stopped)
            .await
            .expect("stops");
    }
}

/// A route to instances, balanced in turn.
pub(crate) fn route(host: &str, endpoints: Vec<Endpoint>) -> Route {
    let guid = host
        .bytes()
        .fold(7_u128, |sum, byte| sum * 31 + u128::from(byte));
    Route {
        guid: RouteGuid(Uuid::from_u128(guid)),
        host: host.to_owned(),
        path: String::new(),
        internal: false,
        options: RouteOptions {
            balancing: Balancing::RoundRobin,
        },
        endpoints,
    }
}

/// The `index`-th instance of the one app that tests have.
pub(crate) fn endpoint(address: SocketAddr, index: u32) -> Endpoint {
    Endpoint {
        address,
        protocol: EndpointProtocol::Http1,
        app: AppGuid(Uuid::from_u128(0xa)),
        process: ProcessGuid(Uuid::from_u128(0xb)),
        instance: InstanceGuid(Uuid::from_u128(0x100 + u128::from(index))),
        index,
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("binds");
    listener.local_addr().expect("bound")
}
