//! Plays a rehearsal: starts the load, opens the sale at its moment, watches, and gathers the report.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use jiff::Timestamp;

use super::acts;
use super::instances::{LOOK, Sample, Watched};
use super::profile::{Crowd, Profile};
use super::report::{Machine, PhaseReport, Report, Settings};
use super::sale::Counter;
use super::shoppers::{Books, Habits, Shoppers};
use super::verdict::{Evidence, SaleReport, checks, verdict};
use super::view::View;
use crate::args::SendingFlags;
use crate::client::resource::App;
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::load::{
    self, Judged, Live, Numbers, OneRequest, Plan, Population, Ran, SelfCheck, Spacing, Target,
    Threshold, points,
};
use crate::platform::interrupted;

/// The sale opens this much before the first who come to buy, seconds.
const OPEN_AHEAD_S: f64 = 0.3;
/// Of ten shoppers that are expected in the sale so many can have one, when nobody says otherwise.
const STOCK_SHARE: f64 = 0.4;
/// Share on connections of their own, when nobody says otherwise: most of a rush has never been here.
const NEW_SHARE: f64 = 0.5;

/// Who plays what, where.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    pub(crate) context: &'a Context,
    pub(crate) space: &'a InSpace,
    pub(crate) app: &'a App,
    pub(crate) target: Arc<Target>,
    pub(crate) profile: &'a Profile,
    pub(crate) wishes: Wishes<'a>,
}

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Wishes<'a> {
    pub(crate) sending: &'a SendingFlags,
    pub(crate) seed: u64,
    pub(crate) scale: f64,
    pub(crate) stock: Option<u32>,
    pub(crate) reset_sale: bool,
    pub(crate) want_instances: Option<u32>,
    pub(crate) routable_within: Duration,
    pub(crate) thresholds: &'a [Threshold],
}

/// What was played, whoever came.
struct Played<P> {
    ran: Ran<P>,
    samples: Vec<Sample>,
    started_at: Timestamp,
    /// How long the load lasted, seconds.
    seconds: f64,
    opened_at: Option<f64>,
    was_ended_early: bool,
}

pub(crate) async fn conduct(script: &Script<'_>) -> Outcome<Report> {
    let threads = u64::from(script.wishes.sending.threads);
    let seed = script.wishes.seed;
    match &script.profile.crowd {
        Crowd::Visitors(templates) => {
            let visitors = (0..threads).map(|thread| OneRequest {
                templates: templates.clone(),
                new_share: script.new_share(),
                seed,
                dice: IdSource::seeded(seed ^ (thread + 1)),
            });
            let played = play(script, visitors.collect(), None).await?;
            Ok(gather(script, played, None).await)
        }
        Crowd::Shoppers { sale_from } => {
            let target = Arc::clone(&script.target);
            let counter = Counter::find(&script.space.api, &script.app.guid, target).await?;
            counter.make_ready(script.wishes.reset_sale).await?;
            let habits = Arc::new(Habits {
                root: script.target.path.trim_end_matches('/').to_owned(),
                // Keys of an earlier rehearsal with the same seed must not be known.
                keys: IdSource::system().secret(4),
                sale_from: *sale_from,
                new_share: script.new_share(),
            });
            let shoppers = (0..threads).map(|thread| {
                Shoppers::new(Arc::clone(&habits), IdSource::seeded(seed ^ (thread + 1)))
            });
            let opening = Opening {
                at: (script.profile.begin_of(*sale_from) - OPEN_AHEAD_S).max(0.0),
                stock: script.stock(*sale_from),
                counter: &counter,
            };
            let mut played = play(script, shoppers.collect(), Some(&opening)).await?;
            let mut books = Books::default();
            for shoppers in played.ran.populations.drain(..) {
                books.merge(shoppers.books);
            }
            let shop = counter.verdict().await;
            if let Err(failure) = &shop {
                script.context.terminal.warn(failure.message());
            }
            let opened_at = played.opened_at.unwrap_or_default();
            let sale = SaleReport::new(opening.stock, opened_at, shop.ok(), &books);
            Ok(gather(script, played, Some(sale)).await)
        }
    }
}

/// The sale, and when it opens.
struct Opening<'a> {
    /// Seconds from the start of the load.
    at: f64,
    stock: u64,
    counter: &'a Counter,
}

impl Script<'_> {
    fn new_share(&self) -> f64 {
        let flag = self.wishes.sending.connections_new;
        flag.or(self.profile.connections_new).unwrap_or(NEW_SHARE)
    }

    fn stock(&self, sale_from: usize) -> u64 {
        if let Some(stock) = self.wishes.stock {
            return stock.into();
        }
        let curve = self.profile.curve();
        let before = curve.expected(self.profile.begin_of(sale_from));
        let shoppers = curve.expected(curve.seconds()) - before;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some thousands"
        )]
        let stock = (shoppers * STOCK_SHARE).round() as u64;
        stock.max(1)
    }

    fn plan(&self) -> Plan {
        let sending = self.wishes.sending;
        let lengths = self.profile.phases.iter();
        Plan {
            target: Arc::clone(&self.target),
            curve: self.profile.curve(),
            phases: lengths
                .map(|phase| Duration::from_secs_f64(phase.seconds))
                .collect(),
            spacing: Spacing::Poisson,
            seed: self.wishes.seed,
            in_flight_max: usize::try_from(sending.in_flight).unwrap_or(usize::MAX),
            timeout: sending.timeout,
        }
    }
}

async fn play<P>(
    script: &Script<'_>,
    populations: Vec<P>,
    opening: Option<&Opening<'_>>,
) -> Outcome<Played<P>>
where
    P: Population + Send + 'static,
    P::Visit: 'static,
{
    let context = script.context;
    let clock = &context.clock;
    let watched = Watched::find(context, &script.space.api, &script.app.guid).await?;
    let (live, stop) = (Arc::new(Live::new()), Shutdown::new());
    let running = load::start(&script.plan(), clock, populations, &live, &stop)?;
    let start = running.start;
    let until_start = start.saturating_sub(clock.monotonic());
    let started_at = clock.now() + until_start;
    let samples = RefCell::new(Vec::new());
    let opened = Cell::new(None);
    let view = View {
        context,
        profile: script.profile,
        live: &live,
        samples: &samples,
        start,
        opened: &opened,
    };
    let looking = async { futures_util::join!(view.show(), look(&watched, start, &samples)) };
    let ended = running.ended();
    tokio::pin!(ended);
    let mut seconds = script.profile.seconds();
    let mut was_ended_early = false;
    let ran = tokio::select! {
        ran = &mut ended => ran?,
        failure = open(context, opening, start, &opened) => {
            stop.request();
            drop(ended.await);
            return Err(failure);
        }
        ((), ()) = looking => return Err(Failure::new("nobody looks any more")),
        () = interrupted() => {
            was_ended_early = true;
            seconds = clock.monotonic().saturating_sub(start).as_secs_f64().min(seconds);
            stop.request();
            ended.await?
        }
    };
    if !was_ended_early {
        settle(script, &watched, start, &samples).await;
    }
    Ok(Played {
        ran,
        samples: samples.into_inner(),
        started_at,
        seconds,
        opened_at: opened.get(),
        was_ended_early,
    })
}

/// Look at the instances until dropped.
async fn look(watched: &Watched<'_>, start: Duration, samples: &RefCell<Vec<Sample>>) {
    loop {
        if let Some(sample) = watched.look(start).await {
            samples.borrow_mut().push(sample);
        }
        watched.context.clock.sleep(LOOK).await;
    }
}

/// Open the sale at its moment. It comes back only when that fails.
async fn open(
    context: &Context,
    opening: Option<&Opening<'_>>,
    start: Duration,
    opened: &Cell<Option<f64>>,
) -> Failure {
    if let Some(opening) = opening {
        let moment = start + Duration::from_secs_f64(opening.at);
        let wait = moment.saturating_sub(context.clock.monotonic());
        context.clock.sleep(wait).await;
        if let Err(failure) = opening.counter.open(opening.stock).await {
            return failure;
        }
        let now = context.clock.monotonic().saturating_sub(start);
        opened.set(Some(now.as_secs_f64()));
    }
    std::future::pending().await
}

/// A growth that was decided near the end gets its time: look on until all are routable.
async fn settle(
    script: &Script<'_>,
    watched: &Watched<'_>,
    start: Duration,
    samples: &RefCell<Vec<Sample>>,
) {
    let clock = &script.context.clock;
    let deadline = clock.monotonic() + script.wishes.routable_within;
    let progress = script
        .context
        .terminal
        .progress("the load is over; waiting for the last instances");
    while clock.monotonic() < deadline {
        if let Some(sample) = watched.look(start).await {
            samples.borrow_mut().push(sample);
            if sample.routable >= sample.desired {
                break;
            }
        }
        clock.sleep(LOOK).await;
    }
    drop(progress);
}

async fn gather<P>(script: &Script<'_>, played: Played<P>, sale: Option<SaleReport>) -> Report {
    let tally = &played.ran.tally;
    let started_ns = i64::try_from(played.started_at.as_nanosecond()).unwrap_or(i64::MAX);
    let (api, app) = (&script.space.api, &script.app.guid);
    let acts = acts::gather(api, app, started_ns, &played.samples).await;
    let phases = phases(script.profile, &played);
    let total = Numbers::of(&tally.total(), played.seconds);
    let thresholds = judged(script.wishes.thresholds, &phases, &total);
    let checks = checks(&Evidence {
        thresholds: &thresholds,
        acts: &acts,
        samples: &played.samples,
        want_instances: script.wishes.want_instances,
        routable_within_s: script.wishes.routable_within.as_secs_f64(),
        sale: sale.as_ref(),
    });
    let generator = SelfCheck::of(tally);
    Report {
        app: script.app.name.clone(),
        url: format!("{}{}", script.target.origin, script.target.path),
        profile: script.profile.name.clone(),
        started_at: played.started_at,
        cfx_version: env!("CARGO_PKG_VERSION"),
        machine: Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        },
        settings: settings(script),
        verdict: verdict(&generator, &checks),
        checks,
        was_ended_early: played.was_ended_early,
        generator,
        scheduling: played.ran.scheduling,
        total,
        phases,
        series: points(tally),
        instances: played.samples,
        acts,
        sale,
    }
}

fn settings(script: &Script<'_>) -> Settings {
    let sending = script.wishes.sending;
    Settings {
        seed: script.wishes.seed,
        scale: script.wishes.scale,
        peak: script.profile.curve().peak(),
        connections_new: script.new_share(),
        threads: sending.threads,
        in_flight: sending.in_flight,
        timeout_s: sending.timeout.as_secs_f64(),
    }
}

fn phases<P>(profile: &Profile, played: &Played<P>) -> Vec<PhaseReport> {
    let mut from = 0.0;
    let phases = profile.phases.iter().zip(&played.ran.tally.phases);
    let phases = phases.map(|(phase, counts)| {
        let begin = from;
        from += phase.seconds;
        // Of a run that was ended early, the part that was played.
        let seconds = (played.seconds - begin).clamp(0.0, phase.seconds);
        PhaseReport {
            name: phase.name.clone(),
            from: begin,
            to: from,
            numbers: Numbers::of(counts, seconds),
        }
    });
    phases.collect()
}

fn judged(thresholds: &[Threshold], phases: &[PhaseReport], total: &Numbers) -> Vec<Judged> {
    let judged = thresholds.iter().map(|threshold| {
        let phase = threshold.phase.as_ref();
        let phase = phase.and_then(|name| phases.iter().find(|phase| phase.name == *name));
        threshold.judge(phase.map_or(total, |phase| &phase.numbers))
    });
    judged.collect()
}
