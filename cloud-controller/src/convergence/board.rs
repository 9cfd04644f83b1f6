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
use imbl::ordmap::DiffItem;
use tokio::sync::watch;

use super::spec::{self, NoSpec, spec_id};
use crate::state::build::Build;
use crate::state::intent::{Intent, IntentChunk, IntentPhase};
use crate::state::process::Process;
use crate::state::task::Task;
use crate::state::{State, StateHandle, Stored, Table};

/// What one cell is to run.
pub type Assignments = OrdMap<AssignmentGuid, Assignment>;

/// What all cells are to run, at one revision of the state.
#[derive(Debug, Clone)]
pub struct Desired {
    pub token: Token,
    pub cells: OrdMap<CellGuid, Assignments>,
    pub specs: OrdMap<SpecId, Arc<InstanceSpec>>,
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
        };
        board.advance();
        board
    }

    #[must_use]
    pub fn published(&self) -> watch::Receiver<Arc<Desired>> {
        self.published.subscribe()
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
        for work in changed_works(&self.followed, &state) {
            self.refresh(work, &state);
        }
        self.desired.token.revision = state.revision;
        self.followed = state;
        self.published.send_replace(Arc::new(self.desired.clone()));
    }

    /// Bring what the board shows of one work in line with its intents.
    fn refresh(&mut self, work: Work, state: &State) {
        let mut before = self.entries.remove(&work).unwrap_or_default();
        let mut after = BTreeMap::new();
        for intent in intents_of(state, work) {
            if intent.phase == IntentPhase::Stop {
                continue;
            }
            let id = spec_id(work, intent.version);
            // Without its spec it cannot be started, but a cell that runs it has the spec, and what
            // is still to be unrouted must not be stopped by leaving it out.
            if let Err(why) = self.ensure_spec(&id, work, intent.version, state) {
                tracing::debug!(spec = %id.0, %why, "an instance is named without its spec");
            }
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
        let set = self.desired.cells.entry(intent.cell).or_default();
        set.insert(intent.assignment, assignment);
    }

    fn take(&mut self, cell: CellGuid, assignment: AssignmentGuid) {
        let Some(set) = self.desired.cells.get_mut(&cell) else {
            return;
        };
        set.remove(&assignment);
        if set.is_empty() {
            self.desired.cells.remove(&cell);
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
    let chunks = changed_keys::<IntentChunk>(before, after);
    let tasks = changed_keys::<Task>(before, after);
    let builds = changed_keys::<Build>(before, after);
    chunks
        .map(|key| Work::Process(key.process))
        .chain(tasks.map(Work::Task))
        .chain(builds.map(Work::Staging))
        .collect()
}

/// Keys whose records differ; shared parts of the tables are not looked at.
fn changed_keys<R: Stored + Eq>(before: &State, after: &State) -> impl Iterator<Item = R::Key> {
    let (before, after): (&Table<R>, &Table<R>) = (R::table(before), R::table(after));
    let keys: Vec<_> = before
        .diff(after)
        .map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key.clone(),
            DiffItem::Update { new: (key, _), .. } => key.clone(),
        })
        .collect();
    keys.into_iter()
}
