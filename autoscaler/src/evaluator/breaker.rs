//! Patience with a platform that refuses: after three refusals in a row an app is not scaled for
//! five minutes, then ten, up to two hours, as in Cloud Foundry's autoscaler.
//!
//! Only the platform's own "no" counts (a quota that is full, say). That nobody answers is no
//! fault of the app, and is tried again at the next tick.

use cfx_rules::units::Second;

use crate::state::record::Breaker;

/// Refusals in a row that open it.
const FAILURES_MAX: u32 = 3;
const FIRST_S: Second = 300;
const LONGEST_S: Second = 7_200;

impl Breaker {
    pub(crate) fn is_open(&self, now: Second) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// One more refusal. Once it was open, the next refusal opens it again.
    pub(crate) fn failed(&mut self, now: Second) {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_MAX && self.openings == 0 {
            return;
        }
        let length = FIRST_S.saturating_mul(1 << self.openings.min(16));
        self.open_until = Some(now + length.min(LONGEST_S));
        self.openings = self.openings.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_refusals_open_it_and_each_further_one_for_twice_as_long() {
        let mut breaker = Breaker::default();
        breaker.failed(0);
        breaker.failed(1);
        assert!(!breaker.is_open(1));
        let mut now = 2;
        for minutes in [5, 10, 20, 40, 80, 120, 120] {
            breaker.failed(now);
            assert!(breaker.is_open(now + minutes * 60 - 1), "{minutes} min");
            now += minutes * 60;
            assert!(!breaker.is_open(now), "{minutes} min");
        }
        breaker.succeeded();
        assert_eq!(breaker, Breaker::default());
    }
}
