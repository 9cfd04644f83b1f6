//! Carries out a plan: makes its actions durable, in order and in bites that the store takes.
//!
//! The state may have changed since the plan was made. Each action is judged again against the
//! draft it is applied to, and one that does not fit any more is dropped: the next pass starts from
//! the new state.

use std::collections::BTreeSet;
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

/// Actions committed together. Each touches one record of at most 32 KiB and a commit may have
/// 1 MiB, but neighbouring indices share a record: see `RECORDS_MAX`.
const ACTIONS_MAX: usize = 2_000;
/// Records in one commit.
const RECORDS_MAX: usize = 28;
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
    let mut rest = actions;
    while !rest.is_empty() {
        let (bite, later) = rest.split_at(bite(planned_on, rest));
        rest = later;
        done += state
            .write(|draft| Ok(apply_all(draft, planned_on, bite, act)))
            .await?;
    }
    Ok(done)
}

/// How many of the first actions go into one commit.
fn bite(state: &State, actions: &[Action]) -> usize {
    let mut records = BTreeSet::new();
    let fits = |action: &&Action| {
        records.insert(record_of(state, action));
        records.len() <= RECORDS_MAX
    };
    let fitting = actions.iter().take(ACTIONS_MAX).take_while(fits).count();
    fitting.max(1)
}

/// Names the record an action touches, well enough to count them.
fn record_of(state: &State, action: &Action) -> (Work, u32) {
    let chunk = |guid, index| IntentChunkKey::of(guid, index).chunk;
    match action {
        Action::Place(placement) => match placement.work {
            Work::Process(guid) => (placement.work, chunk(guid, placement.index)),
            work => (work, 0),
        },
        Action::Unroute(ending) | Action::Stop(ending) | Action::Forget(ending) => {
            let Work::Process(guid) = ending.work else {
                return (ending.work, 0);
            };
            let mut intents = state.intents_of(guid);
            let intent = intents.find(|intent| intent.assignment == ending.assignment);
            let index = intent.map_or(0, |intent| intent.index);
            (ending.work, chunk(guid, index))
        }
        Action::Abandon { work, .. } => (*work, 0),
    }
}

fn apply_all(draft: &mut Draft, planned_on: &State, actions: &[Action], act: &Act<'_>) -> usize {
    let mut done = 0;
    for action in actions {
        done += usize::from(apply(draft, planned_on, action, act));
    }
    done
}

/// False: it does not fit any more.
fn apply(draft: &mut Draft, planned_on: &State, action: &Action, act: &Act<'_>) -> bool {
    match action {
        Action::Place(placement) => place(draft, placement),
        Action::Unroute(ending) => {
            let asked_as_before = is_untouched(draft, planned_on, ending.work);
            asked_as_before && end(draft, ending, IntentPhase::Unroute { since: act.now })
        }
        Action::Stop(ending) => end(draft, ending, IntentPhase::Stop),
        Action::Forget(ending) => forget(draft, ending, act),
        Action::Abandon { work, why } => abandon(draft, *work, why, act),
    }
}

fn place(draft: &mut Draft, placement: &Placement) -> bool {
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
            is_wanted(draft, guid, placement) && add_to_chunk(draft, guid, intent)
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

fn add_to_chunk(draft: &mut Draft, process: ProcessGuid, intent: Intent) -> bool {
    let key = IntentChunkKey::of(process, intent.index);
    let mut chunk = match draft.get::<IntentChunk>(&key) {
        Some(chunk) => IntentChunk::clone(chunk),
        None => IntentChunk {
            process,
            chunk: key.chunk,
            intents: Vec::new(),
        },
    };
    if chunk.intents.len() >= INTENTS_PER_CHUNK_MAX {
        return false;
    }
    chunk.intents.push(intent);
    draft.put(chunk);
    true
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
fn end(draft: &mut Draft, ending: &Ending, phase: IntentPhase) -> bool {
    change(draft, ending, |intent| {
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

fn forget(draft: &mut Draft, ending: &Ending, act: &Act<'_>) -> bool {
    let forgotten = change(draft, ending, |intent| match intent.phase {
        IntentPhase::Stop => Change::Gone,
        _ => Change::Refused,
    });
    if forgotten && let Work::Task(guid) = ending.work {
        // Cancelled: nothing is left of it now.
        task::finish_task(draft, act, guid, None);
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
fn change(draft: &mut Draft, ending: &Ending, change: impl FnOnce(&Intent) -> Change) -> bool {
    match ending.work {
        Work::Process(guid) => change_chunk(draft, guid, ending.assignment, change),
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
    draft: &mut Draft,
    process: ProcessGuid,
    assignment: AssignmentGuid,
    change: impl FnOnce(&Intent) -> Change,
) -> bool {
    let mut intents = draft.intents_of(process);
    let Some(index) = intents.find_map(|it| (it.assignment == assignment).then_some(it.index))
    else {
        return false;
    };
    drop(intents);
    let key = IntentChunkKey::of(process, index);
    let Some(mut chunk) = draft
        .get::<IntentChunk>(&key)
        .map(|it| IntentChunk::clone(it))
    else {
        return false;
    };
    let Some(at) = chunk
        .intents
        .iter()
        .position(|it| it.assignment == assignment)
    else {
        return false;
    };
    match change(&chunk.intents[at]) {
        Change::Refused => return false,
        Change::To(phase) => chunk.intents[at].phase = phase,
        Change::Gone => drop(chunk.intents.remove(at)),
    }
    if chunk.intents.is_empty() {
        draft.delete::<IntentChunk>(&key);
    } else {
        draft.put(chunk);
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
