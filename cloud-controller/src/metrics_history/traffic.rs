//! Adds up what the routers saw of each second, and tells when a second is known.
//!
//! A second is known when every router that was there has spoken of it. A router that stays silent
//! is waited for as long as the route table waits for one; then it has ended. One that skips a
//! second and goes on leaves that second unknown: numbers without a part are no numbers.

use std::collections::{BTreeMap, BTreeSet};

use cfx_protocol::id::{InstanceGuid, RouterGuid};
use cfx_protocol::metrics::{InstanceTraffic, RouterMetrics};
use uuid::Uuid;

/// A router that is silent for longer has ended, seconds: `routing::routers::ABSENCE_MAX`.
pub const ROUTER_ENDED_S: i64 = 5;
/// Numbers of a second that is further ahead are not believed, seconds.
pub const AHEAD_MAX_S: i64 = 5;
/// Numbers of a second that is longer ago are dropped, seconds.
pub const BEHIND_MAX_S: i64 = 10;
/// Routers that are not heard of for this long are forgotten, seconds.
const FORGOTTEN_S: i64 = 3_600;

/// The requests of each instance in a second that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Second {
    pub at: i64,
    pub instances: BTreeMap<InstanceGuid, InstanceTraffic>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    boot: Uuid,
    sequence: u64,
    first: i64,
    last: i64,
}

#[derive(Debug, Default)]
struct Pending {
    from: BTreeSet<RouterGuid>,
    instances: BTreeMap<InstanceGuid, InstanceTraffic>,
}

/// All routers' numbers of the last seconds.
#[derive(Debug)]
pub struct Traffic {
    routers: BTreeMap<RouterGuid, Heard>,
    pending: BTreeMap<i64, Pending>,
    settled: i64,
    /// Before that, routers may be there of which nothing is known yet.
    opens_at: i64,
}

/// Why a batch was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// It was counted before.
    Again,
    /// Its second is settled, or too far away from now.
    OutOfTime,
}

impl Traffic {
    /// From `now` on, all routers have to find this controller.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Self {
            routers: BTreeMap::new(),
            pending: BTreeMap::new(),
            settled: 0,
            opens_at: now + ROUTER_ENDED_S,
        }
    }

    pub fn take(&mut self, batch: RouterMetrics, now: i64) -> Result<(), Passed> {
        let at = batch.at;
        if !is_near(at, now) {
            return Err(Passed::OutOfTime);
        }
        let heard = self.routers.entry(batch.router).or_insert(Heard {
            boot: batch.boot,
            sequence: 0,
            first: at,
            last: at,
        });
        if heard.boot != batch.boot {
            *heard = Heard {
                boot: batch.boot,
                sequence: 0,
                first: at,
                last: at,
            };
        }
        if batch.sequence <= heard.sequence {
            return Err(Passed::Again);
        }
        heard.sequence = batch.sequence;
        heard.last = heard.last.max(at);
        if at <= self.settled {
            return Err(Passed::OutOfTime);
        }
        let second = self.pending.entry(at).or_default();
        second.from.insert(batch.router);
        for traffic in batch.instances {
            let sum = second.instances.entry(traffic.instance).or_default();
            sum.instance = traffic.instance;
            sum.merge(&traffic);
        }
        Ok(())
    }

    /// The seconds that have become known, in the order of time.
    pub fn settle(&mut self, now: i64) -> Vec<Second> {
        self.routers
            .retain(|_, heard| heard.last > now - FORGOTTEN_S);
        let mut known = Vec::new();
        while now >= self.opens_at
            && let Some(entry) = self.pending.first_entry()
        {
            let at = *entry.key();
            let missing = self.routers.iter().filter(|(router, heard)| {
                let is_there = heard.first <= at && heard.last > at - ROUTER_ENDED_S;
                is_there && !entry.get().from.contains(*router)
            });
            let missing: Vec<_> = missing.map(|(_, heard)| heard.last).collect();
            let has_skipped = missing.iter().any(|last| *last > at);
            let is_over = now >= at + ROUTER_ENDED_S;
            if !missing.is_empty() && !has_skipped && !is_over {
                break;
            }
            let second = entry.remove();
            self.settled = self.settled.max(at);
            if !has_skipped {
                known.push(Second {
                    at,
                    instances: second.instances,
                });
            }
        }
        known
    }
}

/// Is a second near enough to now to be believed? Clocks of machines differ a little.
#[must_use]
pub fn is_near(at: i64, now: i64) -> bool {
    (now - BEHIND_MAX_S..=now + AHEAD_MAX_S).contains(&at)
}

#[cfg(test)]
mod tests {
    use cfx_protocol::latency::Latencies;

    use super::*;

    const START: i64 = 1_000;

    fn batch(router: u128, sequence: u64, at: i64, requests: u32) -> RouterMetrics {
        let instance = InstanceTraffic {
            instance: InstanceGuid(Uuid::from_u128(1)),
            requests,
            errors: 0,
            in_flight: 1,
            latencies: Latencies(vec![(10, requests)]),
        };
        RouterMetrics {
            router: RouterGuid(Uuid::from_u128(router)),
            boot: Uuid::from_u128(router),
            sequence,
            at,
            instances: vec![instance],
        }
    }

    /// Both routers have spoken of the second before `START`.
    fn two_routers() -> Traffic {
        let mut traffic = Traffic::new(START - ROUTER_ENDED_S - 1);
        for router in [1, 2] {
            let first = batch(router, 1, START - 1, 1);
            traffic.take(first, START - 1).expect("counted");
        }
        assert_eq!(traffic.settle(START).len(), 1);
        traffic
    }

    fn requests(seconds: &[Second]) -> Vec<(i64, u32)> {
        let all = seconds.iter();
        all.map(|it| (it.at, it.instances.values().map(|one| one.requests).sum()))
            .collect()
    }

    #[test]
    fn a_second_is_known_when_every_router_has_spoken_of_it() {
        let mut traffic = two_routers();
        traffic.take(batch(1, 2, START, 3), START).expect("counted");
        assert_eq!(traffic.settle(START), Vec::new());
        traffic.take(batch(2, 2, START, 4), START).expect("counted");
        let known = traffic.settle(START);
        assert_eq!(requests(&known), [(START, 7)]);
        let one = known[0].instances.values().next().expect("one");
        assert_eq!((one.in_flight, one.latencies.count()), (2, 7));
    }

    #[test]
    fn a_batch_that_comes_twice_or_too_late_is_not_counted() {
        let mut traffic = two_routers();
        traffic.take(batch(1, 2, START, 3), START).expect("counted");
        let again = traffic.take(batch(1, 2, START, 3), START);
        assert_eq!(again, Err(Passed::Again));
        traffic.take(batch(2, 2, START, 4), START).expect("counted");
        assert_eq!(requests(&traffic.settle(START)), [(START, 7)]);
        for at in [START, START - BEHIND_MAX_S - 1, START + AHEAD_MAX_S + 1] {
            let passed = traffic.take(batch(1, 9, at, 1), START);
            assert_eq!(passed, Err(Passed::OutOfTime), "{at}");
        }
    }

    #[test]
    fn a_router_that_ended_is_waited_for_and_then_counted_without() {
        let mut traffic = two_routers();
        for second in 0..7 {
            let at = START + second;
            traffic
                .take(batch(1, 2 + second.unsigned_abs(), at, 1), at)
                .expect("counted");
            let known = traffic.settle(at).len();
            let waits = second < ROUTER_ENDED_S;
            assert_eq!(known == 0, waits, "second {second}");
        }
    }

    #[test]
    fn a_second_that_a_router_skipped_stays_unknown() {
        let mut traffic = two_routers();
        for at in [START, START + 1] {
            let sequence = 2 + (at - START).unsigned_abs();
            traffic
                .take(batch(1, sequence, at, 1), at)
                .expect("counted");
        }
        traffic
            .take(batch(2, 2, START + 1, 1), START + 1)
            .expect("counted");
        assert_eq!(requests(&traffic.settle(START + 1)), [(START + 1, 2)]);
    }

    #[test]
    fn a_controller_that_just_began_waits_until_all_routers_can_have_found_it() {
        let mut traffic = Traffic::new(START);
        traffic.take(batch(1, 9, START, 1), START).expect("counted");
        assert_eq!(traffic.settle(START + 1), Vec::new());
        traffic
            .take(batch(2, 9, START, 1), START + 1)
            .expect("counted");
        let known = traffic.settle(START + ROUTER_ENDED_S);
        assert_eq!(requests(&known), [(START, 2)]);
    }
}
