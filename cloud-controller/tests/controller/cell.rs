//! A cell that follows its desired set to the letter and runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_protocol::actual::{
    Address, CellReport, CrashReport, InstanceReport, Outcome, ReportReply, digest,
};
use cfx_protocol::cell::{Capacity, CellRegistration, CellUsage};
use cfx_protocol::desired::{Assignment, DesiredFrame, InstanceSpec, SpecId};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use cfx_protocol::instance::InstanceState;
use cfx_protocol::link::{FRAME_MAX_BYTES, PREFIX, Role};
use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::world::World;

/// Between reports.
const RHYTHM: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) assignments: BTreeMap<AssignmentGuid, Assignment>,
    pub(crate) specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
    pub(crate) reports: BTreeMap<AssignmentGuid, InstanceReport>,
    /// Frames seen, by kind: snapshots, deltas.
    pub(crate) frames: (u32, u32),
    /// New instances stay in STARTING.
    pub(crate) slow: bool,
    pub(crate) draining: bool,
    pub(crate) crashes: Vec<CrashReport>,
    token: Option<Token>,
    gone: Vec<AssignmentGuid>,
    sequence: u64,
}

/// Dropping it, or stopping it, makes it silent.
pub(crate) struct ScriptedCell {
    pub(crate) guid: CellGuid,
    pub(crate) script: Arc<Mutex<Script>>,
    stop: Shutdown,
    _tasks: Supervisor,
}

impl ScriptedCell {
    pub(crate) fn start(world: &World, n: u128) -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        Self::resume(world, n, script)
    }

    /// The same cell again, with what it had.
    pub(crate) fn resume(world: &World, n: u128, script: Arc<Mutex<Script>>) -> Self {
        let stop = Shutdown::new();
        let tasks = Supervisor::new("scripted cell", stop.clone());
        let cell = Self {
            guid: CellGuid(Uuid::from_u128(n)),
            script: script.clone(),
            stop: stop.clone(),
            _tasks: tasks.clone(),
        };
        let life = Life {
            guid: cell.guid,
            client: world.client(Role::Cell, n),
            script,
            boot: Uuid::from_u128(n),
        };
        tasks.spawn("life", OnEnd::Nothing, async move {
            stop.or(life.run()).await;
        });
        cell
    }

    pub(crate) fn fall_silent(&self) {
        self.stop.request();
    }

    pub(crate) fn indices(&self) -> Vec<u32> {
        let script = self.script.lock();
        let mut all: Vec<_> = script.assignments.values().map(|it| it.index).collect();
        all.sort_unstable();
        all
    }

    /// Change what is reported of the instance with this index.
    pub(crate) fn set(&self, index: u32, change: impl FnOnce(&mut InstanceReport)) {
        let mut script = self.script.lock();
        let guid = script
            .assignments
            .values()
            .find(|it| it.index == index)
            .map(|it| it.guid)
            .expect("it is assigned");
        change(script.reports.get_mut(&guid).expect("it is reported"));
    }

    pub(crate) fn finish(&self, outcome: Outcome) {
        self.set(0, |report| report.outcome = Some(outcome));
    }
}

impl Drop for ScriptedCell {
    fn drop(&mut self) {
        self.stop.request();
    }
}

pub(crate) fn registration(guid: CellGuid) -> CellRegistration {
    CellRegistration {
        guid,
        name: format!("cell-{}", guid.0.as_u128()),
        zone: "z1".into(),
        runtime: "docker".into(),
        version: "0.1.0".into(),
        stacks: vec!["host".into()],
        tags: Vec::new(),
        capacity: Capacity {
            memory_mb: 8_192,
            disk_mb: 65_536,
            slots: 100,
            cpu_millicores: 4_000,
            starts: 8,
        },
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        gateway: None,
    }
}

struct Life {
    guid: CellGuid,
    client: InternalClient,
    script: Arc<Mutex<Script>>,
    boot: Uuid,
}

impl Life {
    async fn run(self) {
        loop {
            // A controller that went away is dialled again.
            if self.connected().await.is_err() {
                Clock::system().sleep(RHYTHM).await;
            }
        }
    }

    async fn connected(&self) -> Result<(), LinkError> {
        let cells = format!("{PREFIX}/cells");
        let presented = registration(self.guid);
        self.client.post::<_, ()>(&cells, &presented).await?;
        let desired = format!("{cells}/{}/desired", self.guid);
        let mut frames = self
            .client
            .stream::<DesiredFrame>(&desired, FRAME_MAX_BYTES)
            .await?;
        loop {
            // A frame that is cut in two by the timer would be lost: so the timer is the report's.
            let waited = tokio::time::timeout(RHYTHM, std::future::pending::<()>());
            tokio::select! {
                frame = frames.next() => match frame {
                    Ok(Some(frame)) => self.follow(frame),
                    _ => return Ok(()),
                },
                _ = waited => self.report().await?,
            }
        }
    }

    fn follow(&self, frame: DesiredFrame) {
        let mut script = self.script.lock();
        let script = &mut *script;
        let token = frame.token();
        match frame {
            DesiredFrame::Snapshot {
                specs, assignments, ..
            } => {
                script.frames.0 += 1;
                script.specs.extend(specs);
                let wanted = assignments.into_iter().map(|it| (it.guid, it)).collect();
                script.assignments = wanted;
            }
            DesiredFrame::Delta {
                previous,
                specs,
                upsert,
                remove,
                ..
            } => {
                script.frames.1 += 1;
                assert_eq!(script.token, Some(previous), "no frame is missing");
                script.specs.extend(specs);
                script
                    .assignments
                    .extend(upsert.into_iter().map(|it| (it.guid, it)));
                for guid in remove {
                    script.assignments.remove(&guid);
                }
            }
            DesiredFrame::Keepalive { token } => assert_eq!(script.token, Some(token)),
        }
        let known = |it: &Assignment| script.specs.contains_key(&it.spec);
        assert!(
            script.assignments.values().all(known),
            "every spec was sent"
        );
        script.token = Some(token);
        script.obey();
    }

    async fn report(&self) -> Result<(), LinkError> {
        let report = {
            let mut script = self.script.lock();
            script.sequence += 1;
            CellReport {
                cell: self.guid,
                boot: self.boot,
                sequence: script.sequence,
                applied: script.token,
                digest: digest(script.reports.values()),
                full: true,
                instances: script.reports.values().cloned().collect(),
                gone: std::mem::take(&mut script.gone),
                crashes: std::mem::take(&mut script.crashes),
                usage: CellUsage::default(),
                healthy: true,
                draining: script.draining,
            }
        };
        let path = format!("{PREFIX}/cells/{}/report", self.guid);
        self.client.post::<_, ReportReply>(&path, &report).await?;
        Ok(())
    }
}

impl Script {
    /// Everything wanted runs at once, everything else is gone at once.
    fn obey(&mut self) {
        let wanted: BTreeSet<_> = self.assignments.keys().copied().collect();
        let unwanted = self.reports.keys().filter(|guid| !wanted.contains(guid));
        self.gone.extend(unwanted.copied());
        self.reports.retain(|guid, _| wanted.contains(guid));
        let state = match self.slow {
            true => InstanceState::Starting {
                since: Timestamp::UNIX_EPOCH,
            },
            false => running(),
        };
        for guid in wanted {
            let port = 40_000 + u16::try_from(self.reports.len()).expect("few");
            self.reports.entry(guid).or_insert_with(|| InstanceReport {
                assignment: guid,
                instance: guid.instance(0),
                starts: 0,
                state: state.clone(),
                crashes: 0,
                address: Some(Address {
                    host: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    port,
                    internal_ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
                }),
                usage: None,
                outcome: None,
            });
        }
    }
}

pub(crate) fn running() -> InstanceState {
    InstanceState::Running {
        since: Timestamp::UNIX_EPOCH,
        ready: true,
    }
}
