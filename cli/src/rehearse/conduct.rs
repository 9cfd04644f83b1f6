//! Plays a rehearsal: starts the load, opens the sale at its moment, watches, and gathers the report.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use jiff::Timestamp;

use super::gather::gather;
use super::instances::{LOOK, Sample, Watched};
use super::profile::{Crowd, Profile};
use super::report::Report;
use super::sale::Counter;
use super::shoppers::{Books, Habits, Shoppers};
use super::verdict::SaleReport;
use super::view::View;
use crate::args::SendingFlags;
use crate::client::resource::App;
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::load::{self, Live, OneRequest, Plan, Population, Ran, Spacing, Target, Threshold};
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
pub(super) struct Played<P> {
    pub(super) ran: Ran<P>,
    pub(super) samples: Vec<Sample>,
    pub(super) started_at: Timestamp,
    /// How long the load lasted, seconds.
    pub(super) seconds: f64,
    opened_at: Option<f64>,
    pub(super) was_ended_early: bool,
}

pub(crate) async fn conduct(script: &Script<'_>) -> Outcome<Report> {
    match &script.profile.crowd {
        Crowd::Visitors(templates) => {
            let threads = u64::from(script.wishes.sending.threads);
            let seed = script.wishes.seed;
            let visitors = (0..threads).map(|thread| OneRequest {
                templates: templates.clone(),
                new_share: script.new_share(),
                seed,
                dice: IdSource::seeded(seed ^ (thread + 1)),
            });
            let played = play(script, visitors.collect(), None).await?;
            Ok(gather(script, played, None).await)
        }
        Crowd::Shoppers { sale_from } => with_sale(script, *sale_from).await,
    }
}

/// Shoppers come, the sale opens, and in the end both are asked what became of it.
async fn with_sale(script: &Script<'_>, sale_from: usize) -> Outcome<Report> {
    let (api, clock) = (&script.space.api, &script.context.clock);
    let target = Arc::clone(&script.target);
    let counter = Counter::find(api, clock, &script.app.guid, target).await?;
    counter.make_ready(script.wishes.reset_sale).await?;
    let habits = Arc::new(Habits {
        root: script.target.path.trim_end_matches('/').to_owned(),
        // Keys of an earlier rehearsal with the same seed must not be known.
        keys: IdSource::system().secret(4),
        sale_from,
        new_share: script.new_share(),
    });
    let threads = u64::from(script.wishes.sending.threads);
    let shoppers = (0..threads).map(|thread| {
        let dice = IdSource::seeded(script.wishes.seed ^ (thread + 1));
        Shoppers::new(Arc::clone(&habits), dice)
    });
    let opening = Opening {
        at: (script.profile.begin_of(sale_from) - OPEN_AHEAD_S).max(0.0),
        stock: script.stock(sale_from),
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

/// The sale, and when it opens.
struct Opening<'a> {
    /// Seconds from the start of the load.
    at: f64,
    stock: u64,
    counter: &'a Counter,
}

impl Script<'_> {
    pub(super) fn new_share(&self) -> f64 {
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
