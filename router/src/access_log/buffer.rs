//! The thread's side of the access log.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use tokio::sync::{Notify, mpsc};

use super::AccessRecord;
use crate::metrics::ThreadMetrics;

/// Records of a batch: one wake-up of the writer serves that many requests.
const BATCH_MAX: usize = 256;
/// Longest time a record waits in its thread.
const FLUSH_PAUSE: Duration = Duration::from_millis(50);
/// Batches that may wait for the writer; past it the newest are dropped.
pub(crate) const QUEUE_BATCHES: usize = 64;

pub(crate) type LogQueue = mpsc::Sender<Vec<AccessRecord>>;

/// Collects records; cloning it is cheap, within the thread.
#[derive(Debug, Clone)]
pub(crate) struct LogBuffer(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    records: RefCell<Vec<AccessRecord>>,
    queue: LogQueue,
    metrics: Arc<ThreadMetrics>,
    filling: Notify,
}

impl LogBuffer {
    pub(crate) fn new(queue: LogQueue, metrics: Arc<ThreadMetrics>) -> Self {
        Self(Rc::new(Inner {
            records: RefCell::default(),
            queue,
            metrics,
            filling: Notify::new(),
        }))
    }

    pub(crate) fn push(&self, record: AccessRecord) {
        let count = {
            let mut records = self.0.records.borrow_mut();
            records.push(record);
            records.len()
        };
        match count {
            1 => self.0.filling.notify_one(),
            BATCH_MAX.. => self.flush(),
            _ => {}
        }
    }

    pub(crate) fn flush(&self) {
        let batch = std::mem::take(&mut *self.0.records.borrow_mut());
        if batch.is_empty() {
            return;
        }
        if let Err(
            mpsc::error::TrySendError::Full(batch) | mpsc::error::TrySendError::Closed(batch),
        ) = self.0.queue.try_send(batch)
        {
            self.0.metrics.access_log_drops.add(batch.len() as u64);
        }
    }
}

/// Flush soon after a record came; runs as long as the thread.
pub(crate) async fn flush_often(buffer: LogBuffer, clock: Clock) {
    loop {
        buffer.0.filling.notified().await;
        clock.sleep(FLUSH_PAUSE).await;
        buffer.flush();
    }
}
