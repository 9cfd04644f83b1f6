//! One sending thread: sends each request at its intended time, whatever the answers do.
//!
//! ```text
//! arrivals --+                      +-- follow-ups of answers
//!            v                      v
//!        due at their intended time --> waiting (no place in flight) --> dropped, after 1 s
//!                                  \-> in flight --> answered | no answer --> tally
//! ```
//!
//! A latency runs from the intended time, so a server that stalls is charged for all who came
//! meanwhile (no coordinated omission). Follow-ups of a visitor's own answer are intended a while
//! after that answer: visitors wait for answers, but nobody waits for other visitors.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::iter::Peekable;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use super::arrivals::Arrivals;
use super::ask::{Answer, WireError};
use super::live::Live;
use super::pace::Pace;
use super::population::Population;
use super::tally::{Over, Tally};
use super::wire::Wire;

/// How long a request may wait for a place in flight before it counts as dropped: who waited a
/// second to be let in has gone.
const WAITING_MAX: Duration = Duration::from_secs(1);
/// Follow-ups of one thread that are not due yet: about 30 MB.
const FOLLOW_UPS_MAX: usize = 200_000;
/// A run that has nothing planned only waits for answers; it looks up this often.
const NOTHING_PLANNED: Duration = Duration::from_millis(500);

/// What one thread works with.
pub(crate) struct Engine<P: Population, W, T> {
    pub(crate) arrivals: Peekable<Arrivals>,
    pub(crate) population: P,
    pub(crate) wire: Rc<W>,
    pub(crate) pace: T,
    pub(crate) clock: Clock,
    /// The clock's reading at the start of the curve.
    pub(crate) start: Duration,
    /// Nothing is intended from here on, counted from the start.
    pub(crate) end: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) tally: Tally,
    pub(crate) live: Arc<Live>,
    pub(crate) stop: Shutdown,
}

/// A request that is to be sent.
struct Due<V> {
    intended: Duration,
    /// There was no place in flight when its time came.
    has_waited: bool,
    visit: V,
}

/// A follow-up, ordered by its time; of one time the first planned is first.
struct Planned<V> {
    at: Duration,
    number: u64,
    visit: V,
}

impl<V> PartialEq for Planned<V> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<V> Eq for Planned<V> {}

impl<V> PartialOrd for Planned<V> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<V> Ord for Planned<V> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// A request that is over.
struct Landed<V> {
    due: Due<V>,
    at: Duration,
    result: Result<Answer, WireError>,
}

type Flight<V> = LocalBoxFuture<'static, Landed<V>>;

/// What is planned, what waits, what is on its way.
struct Desk<V> {
    planned: BinaryHeap<Reverse<Planned<V>>>,
    numbered: u64,
    waiting: VecDeque<Due<V>>,
    flights: FuturesUnordered<Flight<V>>,
    /// How many of each phase are on their way.
    in_flight: Vec<u64>,
}

impl<P, W, T> Engine<P, W, T>
where
    P: Population,
    P::Visit: 'static,
    W: Wire + 'static,
    T: Pace,
{
    /// Until all is answered, or the wish to stop.
    pub(crate) async fn run(mut self) -> (Tally, P) {
        let mut desk = Desk {
            planned: BinaryHeap::new(),
            numbered: 0,
            waiting: VecDeque::new(),
            flights: FuturesUnordered::new(),
            in_flight: vec![0; self.tally.phases.len()],
        };
        loop {
            self.take_due(&mut desk);
            self.send(&mut desk);
            let next = self.next_moment(&desk);
            if (desk.flights.is_empty() && next.is_none()) || self.stop.is_requested() {
                break;
            }
            let now = self.clock.monotonic();
            let wait = next.map_or(NOTHING_PLANNED, |at| (self.start + at).saturating_sub(now));
            tokio::select! {
                biased;
                () = self.stop.requested() => break,
                () = self.pace.sleep(wait) => {}
                Some(landed) = desk.flights.next(), if !desk.flights.is_empty() => {
                    self.land(&mut desk, landed);
                }
            }
        }
        for (phase, count) in desk.in_flight.iter().enumerate() {
            self.tally.phases[phase].cut += count;
        }
        for due in desk.waiting {
            self.tally.cut(due.intended);
        }
        (self.tally, self.population)
    }

    fn now(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.start)
    }

    /// When there is something to do without an answer.
    fn next_moment(&mut self, desk: &Desk<P::Visit>) -> Option<Duration> {
        let arrival = self.arrivals.peek().map(|(_, at)| *at);
        let planned = desk.planned.peek().map(|Reverse(planned)| planned.at);
        let gives_up = desk.waiting.front().map(|due| due.intended + WAITING_MAX);
        [arrival, planned, gives_up].into_iter().flatten().min()
    }

    /// All whose time has come, in their order.
    fn take_due(&mut self, desk: &mut Desk<P::Visit>) {
        if self.clock.monotonic() < self.start {
            return;
        }
        let now = self.now();
        loop {
            let arrival = self.arrivals.peek().map(|(_, at)| *at);
            let planned = desk.planned.peek().map(|Reverse(planned)| planned.at);
            let is_planned = match (arrival, planned) {
                (Some(arrival), Some(planned)) => planned < arrival,
                (arrival, _) => arrival.is_none(),
            };
            let due = if is_planned {
                desk.due_follow_up(now)
            } else {
                self.due_arrival(now)
            };
            let Some(due) = due else { return };
            self.tally.intended(due.intended, now - due.intended);
            self.live.intended();
            desk.waiting.push_back(due);
        }
    }

    fn due_arrival(&mut self, now: Duration) -> Option<Due<P::Visit>> {
        let (number, intended) = self.arrivals.next_if(|(_, at)| *at <= now)?;
        let phase = self.tally.phase_at(intended);
        Some(Due {
            intended,
            has_waited: false,
            visit: self.population.arrive(number, phase),
        })
    }

    /// From the waiting into flight while there is a place; who waited too long is dropped.
    fn send(&mut self, desk: &mut Desk<P::Visit>) {
        let now = self.now();
        while desk.flights.len() < self.in_flight_max {
            let Some(due) = desk.waiting.pop_front() else {
                return;
            };
            let ask = self.population.ask(&due.visit);
            let phase = self.tally.phase_at(due.intended);
            desk.in_flight[phase] += 1;
            let (wire, clock, start) = (Rc::clone(&self.wire), self.clock.clone(), self.start);
            desk.flights.push(Box::pin(async move {
                let result = wire.exchange(ask).await;
                let at = clock.monotonic().saturating_sub(start);
                Landed { due, at, result }
            }));
        }
        // Whoever is before one that was marked, was marked with it.
        let unmarked = desk.waiting.iter_mut().rev();
        for due in unmarked.take_while(|due| !due.has_waited) {
            due.has_waited = true;
        }
        let given_up = |due: &Due<P::Visit>| now >= due.intended + WAITING_MAX;
        while desk.waiting.front().is_some_and(given_up) {
            if let Some(due) = desk.waiting.pop_front() {
                self.tally.dropped(due.intended);
                self.live.failed(1);
            }
        }
    }

    fn land(&mut self, desk: &mut Desk<P::Visit>, landed: Landed<P::Visit>) {
        let Landed { due, at, result } = landed;
        let phase = self.tally.phase_at(due.intended);
        desk.in_flight[phase] = desk.in_flight[phase].saturating_sub(1);
        let after = self
            .population
            .judge(due.visit, result.as_ref().map_err(|error| *error));
        let latency = at.saturating_sub(due.intended);
        let over = Over {
            intended: due.intended,
            latency,
            is_late: due.has_waited,
            result: result.as_ref().map_err(|error| *error),
            worth: after.worth,
        };
        let failed = self.tally.over(&over);
        if result.is_ok() {
            self.live.answered(latency);
        }
        self.live.failed(failed);
        for (pause, visit) in after.next {
            self.plan(desk, at + pause, visit);
        }
    }

    /// A follow-up after the end is not sent: the visitor has gone home.
    fn plan(&mut self, desk: &mut Desk<P::Visit>, at: Duration, visit: P::Visit) {
        if at >= self.end {
            return;
        }
        if desk.planned.len() >= FOLLOW_UPS_MAX {
            self.tally.intended(at, Duration::ZERO);
            self.tally.dropped(at);
            return;
        }
        desk.numbered += 1;
        let number = desk.numbered;
        desk.planned.push(Reverse(Planned { at, number, visit }));
    }
}

impl<V> Desk<V> {
    fn due_follow_up(&mut self, now: Duration) -> Option<Due<V>> {
        if self.planned.peek()?.0.at > now {
            return None;
        }
        let Reverse(planned) = self.planned.pop()?;
        Some(Due {
            intended: planned.at,
            has_waited: false,
            visit: planned.visit,
        })
    }
}

#[cfg(test)]
mod tests;
