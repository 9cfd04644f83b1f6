//! Patience with wrong passwords: after a few, a name answers nobody for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

/// Wrong passwords in a row before the first pause.
const FREE_FAILURES: u32 = 5;
/// The first pause; each further failure doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause: an attacker must not lock the owner out for good.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Failures are forgotten after this long without one.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Names remembered at once; past it the ones that failed longest ago are forgotten.
const NAMES_MAX: usize = 10_000;

/// Counts failures by what was attacked: a username, or an address.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<BTreeMap<String, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Throttle {
    /// How long this name must still wait; none when it may try.
    #[must_use]
    pub fn wait(&self, name: &str, now: Duration) -> Option<Duration> {
        let failures = *self.0.lock().get(name)?;
        let until = failures.last + pause(failures.count);
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    pub fn failed(&self, name: &str, now: Duration) {
        let mut names = self.0.lock();
        if names.len() >= NAMES_MAX {
            names.retain(|_, failures| now.saturating_sub(failures.last) < MEMORY);
        }
        if names.len() >= NAMES_MAX {
            let oldest = names.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                names.remove(&oldest);
            }
        }
        let failures = names.entry(name.to_owned()).or_insert(Failures {
            count: 0,
            last: now,
        });
        if now.saturating_sub(failures.last) >= MEMORY {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    pub fn succeeded(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

fn pause(failures: u32) -> Duration {
    let Some(beyond) = failures.checked_sub(FREE_FAILURES) else {
        return Duration::ZERO;
    };
    let doubled = PAUSE_FIRST.checked_mul(1 << beyond.min(16));
    doubled.unwrap_or(PAUSE_MAX).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_costs_ever_more_time_and_success_forgives() {
        let throttle = Throttle::default();
        let now = Duration::from_secs(100);
        for _ in 0..4 {
            throttle.failed("admin", now);
            assert_eq!(throttle.wait("admin", now), None);
        }
        throttle.failed("admin", now);
        assert_eq!(throttle.wait("admin", now), Some(PAUSE_FIRST));
        for _ in 0..20 {
            throttle.failed("admin", now);
        }
        assert_eq!(throttle.wait("admin", now), Some(PAUSE_MAX));
        assert_eq!(throttle.wait("admin", now + PAUSE_MAX), None);
        assert_eq!(throttle.wait("somebody", now), None);
        throttle.succeeded("admin");
        assert_eq!(throttle.wait("admin", now), None);
    }

    #[test]
    fn many_names_do_not_fill_the_memory() {
        let throttle = Throttle::default();
        for n in 0..NAMES_MAX + 10 {
            throttle.failed(&format!("user-{n}"), Duration::from_nanos(n as u64));
        }
        assert_eq!(throttle.0.lock().len(), NAMES_MAX);
    }
}
