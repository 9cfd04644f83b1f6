//! Carries out a plan: makes its actions durable, in order and in bites that the store takes.
//!
//! The state may have changed since the plan was made. Each action is judged again against the
//! draft it is applied to, and one that does not fit any more is dropped: the next pass starts from
//! the new state.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use cfx_planner::plan::{Abandoned, Action, Ending, Placement};
use cfx_planner::snapshot::Work;
use cfx_protocol::id::{AppGuid, AssignmentGuid, ProcessGuid};

use super::outcome;
use crate::actions::{Act, task};
use crate::state::app::{App, DesiredState};
use crate::state::build::{Build, BuildState};
use crate::state::intent::{Intent, IntentChunk, IntentChunkKey, IntentPhase};
use crate::state::process::Process;
use crate::state::task::{Task, TaskState};
use crate::state::{Draft, State, StateHandle, WriteError};

/// Records in one commit, of the 128 operations that it may have.
const RECORDS_MAX: usize = 100;
/// Intents in the records of one commit: 28 full chunks, which is what 1 MiB takes.
const INTENTS_MAX: usize = 5_600;
/// Intents of one chunk, the ending ones included: what fits into one value of the store. More can
/// only be there when instances are restarted faster than they end.
const INTENTS_PER_CHUNK_MAX: usize = 200;

/// Makes the actions durable. Answers how many were, which can be less than were planned.
pub(super) async fn commit(
    state: &StateHandle,
    planned_on: &Arc<State>,
    actions: &[Action],
    act: &Act<'_>,
) -> Result<usize, WriteError<Infallible>> {
    let mut done = 0;
    for bite in bites(planned_on, actions) {
        done += state
            .write(|draft| Ok(apply_all(draft, planned_on, &bite, act)))
            .await?;
    }
    Ok(done)
}

/// The actions as commits. All of a record's are together, in their order, because each commit
/// writes the whole record. Only what comes before the first record comes again goes ahead of that,
/// when it does not fit into one commit: the endings, and the first instance of every process.
fn bites<'a>(state: &State, actions: &'a [Action]) -> Vec<Vec<&'a Action>> {
    let all = packed(state, actions);
    if all.len() <= 1 {
        return all;
    }
    let mut seen = BTreeSet::new();
    let is_new = |action: &&Action| seen.insert(record_of(state, action));
    let ahead = actions.iter().take_while(is_new).count();
    let (first, rest) = actions.split_at(ahead);
    let mut bites = packed(state, first);
    bites.extend(packed(state, rest));
    bites
}

fn packed<'a>(state: &State, actions: &'a [Action]) -> Vec<Vec<&'a Action>> {
    let mut places = BTreeMap::new();
    let mut records: Vec<(Record, Vec<&Action>)> = Vec::new();
    for action in actions {
        let record = record_of(state, action);
        let place = *places.entry(record).or_insert_with(|| {
            records.push((record, Vec::new()));
            records.len() - 1
        });
        records[place].1.push(action);
    }
    let mut bites: Vec<Vec<&Action>> = Vec::new();
    let (mut count, mut intents) = (0, 0);
    for (record, actions) in records {
        let weight = weight(state, record, actions.len());
        if bites.is_empty() || count >= RECORDS_MAX || intents + weight > INTENTS_MAX {
            bites.push(Vec::new());
            (count, intents) = (0, 0);
        }
        (count, intents) = (count + 1, intents + weight);
        if let Some(bite) = bites.last_mut() {
            bite.extend(actions);
        }
    }
    bites
}

/// How many intents a record has at most, once these actions are applied. A task or a build may be
/// as large as a value can be.
fn weight(state: &State, (work, chunk): Record, actions: usize) -> usize {
    let Work::Process(process) = work else {
        return INTENTS_PER_CHUNK_MAX;
    };
    let there = state.get::<IntentChunk>(&IntentChunkKey { process, chunk });
    let most = there.map_or(0, |it| it.intents.len()) + actions;
    most.min(INTENTS_PER_CHUNK_MAX)
}

/// A work, and which chunk of its intents.
type Record = (Work, u32);

/// Names the record an action touches, well enough to count them.
fn record_of(state: &State, action: &Action) -> Record {
    let chunk = |guid, index| IntentChunkKey::of(guid, index).chunk;
    match action {
        Action::Place(placement) => match placement.work {
            Work::Process(guid) => (placement.work, chunk(guid, placement.index)),
            work => (work, 0),
        },
        Action::Unroute(ending) | Action::Stop(ending) | Action::Forget(ending) => {
            let owner = state.owner_of(ending.assignment);
            (ending.work, owner.map_or(0, |key| key.chunk))
        }
        Action::Abandon { work, .. } => (*work, 0),
    }
}

fn apply_all(draft: &mut Draft, planned_on: &State, actions: &[&Action], act: &Act<'_>) -> usize {
    let mut desk = Desk {
        draft,
        chunks: BTreeMap::new(),
    };
    let mut done = 0;
    for action in actions {
        done += usize::from(apply(&mut desk, planned_on, action, act));
    }
    desk.put_back();
    done
}

/// A draft, and the chunks of it that are being changed: each is written once, however many of its
/// intents change.
struct Desk<'d> {
    draft: &'d mut Draft,
    chunks: BTreeMap<IntentChunkKey, IntentChunk>,
}

impl Desk<'_> {
    fn chunk(&mut self, key: IntentChunkKey) -> &mut IntentChunk {
        let draft = &self.draft;
        self.chunks.entry(key).or_insert_with(|| {
            let chunk = draft.get::<IntentChunk>(&key).map(|it| (**it).clone());
            chunk.unwrap_or(IntentChunk {
                process: key.process,
                chunk: key.chunk,
                intents: Vec::new(),
            })
        })
    }

    fn put_back(self) {
        for (key, chunk) in self.chunks {
            if chunk.intents.is_empty() {
                self.draft.delete::<IntentChunk>(&key);
            } else if self.draft.get::<IntentChunk>(&key).map(|it| &**it) != Some(&chunk) {
                self.draft.put(chunk);
            }
        }
    }
}

/// False: it does not fit any more.
fn apply(desk: &mut Desk<'_>, planned_on: &State, action: &Action, act: &Act<'_>) -> bool {
    match action {
        Action::Place(placement) => place(desk, placement),
        Action::Unroute(ending) => {
            let asked_as_before = is_untouched(desk.draft, planned_on, ending.work);
            asked_as_before && end(desk, ending, IntentPhase::Unroute { since: act.now })
        }
        Action::Stop(ending) => end(desk, ending, IntentPhase::Stop),
        Action::Forget(ending) => forget(desk, ending, act),
        Action::Abandon { work, why } => abandon(desk.draft, *work, why, act),
    }
}

fn place(desk: &mut Desk<'_>, placement: &Placement) -> bool {
    let draft = &mut *desk.draft;
    let intent = Intent {
        assignment: placement.assignment,
        index: placement.index,
        version: placement.version,
        cell: placement.cell,
        memory_mb: placement.size.memory_mb,
        disk_mb: placement.size.disk_mb,
        phase: IntentPhase::Run,
    };
    match placement.work {
        Work::Process(guid) => {
            is_wanted(draft, guid, placement) && add_to_chunk(desk, guid, intent)
        }
        Work::Task(guid) => {
            let task = draft.get::<Task>(&guid);
            let fits = task.is_some_and(|it| it.intent.is_none() && it.state == TaskState::Pending);
            fits && draft.update::<Task>(&guid, |task| task.intent = Some(intent))
        }
        Work::Staging(guid) => {
            let build = draft.get::<Build>(&guid);
            let fits =
                build.is_some_and(|it| it.intent.is_none() && it.state == BuildState::Staging);
            fits && draft.update::<Build>(&guid, |build| build.intent = Some(intent))
        }
    }
}

fn is_wanted(draft: &Draft, guid: ProcessGuid, placement: &Placement) -> bool {
    let Some(process) = draft.get::<Process>(&guid) else {
        return false;
    };
    let version = process.running.as_ref().map(|running| running.version);
    let app = draft.get::<App>(&process.app);
    placement.index < process.instances
        && version == Some(placement.version)
        && app.is_some_and(|app| app.desired_state == DesiredState::Started)
}

fn add_to_chunk(desk: &mut Desk<'_>, process: ProcessGuid, intent: Intent) -> bool {
    let chunk = desk.chunk(IntentChunkKey::of(process, intent.index));
    let fits = chunk.intents.len() < INTENTS_PER_CHUNK_MAX;
    if fits {
        chunk.intents.push(intent);
    }
    fits
}

/// Nobody has changed since what is wanted of the work.
fn is_untouched(draft: &Draft, planned_on: &State, work: Work) -> bool {
    let Work::Process(guid) = work else {
        return true;
    };
    let now = draft.get::<Process>(&guid);
    let app_of = |state: &State, guid: AppGuid| state.get::<App>(&guid).cloned();
    match (now, planned_on.get::<Process>(&guid)) {
        (Some(now), Some(then)) => {
            let (app_now, app_then) = (app_of(draft, now.app), app_of(planned_on, then.app));
            Arc::ptr_eq(now, then)
                && app_now.map(|it| it.desired_state) == app_then.map(|it| it.desired_state)
        }
        (now, then) => now.is_none() && then.is_none(),
    }
}

/// Move an intent on to a later phase.
fn end(desk: &mut Desk<'_>, ending: &Ending, phase: IntentPhase) -> bool {
    change(desk, ending, |intent| {
        let fits = match (&intent.phase, &phase) {
            (IntentPhase::Run, IntentPhase::Unroute { .. }) => true,
            (IntentPhase::Run, IntentPhase::Stop) => !matches!(ending.work, Work::Process(_)),
            (IntentPhase::Unroute { .. }, IntentPhase::Stop) => true,
            _ => false,
        };
        match fits {
            true => Change::To(phase),
            false => Change::Refused,
        }
    })
}

fn forget(desk: &mut Desk<'_>, ending: &Ending, act: &Act<'_>) -> bool {
    let forgotten = change(desk, ending, |intent| match intent.phase {
        IntentPhase::Stop => Change::Gone,
        _ => Change::Refused,
    });
    if forgotten && let Work::Task(guid) = ending.work {
        // Cancelled: nothing is left of it now.
        task::finish_task(desk.draft, act, guid, None);
    }
    forgotten
}

/// What becomes of an intent.
enum Change {
    To(IntentPhase),
    Gone,
    Refused,
}

/// False: the intent is not there, or the change was refused.
fn change(desk: &mut Desk<'_>, ending: &Ending, change: impl FnOnce(&Intent) -> Change) -> bool {
    let draft = &mut *desk.draft;
    match ending.work {
        Work::Process(guid) => change_chunk(desk, guid, ending.assignment, change),
        Work::Task(guid) => {
            let before = draft.get::<Task>(&guid).and_then(|it| it.intent.clone());
            let after = changed(before, ending.assignment, change);
            after.is_some_and(|after| draft.update::<Task>(&guid, |task| task.intent = after))
        }
        Work::Staging(guid) => {
            let before = draft.get::<Build>(&guid).and_then(|it| it.intent.clone());
            let after = changed(before, ending.assignment, change);
            after.is_some_and(|after| draft.update::<Build>(&guid, |build| build.intent = after))
        }
    }
}

/// None: refused. The inner none: it is gone.
fn changed(
    before: Option<Intent>,
    assignment: AssignmentGuid,
    change: impl FnOnce(&Intent) -> Change,
) -> Option<Option<Intent>> {
    let mut intent = before.filter(|intent| intent.assignment == assignment)?;
    match change(&intent) {
        Change::Refused => None,
        Change::Gone => Some(None),
        Change::To(phase) => {
            intent.phase = phase;
            Some(Some(intent))
        }
    }
}

fn change_chunk(
    desk: &mut Desk<'_>,
    process: ProcessGuid,
    assignment: AssignmentGuid,
    change: impl FnOnce(&Intent) -> Change,
) -> bool {
    let owner = desk.draft.owner_of(assignment);
    let Some(key) = owner.filter(|key| key.process == process) else {
        return false;
    };
    let intents = &mut desk.chunk(key).intents;
    let Some(at) = intents.iter().position(|it| it.assignment == assignment) else {
        return false;
    };
    match change(&intents[at]) {
        Change::Refused => return false,
        Change::To(phase) => intents[at].phase = phase,
        Change::Gone => drop(intents.remove(at)),
    }
    true
}

fn abandon(draft: &mut Draft, work: Work, why: &Abandoned, act: &Act<'_>) -> bool {
    match work {
        Work::Staging(guid) => outcome::staging_abandoned(draft, act, guid, why),
        Work::Task(guid) => outcome::task_abandoned(draft, act, guid, why),
        Work::Process(_) => false,
    }
}
