//! What a run looks like while it goes on, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Latencies;

/// Shared by the threads that send and the one that shows.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) intended: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
    recent: Mutex<Latencies>,
}

/// Since the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Glance {
    pub(crate) intended: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Of the answers since the last look.
    pub(crate) p99_ms: f64,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            intended: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            recent: Mutex::new(Latencies::coarse()),
        }
    }

    pub(super) fn intended(&self) {
        self.intended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, latency: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.recent.lock().record(latency);
    }

    pub(super) fn failed(&self, count: u64) {
        self.failed.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts so far, and how slow it was since the last glance.
    pub(crate) fn glance(&self) -> Glance {
        let recent = std::mem::replace(&mut *self.recent.lock(), Latencies::coarse());
        Glance {
            intended: self.intended.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            p99_ms: recent.percentile_ms(0.99),
        }
    }
}
