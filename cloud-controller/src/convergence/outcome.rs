//! What cells report has ended: stagings, tasks, rollouts, crashes. Level-triggered like
//! everything here: an outcome is applied when the record does not show it yet, so each is applied
//! once, however often it is reported and wherever the controller crashed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use cfx_planner::plan::Abandoned;
use cfx_protocol::actual::{CrashReport, InstanceReport, Outcome, StagingFailure};
use cfx_protocol::id::{BuildGuid, CellGuid, DeploymentGuid, EventGuid, TaskGuid};
use cfx_protocol::instance::{CrashReason, InstanceState};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::actions::deployment::Rollout;
use crate::actions::{Act, Target, build, deployment, task};
use crate::cells::observed::Instances;
use crate::state::app::App;
use crate::state::audit_event::{AuditEvent, Party};
use crate::state::build::{Build, BuildState};
use crate::state::deployment::Deployment;
use crate::state::intent::{Intent, IntentPhase};
use crate::state::process::Process;
use crate::state::task::{Task, TaskState};
use crate::state::{Draft, State, StateHandle, Stored, WriteError, changed_keys};

/// Crashes recorded in one commit: two events each, and a commit has 128 operations.
const CRASHES_PER_COMMIT: usize = 60;

/// Something that ended, and that the state does not show yet.
#[derive(Debug)]
enum News {
    TaskRuns(TaskGuid),
    TaskEnded(TaskGuid, Option<String>),
    StagingEnded(BuildGuid, Outcome),
    Rollout(DeploymentGuid, Rollout),
    StagingsLate,
}

/// Works whose end is waited for. It follows the state by its differences: works that ended long
/// ago are kept as history, and there may be many.
#[derive(Debug, Default)]
pub(super) struct Open {
    followed: Arc<State>,
    tasks: BTreeSet<TaskGuid>,
    builds: BTreeSet<BuildGuid>,
    deployments: BTreeSet<DeploymentGuid>,
}

impl Open {
    fn follow(&mut self, state: &Arc<State>) {
        let over = |task: &Task| matches!(task.state, TaskState::Succeeded | TaskState::Failed);
        let staging = |build: &Build| build.state == BuildState::Staging;
        let active = |deployment: &Deployment| deployment.status.is_active();
        refresh(&mut self.tasks, &self.followed, state, |it| !over(it));
        refresh(&mut self.builds, &self.followed, state, staging);
        refresh(&mut self.deployments, &self.followed, state, active);
        self.followed = state.clone();
    }
}

fn refresh<R: Stored + Eq>(
    open: &mut BTreeSet<R::Key>,
    before: &State,
    after: &State,
    is_open: impl Fn(&R) -> bool,
) {
    for key in changed_keys::<R>(before, after) {
        if after.get::<R>(&key).is_some_and(|it| is_open(it)) {
            open.insert(key);
        } else {
            open.remove(&key);
        }
    }
}

/// Bring the state in line with what cells reported. Answers how many things were new.
pub(super) async fn apply(
    handle: &StateHandle,
    instances: &Instances,
    open: &mut Open,
    act: &Act<'_>,
) -> Result<usize, WriteError<Infallible>> {
    let state = handle.read();
    open.follow(&state);
    let news = news(&state, instances, open, act.now);
    for one in &news {
        handle
            .write(|draft| {
                apply_one(draft, one, act);
                Ok(())
            })
            .await?;
    }
    Ok(news.len())
}

fn apply_one(draft: &mut Draft, news: &News, act: &Act<'_>) {
    match news {
        News::TaskRuns(guid) => task::task_running(draft, act, *guid),
        News::TaskEnded(guid, failure) => task::finish_task(draft, act, *guid, failure.as_deref()),
        News::StagingEnded(guid, Outcome::Staging { result, .. }) => {
            build::finish_staging(draft, act, *guid, result);
        }
        News::StagingEnded(..) => {}
        News::StagingsLate => {
            let ended = build::expire_builds(draft, act);
            tracing::info!(ended, "builds ran out of time");
        }
        News::Rollout(guid, seen) => {
            if let Err(refused) = deployment::advance(draft, act, *guid, *seen) {
                tracing::warn!(deployment = %guid, %refused, "a deployment cannot go on");
            }
        }
    }
}

fn news(state: &State, instances: &Instances, open: &Open, now: Timestamp) -> Vec<News> {
    let (mut news, mut late) = (Vec::new(), false);
    for task in open.tasks.iter().filter_map(|it| state.get::<Task>(it)) {
        let Some(report) = report_of(instances, task.intent.as_ref()) else {
            continue;
        };
        match &report.outcome {
            Some(Outcome::Task { failure, .. }) => {
                news.push(News::TaskEnded(task.guid, failure.clone()));
            }
            None if task.state == TaskState::Pending && runs(&report.state) => {
                news.push(News::TaskRuns(task.guid));
            }
            _ => {}
        }
    }
    for build in open.builds.iter().filter_map(|it| state.get::<Build>(it)) {
        let report = report_of(instances, build.intent.as_ref());
        let outcome = report.and_then(|report| report.outcome.as_ref());
        if let Some(outcome @ Outcome::Staging { .. }) = outcome {
            news.push(News::StagingEnded(build.guid, outcome.clone()));
        } else if build::deadline(build) < now {
            late = true;
        }
    }
    news.extend(late.then_some(News::StagingsLate));
    let active = open.deployments.iter();
    let active = active.filter_map(|it| state.get::<Deployment>(it));
    news.extend(active.filter_map(|deployment| rollout(state, instances, deployment)));
    news
}

fn runs(state: &InstanceState) -> bool {
    matches!(
        state,
        InstanceState::Starting { .. } | InstanceState::Running { .. }
    )
}

/// How far a deployment has come, if it has come to its end.
fn rollout(state: &State, instances: &Instances, deployment: &Deployment) -> Option<News> {
    let process = state.get::<Process>(&deployment.process)?;
    let version = process.running.as_ref()?.version;
    let mut seen = Rollout { healthy: 0, old: 0 };
    for intent in state.intents_of(process.guid) {
        if intent.version != version {
            seen.old += 1;
            continue;
        }
        let report = report_of(instances, Some(intent));
        let serves = report.is_some_and(|report| report.state.is_routable());
        seen.healthy += u32::from(serves && intent.phase == IntentPhase::Run);
    }
    let arrived = seen.old == 0 && seen.healthy >= process.instances;
    arrived.then_some(News::Rollout(deployment.guid, seen))
}

/// What the intent's own cell says of it.
fn report_of<'a>(instances: &'a Instances, intent: Option<&Intent>) -> Option<&'a InstanceReport> {
    let intent = intent?;
    let (cell, report) = instances.get(&intent.assignment)?;
    (*cell == intent.cell).then_some(report)
}

/// A staging that no cell could do.
pub(super) fn staging_abandoned(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: BuildGuid,
    why: &Abandoned,
) -> bool {
    let open = draft.get::<Build>(&guid);
    if open.is_none_or(|build| build.state != BuildState::Staging) {
        return false;
    }
    let id = match why {
        Abandoned::NoCell { .. } => "InsufficientResources",
        Abandoned::CellLost(_) => "StagingError",
    };
    let failure = StagingFailure {
        id: id.to_owned(),
        message: why.to_string(),
    };
    build::finish_staging(draft, act, guid, &Err(failure));
    true
}

/// A task that no cell could do.
pub(super) fn task_abandoned(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: TaskGuid,
    why: &Abandoned,
) -> bool {
    let open = draft.get::<Task>(&guid);
    let open = open.is_some_and(|task| {
        matches!(
            task.state,
            TaskState::Pending | TaskState::Running | TaskState::Canceling
        )
    });
    if open {
        task::finish_task(draft, act, guid, Some(&why.to_string()));
    }
    open
}

/// Record crashes as events. A crash has one name, that of the start that crashed, so hearing of
/// it again changes nothing. Answers those that were new.
pub async fn record_crashes(
    handle: &StateHandle,
    cell: CellGuid,
    crashes: &[CrashReport],
) -> Result<Vec<CrashReport>, WriteError<Infallible>> {
    let mut new = Vec::new();
    for some in crashes.chunks(CRASHES_PER_COMMIT) {
        let recorded = handle.write(|draft| {
            let crashes = some.iter().filter(|crash| record_crash(draft, cell, crash));
            Ok(crashes.cloned().collect::<Vec<_>>())
        });
        new.extend(recorded.await?);
    }
    Ok(new)
}

fn record_crash(draft: &mut Draft, cell: CellGuid, crash: &CrashReport) -> bool {
    let name = |kind: &str| EventGuid(Uuid::new_v5(&crash.instance.0, kind.as_bytes()));
    let owned = draft
        .intents_of(crash.process)
        .any(|intent| intent.assignment == crash.assignment && intent.cell == cell);
    if !owned || draft.get::<AuditEvent>(&name("app.crash")).is_some() {
        return false;
    }
    let Some(process) = draft.get::<Process>(&crash.process).cloned() else {
        return false;
    };
    let Some(app) = draft.get::<App>(&process.app).cloned() else {
        return false;
    };
    let target = Target::in_space(draft, app.space, "app", app.guid, &app.name);
    let data = crash_data(&process, cell, crash);
    let actors = [
        ("app.crash", target.party.clone()),
        (
            "audit.app.process.crash",
            Party {
                guid: process.guid.to_string(),
                kind: "process".to_owned(),
                name: process.process_type.clone(),
            },
        ),
    ];
    for (kind, actor) in actors {
        draft.put(AuditEvent {
            guid: name(kind),
            kind: kind.to_owned(),
            actor,
            target: target.party.clone(),
            data: data.clone(),
            space: target.space,
            organization: target.organization,
            created_at: crash.at,
        });
    }
    true
}

fn crash_data(process: &Process, cell: CellGuid, crash: &CrashReport) -> serde_json::Value {
    let status = match crash.reason {
        CrashReason::Exited { status } => Some(status),
        CrashReason::OutOfMemory { .. } | CrashReason::DiskQuotaExceeded { .. } => Some(137),
        _ => None,
    };
    let source = format!("APP/PROC/{}", process.process_type.to_uppercase());
    json!({
        "instance": crash.instance,
        "index": crash.index,
        "cell_id": cell,
        "exit_status": status,
        "exit_description": format!("{source}: {}", crash.reason),
        "reason": "CRASHED",
        "crash_count": crash.crashes,
        "next_retry_at": crash.next_retry_at,
    })
}
