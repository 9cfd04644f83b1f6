//! `bench controller`: a real controller on a real store, with cells that are scripts.
//!
//! State, planner, convergence, dispatch and route table are those of `cfx serve controller`; only
//! the sockets are left out. What the cells are told they answer to be healthy at once.

mod cells;
mod records;

use std::sync::Arc;
use std::time::Duration;

use cfx_cloud_controller::cells::Observed;
use cfx_cloud_controller::convergence::{Board, Dispatch, Driver, Insight};
use cfx_cloud_controller::events::Events;
use cfx_cloud_controller::metrics::Metrics;
use cfx_cloud_controller::routing::{Publisher, Routers, publisher};
use cfx_cloud_controller::state::StateHandle;
use cfx_cloud_controller::state::intent::{Intent, IntentChunk};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::telemetry;
use cfx_protocol::id::ProcessGuid;
use cfx_store::lease::Monotonic;
use cfx_store::sled::{SledOptions, SledStore};

use self::cells::Cells;
use super::child::{own_cpu_seconds, own_resident_mib};
use super::planner::count;
use super::{Reading, show};
use crate::args::BenchControllerArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Longest that one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two looks at the route table.
const LOOK: Duration = Duration::from_millis(2);
/// How often one app is scaled.
const SCALES: u32 = 10;
/// By how many instances.
const SCALE_BY: u32 = 300;
/// How long the CPU at rest is watched: long enough for a sweep.
const REST: Duration = Duration::from_secs(65);
/// Records in one commit of the floor, as many as the controller's commits have.
const FLOOR_RECORDS: usize = 100;

pub(super) async fn bench(context: &Context, args: &BenchControllerArgs) -> Outcome {
    let folder = tempfile::Builder::new().prefix("cfx-bench-").tempdir();
    let folder = folder.map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
    let progress = context.terminal.progress("writing the apps");
    let state = open(context, &folder.path().join("store")).await?;
    records::fill(&state, args).await?;
    let before_mib = own_resident_mib()?;
    let shutdown = Shutdown::new();
    let controller = Controller::start(state, context.clock.clone(), args, &shutdown).await?;
    progress.message("the controller places, stores and dispatches everything");
    let whole = controller.whole(args.instances).await?;
    let resident_mib = own_resident_mib()? - before_mib;
    progress.message("scaling");
    let mut scales = Vec::new();
    for nth in 0..SCALES.min(args.apps) {
        scales.push(controller.scale(records::process_guid(nth)).await?);
    }
    progress.message("watching it rest");
    let rest = controller.rest().await?;
    progress.message("the store alone");
    let floor = open(context, &folder.path().join("floor")).await?;
    let floor = Floor::measure(&controller, &floor).await?;
    drop(progress);
    shutdown.request();
    controller.supervisor.join(STEP_TIMEOUT).await;
    let readings = readings(args, &whole, &scales, rest, resident_mib, &floor);
    show(context, &readings, args.json)
}

async fn open(context: &Context, path: &std::path::Path) -> Outcome<StateHandle> {
    let clock = context.clock.clone();
    let clock = Monotonic::new(move || clock.monotonic());
    let options = SledOptions::new(path, IdSource::system().guid(), clock, "nothing");
    let failed = |error: String| Failure::new(format!("the store does not open: {error}"));
    let store = SledStore::open(options).await;
    let store = store.map_err(|error| failed(error.to_string()))?;
    let state = StateHandle::open(Arc::new(store)).await;
    state.map_err(|error| failed(error.to_string()))
}

/// Seconds from the beginning of something until all of it was there.
#[derive(Debug, Default, Clone, Copy)]
struct Until {
    durable: f64,
    dispatched: f64,
    routable: f64,
}

/// A controller without sockets, and its cells.
struct Controller {
    state: StateHandle,
    publisher: Publisher,
    events: Arc<Events>,
    clock: Clock,
    cells: Cells,
    supervisor: Supervisor,
    /// When the loops began.
    began: Duration,
}

impl Controller {
    async fn start(
        state: StateHandle,
        clock: Clock,
        args: &BenchControllerArgs,
        shutdown: &Shutdown,
    ) -> Outcome<Self> {
        let (observed, routers) = (Observed::default(), Routers::default());
        let metrics = telemetry::Metrics::default();
        let events = Arc::new(Events::new(Metrics::register(&metrics)));
        let board = Board::new(state.clone(), "http://api.bench".into());
        let dispatch = Dispatch::new(&board, clock.clone());
        let (publisher, table) = publisher::publisher(
            state.clone(),
            observed.clone(),
            routers.clone(),
            clock.clone(),
            events.clone(),
        );
        let driver = Driver {
            state: state.clone(),
            observed: observed.clone(),
            dispatch: dispatch.clone(),
            routers,
            insight: Insight::default(),
            clock: clock.clone(),
            ids: IdSource::system(),
            events: events.clone(),
        };
        let supervisor = Supervisor::new("bench", shutdown.child());
        let spawn = |name, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let shutdown = shutdown.clone();
            supervisor.spawn(name, OnEnd::Nothing, async move {
                shutdown.or(future).await;
            });
        };
        spawn("desired sets", Box::pin(board.run()));
        let cells = Cells::start(args.cells, &observed, &dispatch, &clock, spawn);
        cells.all_known(STEP_TIMEOUT).await?;
        let began = clock.monotonic();
        spawn("route table", Box::pin(table.run()));
        spawn("convergence", Box::pin(driver.run()));
        Ok(Self {
            state,
            publisher,
            events,
            clock,
            cells,
            supervisor: supervisor.clone(),
            began,
        })
    }

    fn since(&self, began: Duration) -> f64 {
        self.clock.monotonic().saturating_sub(began).as_secs_f64()
    }

    /// Until everything that is wanted is there, from the first pass on.
    async fn whole(&self, instances: u32) -> Outcome<Until> {
        let instances = usize::try_from(instances).unwrap_or(usize::MAX);
        let held = || {
            let state = self.state.read();
            let chunks = state.all::<IntentChunk>();
            chunks.map(|chunk| chunk.intents.len()).sum::<usize>() >= instances
        };
        self.until(self.began, instances, held).await
    }

    /// Until one app has more instances, from the command on.
    async fn scale(&self, process: ProcessGuid) -> Outcome<Until> {
        let before = self.cells.told();
        let began = self.clock.monotonic();
        let wanted = records::scale(&self.state, process, SCALE_BY).await?;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let held = || self.state.read().intents_of(process).count() >= wanted;
        let by = usize::try_from(SCALE_BY).unwrap_or(0);
        self.until(began, before + by, held).await
    }

    async fn until(
        &self,
        began: Duration,
        told: usize,
        is_durable: impl Fn() -> bool,
    ) -> Outcome<Until> {
        let mut changes = self.state.changes();
        let all = async {
            let mut until = Until::default();
            while !is_durable() {
                drop(changes.changed().await);
            }
            until.durable = self.since(began);
            self.cells.until_told(told).await;
            until.dispatched = self.since(began);
            while self.routable() < told {
                self.clock.sleep(LOOK).await;
            }
            until.routable = self.since(began);
            until
        };
        tokio::time::timeout(STEP_TIMEOUT, all).await.map_err(|_| {
            let (told_now, routable) = (self.cells.told(), self.routable());
            Failure::new(format!(
                "of {told} instances {told_now} were dispatched and {routable} were routable \
                 within {STEP_TIMEOUT:?}"
            ))
        })
    }

    fn routable(&self) -> usize {
        let published = self.publisher.published();
        published.map_or(0, |it| it.table.values().map(|it| it.endpoints.len()).sum())
    }

    /// The share of a core that it takes when nothing is to be done but to hear its cells, and what
    /// the sweep had to repair.
    async fn rest(&self) -> Outcome<f64> {
        let before = own_cpu_seconds()?;
        self.clock.sleep(REST).await;
        let used = own_cpu_seconds()? - before;
        match self.events.sweep_repairs() {
            0 => Ok(used / REST.as_secs_f64()),
            repairs => Err(Failure::new(format!(
                "a sweep found {repairs} things that the passes had missed"
            ))),
        }
    }
}

/// The same intents written to another store, with nothing decided.
struct Floor {
    whole: f64,
    scale: f64,
}

impl Floor {
    async fn measure(controller: &Controller, floor: &StateHandle) -> Outcome<Self> {
        let state = controller.state.read();
        let chunks: Vec<_> = state.all::<IntentChunk>().cloned().collect();
        let began = controller.clock.monotonic();
        for some in chunks.chunks(FLOOR_RECORDS) {
            records::write(floor, some.iter().map(|it| IntentChunk::clone(it))).await?;
        }
        let whole = controller.since(began);
        let began = controller.clock.monotonic();
        let of_one = state.all::<IntentChunk>();
        let of_one = of_one.filter(|it| it.process == records::process_guid(0));
        records::write(floor, of_one.map(|it| records::again(it))).await?;
        Ok(Self {
            whole,
            scale: controller.since(began),
        })
    }
}

fn readings(
    args: &BenchControllerArgs,
    whole: &Until,
    scales: &[Until],
    rest: f64,
    resident_mib: f64,
    floor: &Floor,
) -> Vec<Reading> {
    let all = format!("{} instances on {} cells", args.instances, args.cells);
    let store = "the same intents into an empty store, nothing decided";
    let step = |measure: String, unit, values: Vec<f64>, floor| {
        Reading::new("controller", measure, unit, store, values, vec![floor])
    };
    let scaled = |measure: &str, of: fn(&Until) -> f64| {
        let values = scales.iter().map(|until| of(until) * 1e3).collect();
        let measure = format!("one app scaled by {SCALE_BY}: {measure}");
        step(measure, "ms", values, floor.scale * 1e3)
    };
    let bare = count(std::mem::size_of::<Intent>()) * f64::from(args.instances);
    vec![
        step(
            format!("{all}: durable"),
            "s",
            vec![whole.durable],
            floor.whole,
        ),
        step(
            format!("{all}: dispatched"),
            "s",
            vec![whole.dispatched],
            floor.whole,
        ),
        step(
            format!("{all}: routable"),
            "s",
            vec![whole.routable],
            floor.whole,
        ),
        scaled("durable", |it| it.durable),
        scaled("dispatched", |it| it.dispatched),
        scaled("routable", |it| it.routable),
        Reading::new(
            "controller",
            "CPU at rest, every cell reporting each second, one sweep",
            "of a core",
            "nothing",
            vec![rest],
            vec![0.0],
        ),
        Reading::new(
            "controller",
            "resident memory beyond the apps' records, the scripted cells included",
            "MiB",
            "the bare intents",
            vec![resident_mib],
            vec![bare / (1024.0 * 1024.0)],
        ),
    ]
}
