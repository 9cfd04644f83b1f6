//! Starts a router and ends it in order.
//!
//! ```text
//!   bind all -> restore table -> threads -> sync, log writer, admin
//!   shutdown -> health 503 and `Connection: close` -> wait -> listeners closed, requests
//!   finish -> threads end -> last log lines out
//! ```

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cfx_process::http_server::HttpServer;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::telemetry::Metrics;
use cfx_protocol::generation::Token;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::access_log::AccessRecord;
use crate::access_log::buffer::{LogQueue, QUEUE_BATCHES};
use crate::access_log::writer::Writer;
use crate::admin::Admin;
use crate::config::Config;
use crate::edges::Edges;
use crate::events::Events;
use crate::metrics::{Scrape, ThreadMetrics};
use crate::proxy::failure::LABELS;
use crate::server::connection::Door;
use crate::server::core::Phase;
use crate::server::listen::Listeners;
use crate::server::thread::{self, Seed};
use crate::table::publish::Publisher;
use crate::table::sync::Sync;
use crate::traffic::collector::Collector;
use crate::traffic::{QUEUE_SECONDS, Told, TrafficQueue};

/// Time that the tasks beside the threads have to end, once the threads have.
const TASKS_END: Duration = Duration::from_secs(5);

/// Why a router did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot start a router thread: {0}")]
    Thread(std::io::Error),
}

/// Where a router listens, with the ports it really got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub internal: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// A router at work.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    publisher: Arc<Publisher>,
    metrics: Metrics,
    ended: oneshot::Receiver<()>,
    /// Its end takes every task along.
    _owner: Supervisor,
}

impl Running {
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Of the newest published table; none before the first.
    #[must_use]
    pub fn table_token(&self) -> Option<Token> {
        self.publisher.newest().token()
    }

    /// Resolves once every thread serves a table at `token` or a later one.
    pub async fn serves(&self, token: Token) {
        let mut generations = self.publisher.generations();
        loop {
            let generation = *generations.borrow_and_update();
            let newest = self.table_token();
            if newest.is_some_and(|newest| token.admit(newest).is_ok()) {
                return self.publisher.served_by_all(generation).await;
            }
            if generations.changed().await.is_err() {
                return;
            }
        }
    }

    /// The router's numbers, as `/metrics` prints them.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Resolves when the router has drained and stopped, after its shutdown was requested.
    pub async fn stopped(self) {
        // An error means the task that tells is gone, so the router is too.
        drop(self.ended.await);
    }
}

/// Start a router. It runs until `shutdown` is requested and then drains; `Running::stopped`
/// tells when that is over. Dropping `Running` ends the router at once.
pub async fn start(config: Config, edges: Edges, shutdown: Shutdown) -> Result<Running, Error> {
    let listeners = Listeners::bind(&config).await?;
    let threads = config.threads.get();
    let counters: Vec<_> = (0..threads)
        .map(|_| Arc::new(ThreadMetrics::new(LABELS.len())))
        .collect();
    let parts = Parts {
        publisher: Arc::new(Publisher::new(threads)),
        events: Arc::default(),
        metrics: Metrics::default(),
        supervisor: Supervisor::new("router", shutdown.clone()),
        draining: Arc::default(),
        threads_ended: Shutdown::new(),
        config,
        edges,
        shutdown,
    };
    parts.register_metrics(&counters);
    let sync = parts.sync();
    // Before the first thread, so that none ever serves without the saved table.
    let applier = sync.restore();
    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (queue, batches) = mpsc::channel(QUEUE_BATCHES);
    let (traffic, told) = mpsc::channel(QUEUE_SECONDS * threads);
    let mut handles = Vec::new();
    for (index, listeners) in listeners.per_thread.into_iter().enumerate() {
        let (phase, metrics) = (phase_seen.clone(), counters[index].clone());
        let queues = (queue.clone(), traffic.clone());
        let seed = parts.seed(index, listeners, phase, metrics, queues);
        handles.push(spawn_thread(seed)?);
    }
    parts.events.started(&listeners.addresses, threads);
    parts.spawn_tasks(sync.run(applier), batches, listeners.admin);
    parts.spawn_collector(told);

    let (end, ended) = oneshot::channel();
    let (publisher, metrics) = (parts.publisher.clone(), parts.metrics.clone());
    let owner = Supervisor::new("router", Shutdown::new());
    owner.spawn("drain", OnEnd::Nothing, async move {
        parts.drain(phase, handles).await;
        // Nobody has to wait for the end.
        end.send(()).unwrap_or_default();
    });
    Ok(Running {
        addresses: listeners.addresses,
        publisher,
        metrics,
        ended,
        _owner: owner,
    })
}

/// What the threads and tasks of one router share.
#[derive(Debug)]
struct Parts {
    config: Config,
    edges: Edges,
    shutdown: Shutdown,
    publisher: Arc<Publisher>,
    events: Arc<Events>,
    metrics: Metrics,
    supervisor: Supervisor,
    draining: Arc<AtomicBool>,
    threads_ended: Shutdown,
}

impl Parts {
    fn register_metrics(&self, counters: &[Arc<ThreadMetrics>]) {
        let scrape = Scrape {
            threads: counters.to_vec(),
            table: self.events.table.clone(),
            clock: self.edges.clock.clone(),
            error_names: &LABELS,
        };
        self.metrics
            .register(|registry| registry.register_collector(Box::new(scrape)));
    }

    fn sync(&self) -> Sync {
        Sync {
            router: self.config.guid,
            edges: self.edges.clone(),
            publisher: self.publisher.clone(),
            events: self.events.clone(),
            // A router that drains still has to know where instances are.
            shutdown: self.threads_ended.clone(),
            table_file: self.config.table_file.clone(),
            threads: self.config.threads.get(),
        }
    }

    fn seed(
        &self,
        index: usize,
        listeners: Vec<(StdListener, Door)>,
        phase: watch::Receiver<Phase>,
        metrics: Arc<ThreadMetrics>,
        (log, traffic): (LogQueue, TrafficQueue),
    ) -> Seed {
        Seed {
            index,
            listeners,
            publisher: self.publisher.clone(),
            phase,
            clock: self.edges.clock.clone(),
            limits: self.config.limits,
            drain: self.config.drain,
            metrics,
            events: self.events.clone(),
            shutdown: self.shutdown.clone(),
            log,
            traffic,
            dice: (self.edges.ids.number(), self.edges.ids.number()),
        }
    }

    fn spawn_tasks(
        &self,
        sync: impl Future<Output = ()> + Send + 'static,
        batches: mpsc::Receiver<Vec<AccessRecord>>,
        admin: Option<TcpListener>,
    ) {
        let supervisor = &self.supervisor;
        supervisor.spawn("table sync", OnEnd::StopComponent, sync);
        let writer = Writer {
            batches,
            sink: self.edges.logs.clone(),
            file: self.config.access_log_file.clone(),
            events: self.events.clone(),
            stop: self.threads_ended.clone(),
        };
        supervisor.spawn("access log", OnEnd::Nothing, writer.run());
        let Some(listener) = admin else { return };
        let admin = Admin {
            publisher: self.publisher.clone(),
            metrics: self.metrics.clone(),
            draining: self.draining.clone(),
        };
        let server = HttpServer {
            router: admin.endpoints(),
            tls: None,
            clock: self.edges.clock.clone(),
            // Health has to be told for as long as anything is served.
            shutdown: self.threads_ended.clone(),
            supervisor: supervisor.clone(),
        };
        supervisor.spawn("admin", OnEnd::Nothing, server.run(listener));
    }

    fn spawn_collector(&self, told: mpsc::Receiver<Told>) {
        let collector = Collector {
            router: self.config.guid,
            threads: self.config.threads.get(),
            told,
            edges: self.edges.clone(),
            events: self.events.clone(),
            stop: self.threads_ended.clone(),
        };
        self.supervisor
            .spawn("metrics", OnEnd::Nothing, collector.run());
    }

    /// Wait for the wish to stop, then let the threads finish what they have.
    async fn drain(
        self,
        phase: watch::Sender<Phase>,
        handles: Vec<JoinHandle<std::io::Result<()>>>,
    ) {
        self.shutdown.requested().await;
        let wait = self.config.drain.wait;
        self.draining.store(true, Ordering::Relaxed);
        if wait > Duration::ZERO {
            self.events.draining(wait);
            phase.send_replace(Phase::Draining);
            self.edges.clock.sleep(wait).await;
        }
        phase.send_replace(Phase::Closing);
        let joined = tokio::task::spawn_blocking(move || {
            let ended = handles.into_iter().map(JoinHandle::join);
            ended.filter(|end| !matches!(end, Ok(Ok(())))).count()
        });
        let failed = joined.await.unwrap_or_default();
        self.threads_ended.request();
        self.supervisor.join(TASKS_END).await;
        self.events.stopped(failed);
    }
}

fn spawn_thread(seed: Seed) -> Result<JoinHandle<std::io::Result<()>>, Error> {
    std::thread::Builder::new()
        .name(format!("router-{}", seed.index))
        .spawn(move || thread::run(seed))
        .map_err(Error::Thread)
}
