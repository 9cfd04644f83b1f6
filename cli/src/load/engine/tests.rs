//! The engine in virtual time: a server of known behaviour, and a clock that jumps from event to
//! event, so every figure is exact on any machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cfx_process::clock::{Clock, ManualTime};
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use jiff::Timestamp;

use super::Engine;
use crate::load::arrivals::{Arrivals, Share, Spacing};
use crate::load::ask::{Answer, Ask, WireError};
use crate::load::live::Live;
use crate::load::pace::Pace;
use crate::load::population::{After, OneRequest, Population, Template};
use crate::load::rate::{Curve, Segment};
use crate::load::tally::{Counts, Tally, Worth};
use crate::load::wire::Wire;

const MS: Duration = Duration::from_millis(1);

/// All who sleep, by when they want to wake.
#[derive(Clone)]
struct Virtual {
    clock: Clock,
    hand: ManualTime,
    sleepers: Rc<RefCell<BTreeMap<(Duration, u64), Waker>>>,
    numbered: Rc<RefCell<u64>>,
}

impl Virtual {
    fn new() -> Self {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        Self {
            clock,
            hand,
            sleepers: Rc::default(),
            numbered: Rc::default(),
        }
    }

    async fn sleep(&self, time: Duration) {
        let until = self.clock.monotonic() + time;
        let number = *self.numbered.borrow();
        *self.numbered.borrow_mut() += 1;
        poll_fn(|context| {
            if self.clock.monotonic() >= until {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            self.sleepers.borrow_mut().insert((until, number), waker);
            Poll::Pending
        })
        .await;
    }

    /// Run to the end: whenever nobody can go on, the clock jumps to the next who wakes.
    fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            {
                return done;
            }
            let next = self.sleepers.borrow_mut().pop_first();
            let ((at, _), waker) = next.expect("somebody sleeps, or nothing could ever happen");
            self.hand.advance(at.saturating_sub(self.clock.monotonic()));
            waker.wake();
        }
    }
}

impl Pace for Virtual {
    async fn sleep(&mut self, time: Duration) {
        Virtual::sleep(self, time).await;
    }
}

/// Answers after what `serve` says of the moment at which the request came.
struct Server<F> {
    time: Virtual,
    serve: F,
}

impl<F: Fn(Duration) -> (Duration, Result<u16, WireError>)> Wire for Server<F> {
    async fn exchange(&self, _: Ask) -> Result<Answer, WireError> {
        let (delay, result) = (self.serve)(self.time.clock.monotonic());
        self.time.sleep(delay).await;
        result.map(|status| Answer {
            status,
            ..Answer::default()
        })
    }
}

struct Setup {
    curve: Curve,
    spacing: Spacing,
    in_flight_max: usize,
}

fn engine<P, F>(
    time: &Virtual,
    setup: Setup,
    population: P,
    serve: F,
) -> Engine<P, Server<F>, Virtual>
where
    P: Population,
{
    let curve = Arc::new(setup.curve);
    let share = Share { index: 0, of: 1 };
    let server = Server {
        time: time.clone(),
        serve,
    };
    Engine {
        end: curve.duration(),
        tally: Tally::new(&[curve.duration()]),
        arrivals: Arrivals::new(curve, setup.spacing, 1, share).peekable(),
        population,
        wire: Rc::new(server),
        pace: time.clone(),
        clock: time.clock.clone(),
        start: Duration::from_millis(250),
        in_flight_max: setup.in_flight_max,
        live: Arc::new(Live::new()),
        stop: Shutdown::new(),
    }
}

fn visitors() -> OneRequest {
    OneRequest {
        templates: vec![Template::get("/")],
        new_share: 0.0,
        seed: 1,
        dice: IdSource::seeded(1),
    }
}

fn run<F>(setup: Setup, serve: F) -> (Counts, Tally)
where
    F: Fn(Duration) -> (Duration, Result<u16, WireError>) + 'static,
{
    let time = Virtual::new();
    let engine = engine(&time, setup, visitors(), serve);
    let (tally, _) = time.run(engine.run());
    (tally.total(), tally)
}

fn close(measured: f64, known: f64) -> bool {
    (measured - known).abs() <= known * 0.001
}

#[test]
fn a_server_of_known_delay_is_measured_as_it_is() {
    for spacing in [Spacing::Poisson, Spacing::Even] {
        let setup = Setup {
            curve: Curve::new([Segment::constant(60.0, 100.0)]),
            spacing,
            in_flight_max: 1_000,
        };
        let (total, tally) = run(setup, |_| (20 * MS, Ok(200)));
        for share in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert!(close(total.latencies.percentile_ms(share), 20.0), "{share}");
        }
        assert!(
            tally.lag.max_ms() <= 0.001,
            "it is never late in virtual time"
        );
        assert_eq!((total.answered, total.failed), (total.intended, 0));
        let expected = 6_000.0_f64;
        let off = (total.intended as f64 - expected).abs();
        match spacing {
            Spacing::Even => assert!(off < 0.5),
            Spacing::Poisson => assert!(off < 6.0 * expected.sqrt()),
        }
    }
}

#[test]
fn a_stall_is_charged_to_all_who_came_meanwhile() {
    // From second 10 to 11 nothing is answered; all who came then are answered at its end.
    let setup = Setup {
        curve: Curve::new([Segment::constant(100.0, 100.0)]),
        spacing: Spacing::Even,
        in_flight_max: 1_000,
    };
    let start = 250 * MS;
    let stall = start + 10_000 * MS..start + 11_000 * MS;
    let (total, _) = run(setup, move |at| match stall.contains(&at) {
        true => (stall.end - at + MS, Ok(200)),
        false => (MS, Ok(200)),
    });
    // 1 % of all requests lie in the stall, evenly from 1,001 ms down to 1: a generator that waits
    // for answers would have seen one of them.
    assert!(
        close(total.latencies.max_ms(), 996.0),
        "{}",
        total.latencies.max_ms()
    );
    assert!(close(total.latencies.percentile_ms(0.995), 496.0));
    assert!(close(total.latencies.percentile_ms(0.98), 1.0));
}

#[test]
fn who_finds_no_place_in_flight_is_late_or_dropped_and_both_have_failed() {
    // 100 a second, 10 places, 200 ms each: 50 a second get through.
    let setup = Setup {
        curve: Curve::new([Segment::constant(10.0, 100.0)]),
        spacing: Spacing::Even,
        in_flight_max: 10,
    };
    let (total, tally) = run(setup, |_| (200 * MS, Ok(200)));
    assert_eq!(total.intended, 1_000);
    assert_eq!(total.answered + total.dropped, 1_000);
    assert_eq!(total.failed, total.late + total.dropped);
    // The queue holds a second of what gets through; all of the excess beyond it is dropped.
    assert!((400..=500).contains(&total.dropped), "{}", total.dropped);
    assert_eq!(total.lost, total.dropped);
    assert!(
        total.latencies.max_ms() <= 1_201.0,
        "a second of waiting and the answer"
    );
    assert!(
        tally.lag.max_ms() <= 0.001,
        "the generator itself was in time"
    );
}

#[test]
fn errors_are_counted_by_their_kind() {
    let setup = Setup {
        curve: Curve::new([Segment::constant(1.0, 100.0)]),
        spacing: Spacing::Even,
        in_flight_max: 100,
    };
    let (total, _) = run(setup, |at| match at.as_millis() % 2 {
        0 => (MS, Err(WireError::Reset)),
        _ => (MS, Ok(503)),
    });
    assert_eq!(total.failed, 100);
    assert_eq!(total.lost, 100);
    let resets = total.errors.get("connection reset").copied().unwrap_or(0);
    let refusals = total.statuses.get(&503).map_or(0, |status| status.bad);
    assert_eq!(resets + refusals, 100);
}

#[test]
fn a_run_that_is_ended_counts_what_was_on_its_way() {
    let time = Virtual::new();
    let setup = Setup {
        curve: Curve::new([Segment::constant(100.0, 10.0)]),
        spacing: Spacing::Even,
        in_flight_max: 5,
    };
    let engine = engine(&time, setup, visitors(), |_| (3_600_000 * MS, Ok(200)));
    let stop = engine.stop.clone();
    let (tally, ()) = time.run(async {
        futures_util::join!(async { engine.run().await.0 }, async {
            time.sleep(5_000 * MS).await;
            stop.request();
        })
    });
    let total = tally.total();
    assert_eq!(total.intended, total.cut + total.dropped);
    assert!(total.cut >= 5);
}

/// Comes, and comes back twice, each time half a second after the answer.
struct Regulars;

impl Population for Regulars {
    type Visit = u32;

    fn arrive(&mut self, _: u64, _: usize) -> u32 {
        0
    }

    fn ask(&mut self, _: &u32) -> Ask {
        Ask {
            method: http::Method::GET,
            path: "/".into(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            is_new: false,
            wants_body: false,
        }
    }

    fn judge(&mut self, visit: u32, _: Result<&Answer, WireError>) -> After<u32> {
        let next = (visit < 2).then_some((500 * MS, visit + 1));
        After {
            worth: Worth::Good,
            next: next.into_iter().collect(),
        }
    }
}

#[test]
fn visitors_come_back_after_their_own_answers_until_the_end() {
    let time = Virtual::new();
    let setup = Setup {
        curve: Curve::new([Segment::constant(10.0, 1.0), Segment::constant(5.0, 0.0)]),
        spacing: Spacing::Even,
        in_flight_max: 100,
    };
    let engine = engine(&time, setup, Regulars, |_| (100 * MS, Ok(200)));
    let (tally, _) = time.run(engine.run());
    let total = tally.total();
    assert_eq!(total.answered, 30);
    assert!(
        close(total.latencies.max_ms(), 100.0),
        "thinking is not latency"
    );
    // The first comes at 0.5 s and back at 1.1 s and 1.7 s.
    let intended: Vec<u64> = tally
        .buckets
        .iter()
        .take(3)
        .map(|one| one.intended)
        .collect();
    assert_eq!(intended, [1, 3, 3]);
}
