//! Adds up what the threads saw of each second and ships it, in order, each second once.
//!
//! When no controller answers, the newest seconds are kept and sent again; older ones are lost,
//! which the controller sees and treats as unknown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::shutdown::Shutdown;
use cfx_protocol::id::{InstanceGuid, RouterGuid};
use cfx_protocol::metrics::{
    InstanceTraffic, ROUTER_SAMPLES_MAX, ROUTER_SECONDS_KEPT, RouterMetrics,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Told, second_of, until_next_second};
use crate::edges::Edges;
use crate::events::Events;

/// How long a thread that is busy is waited for; its numbers then count for the next second.
const GATHER_MAX: Duration = Duration::from_millis(300);
/// How long a controller may take: the next second must not wait for this one.
const SHIP_MAX: Duration = Duration::from_millis(500);

/// The task beside the threads.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) router: RouterGuid,
    pub(crate) threads: usize,
    pub(crate) told: mpsc::Receiver<Told>,
    pub(crate) edges: Edges,
    pub(crate) events: Arc<Events>,
    /// The threads have ended.
    pub(crate) stop: Shutdown,
}

/// What is not shipped yet.
#[derive(Debug)]
struct Outbox {
    boot: Uuid,
    sequence: u64,
    batches: VecDeque<RouterMetrics>,
}

impl Collector {
    pub(crate) async fn run(mut self) {
        let mut outbox = Outbox {
            boot: self.edges.ids.guid(),
            sequence: 0,
            batches: VecDeque::new(),
        };
        let stop = self.stop.clone();
        loop {
            let tick = self.edges.clock.sleep(until_next_second(&self.edges.clock));
            let goes_on = stop.or(tick).await.is_some();
            // The last second is cut short.
            let at = second_of(&self.edges.clock) + i64::from(!goes_on);
            let instances = self.gather(at, goes_on).await;
            outbox.put(self.router, at, instances);
            self.ship(&mut outbox).await;
            if !goes_on {
                return;
            }
        }
    }

    /// Everything that came, once each thread has told of `at`.
    async fn gather(&mut self, at: i64, goes_on: bool) -> Vec<InstanceTraffic> {
        let mut gathered = Gathered::default();
        if !goes_on {
            while let Ok(told) = self.told.try_recv() {
                gathered.add(told, at);
            }
            return gathered.instances();
        }
        let all = async {
            while gathered.threads.len() < self.threads
                && let Some(told) = self.told.recv().await
            {
                gathered.add(told, at);
            }
        };
        // Who is late counts for the next second.
        drop(tokio::time::timeout(GATHER_MAX, all).await);
        gathered.instances()
    }

    async fn ship(&self, outbox: &mut Outbox) {
        let all = async {
            while let Some(batch) = outbox.batches.front() {
                match self.edges.metrics.deliver(batch).await {
                    Err(error) if error.is_transient() => {
                        tracing::debug!(%error, "metrics are kept for the next second");
                        return;
                    }
                    Err(error) => self.events.metrics_refused(&error),
                    Ok(()) => {}
                }
                outbox.batches.pop_front();
            }
        };
        if tokio::time::timeout(SHIP_MAX, all).await.is_err() {
            tracing::debug!("metrics are kept for the next second: the controller is slow");
        }
    }
}

/// The sum of all threads.
#[derive(Debug, Default)]
struct Gathered {
    sums: BTreeMap<InstanceGuid, InstanceTraffic>,
    /// Those that have told of the present second.
    threads: BTreeSet<usize>,
}

impl Gathered {
    fn add(&mut self, told: Told, at: i64) {
        if told.at >= at {
            self.threads.insert(told.thread);
        }
        for traffic in told.instances {
            let sum = self.sums.entry(traffic.instance).or_default();
            sum.instance = traffic.instance;
            sum.merge(&traffic);
        }
    }

    fn instances(self) -> Vec<InstanceTraffic> {
        self.sums.into_values().take(ROUTER_SAMPLES_MAX).collect()
    }
}

impl Outbox {
    fn put(&mut self, router: RouterGuid, at: i64, instances: Vec<InstanceTraffic>) {
        if let Some(newest) = self.batches.back_mut().filter(|newest| newest.at >= at) {
            // The clock went back, or a second was cut short by the end: it is one second still.
            let known: BTreeMap<_, _> = (0..)
                .zip(&newest.instances)
                .map(|(place, it)| (it.instance, place))
                .collect::<BTreeMap<InstanceGuid, usize>>();
            for traffic in instances {
                match known.get(&traffic.instance) {
                    Some(place) => newest.instances[*place].merge(&traffic),
                    None => newest.instances.push(traffic),
                }
            }
            return;
        }
        self.sequence += 1;
        self.batches.push_back(RouterMetrics {
            router,
            boot: self.boot,
            sequence: self.sequence,
            at,
            instances,
        });
        while self.batches.len() > ROUTER_SECONDS_KEPT {
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(instance: u128, requests: u32) -> InstanceTraffic {
        InstanceTraffic {
            instance: InstanceGuid(Uuid::from_u128(instance)),
            requests,
            ..InstanceTraffic::default()
        }
    }

    #[test]
    fn the_newest_seconds_are_kept_in_order_and_each_has_its_own_number() {
        let mut outbox = Outbox {
            boot: Uuid::nil(),
            sequence: 0,
            batches: VecDeque::new(),
        };
        for at in 1..=7 {
            outbox.put(RouterGuid::NIL, at, vec![traffic(1, 1)]);
        }
        outbox.put(RouterGuid::NIL, 7, vec![traffic(1, 2), traffic(2, 5)]);
        let kept: Vec<_> = outbox
            .batches
            .iter()
            .map(|it| (it.sequence, it.at))
            .collect();
        assert_eq!(kept, [(3, 3), (4, 4), (5, 5), (6, 6), (7, 7)]);
        let newest = outbox.batches.back().expect("some");
        let requests: Vec<_> = newest.instances.iter().map(|it| it.requests).collect();
        assert_eq!(requests, [3, 5]);
    }
}
