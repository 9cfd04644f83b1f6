//! Starts the sending threads, each with a runtime of its own, and gathers what they counted.

use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use serde::Serialize;
use tokio::sync::oneshot;

use super::arrivals::{Arrivals, Share, Spacing};
use super::engine::Engine;
use super::live::Live;
use super::pace::Timer;
use super::population::Population;
use super::rate::Curve;
use super::tally::Tally;
use super::target::Target;
use super::wire::HttpWire;
use crate::failure::{Failure, Outcome};

/// From the start of the threads to the first intended time: they are all ready by then.
const START_MARGIN: Duration = Duration::from_millis(150);
/// Above everything without real-time priority, below what the kernel itself needs.
const PRIORITY: &str = "10";

/// What is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Arc<Target>,
    pub(crate) curve: Arc<Curve>,
    /// Lengths of the phases that the counts are kept by; together as long as the curve.
    pub(crate) phases: Vec<Duration>,
    pub(crate) spacing: Spacing,
    pub(crate) seed: u64,
    /// Requests on their way at once, of all threads.
    pub(crate) in_flight_max: usize,
    /// Time for an answer, connecting included.
    pub(crate) timeout: Duration,
}

/// How the kernel runs the sending threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scheduling {
    /// Before all that is not real-time: other work on this machine cannot delay it.
    RealTime,
    /// As everything else.
    Normal,
}

/// Threads that send.
#[derive(Debug)]
pub(crate) struct Running<P> {
    ends: Vec<oneshot::Receiver<std::io::Result<Ended<P>>>>,
    /// The clock's reading at the start of the curve.
    pub(crate) start: Duration,
}

#[derive(Debug)]
struct Ended<P> {
    tally: Tally,
    population: P,
    scheduling: Scheduling,
}

/// What they counted together.
#[derive(Debug)]
pub(crate) struct Ran<P> {
    pub(crate) tally: Tally,
    pub(crate) populations: Vec<P>,
    pub(crate) scheduling: Scheduling,
}

/// Start one thread for each population.
pub(crate) fn start<P>(
    plan: &Plan,
    clock: &Clock,
    populations: Vec<P>,
    live: &Arc<Live>,
    stop: &Shutdown,
) -> Outcome<Running<P>>
where
    P: Population + Send + 'static,
    P::Visit: 'static,
{
    let failed = |error: std::io::Error| Failure::new(format!("cannot start to send: {error}"));
    let start = clock.monotonic() + START_MARGIN;
    let of = populations.len() as u64;
    let mut ends = Vec::with_capacity(populations.len());
    for (index, population) in (0..).zip(populations) {
        let (tell, end) = oneshot::channel();
        ends.push(end);
        let (plan, clock, live, stop) =
            (plan.clone(), clock.clone(), Arc::clone(live), stop.clone());
        let share = Share { index, of };
        std::thread::Builder::new()
            .name(format!("load-{index}"))
            .spawn(move || {
                let ended = send(&plan, clock, start, share, population, live, stop);
                // Who waited for it may have gone.
                drop(tell.send(ended));
            })
            .map_err(failed)?;
    }
    Ok(Running { ends, start })
}

impl<P> Running<P> {
    pub(crate) async fn ended(self) -> Outcome<Ran<P>> {
        let mut ran: Option<Ran<P>> = None;
        for end in self.ends {
            let failed = |detail: String| Failure::new(format!("a sending thread ended: {detail}"));
            let ended = end.await.map_err(|_| failed("it broke".to_owned()))?;
            let ended = ended.map_err(|error| failed(error.to_string()))?;
            match &mut ran {
                None => {
                    ran = Some(Ran {
                        tally: ended.tally,
                        populations: vec![ended.population],
                        scheduling: ended.scheduling,
                    });
                }
                Some(ran) => {
                    ran.tally.merge(&ended.tally);
                    ran.populations.push(ended.population);
                    if ended.scheduling == Scheduling::Normal {
                        ran.scheduling = Scheduling::Normal;
                    }
                }
            }
        }
        ran.ok_or_else(|| Failure::new("no thread was asked to send"))
    }
}

fn send<P: Population>(
    plan: &Plan,
    clock: Clock,
    start: Duration,
    share: Share,
    population: P,
    live: Arc<Live>,
    stop: Shutdown,
) -> std::io::Result<Ended<P>>
where
    P::Visit: 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let scheduling = real_time();
    let arrivals = Arrivals::new(Arc::clone(&plan.curve), plan.spacing, plan.seed, share);
    let (tally, population) = runtime.block_on(async {
        let engine = Engine {
            arrivals: arrivals.peekable(),
            population,
            wire: Rc::new(HttpWire::new(Arc::clone(&plan.target), plan.timeout)),
            pace: Timer::new()?,
            clock,
            start,
            end: plan.curve.duration(),
            in_flight_max: own_part(plan.in_flight_max, share),
            tally: Tally::new(&plan.phases),
            live,
            stop,
        };
        Ok::<_, std::io::Error>(engine.run().await)
    })?;
    Ok(Ended {
        tally,
        population,
        scheduling,
    })
}

/// This thread's part of the places in flight, at least one.
fn own_part(whole: usize, share: Share) -> usize {
    let of = usize::try_from(share.of).unwrap_or(1).max(1);
    (whole / of).max(1)
}

/// Ask the kernel to run this thread before others. It may refuse; then the lag tells what it cost.
/// The tool of the system does it, so that nothing unsafe is needed for one call.
pub(crate) fn real_time() -> Scheduling {
    let thread = nix::unistd::gettid().to_string();
    let asked = Command::new("chrt")
        .args(["--fifo", "--pid", PRIORITY, &thread])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match asked {
        Ok(status) if status.success() => Scheduling::RealTime,
        _ => Scheduling::Normal,
    }
}
