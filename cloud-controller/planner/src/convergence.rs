//! What is wrong, and what would put it right: missing instances become requests for a place,
//! instances that should not be become endings. No cell is chosen here.
//!
//! The rules for one index of a process:
//! - an instance of the wanted version on a cell that stays is kept; if there is none, one is
//!   requested;
//! - what else has this index ends as soon as that costs no routable instance (I4);
//! - so an instance on a lost cell is kept until its replacement is routable, and if the cell
//!   returns first, the replacement goes instead;
//! - instances of an older version end as the rollout says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::{AppGuid, CellGuid, OrgGuid};

use crate::plan::{Action, Cause, EndReason, Ending, Mode};
use crate::rollout::{Budget, retire};
use crate::snapshot::{Cell, Intent, Liveness, Phase, Process, Seen, Shape, Snapshot, Work};
use crate::task;

/// Time that requests in flight have once routers have let go of an instance.
pub const IN_FLIGHT_GRACE: Duration = Duration::from_secs(2);
/// A cell silent for this long is not waited for any more; should it return, its desired set
/// tells it to stop what is not its own.
pub const CELL_FORGOTTEN: Duration = Duration::from_secs(3_600);

/// What a pass found to do.
#[derive(Debug, Default)]
pub struct Wishes<'a> {
    pub requests: Vec<Request<'a>>,
    pub endings: Vec<Action>,
}

/// Instances of one work in search of cells.
#[derive(Debug)]
pub struct Request<'a> {
    pub work: Work,
    pub app: AppGuid,
    pub org: OrgGuid,
    pub version: u64,
    pub shape: &'a Shape,
    /// By index.
    pub instances: Vec<(u32, Cause)>,
    /// Nothing of its process runs: one of them comes before all that is not.
    pub first: bool,
}

/// Everything that is to be placed or ended.
#[must_use]
pub fn wishes(snapshot: &Snapshot, now: Duration, mode: Mode) -> Wishes<'_> {
    let view = View {
        cells: &snapshot.cells,
        listening_since: snapshot.listening_since,
        now,
        mode,
    };
    let mut wishes = Wishes::default();
    for process in &snapshot.processes {
        converge(process, &view, &mut wishes);
    }
    for run in &snapshot.runs {
        task::converge(run, &view, &mut wishes);
    }
    wishes
}

/// The cells as one pass sees them.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) cells: &'a BTreeMap<CellGuid, Cell>,
    pub(crate) listening_since: Duration,
    pub(crate) now: Duration,
    pub(crate) mode: Mode,
}

impl View<'_> {
    pub(crate) fn silence(&self, cell: CellGuid) -> Duration {
        let cell = self.cells.get(&cell);
        let heard = cell.map_or(self.listening_since, |cell| cell.heard);
        self.now.saturating_sub(heard)
    }

    /// A cell's name, or its guid when it never told one.
    pub(crate) fn cell_name(&self, guid: CellGuid) -> Arc<str> {
        let cell = self.cells.get(&guid);
        cell.map_or_else(|| guid.to_string().into(), |cell| cell.name.clone())
    }

    pub(crate) fn is_lost(&self, cell: CellGuid) -> bool {
        Liveness::after(self.silence(cell)) == Liveness::Lost
    }

    fn is_draining(&self, cell: CellGuid) -> bool {
        let cell = self.cells.get(&cell);
        cell.is_some_and(|cell| cell.draining)
    }

    /// May an instance stay where it is?
    pub(crate) fn stays(&self, intent: &Intent) -> bool {
        !self.is_lost(intent.cell) && !self.is_draining(intent.cell)
    }
}

pub(crate) fn converge<'a>(process: &'a Process, view: &View<'_>, wishes: &mut Wishes<'a>) {
    let work = Work::Process(process.guid);
    let mut by_index: BTreeMap<u32, Vec<&Intent>> = BTreeMap::new();
    for intent in &process.intents {
        if !intent.runs() {
            wishes.endings.extend(advance(work, intent, view));
        } else if intent.index < process.instances {
            by_index.entry(intent.index).or_default().push(intent);
        } else {
            let reason = match process.instances {
                0 => EndReason::ProcessStopped,
                instances => EndReason::ScaledDown { instances },
            };
            wishes.endings.push(unroute(work, intent, reason));
        }
    }
    let running = process.intents.iter().any(|i| i.runs() && view.stays(i));
    let mut first = !running;
    let mut budget = Budget::of(process);
    let mut missing = Vec::new();
    for index in 0..process.instances {
        let intents = by_index.remove(&index).unwrap_or_default();
        let (current, old): (Vec<_>, Vec<_>) = intents
            .into_iter()
            .partition(|intent| intent.version == process.version);
        if let Some(cause) = settle(work, &current, &old, view, wishes)
            && budget.allows(&cause)
            && brake_allows(process, &cause, first, view)
        {
            missing.push((index, cause));
            first = false;
        }
        let stays = |intent: &&Intent| view.stays(intent);
        let successors: Vec<_> = current.into_iter().filter(stays).collect();
        let retired = retire(process, &successors, &old);
        if retired.is_empty() {
            // They stay for now, but one of them is enough: a spare may hold the successor's room.
            end_spares(work, &old, view, wishes);
        }
        wishes.endings.extend(retired);
    }
    if !missing.is_empty() {
        wishes.requests.push(request(process, missing, !running));
    }
}

/// Ends what is one too many of an index; answers why one is to be placed, if none is there.
fn settle(
    work: Work,
    current: &[&Intent],
    old: &[&Intent],
    view: &View<'_>,
    wishes: &mut Wishes<'_>,
) -> Option<Cause> {
    let is_there = end_spares(work, current, view, wishes);
    (!is_there).then(|| cause(current, old, view))
}

/// Of several instances of one version with the same index one is kept: the one that is furthest,
/// and of equals the first, which has been there longest. False: none of them stays.
fn end_spares(work: Work, intents: &[&Intent], view: &View<'_>, wishes: &mut Wishes<'_>) -> bool {
    let staying = intents.iter().filter(|intent| view.stays(intent));
    let Some(keeper) = staying.min_by_key(|intent| std::cmp::Reverse(intent.seen)) else {
        return false;
    };
    for other in intents {
        let costs_a_routable = other.may_serve() && !keeper.is_routable();
        if other.assignment != keeper.assignment && !costs_a_routable {
            let by = keeper.assignment;
            let ending = unroute(work, other, EndReason::Replaced { by });
            wishes.endings.push(ending);
        }
    }
    true
}

/// Why an index has nothing that stays.
fn cause(current: &[&Intent], old: &[&Intent], view: &View<'_>) -> Cause {
    let name = |intent: &Intent| view.cell_name(intent.cell);
    if let Some(lost) = current.iter().find(|intent| view.is_lost(intent.cell)) {
        return Cause::CellLost(name(lost));
    }
    if let Some(draining) = current.first() {
        return Cause::CellDrains(name(draining));
    }
    old.first().map_or(Cause::Missing, |old| Cause::NewVersion {
        from: old.version,
    })
}

/// While many cells are silent, only a process without any routable instance gets a replacement,
/// and only one at a time.
fn brake_allows(process: &Process, cause: &Cause, first: bool, view: &View<'_>) -> bool {
    if view.mode == Mode::Normal || !matches!(cause, Cause::CellLost(_)) {
        return true;
    }
    let serves = |intent: &Intent| intent.is_routable() && view.stays(intent);
    first && !process.intents.iter().any(serves)
}

fn request(process: &Process, instances: Vec<(u32, Cause)>, first: bool) -> Request<'_> {
    Request {
        work: Work::Process(process.guid),
        app: process.app,
        org: process.org,
        version: process.version,
        shape: &process.shape,
        instances,
        first,
    }
}

/// The next step of an instance that is ending: routers let go, the cell stops it, it is gone.
pub(crate) fn advance(work: Work, intent: &Intent, view: &View<'_>) -> Option<Action> {
    let ending = |reason| Ending {
        work,
        assignment: intent.assignment,
        reason,
    };
    match intent.phase {
        Phase::Run => None,
        Phase::Unroute { withdrawn } => {
            // Whatever was reported of it: it may have become healthy since, at an address that a
            // router still had.
            let over = withdrawn.is_some_and(|at| view.now >= at + IN_FLIGHT_GRACE);
            over.then(|| Action::Stop(ending(EndReason::Withdrawn)))
        }
        Phase::Stop if intent.seen == Seen::Gone => Some(Action::Forget(ending(EndReason::Gone))),
        Phase::Stop if view.silence(intent.cell) >= CELL_FORGOTTEN => {
            Some(Action::Forget(ending(EndReason::CellForgotten)))
        }
        Phase::Stop => None,
    }
}

pub(crate) fn unroute(work: Work, intent: &Intent, reason: EndReason) -> Action {
    Action::Unroute(Ending {
        work,
        assignment: intent.assignment,
        reason,
    })
}
