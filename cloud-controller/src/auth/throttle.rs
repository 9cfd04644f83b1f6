//! Patience with wrong passwords: whoever guesses waits ever longer, and an owner who signs in
//! from elsewhere hardly notices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use super::digest;

/// The first pause; each further failure doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Failures are forgotten after this long without one.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Counts remembered at once: 2 MB.
const COUNTS_MAX: usize = 10_000;

/// How many wrong passwords in a row cost nothing, and how long the longest pause is.
#[derive(Debug, Clone, Copy)]
struct Policy {
    free: u32,
    pause_max: Duration,
}

/// One name from one address: a person who mistypes, or somebody who guesses.
const NAME_FROM_ADDRESS: Policy = Policy {
    free: 5,
    pause_max: Duration::from_secs(60),
};
/// All names from one address: somebody who tries one password on many.
const ADDRESS: Policy = Policy {
    free: 50,
    pause_max: Duration::from_secs(60),
};
/// One name from anywhere: many who guess together. The pause is short, as it also stops the
/// owner.
const NAME: Policy = Policy {
    free: 50,
    pause_max: Duration::from_secs(5),
};

/// An attempt to be somebody.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What is counted, by digests, so that long names cost no memory.
    keys: Vec<(String, Policy)>,
}

impl Attempt {
    /// `kind` keeps users and clients of one name apart.
    #[must_use]
    pub fn new(kind: &str, name: &str, from: Option<IpAddr>) -> Self {
        let name = name.to_lowercase();
        let mut keys = vec![
            (
                digest(&format!("{kind} {name} {from:?}")),
                NAME_FROM_ADDRESS,
            ),
            (digest(&format!("{kind} {name}")), NAME),
        ];
        // Everything on this machine has one address.
        if let Some(address) = from.filter(|address| !address.is_loopback()) {
            keys.push((digest(&format!("from {address}")), ADDRESS));
        }
        Self { keys }
    }
}

/// Counts failures.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<BTreeMap<String, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Throttle {
    /// How long this must still wait; none when it may be tried.
    #[must_use]
    pub fn wait(&self, attempt: &Attempt, now: Duration) -> Option<Duration> {
        let counts = self.0.lock();
        let left = |(key, policy): &(String, Policy)| {
            let failures = counts.get(key)?;
            let until = failures.last + pause(failures.count, *policy);
            until.checked_sub(now).filter(|left| !left.is_zero())
        };
        attempt.keys.iter().filter_map(left).max()
    }

    pub fn failed(&self, attempt: &Attempt, now: Duration) {
        let mut counts = self.0.lock();
        for (key, _) in &attempt.keys {
            make_room(&mut counts, now);
            let failures = counts.entry(key.clone()).or_insert(Failures {
                count: 0,
                last: now,
            });
            if now.saturating_sub(failures.last) >= MEMORY {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// The right password forgives what was counted for the name.
    pub fn succeeded(&self, attempt: &Attempt) {
        let mut counts = self.0.lock();
        for (key, _) in attempt.keys.iter().take(2) {
            counts.remove(key);
        }
    }
}

/// Forget what is long ago, and if that does not do, the oldest tenth: rarely, and then enough.
fn make_room(counts: &mut BTreeMap<String, Failures>, now: Duration) {
    if counts.len() < COUNTS_MAX {
        return;
    }
    let mut times: Vec<Duration> = counts.values().map(|failures| failures.last).collect();
    times.sort_unstable();
    let oldest_tenth = times.get(COUNTS_MAX / 10).copied().unwrap_or_default();
    let since = oldest_tenth.max(now.saturating_sub(MEMORY));
    counts.retain(|_, failures| failures.last > since);
}

fn pause(failures: u32, policy: Policy) -> Duration {
    let Some(beyond) = failures.checked_sub(policy.free) else {
        return Duration::ZERO;
    };
    let doubled = PAUSE_FIRST.checked_mul(1 << beyond.min(16));
    doubled.unwrap_or(policy.pause_max).min(policy.pause_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin_from(last: u8) -> Attempt {
        Attempt::new("user", "admin", Some(IpAddr::from([10, 0, 0, last])))
    }

    #[test]
    fn guessing_costs_ever_more_time_and_success_forgives() {
        let throttle = Throttle::default();
        let now = Duration::from_secs(100);
        for _ in 0..4 {
            throttle.failed(&admin_from(1), now);
            assert_eq!(throttle.wait(&admin_from(1), now), None);
        }
        throttle.failed(&admin_from(1), now);
        assert_eq!(throttle.wait(&admin_from(1), now), Some(PAUSE_FIRST));
        for _ in 0..20 {
            throttle.failed(&admin_from(1), now);
        }
        let longest = NAME_FROM_ADDRESS.pause_max;
        assert_eq!(throttle.wait(&admin_from(1), now), Some(longest));
        assert_eq!(throttle.wait(&admin_from(1), now + longest), None);
        throttle.succeeded(&admin_from(1));
        assert_eq!(throttle.wait(&admin_from(1), now), None);
    }

    #[test]
    fn who_guesses_from_one_place_does_not_lock_the_owner_out_of_another() {
        let throttle = Throttle::default();
        let now = Duration::from_secs(100);
        for _ in 0..40 {
            throttle.failed(&admin_from(1), now);
        }
        assert!(throttle.wait(&admin_from(1), now).is_some());
        assert_eq!(throttle.wait(&admin_from(2), now), None);
        for last in 3..40 {
            throttle.failed(&admin_from(last), now);
        }
        assert!(throttle.wait(&admin_from(2), now) <= Some(NAME.pause_max));
    }

    #[test]
    fn one_password_tried_on_many_names_is_slowed_down_too() {
        let throttle = Throttle::default();
        let now = Duration::from_secs(100);
        let from = Some(IpAddr::from([10, 0, 0, 1]));
        for n in 0..ADDRESS.free {
            throttle.failed(&Attempt::new("user", &format!("u{n}"), from), now);
        }
        let next = Attempt::new("user", "fresh", from);
        assert!(throttle.wait(&next, now).is_some());
    }

    #[test]
    fn many_names_do_not_fill_the_memory() {
        let throttle = Throttle::default();
        for n in 0..COUNTS_MAX as u64 {
            let attempt = Attempt::new("user", &format!("user-{n}"), None);
            throttle.failed(&attempt, Duration::from_nanos(n));
        }
        assert!(throttle.0.lock().len() <= COUNTS_MAX);
    }
}
