//! Virtual time: one monotonic clock for the world, and for each machine a wall clock that may be
//! wrong and may jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use cfx_process::clock::Time;
use jiff::{SignedDuration, Timestamp};

/// The wall clocks show this when the world begins: 2026-01-01.
const BEGINNING_S: i64 = 1_767_225_600;

/// One machine's clocks; clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    now_us: Arc<AtomicU64>,
    skew_ms: Arc<AtomicI64>,
}

impl Watch {
    /// Another machine's, with a wall clock of its own.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        Self {
            now_us: self.now_us.clone(),
            skew_ms: Arc::default(),
        }
    }

    /// Moves the time of all machines.
    pub fn set(&self, now: Duration) {
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.now_us.store(micros, Ordering::Relaxed);
    }

    /// The wall clock of this machine jumps.
    pub fn jump(&self, by_ms: i64) {
        self.skew_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Time for Watch {
    fn now(&self) -> Timestamp {
        let skew = SignedDuration::from_millis(self.skew_ms.load(Ordering::Relaxed));
        let beginning = Timestamp::from_second(BEGINNING_S).unwrap_or(Timestamp::UNIX_EPOCH);
        let true_time = beginning
            .checked_add(self.monotonic())
            .unwrap_or(Timestamp::MAX);
        true_time.checked_add(skew).unwrap_or(true_time)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }
}
