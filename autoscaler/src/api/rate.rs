//! How many requests a caller may send: so many in each second, counted by who asks.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::REQUESTS_PER_SECOND;

/// Callers counted at a time; past it all are forgotten, which only forgives.
const CALLERS_MAX: usize = 10_000;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts requests by caller.
#[derive(Debug, Default)]
pub(crate) struct Rate(Mutex<HashMap<u64, (Duration, u32)>>);

impl Rate {
    /// One more request; `now` is on the monotonic clock.
    pub(crate) fn admits(&self, caller: &[u8], now: Duration) -> bool {
        let mut hasher = DefaultHasher::new();
        caller.hash(&mut hasher);
        let mut callers = self.0.lock();
        if callers.len() >= CALLERS_MAX {
            callers.retain(|_, (since, _)| now.saturating_sub(*since) < WINDOW);
            if callers.len() >= CALLERS_MAX {
                callers.clear();
            }
        }
        let (since, count) = callers.entry(hasher.finish()).or_insert((now, 0));
        if now.saturating_sub(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= REQUESTS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_so_many_requests_in_each_second() {
        let rate = Rate::default();
        let at = Duration::from_millis;
        for _ in 0..REQUESTS_PER_SECOND {
            assert!(rate.admits(b"one", at(0)));
        }
        assert!(!rate.admits(b"one", at(999)));
        assert!(rate.admits(b"two", at(999)), "others are not held up");
        assert!(rate.admits(b"one", at(1_000)), "the next second is new");
    }

    #[test]
    fn many_callers_do_not_fill_the_memory() {
        let rate = Rate::default();
        for caller in 0..3 * CALLERS_MAX {
            rate.admits(&caller.to_be_bytes(), Duration::ZERO);
        }
        assert!(rate.0.lock().len() <= CALLERS_MAX);
    }
}
