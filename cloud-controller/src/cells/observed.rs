//! The observed side of the platform, rebuilt from reports and never stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::actual::{CellReport, InstanceReport};
use cfx_protocol::cell::{CellRegistration, CellUsage};
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use imbl::OrdMap;
use parking_lot::RwLock;

/// Is a cell there?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    Alive,
    /// Silent for a moment: nothing new is placed on it.
    Suspect,
    /// Silent for long: its instances are replaced.
    Lost,
}

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
    /// A full report of this boot has been taken in.
    pub known: bool,
}

/// What all cells said last; cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Observed(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    cells: BTreeMap<CellGuid, CellStatus>,
    instances: OrdMap<AssignmentGuid, (CellGuid, Arc<InstanceReport>)>,
}

impl Observed {
    /// The instance of an assignment as its cell sees it.
    #[must_use]
    pub fn instance(&self, assignment: AssignmentGuid) -> Option<Arc<InstanceReport>> {
        self.0
            .read()
            .instances
            .get(&assignment)
            .map(|(_, report)| report.clone())
    }

    /// All instances at one moment, by assignment.
    #[must_use]
    pub fn instances(&self) -> OrdMap<AssignmentGuid, (CellGuid, Arc<InstanceReport>)> {
        self.0.read().instances.clone()
    }

    #[must_use]
    pub fn cell(&self, cell: CellGuid) -> Option<CellStatus> {
        self.0.read().cells.get(&cell).cloned()
    }

    #[must_use]
    pub fn cells(&self) -> Vec<CellStatus> {
        self.0.read().cells.values().cloned().collect()
    }

    /// A cell presents itself. What it said before a restart is kept until its first full report.
    pub fn register(&self, registration: CellRegistration, now: Duration) {
        let mut inner = self.0.write();
        let guid = registration.guid;
        let status = CellStatus {
            registration: Arc::new(registration),
            heard: now,
            sequence: 0,
            boot: uuid::Uuid::nil(),
            healthy: true,
            draining: false,
            usage: CellUsage::default(),
            known: false,
        };
        inner.cells.insert(guid, status);
    }

    /// Take in a report. False: a full report is needed first.
    pub fn report(&self, report: CellReport, now: Duration) -> bool {
        let mut inner = self.0.write();
        let Some(status) = inner.cells.get_mut(&report.cell) else {
            return false;
        };
        let follows =
            status.known && status.boot == report.boot && report.sequence == status.sequence + 1;
        status.heard = now;
        status.healthy = report.healthy;
        status.draining = report.draining;
        status.usage = report.usage;
        if !(report.full || follows) {
            return false;
        }
        status.boot = report.boot;
        status.sequence = report.sequence;
        status.known = true;
        let cell = report.cell;
        if report.full {
            let kept = inner
                .instances
                .iter()
                .filter(|(_, (owner, _))| *owner != cell);
            inner.instances = kept.map(|(key, value)| (*key, value.clone())).collect();
        }
        for gone in &report.gone {
            inner.instances.remove(gone);
        }
        for instance in report.instances {
            inner
                .instances
                .insert(instance.assignment, (cell, Arc::new(instance)));
        }
        true
    }
}
