//! The desired set of every cell, as a function of the state.
//!
//! It follows the state by its differences: a commit costs what it changed, not what there is.
//! Readers get a persistent snapshot and compare it with the one they sent last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfx_planner::snapshot::Work;
use cfx_protocol::desired::{Assignment, InstanceSpec, SpecId};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use imbl::OrdMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::spec::{self, NoSpec, spec_id};
use crate::cells::CellStatus;
use crate::state::build::Build;
use crate::state::intent::{Intent, IntentChunk, IntentPhase};
use crate::state::process::Process;
use crate::state::task::Task;
use crate::state::{State, StateHandle, changed_keys};

/// What one cell is to run.
pub type Assignments = OrdMap<AssignmentGuid, Assignment>;

/// What one cell is to run, and since which revision of the state.
#[derive(Debug, Clone, Default)]
pub struct CellSet {
    pub since: u64,
    pub assignments: Assignments,
}

/// What all cells are to run, at one revision of the state. A cell that had something once stays
/// listed.
#[derive(Debug, Clone)]
pub struct Desired {
    pub token: Token,
    pub cells: OrdMap<CellGuid, CellSet>,
    pub specs: OrdMap<SpecId, Arc<InstanceSpec>>,
}

impl Desired {
    /// What a cell is to run.
    #[must_use]
    pub fn assignments(&self, cell: CellGuid) -> Assignments {
        let set = self.cells.get(&cell);
        set.map(|set| set.assignments.clone()).unwrap_or_default()
    }

    /// The revision up to which a cell has taken over its set: none before its first, and what
    /// another controller said before does not count. Who has the newest set has it for all
    /// revisions since.
    #[must_use]
    pub fn applied(&self, cell: CellGuid, status: &CellStatus) -> Option<u64> {
        let (applied, now) = (status.applied?, self.token);
        if (applied.cluster, applied.epoch) != (now.cluster, now.epoch) {
            return None;
        }
        let since = self.cells.get(&cell).map_or(0, |set| set.since);
        Some(match applied.revision >= since {
            true => now.revision.max(applied.revision),
            false => applied.revision,
        })
    }
}

/// Keeps `Desired` in step with the state. There is one, owned by one task.
#[derive(Debug)]
pub struct Board {
    state: StateHandle,
    cf_api: Arc<str>,
    followed: Arc<State>,
    desired: Desired,
    /// What each work has on the board, to take it off again.
    entries: BTreeMap<Work, BTreeMap<AssignmentGuid, (CellGuid, SpecId)>>,
    published: watch::Sender<Arc<Desired>>,
    bells: Bells,
    /// Cells whose sets differ from what was published last.
    changed: BTreeSet<CellGuid>,
}

impl Board {
    /// A board that shows the present state.
    #[must_use]
    pub fn new(state: StateHandle, cf_api: Arc<str>) -> Self {
        let desired = Desired {
            token: state.token(),
            cells: OrdMap::new(),
            specs: OrdMap::new(),
        };
        let published = watch::Sender::new(Arc::new(desired.clone()));
        let mut board = Self {
            state,
            cf_api,
            followed: Arc::default(),
            desired,
            entries: BTreeMap::new(),
            published,
            bells: Bells::default(),
            changed: BTreeSet::new(),
        };
        board.advance();
        board
    }

    #[must_use]
    pub fn published(&self) -> watch::Receiver<Arc<Desired>> {
        self.published.subscribe()
    }

    #[must_use]
    pub fn bells(&self) -> Bells {
        self.bells.clone()
    }

    /// Follow the state for as long as it lives.
    pub async fn run(mut self) {
        let mut changes = self.state.changes();
        while changes.changed().await.is_ok() {
            self.advance();
        }
    }

    pub(crate) fn advance(&mut self) {
        let state = self.state.read();
        self.desired.token.revision = state.revision;
        for work in changed_works(&self.followed, &state) {
            self.refresh(work, &state);
        }
        self.followed = state;
        self.published.send_replace(Arc::new(self.desired.clone()));
        for cell in std::mem::take(&mut self.changed) {
            self.bells.ring(cell);
        }
    }

    /// Bring what the board shows of one work in line with its intents.
    fn refresh(&mut self, work: Work, state: &State) {
        let mut before = self.entries.remove(&work).unwrap_or_default();
        let mut after = BTreeMap::new();
        let mut ids: BTreeMap<u64, SpecId> = BTreeMap::new();
        for intent in intents_of(state, work) {
            if intent.phase == IntentPhase::Stop {
                continue;
            }
            let version = intent.version;
            let named = ids.entry(version);
            let id = named
                .or_insert_with(|| self.name(work, version, state))
                .clone();
            if before.remove(&intent.assignment).is_none() {
                self.put(intent, &id);
            }
            after.insert(intent.assignment, (intent.cell, id));
        }
        let used: BTreeSet<_> = after.values().map(|(_, id)| id.clone()).collect();
        for (assignment, (cell, id)) in before {
            self.take(cell, assignment);
            if !used.contains(&id) {
                self.desired.specs.remove(&id);
            }
        }
        if !after.is_empty() {
            self.entries.insert(work, after);
        }
    }

    /// The name of a spec, which is on the board then. Without its spec an instance cannot be
    /// started, but a cell that runs it has the spec, and what is still to be unrouted must not be
    /// stopped by leaving it out.
    fn name(&mut self, work: Work, version: u64, state: &State) -> SpecId {
        let id = spec_id(work, version);
        if let Err(why) = self.ensure_spec(&id, work, version, state) {
            tracing::debug!(spec = %id.0, %why, "an instance is named without its spec");
        }
        id
    }

    fn ensure_spec(
        &mut self,
        id: &SpecId,
        work: Work,
        version: u64,
        state: &State,
    ) -> Result<(), NoSpec> {
        if !self.desired.specs.contains_key(id) {
            let spec = build_spec(state, work, version, &self.cf_api)?;
            self.desired.specs.insert(id.clone(), Arc::new(spec));
        }
        Ok(())
    }

    fn put(&mut self, intent: &Intent, spec: &SpecId) {
        let assignment = Assignment {
            guid: intent.assignment,
            spec: spec.clone(),
            index: intent.index,
        };
        let set = self.set_of(intent.cell);
        set.assignments.insert(intent.assignment, assignment);
    }

    fn take(&mut self, cell: CellGuid, assignment: AssignmentGuid) {
        self.set_of(cell).assignments.remove(&assignment);
    }

    /// A cell's set, to be changed.
    fn set_of(&mut self, cell: CellGuid) -> &mut CellSet {
        self.changed.insert(cell);
        let set = self.desired.cells.entry(cell).or_default();
        set.since = self.desired.token.revision;
        set
    }
}

impl Drop for Board {
    /// Who waits for a bell hears that it will not ring any more.
    fn drop(&mut self) {
        self.bells.0.lock().clear();
    }
}

/// One bell for each cell that is listened for: a change wakes only the streams it concerns.
#[derive(Debug, Clone, Default)]
pub struct Bells(Arc<Mutex<BTreeMap<CellGuid, watch::Sender<u64>>>>);

impl Bells {
    /// Hear a cell's bell.
    #[must_use]
    pub fn of(&self, cell: CellGuid) -> watch::Receiver<u64> {
        let mut bells = self.0.lock();
        let bell = bells.entry(cell).or_insert_with(|| watch::Sender::new(0));
        bell.subscribe()
    }

    fn ring(&self, cell: CellGuid) {
        if let Some(bell) = self.0.lock().get(&cell) {
            bell.send_modify(|count| *count += 1);
        }
    }
}

fn build_spec(
    state: &State,
    work: Work,
    version: u64,
    cf_api: &str,
) -> Result<InstanceSpec, NoSpec> {
    let missing = |kind, key: &dyn ToString| NoSpec::Missing {
        kind,
        key: key.to_string(),
    };
    match work {
        Work::Process(guid) => {
            let process = state.get::<Process>(&guid);
            let process = process.ok_or_else(|| missing("process", &guid))?;
            let running = spec::version_of(state, process, version);
            let running = running.ok_or_else(|| missing("version", &version))?;
            spec::of_process(state, process, &running, cf_api)
        }
        Work::Task(guid) => {
            let task = state.get::<Task>(&guid);
            spec::of_task(state, task.ok_or_else(|| missing("task", &guid))?, cf_api)
        }
        Work::Staging(guid) => {
            let build = state.get::<Build>(&guid);
            spec::of_build(state, build.ok_or_else(|| missing("build", &guid))?, cf_api)
        }
    }
}

fn intents_of(state: &State, work: Work) -> Vec<&Intent> {
    match work {
        Work::Process(guid) => state.intents_of(guid).collect(),
        Work::Task(guid) => {
            let task = state.get::<Task>(&guid);
            task.and_then(|task| task.intent.as_ref())
                .into_iter()
                .collect()
        }
        Work::Staging(guid) => {
            let build = state.get::<Build>(&guid);
            build
                .and_then(|build| build.intent.as_ref())
                .into_iter()
                .collect()
        }
    }
}

/// Works whose intents may differ between two states.
fn changed_works(before: &State, after: &State) -> BTreeSet<Work> {
    let chunks = changed_keys::<IntentChunk>(before, after).into_iter();
    let tasks = changed_keys::<Task>(before, after).into_iter();
    let builds = changed_keys::<Build>(before, after).into_iter();
    chunks
        .map(|key| Work::Process(key.process))
        .chain(tasks.map(Work::Task))
        .chain(builds.map(Work::Staging))
        .collect()
}
