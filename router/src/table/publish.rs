//! Hands each new table to every thread and knows when all of them serve it.
//!
//! Publishing never waits for a thread, and a thread never waits for the publisher: it is woken,
//! loads the newest table and says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::Table;

/// Old tables kept before a look whether any can be freed.
const RETIRED_MAX: usize = 8;

/// The newest table, and how far each thread has come.
#[derive(Debug)]
pub(crate) struct Publisher {
    table: ArcSwap<Table>,
    generation: watch::Sender<u64>,
    /// The generation that each thread serves.
    picked_up: Box<[AtomicU64]>,
    picked_up_changed: Notify,
    /// Tables that threads may still look at. They are kept so that the last thread to leave one
    /// does not spend its time on freeing it.
    retired: Mutex<Vec<Arc<Table>>>,
}

impl Publisher {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::empty()),
            generation: watch::Sender::new(0),
            picked_up: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            picked_up_changed: Notify::new(),
            retired: Mutex::default(),
        }
    }

    pub(crate) fn newest(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Wakes whoever waits on it with each new table.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    pub(crate) fn publish(&self, table: Arc<Table>) {
        let last = self.table.swap(table);
        let crowded = {
            let mut retired = self.retired();
            retired.push(last);
            retired.len() > RETIRED_MAX
        };
        if crowded {
            self.free_retired();
        }
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Free the tables that no thread looks at any more.
    pub(crate) fn free_retired(&self) {
        let free: Vec<_> = {
            let mut retired = self.retired();
            retired
                .extract_if(.., |table| Arc::strong_count(table) == 1)
                .collect()
        };
        drop(free);
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<Table>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Thread `thread` serves `generation` from now on.
    pub(crate) fn picked_up(&self, thread: usize, generation: u64) {
        if let Some(slot) = self.picked_up.get(thread) {
            slot.store(generation, Ordering::Release);
        }
        self.picked_up_changed.notify_waiters();
    }

    /// Every thread serves `generation` or a later one.
    pub(crate) async fn served_by_all(&self, generation: u64) {
        loop {
            let changed = self.picked_up_changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no notice falls between.
            changed.as_mut().enable();
            let all = self
                .picked_up
                .iter()
                .all(|slot| slot.load(Ordering::Acquire) >= generation);
            if all {
                return;
            }
            changed.await;
        }
    }
}
