//! A small world to plan for: cells and works by number, and a hand that carries plans out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cfx_protocol::cell::Capacity;
use cfx_protocol::id::{
    AppGuid, AssignmentGuid, BuildGuid, CellGuid, DropletGuid, OrgGuid, ProcessGuid,
};
use uuid::Uuid;

use crate::plan::{Action, Plan};
use crate::snapshot::*;

pub(super) const NOW: Duration = Duration::from_secs(10_000);

pub(super) fn cell_guid(n: u128) -> CellGuid {
    CellGuid(Uuid::from_u128(0xce11_0000 + n))
}

/// As `cell` names it.
pub(super) fn cell_name(guid: CellGuid) -> String {
    format!("cell-{}", guid.0.as_u128() - 0xce11_0000)
}

pub(super) fn process_guid(n: u128) -> ProcessGuid {
    ProcessGuid(Uuid::from_u128(0x9700_0000 + n))
}

pub(super) fn cell(n: u128, zone: &str) -> (CellGuid, Cell) {
    let cell = Cell {
        name: format!("cell-{n}").into(),
        zone: zone.into(),
        stacks: BTreeSet::from(["host".to_owned()]),
        tags: BTreeSet::new(),
        images: true,
        capacity: Capacity {
            memory_mb: 4_096,
            disk_mb: 40_960,
            slots: 100,
            cpu_millicores: 4_000,
            starts: 8,
        },
        heard: NOW,
        healthy: true,
        draining: false,
    };
    (cell_guid(n), cell)
}

pub(super) fn shape(memory_mb: u32) -> Shape {
    Shape {
        size: Size {
            memory_mb,
            disk_mb: 1_024,
        },
        root: Root::Stack("host".into()),
        isolation: None,
        droplet: None,
    }
}

/// Process `n` is the only one of app `n`, in organisation 1.
pub(super) fn process(n: u128, instances: u32) -> Process {
    Process {
        guid: process_guid(n),
        app: AppGuid(Uuid::from_u128(n)),
        org: OrgGuid(Uuid::from_u128(1)),
        version: 1,
        instances,
        shape: shape(256),
        rollout: Rollout::Replace,
        intents: Vec::new(),
    }
}

pub(super) fn staging(n: u128) -> RunOnce {
    RunOnce {
        work: Work::Staging(BuildGuid(Uuid::from_u128(n))),
        app: AppGuid(Uuid::from_u128(n)),
        org: OrgGuid(Uuid::from_u128(1)),
        shape: shape(1_024),
        wanted: true,
        age: Duration::ZERO,
        intent: None,
    }
}

/// Assignment `n` of index `index` on cell `cell`.
pub(super) fn intent(n: u128, index: u32, cell: u128, seen: Seen) -> Intent {
    Intent {
        assignment: AssignmentGuid(Uuid::from_u128(n)),
        index,
        version: 1,
        cell: cell_guid(cell),
        size: shape(256).size,
        phase: Phase::Run,
        seen,
    }
}

pub(super) fn snapshot(
    cells: impl IntoIterator<Item = (CellGuid, Cell)>,
    processes: Vec<Process>,
) -> Snapshot {
    Snapshot {
        cells: cells.into_iter().collect(),
        processes,
        runs: Vec::new(),
        listening_since: Duration::ZERO,
    }
}

pub(super) fn droplet(n: u128) -> DropletGuid {
    DropletGuid(Uuid::from_u128(n))
}

/// Carries a plan out: what it says becomes so.
pub(super) fn carry_out(snapshot: &mut Snapshot, plan: &Plan) {
    for action in &plan.actions {
        match action {
            Action::Place(it) => {
                let intent = Intent {
                    assignment: it.assignment,
                    index: it.index,
                    version: it.version,
                    cell: it.cell,
                    size: it.size,
                    phase: Phase::Run,
                    seen: Seen::Unknown,
                };
                match process_of(snapshot, it.work) {
                    Some(process) => process.intents.push(intent),
                    None => run_of(snapshot, it.work).intent = Some(intent),
                }
            }
            Action::Unroute(it) => {
                let withdrawn = None;
                find(snapshot, it.assignment).phase = Phase::Unroute { withdrawn };
            }
            Action::Stop(it) => find(snapshot, it.assignment).phase = Phase::Stop,
            Action::Forget(it) => forget(snapshot, it.assignment),
            Action::Abandon { work, .. } => run_of(snapshot, *work).wanted = false,
        }
    }
}

/// What cells and routers do meanwhile: what is to run serves, what is to end ends.
pub(super) fn time_passes(snapshot: &mut Snapshot, now: Duration) {
    let lost: BTreeMap<_, _> = snapshot
        .cells
        .keys()
        .map(|guid| (*guid, Liveness::after(snapshot.silence(*guid, now))))
        .collect();
    let intents = snapshot
        .processes
        .iter_mut()
        .flat_map(|process| process.intents.iter_mut());
    for intent in intents {
        match &mut intent.phase {
            Phase::Unroute { withdrawn } => *withdrawn = Some(Duration::ZERO),
            _ if lost[&intent.cell] == Liveness::Lost => {}
            Phase::Run => intent.seen = Seen::Routable,
            Phase::Stop => intent.seen = Seen::Gone,
        }
    }
}

/// `cell-1: 0 1(unroute), cell-2: 2`: indices by cell, with what is not plainly routable.
pub(super) fn picture(snapshot: &Snapshot) -> String {
    let mut cells: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for process in &snapshot.processes {
        for intent in &process.intents {
            let note = match (intent.phase, intent.seen) {
                (Phase::Run, Seen::Routable) => String::new(),
                (Phase::Run, seen) => format!("({seen:?})").to_lowercase(),
                (Phase::Unroute { .. }, _) => "(unroute)".to_owned(),
                (Phase::Stop, _) => "(stop)".to_owned(),
            };
            let version = match intent.version {
                1 => String::new(),
                version => format!("v{version}:"),
            };
            let name = snapshot.cells[&intent.cell].name.to_string();
            let entry = format!("{version}{}{note}", intent.index);
            cells.entry(name).or_default().push(entry);
        }
    }
    let line = |(name, mut entries): (String, Vec<String>)| {
        entries.sort();
        format!("{name}: {}", entries.join(" "))
    };
    cells.into_iter().map(line).collect::<Vec<_>>().join(", ")
}

fn process_of(snapshot: &mut Snapshot, work: Work) -> Option<&mut Process> {
    let mut processes = snapshot.processes.iter_mut();
    processes.find(|process| Work::Process(process.guid) == work)
}

fn run_of(snapshot: &mut Snapshot, work: Work) -> &mut RunOnce {
    let mut runs = snapshot.runs.iter_mut();
    runs.find(|run| run.work == work).expect("a known work")
}

fn find(snapshot: &mut Snapshot, assignment: AssignmentGuid) -> &mut Intent {
    let of_processes = snapshot
        .processes
        .iter_mut()
        .flat_map(|process| process.intents.iter_mut());
    let of_runs = snapshot.runs.iter_mut().filter_map(|it| it.intent.as_mut());
    of_processes
        .chain(of_runs)
        .find(|intent| intent.assignment == assignment)
        .expect("a known assignment")
}

fn forget(snapshot: &mut Snapshot, assignment: AssignmentGuid) {
    for process in &mut snapshot.processes {
        process.intents.retain(|it| it.assignment != assignment);
    }
    for run in &mut snapshot.runs {
        run.intent.take_if(|it| it.assignment == assignment);
    }
}
