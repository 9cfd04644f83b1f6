//! What one thread owns: its view of the table, its connections to instances, its counters.
//!
//! A `Core` never leaves its thread, so nothing in it is locked. It holds no policy of the
//! request path: that is in `proxy`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::sync::Notify;

use super::watchdog::Watchdog;
use crate::access_log::buffer::LogBuffer;
use crate::config::Limits;
use crate::metrics::ThreadMetrics;
use crate::proxy::upstream::Upstreams;
use crate::table::Table;
use crate::traffic::{Traffic, TrafficQueue};

/// Room that hyper's buffer has beyond the largest request head, so that the router's own check
/// sees a head that is a little too large.
const HEAD_SLACK_BYTES: usize = 64 * 1024;
/// Concurrent streams of one HTTP/2 connection: as many as browsers and gRPC clients expect.
const HTTP2_STREAMS_MAX: u32 = 250;
/// An HTTP/2 client that does not answer a ping within twice this is gone.
const HTTP2_PING: Duration = Duration::from_secs(30);

/// How far the thread is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Still accepting; every answer asks its client to close.
    Draining,
    /// No listeners; connections end with their request.
    Closing,
}

/// The state of one thread.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<ThreadMetrics>,
    pub(crate) watchdog: Rc<Watchdog>,
    pub(crate) upstreams: Upstreams,
    pub(crate) log: LogBuffer,
    pub(crate) traffic: Traffic,
    pub(crate) dice: Dice,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<LocalExecutor>,
    table: RefCell<Arc<Table>>,
    table_version: Cell<u64>,
    phase: Cell<Phase>,
    pub(crate) phase_changed: Notify,
    connections: Cell<usize>,
    pub(crate) connection_closed: Notify,
}

impl Core {
    pub(crate) fn new(
        index: usize,
        clock: Clock,
        limits: Limits,
        metrics: Arc<ThreadMetrics>,
        log: LogBuffer,
        traffic: TrafficQueue,
        dice: Dice,
    ) -> Rc<Self> {
        Rc::new(Self {
            index,
            clock,
            limits,
            metrics,
            watchdog: Watchdog::new(),
            upstreams: Upstreams::default(),
            log,
            traffic: Traffic::new(traffic),
            dice,
            http1: http1_builder(&limits),
            http2: http2_builder(&limits),
            table: RefCell::new(Arc::new(Table::empty())),
            table_version: Cell::new(0),
            phase: Cell::new(Phase::Serving),
            phase_changed: Notify::new(),
            connections: Cell::new(0),
            connection_closed: Notify::new(),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Look at the table this thread serves. `with` must not keep it.
    pub(crate) fn with_table<R>(&self, with: impl FnOnce(&Table) -> R) -> R {
        with(&self.table.borrow())
    }

    /// Changes with each table, so that a request can tell that its route may have changed.
    pub(crate) fn table_version(&self) -> u64 {
        self.table_version.get()
    }

    pub(crate) fn serve_table(&self, table: Arc<Table>) {
        let last = self.table.replace(table);
        self.table_version.set(self.table_version.get() + 1);
        drop(last);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.phase_changed.notify_waiters();
        self.watchdog.wake_all();
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Counts a client connection until the guard is dropped.
    pub(crate) fn connection_opened(self: &Rc<Self>) -> OpenConnection {
        self.connections.set(self.connections.get() + 1);
        self.metrics.connections.add(1);
        OpenConnection(self.clone())
    }
}

/// A client connection, upgraded ones included.
#[derive(Debug)]
pub(crate) struct OpenConnection(Rc<Core>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.metrics.connections.subtract(1);
        self.0.connection_closed.notify_waiters();
    }
}

/// The router's one spawn site on its threads. Such tasks belong to one connection or to the
/// thread: they end with it, and a panic in one ends nothing else.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(future));
}

/// Runs hyper's HTTP/2 streams on the thread they came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn(async move {
            future.await;
        });
    }
}

/// Numbers for ids and choices; each thread has its own, seeded from the id source.
#[derive(Debug)]
pub(crate) struct Dice(Cell<(u64, u64)>);

impl Dice {
    pub(crate) fn new(seed: (u64, u64)) -> Self {
        // All zeros is the one state that never changes.
        Self(Cell::new((seed.0 | 1, seed.1)))
    }

    /// xoroshiro128++: unique, not secret.
    pub(crate) fn roll(&self) -> u64 {
        let (a, b) = self.0.get();
        let result = a.wrapping_add(b).rotate_left(17).wrapping_add(a);
        let mixed = a ^ b;
        let next = (
            a.rotate_left(49) ^ mixed ^ (mixed << 21),
            mixed.rotate_left(28),
        );
        self.0.set(next);
        result
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.roll() % bound).unwrap_or_default()
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        // The connection's own watch does it, without a timer per request.
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_buf_size(limits.request_head_max_bytes + HEAD_SLACK_BYTES);
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    let head_max = u32::try_from(limits.request_head_max_bytes).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(head_max)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}
