//! The observed side of the platform, rebuilt from reports and never stored.
//!
//! Cells send what changed, with a digest of everything; a digest that differs from ours asks for
//! a full report. An assignment belongs to the cell that reported it first: no other cell can
//! speak for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cfx_planner::Liveness;
use cfx_protocol::actual::{CellReport, InstanceReport, Usage, digest};
use cfx_protocol::cell::{CellRegistration, CellUsage};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid, InstanceGuid};
use imbl::OrdMap;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::changes::{Changed, Listener, Listeners};

/// One cell as it was last heard.
#[derive(Debug, Clone)]
pub struct CellStatus {
    pub registration: Arc<CellRegistration>,
    /// Monotonic time of the last report.
    pub heard: Duration,
    pub sequence: u64,
    pub boot: uuid::Uuid,
    pub healthy: bool,
    pub draining: bool,
    pub usage: CellUsage,
    /// The newest desired set it has taken over.
    pub applied: Option<Token>,
    /// A full report has been taken in since it registered.
    pub known: bool,
}

impl CellStatus {
    #[must_use]
    pub fn liveness(&self, now: Duration) -> Liveness {
        Liveness::after(now.saturating_sub(self.heard))
    }
}

/// All cells at one moment.
pub type Cells = OrdMap<CellGuid, CellStatus>;
/// All instances at one moment, by assignment, each with its cell.
pub type Instances = OrdMap<AssignmentGuid, (CellGuid, Arc<InstanceReport>)>;

/// What all cells said last; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Observed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: RwLock<Inner>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    cells: Cells,
    instances: Instances,
    by_cell: BTreeMap<CellGuid, Held>,
    listeners: Listeners,
}

/// What one cell has.
#[derive(Debug, Default)]
struct Held {
    assignments: BTreeSet<AssignmentGuid>,
    /// Of all their reports, kept in step with them: a cell reports each second.
    digest: u64,
}

impl Default for Observed {
    fn default() -> Self {
        Self(Arc::new(Shared {
            inner: RwLock::default(),
            version: watch::Sender::new(0),
        }))
    }
}

impl Observed {
    /// The instance of an assignment as its cell sees it.
    #[must_use]
    pub fn instance(&self, assignment: AssignmentGuid) -> Option<Arc<InstanceReport>> {
        let inner = self.0.inner.read();
        let (_, report) = inner.instances.get(&assignment)?;
        Some(report.clone())
    }

    #[must_use]
    pub fn instances(&self) -> Instances {
        self.0.inner.read().instances.clone()
    }

    #[must_use]
    pub fn cell(&self, cell: CellGuid) -> Option<CellStatus> {
        self.0.inner.read().cells.get(&cell).cloned()
    }

    #[must_use]
    pub fn cells(&self) -> Vec<CellStatus> {
        self.0.inner.read().cells.values().cloned().collect()
    }

    /// What changed since a listener last asked, and how everything is now: of one moment, so that
    /// nothing is newer than it is named.
    #[must_use]
    pub fn since(&self, listener: &Listener) -> (Changed, Cells, Instances) {
        let inner = self.0.inner.read();
        (
            listener.take(),
            inner.cells.clone(),
            inner.instances.clone(),
        )
    }

    /// Names from now on what has changed, beginning with all that is there.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let mut inner = self.0.inner.write();
        let present = Changed {
            heard: inner.cells.keys().copied().collect(),
            cells: inner.cells.keys().copied().collect(),
            instances: inner.instances.keys().copied().collect(),
        };
        inner.listeners.add(present)
    }

    /// Tells of each change that placement or routing could care about. Usage alone is none.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// A cell presents itself, each time it connects. What it said before is kept until its next
    /// full report.
    pub fn register(&self, registration: CellRegistration, now: Duration) {
        let guid = registration.guid;
        let mut inner = self.0.inner.write();
        let before = inner.cells.get(&guid);
        let status = CellStatus {
            registration: Arc::new(registration),
            heard: now,
            sequence: 0,
            boot: uuid::Uuid::nil(),
            healthy: before.is_none_or(|cell| cell.healthy),
            draining: before.is_some_and(|cell| cell.draining),
            usage: before.map(|cell| cell.usage).unwrap_or_default(),
            applied: None,
            known: false,
        };
        inner.cells.insert(guid, status);
        inner.listeners.tell(|it| {
            it.heard.extend([guid]);
            it.cells.extend([guid]);
        });
        drop(inner);
        self.changed();
    }

    /// Take in a report. False: a full report is needed.
    pub fn report(&self, report: CellReport, now: Duration) -> bool {
        let mut inner = self.0.inner.write();
        let (accepted, changed) = inner.report(report, now);
        drop(inner);
        if changed {
            self.changed();
        }
        accepted
    }

    /// What starts on a cell used, each second; of interest to people, so nobody is woken.
    pub fn measured(&self, cell: CellGuid, usages: Vec<(AssignmentGuid, InstanceGuid, Usage)>) {
        let mut inner = self.0.inner.write();
        for (assignment, instance, usage) in usages {
            let Some((owner, report)) = inner.instances.get_mut(&assignment) else {
                continue;
            };
            if *owner == cell && report.instance == instance {
                Arc::make_mut(report).usage = Some(usage);
            }
        }
    }

    /// Drop what is known of cells that nobody waits for any more.
    pub fn forget_silent(&self, longer_than: Duration, now: Duration) {
        let mut inner = self.0.inner.write();
        let silent = |cell: &&CellGuid| {
            let heard = inner.cells[*cell].heard;
            now.saturating_sub(heard) > longer_than
        };
        let silent: Vec<_> = inner.cells.keys().filter(silent).copied().collect();
        for cell in &silent {
            inner.cells.remove(cell);
            inner.listeners.tell(|it| it.cells.extend([*cell]));
            for assignment in inner.by_cell.remove(cell).unwrap_or_default().assignments {
                inner.forget(assignment);
            }
        }
        drop(inner);
        if !silent.is_empty() {
            self.changed();
        }
    }

    fn changed(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }
}

impl Inner {
    /// Was it taken in, and did it change anything of interest?
    fn report(&mut self, report: CellReport, now: Duration) -> (bool, bool) {
        let (cell, before) = (report.cell, self.status_of(report.cell));
        let taken = self.take_in(report, now);
        let is_new = before != self.status_of(cell);
        self.listeners.tell(|it| {
            it.heard.extend([cell]);
            it.cells.extend(is_new.then_some(cell));
        });
        taken
    }

    /// What placement asks of a cell beside its registration, but when it was heard. The set that it
    /// has applied matters only to what is ending, which is looked at in each pass.
    fn status_of(&self, cell: CellGuid) -> Option<(bool, bool, bool)> {
        let status = self.cells.get(&cell)?;
        Some((status.known, status.healthy, status.draining))
    }

    fn take_in(&mut self, report: CellReport, now: Duration) -> (bool, bool) {
        let Some(status) = self.cells.get_mut(&report.cell) else {
            return (false, false);
        };
        if status.boot == report.boot && report.sequence <= status.sequence {
            // It was held up on its way: a newer one is known already.
            return (status.known, false);
        }
        let woke = status.liveness(now) != Liveness::Alive;
        let mut changed = woke
            || status.healthy != report.healthy
            || status.draining != report.draining
            || status.applied != report.applied;
        status.heard = now;
        status.healthy = report.healthy;
        status.draining = report.draining;
        status.usage = report.usage;
        let follows =
            status.known && status.boot == report.boot && report.sequence == status.sequence + 1;
        if !report.full && !follows {
            // One was missed: what is known of its instances may not be true any more.
            status.known = false;
            return (false, changed);
        }
        status.boot = report.boot;
        status.sequence = report.sequence;
        status.applied = report.applied;
        changed |= !std::mem::replace(&mut status.known, true);
        let (cell, expected) = (report.cell, report.digest);
        if report.full {
            changed |= self.keep_only(cell, &report.instances);
        }
        for gone in &report.gone {
            changed |= self.remove(cell, *gone);
        }
        for instance in report.instances {
            changed |= self.insert(cell, instance);
        }
        let agrees = self.digest(cell) == expected;
        if !agrees && let Some(status) = self.cells.get_mut(&cell) {
            status.known = false;
        }
        (agrees, changed)
    }

    /// A full report lists everything: what it does not list is gone.
    fn keep_only(&mut self, cell: CellGuid, listed: &[InstanceReport]) -> bool {
        let listed: BTreeSet<_> = listed.iter().map(|instance| instance.assignment).collect();
        let here = self.by_cell.entry(cell).or_default();
        let gone: Vec<_> = here.assignments.difference(&listed).copied().collect();
        for assignment in &gone {
            self.remove(cell, *assignment);
        }
        !gone.is_empty()
    }

    fn remove(&mut self, cell: CellGuid, assignment: AssignmentGuid) -> bool {
        let here = self.by_cell.entry(cell).or_default();
        let removed = here.assignments.remove(&assignment);
        if removed {
            if let Some((_, report)) = self.instances.get(&assignment) {
                here.digest ^= digest([&**report]);
            }
            self.forget(assignment);
        }
        removed
    }

    fn forget(&mut self, assignment: AssignmentGuid) {
        self.instances.remove(&assignment);
        self.listeners.tell(|it| it.instances.extend([assignment]));
    }

    fn insert(&mut self, cell: CellGuid, instance: InstanceReport) -> bool {
        let assignment = instance.assignment;
        let changed = match self.instances.get(&assignment) {
            Some((owner, _)) if *owner != cell => {
                tracing::warn!(%cell, %owner, %assignment, "a cell reports an instance of another");
                return false;
            }
            Some((_, before)) => differs(before, &instance),
            None => true,
        };
        if changed {
            self.listeners.tell(|it| it.instances.extend([assignment]));
        }
        let here = self.by_cell.entry(cell).or_default();
        here.assignments.insert(assignment);
        if let Some((_, before)) = self.instances.get(&assignment) {
            here.digest ^= digest([&**before]);
        }
        here.digest ^= digest([&instance]);
        self.instances
            .insert(assignment, (cell, Arc::new(instance)));
        changed
    }

    fn digest(&self, cell: CellGuid) -> u64 {
        self.by_cell.get(&cell).map_or(0, |here| here.digest)
    }
}

/// Is it another state, not just another sample of usage?
fn differs(before: &InstanceReport, after: &InstanceReport) -> bool {
    let essence = |it: &InstanceReport| (it.instance, it.starts, it.crashes, it.address);
    essence(before) != essence(after)
        || before.state != after.state
        || before.outcome != after.outcome
}
