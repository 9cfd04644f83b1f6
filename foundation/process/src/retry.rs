//! Waiting longer after each failure, with jitter so that many do not come back at once.

use std::time::Duration;

use crate::entropy::IdSource;

/// Exponential back-off with full jitter between half and the whole of each step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            failures: 0,
        }
    }

    /// How long to wait after one more failure.
    pub fn next(&mut self, ids: &IdSource) -> Duration {
        let step = self
            .first
            .saturating_mul(1 << self.failures.min(20))
            .min(self.cap);
        self.failures = self.failures.saturating_add(1);
        let half = step / 2;
        let jitter = ids.below(u64::try_from(half.as_micros()).unwrap_or(u64::MAX));
        half + Duration::from_micros(jitter)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
