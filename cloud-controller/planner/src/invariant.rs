//! What every plan must keep, whatever the snapshot. Tests ask it of random worlds; debug builds
//! ask it of every plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cfx_protocol::id::{AssignmentGuid, CellGuid};

use crate::constraint::{Free, ruled_out_by};
use crate::plan::{Action, EndReason, Ending, Placement, Plan};
use crate::snapshot::{
    Intent, Liveness, Phase, Process, Rollout, RunOnce, Seen, Shape, Size, Snapshot, Work,
};

/// A plan that must not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// I7, I8, I9: the cell may not take it.
    Misplaced {
        cell: CellGuid,
        constraint: &'static str,
    },
    UnknownCell {
        cell: CellGuid,
    },
    UnknownWork {
        work: Work,
    },
    /// I3: the index has an instance that stays, or is placed twice.
    Duplicate {
        work: Work,
        index: u32,
    },
    /// Beyond the wanted instances, or of a version that is not wanted.
    Unwanted {
        work: Work,
        index: u32,
    },
    /// The guid of the assignment is taken.
    GuidTaken {
        assignment: AssignmentGuid,
    },
    /// The action does not fit the phase, or its assignment is unknown or ended twice.
    IllegalEnding {
        assignment: AssignmentGuid,
    },
    /// I4: nobody asked for it, and nothing else of its index serves.
    CostsRoutable {
        assignment: AssignmentGuid,
    },
}

/// The first invariant that the plan breaks.
pub fn check(snapshot: &Snapshot, plan: &Plan, now: Duration) -> Result<(), Violation> {
    let world = World::of(snapshot);
    let mut free = world.free(snapshot);
    let mut placed = BTreeSet::new();
    let mut ended = BTreeSet::new();
    let mut guids: BTreeSet<_> = world.intents.keys().copied().collect();
    for action in &plan.actions {
        match action {
            Action::Place(placement) => {
                check_wanted(snapshot, &world, placement, now)?;
                check_room(snapshot, &world, placement, now, &mut free)?;
                let (work, index) = (placement.work, placement.index);
                if !placed.insert((work, index)) {
                    return Err(Violation::Duplicate { work, index });
                }
                let assignment = placement.assignment;
                if !guids.insert(assignment) {
                    return Err(Violation::GuidTaken { assignment });
                }
            }
            Action::Unroute(ending) | Action::Stop(ending) | Action::Forget(ending) => {
                let assignment = ending.assignment;
                if !ended.insert(assignment) || !world.is_legal(action, ending) {
                    return Err(Violation::IllegalEnding { assignment });
                }
            }
            Action::Abandon { .. } => {}
        }
    }
    check_routable(&world, plan)
}

/// The snapshot, so that everything is found by its guid.
struct World<'a> {
    /// With the work they belong to.
    intents: BTreeMap<AssignmentGuid, (Work, &'a Intent)>,
    processes: BTreeMap<Work, &'a Process>,
    runs: BTreeMap<Work, &'a RunOnce>,
}

impl<'a> World<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let of_processes = snapshot.processes.iter().flat_map(|process| {
            let work = Work::Process(process.guid);
            process.intents.iter().map(move |intent| (work, intent))
        });
        let of_runs = snapshot
            .runs
            .iter()
            .filter_map(|run| Some((run.work, run.intent.as_ref()?)));
        let intents = of_processes
            .chain(of_runs)
            .map(|(work, intent)| (intent.assignment, (work, intent)))
            .collect();
        let processes = snapshot.processes.iter();
        let runs = snapshot.runs.iter();
        Self {
            intents,
            processes: processes.map(|it| (Work::Process(it.guid), it)).collect(),
            runs: runs.map(|it| (it.work, it)).collect(),
        }
    }

    fn shape(&self, work: Work) -> Option<&Shape> {
        let process = self.processes.get(&work).map(|it| &it.shape);
        process.or_else(|| self.runs.get(&work).map(|it| &it.shape))
    }

    /// What each cell has left; none where it is overcommitted already.
    fn free(&self, snapshot: &Snapshot) -> BTreeMap<CellGuid, Free> {
        let mut free: BTreeMap<_, _> = snapshot
            .cells
            .iter()
            .map(|(guid, cell)| {
                let all = Free {
                    memory_mb: cell.capacity.memory_mb,
                    disk_mb: cell.capacity.disk_mb,
                    slots: cell.capacity.slots,
                };
                (*guid, all)
            })
            .collect();
        let held = self.intents.values().map(|(_, intent)| intent);
        for intent in held.filter(|intent| intent.seen != Seen::Gone) {
            if let Some(left) = free.get_mut(&intent.cell) {
                take(left, intent.size);
            }
        }
        free
    }

    fn is_legal(&self, action: &Action, ending: &Ending) -> bool {
        let Some((work, intent)) = self.intents.get(&ending.assignment) else {
            return false;
        };
        let routed = matches!(work, Work::Process(_));
        let fits = match (action, intent.phase) {
            (Action::Unroute(_), Phase::Run) => routed,
            (Action::Stop(_), Phase::Run) => !routed,
            (Action::Stop(_), Phase::Unroute { withdrawn }) => !routed || withdrawn.is_some(),
            (Action::Forget(_), Phase::Stop) => true,
            _ => false,
        };
        fits && *work == ending.work
    }
}

fn take(free: &mut Free, size: Size) {
    free.memory_mb = free.memory_mb.saturating_sub(u64::from(size.memory_mb));
    free.disk_mb = free.disk_mb.saturating_sub(u64::from(size.disk_mb));
    free.slots = free.slots.saturating_sub(1);
}

fn check_room(
    snapshot: &Snapshot,
    world: &World<'_>,
    placement: &Placement,
    now: Duration,
    free: &mut BTreeMap<CellGuid, Free>,
) -> Result<(), Violation> {
    let cell = placement.cell;
    let (Some(target), Some(left)) = (snapshot.cells.get(&cell), free.get_mut(&cell)) else {
        return Err(Violation::UnknownCell { cell });
    };
    let work = placement.work;
    let shape = world.shape(work).ok_or(Violation::UnknownWork { work })?;
    let liveness = Liveness::after(snapshot.silence(cell, now));
    if let Some(constraint) = ruled_out_by(target, liveness, *left, shape) {
        let constraint = constraint.as_str();
        return Err(Violation::Misplaced { cell, constraint });
    }
    take(left, placement.size);
    Ok(())
}

fn check_wanted(
    snapshot: &Snapshot,
    world: &World<'_>,
    placement: &Placement,
    now: Duration,
) -> Result<(), Violation> {
    let (work, index) = (placement.work, placement.index);
    let Some(process) = world.processes.get(&work) else {
        let run = world.runs.get(&work);
        let wanted = run.is_some_and(|run| run.wanted && run.intent.is_none());
        return wanted
            .then_some(())
            .ok_or(Violation::Unwanted { work, index });
    };
    if index >= process.instances || placement.version != process.version {
        return Err(Violation::Unwanted { work, index });
    }
    let stays = |intent: &&Intent| {
        let lost = Liveness::after(snapshot.silence(intent.cell, now)) == Liveness::Lost;
        let draining = snapshot
            .cells
            .get(&intent.cell)
            .is_some_and(|it| it.draining);
        !lost && !draining
    };
    let present = process
        .intents
        .iter()
        .filter(|intent| intent.runs() && intent.index == index)
        .filter(|intent| intent.version == process.version)
        .any(|intent| stays(&intent));
    if present {
        return Err(Violation::Duplicate { work, index });
    }
    Ok(())
}

/// I4: an instance that serves is taken out only when somebody asked for less or for a restart,
/// or when another of its index serves and stays.
fn check_routable(world: &World<'_>, plan: &Plan) -> Result<(), Violation> {
    let rolling = |work: Work| {
        let process = world.processes.get(&work);
        process.is_some_and(|process| process.rollout != Rollout::Replace)
    };
    let leaving: BTreeMap<_, _> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Unroute(ending) => Some((ending.assignment, &ending.reason)),
            _ => None,
        })
        .collect();
    let serving = world.intents.values().filter(|(_, intent)| {
        intent.runs() && intent.is_routable() && !leaving.contains_key(&intent.assignment)
    });
    let serving: BTreeSet<_> = serving.map(|(work, it)| (*work, it.index)).collect();
    for (assignment, reason) in &leaving {
        let Some((work, intent)) = world.intents.get(assignment) else {
            continue;
        };
        let nobody_asked = match reason {
            EndReason::Replaced { .. } => true,
            EndReason::OldVersion { .. } => rolling(*work),
            _ => false,
        };
        if !intent.is_routable() || !nobody_asked {
            continue;
        }
        if !serving.contains(&(*work, intent.index)) {
            let assignment = *assignment;
            return Err(Violation::CostsRoutable { assignment });
        }
    }
    Ok(())
}
