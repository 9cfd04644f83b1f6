//! `bench planner`: placements a CPU-second, in a world of many cells and apps.
//!
//! Time is that of this thread's CPU: other work on the machine does not count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use cfx_planner::ledger::Ledger;
use cfx_planner::plan::Placement;
use cfx_planner::snapshot::{
    Cell, Intent, Phase, Process, Rollout, Root, Seen, Shape, Size, Snapshot, Work,
};
use cfx_planner::{Action, Plan, Planner};
use cfx_protocol::cell::Capacity;
use cfx_protocol::id::{AppGuid, CellGuid, DropletGuid, OrgGuid, ProcessGuid};
use cfx_protocol::link::CELL_LOST_MS;
use uuid::Uuid;

use super::child::{own_resident_mib, timed};
use super::{Reading, show};
use crate::args::BenchPlannerArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Memory sizes of the apps, MB: from a small worker to a large service.
const MEMORY_MB: [u32; 10] = [64, 128, 192, 256, 384, 512, 768, 1_024, 1_536, 2_048];
const ORGS: u128 = 40;
/// More instances of every app in the second step, as a share of what there is: one in five.
const MORE: u32 = 5;
/// Requests that are answered by a scan too, to time the scan and to compare.
const SCANNED: usize = 1_000;
const START: Duration = Duration::from_secs(100);

pub(super) fn bench(context: &Context, args: &BenchPlannerArgs) -> Outcome {
    let mut taken = Taken::default();
    for round in 1..=args.rounds {
        let what = format!("round {round} of {}", args.rounds);
        let _progress = context.terminal.progress(&what);
        taken.round(args)?;
    }
    show(context, &taken.readings(args), args.json)
}

/// What each round took.
#[derive(Default)]
struct Taken {
    fills: Vec<f64>,
    more: Vec<f64>,
    scans: Vec<f64>,
    heaps: Vec<f64>,
    losses: Vec<f64>,
    idle: Vec<f64>,
    bytes: Vec<f64>,
}

impl Taken {
    fn round(&mut self, args: &BenchPlannerArgs) -> Outcome {
        let mut world = world(args);
        let mut planner = planner_of(&world);
        let (plan, rate) = timed_plan(&mut planner, START, 1)?;
        self.fills.push(rate);
        self.heaps.push(heap_rate(args.cells, placed(&plan))?);
        carry_out(&mut world, &plan);
        self.bytes.push(bytes_each(&world)?);
        drop(plan);
        for process in &world.processes {
            planner.set_process(process.clone());
        }
        drop(planner.plan(START, 2));
        self.more(&mut planner, &world)?;
        self.scans.push(scan_rate(&world)?);
        self.loss(&mut planner, &world)
    }

    /// More instances of every app, while the others stay.
    fn more(&mut self, planner: &mut Planner, world: &Snapshot) -> Outcome {
        for process in &world.processes {
            let instances = process.instances + process.instances.div_ceil(MORE);
            planner.set_process(Process {
                instances,
                ..process.clone()
            });
        }
        let (_, rate) = timed_plan(planner, START, 3)?;
        self.more.push(rate);
        for process in &world.processes {
            planner.set_process(process.clone());
        }
        drop(planner.plan(START, 4));
        Ok(())
    }

    /// One cell falls silent, and only it.
    fn loss(&mut self, planner: &mut Planner, world: &Snapshot) -> Outcome {
        let now = START + Duration::from_millis(CELL_LOST_MS + 1);
        let (lost, others): (Vec<_>, Vec<_>) = world.cells.keys().enumerate().partition(is_first);
        for (_, cell) in others {
            planner.hear(*cell, now);
        }
        let (plan, took) = timed(|| planner.plan(now, 5))?;
        self.losses.push(took * 1e3);
        let held = lost.iter().map(|(_, cell)| instances_on(world, **cell));
        let (replaced, expected) = (placed(&plan), held.sum::<usize>());
        if replaced != expected {
            return Err(Failure::new(format!(
                "{expected} instances were lost and {replaced} replaced"
            )));
        }
        for cell in world.cells.keys() {
            planner.hear(*cell, now);
        }
        drop(planner.plan(now, 6));
        let (_, took) = timed(|| drop(planner.plan(now, 7)))?;
        self.idle.push(took * 1e3);
        Ok(())
    }

    fn readings(self, args: &BenchPlannerArgs) -> Vec<Reading> {
        let heap = "a heap that gives the least loaded cell, and knows no constraint";
        let heaps = self.heaps;
        let rate = |measure: String, values: Vec<f64>| {
            let floors = heaps.clone();
            Reading::new("planner", measure, "a CPU-second", heap, values, floors)
        };
        let (cells, instances) = (args.cells, args.instances);
        let intent = count(std::mem::size_of::<Intent>());
        vec![
            rate(
                format!("exact placements: {instances} onto {cells} empty cells"),
                self.fills,
            ),
            rate("a fifth more of every app, on top".to_owned(), self.more),
            rate("the same by a scan of every cell".to_owned(), self.scans),
            Reading::new(
                "planner",
                "one lost cell planned anew",
                "ms of CPU",
                "a pass in which nothing changed",
                self.losses,
                self.idle,
            ),
            Reading::new(
                "planner",
                "memory for each instance",
                "bytes",
                "the bare intent",
                self.bytes,
                vec![intent],
            ),
        ]
    }
}

fn is_first<T>((nth, _): &(usize, T)) -> bool {
    *nth == 0
}

/// A plan, and its placements for each second of CPU.
fn timed_plan(planner: &mut Planner, now: Duration, seed: u64) -> Outcome<(Plan, f64)> {
    let (plan, took) = timed(|| planner.plan(now, seed))?;
    if !plan.unplaced.is_empty() {
        let unplaced = plan.unplaced.len();
        return Err(Failure::new(format!(
            "{unplaced} instances found no place: take more cells"
        )));
    }
    let rate = count(placed(&plan)) / took;
    Ok((plan, rate))
}

/// The floor: as many cells are taken off a heap and put back with more load.
fn heap_rate(cells: u32, placements: usize) -> Outcome<f64> {
    let all = (0..u64::from(cells)).map(|cell| Reverse((cell % 7, cell)));
    let mut heap: BinaryHeap<_> = all.collect();
    let (_, took) = timed(|| {
        for nth in 0..placements {
            if let Some(mut least) = heap.peek_mut() {
                least.0.0 += 1 + nth as u64 % 13;
            }
        }
    })?;
    std::hint::black_box(heap);
    Ok(count(placements) / took)
}

/// What a scan of every cell does in a second, and that it comes to the same.
fn scan_rate(world: &Snapshot) -> Outcome<f64> {
    let mut ledger = Ledger::of(world, START);
    let stride = (world.processes.len() / SCANNED).max(1);
    let mut took = 0.0;
    let mut scanned = 0;
    for process in world.processes.iter().step_by(stride) {
        let seeker = ledger.seek(process.app, &process.shape);
        let chosen = ledger.choose(&seeker);
        let (found, seconds) = timed(|| ledger.scan(&seeker).ok())?;
        took += seconds;
        scanned += 1;
        if chosen != found {
            return Err(Failure::new(format!(
                "the index chose {chosen:?}, a scan {found:?}"
            )));
        }
    }
    Ok(count(scanned) / took)
}

fn world(args: &BenchPlannerArgs) -> Snapshot {
    let cells = (0..u128::from(args.cells)).map(|n| (CellGuid(guid(1, n)), cell(n, args.zones)));
    let apps = u128::from(args.apps);
    let each = args.instances / args.apps;
    let extra = u128::from(args.instances % args.apps);
    let process = |n| process(n, each + u32::from(n < extra));
    Snapshot {
        cells: cells.collect(),
        processes: (0..apps).map(process).collect(),
        runs: Vec::new(),
        listening_since: Duration::ZERO,
    }
}

fn cell(n: u128, zones: u32) -> Cell {
    Cell {
        name: format!("cell-{n}").into(),
        zone: format!("z{}", n % u128::from(zones)).into(),
        stacks: BTreeSet::from(["host".to_owned()]),
        tags: BTreeSet::new(),
        images: true,
        capacity: Capacity {
            memory_mb: 65_536,
            disk_mb: 1_000_000,
            slots: 250,
            cpu_millicores: 16_000,
            starts: 32,
        },
        heard: START,
        healthy: true,
        draining: false,
    }
}

fn process(n: u128, instances: u32) -> Process {
    let size = usize::try_from(n).unwrap_or(0);
    Process {
        guid: ProcessGuid(guid(2, n)),
        app: AppGuid(guid(3, n)),
        org: OrgGuid(guid(4, n % ORGS)),
        version: 1,
        instances,
        shape: Shape {
            size: Size {
                memory_mb: MEMORY_MB[size % MEMORY_MB.len()],
                disk_mb: 512 << (n % 3),
            },
            root: Root::Stack("host".into()),
            isolation: None,
            droplet: Some(DropletGuid(guid(5, n))),
        },
        rollout: Rollout::Replace,
        intents: Vec::new(),
    }
}

/// The same guids each time, spread as real ones are.
pub(super) fn guid(kind: u8, n: u128) -> Uuid {
    Uuid::new_v5(&Uuid::from_u128(u128::from(kind)), &n.to_be_bytes())
}

/// All that was placed serves.
fn carry_out(world: &mut Snapshot, plan: &Plan) {
    let mut intents: BTreeMap<Work, Vec<Intent>> = BTreeMap::new();
    for placement in placements(plan) {
        let of = intents.entry(placement.work).or_default();
        of.push(Intent {
            assignment: placement.assignment,
            index: placement.index,
            version: placement.version,
            cell: placement.cell,
            size: placement.size,
            phase: Phase::Run,
            seen: Seen::Routable,
        });
    }
    for process in &mut world.processes {
        process.intents = intents
            .remove(&Work::Process(process.guid))
            .unwrap_or_default();
        process.intents.shrink_to_fit();
    }
}

/// A planner that knows this world, and has planned nothing.
fn planner_of(world: &Snapshot) -> Planner {
    let mut planner = Planner::new(Duration::ZERO);
    for (guid, cell) in &world.cells {
        planner.set_cell(*guid, cell.clone());
    }
    for process in &world.processes {
        planner.set_process(process.clone());
    }
    planner
}

/// What a planner that knows this world takes for each instance. It is one more planner, made while
/// everything else is still held, so that hardly any of it lands in room that was given back.
fn bytes_each(world: &Snapshot) -> Outcome<f64> {
    let before = own_resident_mib()?;
    let mut planner = planner_of(world);
    drop(planner.plan(START, 2));
    let instances: usize = world.processes.iter().map(|it| it.intents.len()).sum();
    let grown_mib = own_resident_mib()? - before;
    Ok(grown_mib * 1024.0 * 1024.0 / count(instances))
}

fn instances_on(world: &Snapshot, cell: CellGuid) -> usize {
    let intents = world.processes.iter().flat_map(|it| it.intents.iter());
    intents.filter(|intent| intent.cell == cell).count()
}

fn placements(plan: &Plan) -> impl Iterator<Item = &Placement> {
    plan.actions.iter().filter_map(|action| match action {
        Action::Place(placement) => Some(placement),
        _ => None,
    })
}

fn placed(plan: &Plan) -> usize {
    placements(plan).count()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}
