//! How changes reach watchers: a bounded history for those who resume, a bounded queue for each
//! who follows. Who falls out of either is told to list again; the store never waits for one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::lease::LeaseId;
use crate::store::{Entry, Revision};

/// Revisions kept for watchers that resume: minutes of a busy controller.
pub const HISTORY_REVISIONS_MAX: usize = 4_096;
/// Bytes of keys and values kept for them.
pub const HISTORY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Batches that wait for one watcher before it counts as too slow.
pub const WATCH_QUEUE_MAX: usize = 1_024;

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Put {
        entry: Entry,
        lease: Option<LeaseId>,
    },
    Delete {
        key: String,
        revision: Revision,
    },
}

/// All that one revision changed under the watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    pub revision: Revision,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Changes were missed: load again and watch from there.
    #[error("the changes since the wanted revision are gone (now at {current}): list again")]
    Compacted { current: Revision },
    #[error("the store is closed")]
    Closed,
}

/// Receives the changes of a prefix.
#[derive(Debug)]
pub struct WatchStream {
    /// What was there when the watch began.
    backlog: VecDeque<WatchBatch>,
    queue: mpsc::Receiver<WatchBatch>,
    lagged: Arc<AtomicBool>,
    seen: Revision,
}

impl Event {
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { entry, .. } => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { entry, .. } => entry.key.len() + entry.value.len(),
            Self::Delete { key, .. } => key.len(),
        }
    }
}

impl WatchStream {
    /// The next batch. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<WatchBatch, WatchError> {
        let batch = match self.backlog.pop_front() {
            Some(batch) => Some(batch),
            None => self.queue.recv().await,
        };
        match batch {
            Some(batch) => {
                self.seen = batch.revision;
                Ok(batch)
            }
            None if self.lagged.load(Ordering::Acquire) => {
                Err(WatchError::Compacted { current: self.seen })
            }
            None => Err(WatchError::Closed),
        }
    }
}

/// The side of a backend that keeps its own revisions.
#[derive(Debug)]
pub(crate) struct Feed {
    history: VecDeque<WatchBatch>,
    history_bytes: usize,
    /// The newest revision that is not in the history any more.
    forgotten: Revision,
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    prefix: String,
    from: Revision,
    queue: mpsc::Sender<WatchBatch>,
    lagged: Arc<AtomicBool>,
}

impl Feed {
    /// Of a store that stands at `revision` and knows nothing of how it came there.
    pub(crate) fn new(revision: Revision) -> Self {
        Self {
            history: VecDeque::new(),
            history_bytes: 0,
            forgotten: revision,
            watchers: Vec::new(),
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        prefix: &str,
        from: Revision,
    ) -> Result<WatchStream, WatchError> {
        if from <= self.forgotten {
            return Err(WatchError::Compacted {
                current: self.current(),
            });
        }
        let backlog = self
            .history
            .iter()
            .filter(|batch| batch.revision >= from)
            .filter_map(|batch| batch.under(prefix))
            .collect();
        let (sender, queue) = mpsc::channel(WATCH_QUEUE_MAX);
        let lagged = Arc::new(AtomicBool::new(false));
        self.watchers.push(Watcher {
            prefix: prefix.to_owned(),
            from,
            queue: sender,
            lagged: Arc::clone(&lagged),
        });
        Ok(WatchStream {
            backlog,
            queue,
            lagged,
            seen: self.current(),
        })
    }

    /// Tells watchers of a revision that is durable.
    pub(crate) fn publish(&mut self, batch: WatchBatch) {
        self.watchers.retain(|watcher| watcher.offer(&batch));
        self.history_bytes += batch.bytes();
        self.history.push_back(batch);
        while self.history.len() > HISTORY_REVISIONS_MAX || self.history_bytes > HISTORY_BYTES_MAX {
            let Some(oldest) = self.history.pop_front() else {
                break;
            };
            self.history_bytes -= oldest.bytes();
            self.forgotten = oldest.revision;
        }
    }

    /// Revisions came about that watchers did not hear of: all must list again.
    pub(crate) fn reset(&mut self, revision: Revision) {
        for watcher in &self.watchers {
            watcher.lagged.store(true, Ordering::Release);
        }
        *self = Self::new(revision);
    }

    /// Ends every stream with `Closed`.
    pub(crate) fn close(&mut self) {
        self.watchers.clear();
    }

    fn current(&self) -> Revision {
        self.history
            .back()
            .map_or(self.forgotten, |batch| batch.revision)
    }
}

impl Watcher {
    /// False when it is gone or too slow, and to be forgotten.
    fn offer(&self, batch: &WatchBatch) -> bool {
        if batch.revision < self.from {
            return !self.queue.is_closed();
        }
        let Some(batch) = batch.under(&self.prefix) else {
            return !self.queue.is_closed();
        };
        match self.queue.try_send(batch) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lagged.store(true, Ordering::Release);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl WatchBatch {
    fn under(&self, prefix: &str) -> Option<Self> {
        let events: Vec<Event> = self
            .events
            .iter()
            .filter(|event| event.key().starts_with(prefix))
            .cloned()
            .collect();
        (!events.is_empty()).then_some(Self {
            revision: self.revision,
            events,
        })
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(Event::bytes).sum()
    }
}
