//! What instances write, and what the cell says about them, on the way to the controller.
//!
//! Every queue is bounded by bytes and belongs to one app, so that a loud app loses its own lines
//! and nobody else's. What is lost is counted and told. Nothing here may ever block an app for
//! longer than the CPU budget says, or grow because the controller does not answer.

pub mod budget;
pub mod limit;
pub mod lines;
pub mod reader;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cfx_process::clock::Clock;
use cfx_protocol::desired::{InstanceSpec, Work};
use cfx_protocol::id::{AppGuid, InstanceGuid, ProcessGuid};
use cfx_protocol::telemetry::{LOG_BATCH_MAX, LogEnvelope, Stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Waiting lines of one app, bytes: some seconds of an ordinary app, a hundred lines of the
/// longest kind when no controller answers.
pub const APP_QUEUE_MAX_BYTES: usize = 1 << 20;
/// Waiting lines of all apps, bytes.
pub const QUEUE_MAX_BYTES: usize = 32 << 20;
/// Bytes of one batch; a batch ends at whichever limit comes first.
const BATCH_MAX_BYTES: usize = 1 << 20;
/// What an envelope costs besides its payload, bytes.
const ENVELOPE_BYTES: usize = 160;
/// Lines taken from one app before it is the next one's turn.
const TURN_LINES: usize = 64;

/// Lines on their way out; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Outbox {
    clock: Clock,
    queues: Arc<Mutex<Queues>>,
    filled: Arc<Notify>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Queues {
    apps: BTreeMap<AppGuid, Queue>,
    bytes: usize,
    /// The app whose turn was last.
    last: Option<AppGuid>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<LogEnvelope>,
    bytes: usize,
    /// Lines dropped and not told of.
    dropped: u64,
}

impl Outbox {
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            queues: Arc::default(),
            filled: Arc::default(),
            dropped: Arc::default(),
        }
    }

    pub fn push(&self, line: LogEnvelope) {
        let dropped = self.queues.lock().push(line);
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        self.filled.notify_one();
    }

    pub(crate) fn now_ns(&self) -> i64 {
        self.clock.now_ns()
    }

    /// Lines dropped since the start, for metrics.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The next lines, a few of each app in turn; waits for the first.
    pub async fn batch(&self) -> Vec<LogEnvelope> {
        loop {
            let filled = self.filled.notified();
            let batch = self.queues.lock().take(self.clock.now_ns());
            if !batch.is_empty() {
                return batch;
            }
            filled.await;
        }
    }
}

impl Queues {
    /// Tells how many lines were dropped to make room.
    fn push(&mut self, line: LogEnvelope) -> u64 {
        let cost = cost(&line);
        let queue = self.apps.entry(line.app).or_default();
        let mut dropped = 0;
        // The newest lines are worth most to whoever looks.
        while queue.bytes + cost > APP_QUEUE_MAX_BYTES
            || (self.bytes + cost > QUEUE_MAX_BYTES && !queue.lines.is_empty())
        {
            let Some(oldest) = queue.lines.pop_front() else {
                break;
            };
            queue.bytes -= self::cost(&oldest);
            self.bytes -= self::cost(&oldest);
            dropped += 1;
        }
        queue.bytes += cost;
        self.bytes += cost;
        queue.lines.push_back(line);
        queue.dropped += dropped;
        dropped
    }

    fn take(&mut self, now_ns: i64) -> Vec<LogEnvelope> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < LOG_BATCH_MAX && bytes < BATCH_MAX_BYTES {
            let Some(app) = self.next_app() else {
                break;
            };
            self.last = Some(app);
            let Some(queue) = self.apps.get_mut(&app) else {
                break;
            };
            if let Some(notice) = queue.notice(app, now_ns) {
                batch.push(notice);
            }
            for _ in 0..TURN_LINES.min(LOG_BATCH_MAX.saturating_sub(batch.len())) {
                let Some(line) = queue.lines.pop_front() else {
                    break;
                };
                bytes += cost(&line);
                queue.bytes -= cost(&line);
                self.bytes -= cost(&line);
                batch.push(line);
            }
            if queue.lines.is_empty() {
                self.apps.remove(&app);
            }
        }
        batch
    }

    fn next_app(&self) -> Option<AppGuid> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self
            .last
            .and_then(|last| self.apps.range((Excluded(last), Unbounded)).next());
        after
            .or_else(|| self.apps.iter().next())
            .map(|(app, _)| *app)
    }
}

impl Queue {
    fn notice(&mut self, app: AppGuid, now_ns: i64) -> Option<LogEnvelope> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped > 0).then(|| LogEnvelope {
            timestamp_ns: now_ns,
            app,
            stream: Stream::Err,
            source_type: "LGR".to_owned(),
            instance_index: 0,
            process: None,
            instance: None,
            payload: format!(
                "{dropped} log lines were dropped: they came faster than they could be delivered"
            )
            .into_bytes(),
        })
    }
}

fn cost(line: &LogEnvelope) -> usize {
    line.payload.len() + line.source_type.len() + ENVELOPE_BYTES
}

/// Speaks for one start of one instance.
#[derive(Debug, Clone)]
pub struct Voice {
    outbox: Outbox,
    app: AppGuid,
    source_type: String,
    index: u32,
    process: Option<ProcessGuid>,
    instance: InstanceGuid,
    is_staging: bool,
}

impl Voice {
    #[must_use]
    pub fn new(outbox: Outbox, spec: &InstanceSpec, index: u32, instance: InstanceGuid) -> Self {
        let (source_type, process) = match &spec.work {
            Work::Process {
                process,
                process_type,
                ..
            } => (
                format!("APP/PROC/{}", process_type.to_uppercase()),
                Some(*process),
            ),
            Work::Task { name, .. } => (format!("APP/TASK/{name}"), None),
            Work::Staging(_) => ("STG".to_owned(), None),
        };
        Self {
            outbox,
            app: spec.owner.app,
            source_type,
            index,
            process,
            instance,
            is_staging: matches!(spec.work, Work::Staging(_)),
        }
    }

    /// A line of the app itself.
    pub fn app(&self, stream: Stream, payload: Vec<u8>) {
        self.send(&self.source_type, stream, payload);
    }

    /// A line that the cell says in the app's own channel, such as its exit status.
    pub fn aside(&self, text: &str) {
        self.send(&self.source_type, Stream::Out, text.as_bytes().to_vec());
    }

    /// A line of the cell about the instance.
    pub fn cell(&self, text: &str) {
        let source = if self.is_staging { "STG" } else { "CELL" };
        self.send(source, Stream::Out, text.as_bytes().to_vec());
    }

    /// A line of the health check.
    pub fn health(&self, text: &str) {
        self.send("HEALTH", Stream::Err, text.as_bytes().to_vec());
    }

    fn send(&self, source_type: &str, stream: Stream, payload: Vec<u8>) {
        self.outbox.push(LogEnvelope {
            timestamp_ns: self.outbox.clock.now_ns(),
            app: self.app,
            stream,
            source_type: source_type.to_owned(),
            instance_index: self.index,
            process: self.process,
            instance: Some(self.instance),
            payload,
        });
    }
}

#[cfg(test)]
mod tests;
