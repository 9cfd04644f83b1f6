//! Cells that are scripts: each follows its stream of desired sets, line by line as over the wire,
//! and reports at once that everything it was told to run is healthy. The keepalive of each silent
//! second makes it report each second.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use cfx_cloud_controller::cells::Observed;
use cfx_cloud_controller::convergence::Dispatch;
use cfx_process::clock::Clock;
use cfx_protocol::actual::{Address, CellReport, InstanceReport, digest};
use cfx_protocol::cell::{Capacity, CellRegistration, CellUsage};
use cfx_protocol::desired::DesiredFrame;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use cfx_protocol::instance::InstanceState;
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::super::planner::guid;
use crate::failure::{Failure, Outcome};

/// Instances have ports from here on.
const PORT_FIRST: u16 = 10_000;

/// All of them.
pub(super) struct Cells {
    /// Instances that cells were told to run.
    told: watch::Receiver<usize>,
    /// Cells whose first report was taken.
    known: watch::Receiver<usize>,
    count: usize,
}

/// What all of them count together.
#[derive(Clone)]
struct Counts {
    told: Arc<watch::Sender<usize>>,
    known: Arc<watch::Sender<usize>>,
}

impl Cells {
    pub(super) fn start(
        count: u32,
        observed: &Observed,
        dispatch: &Dispatch,
        clock: &Clock,
        spawn: impl Fn(&'static str, Pin<Box<dyn Future<Output = ()> + Send>>),
    ) -> Self {
        let counts = Counts {
            told: Arc::new(watch::Sender::new(0)),
            known: Arc::new(watch::Sender::new(0)),
        };
        let cells = Self {
            told: counts.told.subscribe(),
            known: counts.known.subscribe(),
            count: usize::try_from(count).unwrap_or(usize::MAX),
        };
        for n in 0..count {
            let registration = registration(n);
            let cell = Cell {
                guid: registration.guid,
                sequence: 0,
                applied: None,
                set: BTreeSet::new(),
                digest: 0,
                counts: counts.clone(),
                observed: observed.clone(),
                clock: clock.clone(),
            };
            observed.register(registration, clock.monotonic());
            spawn("scripted cell", Box::pin(cell.run(dispatch.clone())));
        }
        cells
    }

    pub(super) fn told(&self) -> usize {
        *self.told.borrow()
    }

    pub(super) async fn until_told(&self, instances: usize) {
        let mut told = self.told.clone();
        drop(told.wait_for(|told| *told >= instances).await);
    }

    pub(super) async fn all_known(&self, deadline: Duration) -> Outcome {
        let mut known = self.known.clone();
        let all = known.wait_for(|known| *known >= self.count);
        let waited = tokio::time::timeout(deadline, all).await;
        let failed = || Failure::new("the scripted cells were not taken in");
        waited
            .map_err(|_| failed())?
            .map(drop)
            .map_err(|_| failed())
    }
}

struct Cell {
    guid: CellGuid,
    sequence: u64,
    applied: Option<Token>,
    set: BTreeSet<AssignmentGuid>,
    digest: u64,
    counts: Counts,
    observed: Observed,
    clock: Clock,
}

impl Cell {
    async fn run(mut self, dispatch: Dispatch) {
        let mut lines = pin!(dispatch.stream(self.guid));
        while let Some(Ok(line)) = lines.next().await {
            match serde_json::from_slice(&line) {
                Ok(frame) => self.take_in(frame),
                Err(error) => tracing::error!(%error, "a frame that cannot be read"),
            }
        }
    }

    fn take_in(&mut self, frame: DesiredFrame) {
        let token = frame.token();
        let is_first = self.applied.replace(token).is_none();
        let (added, removed) = match frame {
            DesiredFrame::Snapshot { assignments, .. } => (assignments, Vec::new()),
            DesiredFrame::Delta { upsert, remove, .. } => (upsert, remove),
            DesiredFrame::Keepalive { .. } => (Vec::new(), Vec::new()),
        };
        let added: Vec<_> = added.into_iter().map(|it| it.guid).collect();
        for guid in &added {
            if self.set.insert(*guid) {
                self.digest ^= digest([&instance(*guid)]);
            }
        }
        for guid in &removed {
            if self.set.remove(guid) {
                self.digest ^= digest([&instance(*guid)]);
            }
        }
        if !self.report(is_first, &added, removed) {
            let all: Vec<_> = self.set.iter().copied().collect();
            self.report(true, &all, Vec::new());
        }
        if is_first {
            self.counts.known.send_modify(|known| *known += 1);
        }
        if !added.is_empty() {
            self.counts.told.send_modify(|told| *told += added.len());
        }
    }

    /// False: a full report is wanted.
    fn report(&mut self, full: bool, new: &[AssignmentGuid], gone: Vec<AssignmentGuid>) -> bool {
        self.sequence += 1;
        let report = CellReport {
            cell: self.guid,
            boot: Uuid::from_u128(1),
            sequence: self.sequence,
            applied: self.applied,
            digest: self.digest,
            full,
            instances: new.iter().map(|guid| instance(*guid)).collect(),
            gone,
            crashes: Vec::new(),
            usage: CellUsage::default(),
            healthy: true,
            draining: false,
        };
        self.observed.report(report, self.clock.monotonic())
    }
}

fn instance(assignment: AssignmentGuid) -> InstanceReport {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = u16::from_be_bytes([assignment.0.as_bytes()[0], assignment.0.as_bytes()[1]]);
    InstanceReport {
        assignment,
        instance: assignment.instance(0),
        starts: 0,
        state: InstanceState::Running {
            since: Timestamp::UNIX_EPOCH,
            ready: true,
        },
        crashes: 0,
        address: Some(Address {
            host,
            port: port.max(PORT_FIRST),
            internal_ip: host,
        }),
        usage: None,
        outcome: None,
    }
}

fn registration(n: u32) -> CellRegistration {
    CellRegistration {
        guid: CellGuid(guid(1, n.into())),
        name: format!("cell-{n}"),
        zone: format!("z{}", n % 3),
        runtime: "docker".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stacks: vec!["host".to_owned()],
        tags: Vec::new(),
        capacity: Capacity {
            memory_mb: 1_048_576,
            disk_mb: 10_000_000,
            slots: 1_000,
            cpu_millicores: 64_000,
            starts: 128,
        },
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        gateway: None,
    }
}
