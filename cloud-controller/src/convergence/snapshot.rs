//! What the planner gets to see, made from the state, the cells' reports, the routers'
//! acknowledgements and what each cell has taken over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cfx_planner::Liveness;
use cfx_planner::snapshot::{
    Cell, Intent, Phase, Process, Rollout, Root, RunOnce, Seen, Shape, Size, Snapshot, Work,
};
use cfx_protocol::desired::Root as SpecRoot;
use cfx_protocol::id::{AppGuid, CellGuid, OrgGuid, ProcessGuid};
use cfx_protocol::instance::InstanceState;
use jiff::Timestamp;

use super::board::Desired;
use super::progress::Progress;
use super::spec;
use crate::cells::observed::{CellStatus, Cells, Instances};
use crate::state::app::{App, DesiredState};
use crate::state::build::{Build, BuildState};
use crate::state::deployment::Deployment;
use crate::state::intent::{self, IntentChunk, IntentPhase};
use crate::state::process::{self, RunningVersion};
use crate::state::space::Space;
use crate::state::task::{Task, TaskState};
use crate::state::{Link, State};

/// The runtime that can run docker images.
const IMAGE_RUNTIME: &str = "docker";

/// One moment, from all sides.
pub(super) struct Moment {
    pub(super) state: Arc<State>,
    pub(super) instances: Instances,
    pub(super) cells: Cells,
    pub(super) desired: Arc<Desired>,
    /// The revision that all routers serve.
    pub(super) confirmed: Option<u64>,
    pub(super) now: Duration,
    pub(super) wall: Timestamp,
    pub(super) listening_since: Duration,
}

impl Moment {
    /// All of it.
    pub(super) fn snapshot(&self, progress: &mut Progress) -> Snapshot {
        progress.begin();
        let processes = self.processes(progress);
        let runs = self.runs(progress);
        progress.finish();
        Snapshot {
            cells: self
                .cells
                .iter()
                .map(|(guid, it)| (*guid, cell(it)))
                .collect(),
            processes,
            runs,
            listening_since: self.listening_since,
        }
    }

    /// Every process that wants or has instances.
    fn processes(&self, progress: &mut Progress) -> Vec<Process> {
        let with_intents = self.state.all::<IntentChunk>().map(|chunk| chunk.process);
        let known = self.state.all::<process::Process>().map(|it| it.guid);
        let guids: BTreeSet<ProcessGuid> = with_intents.chain(known).collect();
        guids
            .into_iter()
            .filter_map(|guid| self.process(guid, progress))
            .collect()
    }

    pub(super) fn process(&self, guid: ProcessGuid, progress: &mut Progress) -> Option<Process> {
        let intents: Vec<_> = self
            .state
            .intents_of(guid)
            .map(|intent| self.intent(intent, progress))
            .collect();
        let record = self.state.get::<process::Process>(&guid);
        let wanted = record.and_then(|record| self.wanted(record));
        match (record, wanted) {
            (Some(record), Some((running, org, root))) => Some(Process {
                guid,
                app: record.app,
                org,
                version: running.version,
                instances: record.instances,
                shape: shape(running.memory_mb, running.disk_mb, root),
                rollout: self.rollout(record),
                intents,
            }),
            _ if intents.is_empty() => None,
            // Stopped or deleted: only its end is left.
            _ => Some(Process {
                guid,
                app: record.map_or(AppGuid::NIL, |record| record.app),
                org: OrgGuid::NIL,
                version: 0,
                instances: 0,
                shape: shape(
                    0,
                    0,
                    SpecRoot::Stack {
                        name: String::new(),
                        droplet: None,
                    },
                ),
                rollout: Rollout::Replace,
                intents,
            }),
        }
    }

    /// What a process is to run, if its app is started and has something to run.
    fn wanted<'s>(
        &'s self,
        process: &'s process::Process,
    ) -> Option<(&'s RunningVersion, OrgGuid, SpecRoot)> {
        let app = self.state.get::<App>(&process.app)?;
        let running = process.running.as_ref()?;
        if app.desired_state != DesiredState::Started {
            return None;
        }
        let root = spec::root(&self.state, running.droplet?).ok()?;
        Some((running, self.org(app)?, root))
    }

    fn org(&self, app: &App) -> Option<OrgGuid> {
        let space = self.state.get::<Space>(&app.space)?;
        Some(space.organization)
    }

    fn rollout(&self, process: &process::Process) -> Rollout {
        let mut deployments = self
            .state
            .linked::<Deployment>(Link::DeploymentsOf(process.app.0));
        let active = deployments.find(|it| it.process == process.guid && it.status.is_active());
        active.map_or(Rollout::Replace, |deployment| Rollout::Rolling {
            max_in_flight: deployment.max_in_flight,
        })
    }

    fn runs(&self, progress: &mut Progress) -> Vec<RunOnce> {
        let tasks = self.state.all::<Task>().map(|it| Work::Task(it.guid));
        let builds = self.state.all::<Build>().map(|it| Work::Staging(it.guid));
        tasks
            .chain(builds)
            .filter_map(|work| self.run(work, progress))
            .collect()
    }

    /// A work that runs once, if it is to run or something of it is left.
    pub(super) fn run(&self, work: Work, progress: &mut Progress) -> Option<RunOnce> {
        match work {
            Work::Process(_) => None,
            Work::Task(guid) => {
                let task = self.state.get::<Task>(&guid)?;
                let wanted = matches!(task.state, TaskState::Pending | TaskState::Running);
                let is_there = wanted || task.intent.is_some();
                is_there.then(|| self.task(task, wanted, progress))?
            }
            Work::Staging(guid) => {
                let build = self.state.get::<Build>(&guid)?;
                let wanted = build.state == BuildState::Staging && build.work.is_some();
                let is_there = wanted || build.intent.is_some();
                is_there.then(|| self.staging(build, wanted, progress))
            }
        }
    }

    fn staging(&self, build: &Build, wanted: bool, progress: &mut Progress) -> RunOnce {
        let stack = build.work.as_ref().map(|work| work.stack.clone());
        let root = SpecRoot::Stack {
            name: stack.unwrap_or_default(),
            droplet: None,
        };
        let intent = build.intent.as_ref();
        RunOnce {
            work: Work::Staging(build.guid),
            app: build.app,
            org: self.org_of(build.app),
            shape: shape(build.memory_mb, build.disk_mb, root),
            wanted,
            age: self.age(build.meta.created_at),
            intent: intent.map(|intent| self.intent(intent, progress)),
        }
    }

    fn task(&self, task: &Task, wanted: bool, progress: &mut Progress) -> Option<RunOnce> {
        let root = spec::root(&self.state, task.droplet).ok();
        let intent = task.intent.as_ref();
        // Without its droplet it can still end, but not begin.
        let root = match (root, intent) {
            (Some(root), _) => root,
            (None, Some(_)) => SpecRoot::Stack {
                name: String::new(),
                droplet: None,
            },
            (None, None) => return None,
        };
        Some(RunOnce {
            work: Work::Task(task.guid),
            app: task.app,
            org: self.org_of(task.app),
            shape: shape(task.memory_mb, task.disk_mb, root),
            wanted,
            age: self.age(task.meta.created_at),
            intent: intent.map(|intent| self.intent(intent, progress)),
        })
    }

    fn org_of(&self, app: AppGuid) -> OrgGuid {
        let app = self.state.get::<App>(&app);
        app.and_then(|app| self.org(app)).unwrap_or(OrgGuid::NIL)
    }

    /// By the wall clock, because it outlives restarts; one that went back counts as no time.
    fn age(&self, since: Timestamp) -> Duration {
        Duration::try_from(self.wall.duration_since(since)).unwrap_or_default()
    }

    fn intent(&self, intent: &intent::Intent, progress: &mut Progress) -> Intent {
        let revision = self.state.revision;
        let phase = match intent.phase {
            IntentPhase::Run => Phase::Run,
            IntentPhase::Unroute { .. } => Phase::Unroute {
                withdrawn: progress.withdrawn(intent, revision, self.confirmed, self.now),
            },
            IntentPhase::Stop => Phase::Stop,
        };
        Intent {
            assignment: intent.assignment,
            index: intent.index,
            version: intent.version,
            cell: intent.cell,
            size: Size {
                memory_mb: intent.memory_mb,
                disk_mb: intent.disk_mb,
            },
            phase,
            seen: self.seen(intent, progress),
        }
    }

    fn seen(&self, intent: &intent::Intent, progress: &mut Progress) -> Seen {
        let report = self.instances.get(&intent.assignment);
        let report = report.filter(|(cell, _)| *cell == intent.cell);
        let there = report.map(|(_, report)| match &report.state {
            InstanceState::Running { ready: true, .. } => Seen::Routable,
            InstanceState::Running { ready: false, .. } | InstanceState::Stopping { .. } => {
                Seen::Unready
            }
            InstanceState::Crashed { .. } => Seen::Crashed,
            InstanceState::Gone => Seen::Unknown,
            _ => Seen::Starting,
        });
        if intent.phase != IntentPhase::Stop {
            return self.believed(intent.cell, there);
        }
        let cell = self.cells.get(&intent.cell).filter(|cell| cell.known);
        let applied = cell.and_then(|cell| self.desired.applied(intent.cell, cell));
        let ordered_away = progress.is_ordered_away(intent, self.state.revision, applied);
        match there {
            None | Some(Seen::Unknown) if ordered_away && cell.is_some() => Seen::Gone,
            there => there.unwrap_or(Seen::Unknown),
        }
    }

    /// That an instance does not serve is believed only of a cell that is heard: it may have become
    /// healthy since. That it serves counts until another one does.
    fn believed(&self, cell: CellGuid, told: Option<Seen>) -> Seen {
        let cell = self.cells.get(&cell).filter(|cell| cell.known);
        let heard = cell.is_some_and(|cell| cell.liveness(self.now) == Liveness::Alive);
        told.filter(|seen| heard || *seen == Seen::Routable)
            .unwrap_or(Seen::Unknown)
    }
}

pub(super) fn cell(status: &CellStatus) -> Cell {
    let registration = &status.registration;
    Cell {
        name: registration.name.as_str().into(),
        zone: registration.zone.as_str().into(),
        stacks: registration.stacks.iter().cloned().collect(),
        tags: registration.tags.iter().cloned().collect(),
        images: registration.runtime == IMAGE_RUNTIME,
        capacity: registration.capacity,
        heard: status.heard,
        healthy: status.healthy,
        draining: status.draining,
    }
}

fn shape(memory_mb: u32, disk_mb: u32, root: SpecRoot) -> Shape {
    let (root, droplet) = match root {
        SpecRoot::Stack { name, droplet } => (
            Root::Stack(Arc::from(name)),
            droplet.map(|droplet| droplet.guid),
        ),
        SpecRoot::Image { .. } => (Root::Image, None),
    };
    Shape {
        size: Size { memory_mb, disk_mb },
        root,
        isolation: None,
        droplet,
    }
}
