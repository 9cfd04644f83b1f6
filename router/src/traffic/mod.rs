//! What each instance answered through this router, second by second.
//!
//! ```text
//!   request ends -> cells of its thread --once a second--> collector -> controller
//! ```
//! On the request path a thread adds to numbers that nobody else can see: no lock, no atomic, no
//! system call. Once a second it hands over what has come together; an instance without requests
//! costs nothing.

pub(crate) mod collector;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use cfx_protocol::id::InstanceGuid;
use cfx_protocol::latency::{LATENCY_BUCKETS, Latencies, latency_bucket};
use cfx_protocol::metrics::InstanceTraffic;
use http::StatusCode;
use tokio::sync::mpsc;

use crate::proxy::upstream::LocalEndpoint;
use crate::server::core::Core;

/// Seconds of all threads that may wait for the collector; past it they stay in their threads.
pub(crate) const QUEUE_SECONDS: usize = 4;
/// A timer may fire this much before the wall clock has come to the second.
const EARLY_MAX: Duration = Duration::from_millis(50);

/// What a thread saw up to the end of a second.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) thread: usize,
    /// The end of the second.
    pub(crate) at: i64,
    pub(crate) instances: Vec<InstanceTraffic>,
}

pub(crate) type TrafficQueue = mpsc::Sender<Told>;

/// The instances of one thread that have anything to tell.
#[derive(Debug)]
pub(crate) struct Traffic {
    active: RefCell<Vec<Rc<LocalEndpoint>>>,
    queue: TrafficQueue,
}

/// The present second of one instance, in one thread.
#[derive(Debug, Default)]
pub(crate) struct Second {
    /// It is among the active ones.
    listed: Cell<bool>,
    requests: Cell<u32>,
    errors: Cell<u32>,
    /// Made with the first request and gone when there are no more.
    latencies: RefCell<Option<Box<Counts>>>,
}

#[derive(Debug)]
struct Counts([u32; LATENCY_BUCKETS]);

impl Second {
    fn ended(&self, status: u16, took: Duration) {
        self.requests.set(self.requests.get().saturating_add(1));
        if (500..600).contains(&status) {
            self.errors.set(self.errors.get().saturating_add(1));
        }
        // An upgraded connection is as long as its user likes, which says nothing of the instance.
        if status == StatusCode::SWITCHING_PROTOCOLS.as_u16() {
            return;
        }
        let mut latencies = self.latencies.borrow_mut();
        let counts = latencies.get_or_insert_with(|| Box::new(Counts([0; LATENCY_BUCKETS])));
        let bucket = latency_bucket(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if let Some(count) = counts.0.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    /// The second is over.
    fn take(&self, instance: InstanceGuid, in_flight: u32) -> InstanceTraffic {
        let counts = self.latencies.take();
        let counted = |counts: Box<Counts>| {
            let pairs = (0..).zip(counts.0).filter(|(_, count)| *count > 0);
            Latencies(pairs.collect())
        };
        InstanceTraffic {
            instance,
            requests: self.requests.take(),
            errors: self.errors.take(),
            in_flight,
            latencies: counts.map(counted).unwrap_or_default(),
        }
    }
}

impl Traffic {
    pub(crate) fn new(queue: TrafficQueue) -> Self {
        Self {
            active: RefCell::default(),
            queue,
        }
    }

    /// A request goes to this instance: it will have something to tell.
    pub(crate) fn begins(&self, endpoint: &Rc<LocalEndpoint>) {
        if !endpoint.second.listed.replace(true) {
            self.active.borrow_mut().push(endpoint.clone());
        }
    }

    /// A request to this instance is over, in whichever way.
    pub(crate) fn ended(&self, endpoint: &Rc<LocalEndpoint>, status: u16, took: Duration) {
        self.begins(endpoint);
        endpoint.second.ended(status, took);
    }

    /// Hand over what has come together; what does not fit stays for the next second.
    pub(crate) fn tell(&self, thread: usize, at: i64) {
        let Ok(place) = self.queue.try_reserve() else {
            return;
        };
        let mut instances = Vec::new();
        let idle: Vec<_> = {
            let mut active = self.active.borrow_mut();
            instances.reserve(active.len());
            for endpoint in active.iter() {
                let in_flight = endpoint.in_flight();
                let instance = endpoint.endpoint.instance;
                instances.push(endpoint.second.take(instance, in_flight));
                endpoint.second.listed.set(in_flight > 0);
            }
            active
                .extract_if(.., |endpoint| !endpoint.second.listed.get())
                .collect()
        };
        // Outside the borrow: dropping the last of an instance closes its connections.
        drop(idle);
        place.send(Told {
            thread,
            at,
            instances,
        });
    }
}

/// Tell once a second; runs as long as the thread.
pub(crate) async fn tell_often(core: Rc<Core>) {
    loop {
        core.clock.sleep(until_next_second(&core.clock)).await;
        core.traffic.tell(core.index, second_of(&core.clock));
    }
}

/// Time that is left of the present second.
pub(crate) fn until_next_second(clock: &cfx_process::clock::Clock) -> Duration {
    let passed = u64::try_from(clock.now().subsec_nanosecond()).unwrap_or(0);
    Duration::from_secs(1).saturating_sub(Duration::from_nanos(passed))
}

/// The second that has just ended.
pub(crate) fn second_of(clock: &cfx_process::clock::Clock) -> i64 {
    let now = clock.now();
    now.checked_add(EARLY_MAX).unwrap_or(now).as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_what_ended_in_it_and_begins_anew() {
        let second = Second::default();
        let instance = InstanceGuid::NIL;
        for (status, ms) in [(200, 10), (404, 10), (503, 20), (101, 3_600_000)] {
            second.ended(status, Duration::from_millis(ms));
        }
        let told = second.take(instance, 2);
        assert_eq!((told.requests, told.errors, told.in_flight), (4, 1, 2));
        assert_eq!(told.latencies.count(), 3);
        let slowest = told.latencies.percentile_us(99).expect("some");
        assert!(slowest.abs_diff(20_000) < 700, "{slowest}");
        let next = second.take(instance, 0);
        assert_eq!((next.requests, next.errors), (0, 0));
        assert!(next.latencies.is_empty());
    }
}
