//! Tasks: commands that run once with an app's droplet.

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, TaskGuid};
use cfx_protocol::v3::task::NewTask;
use serde_json::json;

use super::limits::{check_fits, log_rate, megabytes};
use super::process::{DISK_DEFAULT_MB, MEMORY_DEFAULT_MB, check_command};
use super::{Act, Refused, app, environment, metadata, name, vcap};
use crate::state::app::App;
use crate::state::droplet::{Droplet, DropletState};
use crate::state::feature_flag::FeatureFlag;
use crate::state::meta::Meta;
use crate::state::process::Process;
use crate::state::task::{Task, TaskState};
use crate::state::{Draft, Link};

/// Tasks of one app that have not ended: what a runaway script may start before it is told.
const UNFINISHED_MAX: usize = 1_000;
/// What `cf tasks` shows of a task that a user ended.
const CANCELLED: &str = "task was cancelled";

pub fn create_task(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    new: &NewTask,
) -> Result<Arc<Task>, Refused> {
    let app = app::find(draft, guid)?;
    check_allowed(draft, &app)?;
    let droplet = droplet(draft, &app, new)?;
    let template = template(draft, &app, new)?;
    let command = command(draft, &app, new, template.as_deref())?;
    let memory = |process: &Arc<Process>| process.memory_mb;
    let disk = |process: &Arc<Process>| process.disk_mb;
    let sequence_id = next_sequence(draft, guid);
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let task = Task {
        guid: act.ids.guid(),
        app: guid,
        sequence_id,
        name: match &new.name {
            Some(wanted) => {
                name::check(wanted)?;
                wanted.clone()
            }
            None => act.ids.secret(4),
        },
        command,
        droplet: droplet.guid,
        environment: environment::merged(draft, environment::Group::Running, &app),
        vcap_services: serde_json::Value::Object(vcap::services(draft, &app)).to_string(),
        memory_mb: match new.memory_in_mb {
            Some(number) => megabytes("Memory in mb", number)?,
            None => template.as_ref().map_or(MEMORY_DEFAULT_MB, memory),
        },
        disk_mb: match new.disk_in_mb {
            Some(number) => megabytes("Disk in mb", number)?,
            None => template.as_ref().map_or(DISK_DEFAULT_MB, disk),
        },
        log_rate_bytes: match new.log_rate_limit_in_bytes_per_second {
            Some(number) => log_rate(number)?,
            None => None,
        },
        state: TaskState::Pending,
        failure_reason: None,
        intent: None,
        meta,
    };
    check_fits(&task, "The environment and service credentials of the app")?;
    let task = draft.put(task);
    record(draft, act, &task, "audit.app.task.create");
    Ok(task)
}

/// End it; what has ended already stays as it is.
pub fn cancel_task(draft: &mut Draft, act: &Act<'_>, guid: TaskGuid) -> Result<Arc<Task>, Refused> {
    let mut task = Task::clone(&*find(draft, guid)?);
    match task.state {
        TaskState::Succeeded | TaskState::Failed => {
            return Err(Refused::Unprocessable(format!(
                "Task state is {} and therefore cannot be canceled",
                state_word(task.state)
            )));
        }
        TaskState::Canceling => return Ok(Arc::new(task)),
        // Nothing of it runs yet.
        TaskState::Pending if task.intent.is_none() => {
            task.state = TaskState::Failed;
            task.failure_reason = Some(CANCELLED.to_owned());
        }
        TaskState::Pending | TaskState::Running => task.state = TaskState::Canceling,
    }
    task.meta.updated_at = act.now;
    let task = draft.put(task);
    record(draft, act, &task, "audit.app.task.cancel");
    Ok(task)
}

/// Its cell says that the command runs.
pub fn task_running(draft: &mut Draft, act: &Act<'_>, guid: TaskGuid) {
    draft.update::<Task>(&guid, |task| {
        if task.state == TaskState::Pending {
            task.state = TaskState::Running;
            task.meta.updated_at = act.now;
        }
    });
}

/// Its cell says how it ended, or there is nothing left of it.
pub fn finish_task(draft: &mut Draft, act: &Act<'_>, guid: TaskGuid, failure: Option<&str>) {
    draft.update::<Task>(&guid, |task| {
        let (state, reason) = match (task.state, failure) {
            (TaskState::Succeeded | TaskState::Failed, _) => return,
            (TaskState::Canceling, _) => (TaskState::Failed, Some(CANCELLED.to_owned())),
            (TaskState::Pending | TaskState::Running, None) => (TaskState::Succeeded, None),
            (TaskState::Pending | TaskState::Running, Some(reason)) => {
                (TaskState::Failed, Some(reason.to_owned()))
            }
        };
        task.state = state;
        task.failure_reason = reason;
        task.intent = None;
        task.meta.updated_at = act.now;
    });
}

/// The word of the v3 API.
#[must_use]
pub fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "PENDING",
        TaskState::Running => "RUNNING",
        TaskState::Succeeded => "SUCCEEDED",
        TaskState::Canceling => "CANCELING",
        TaskState::Failed => "FAILED",
    }
}

fn find(draft: &Draft, guid: TaskGuid) -> Result<Arc<Task>, Refused> {
    draft
        .get::<Task>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Task"))
}

fn check_allowed(draft: &Draft, app: &App) -> Result<(), Refused> {
    let flag = draft.get::<FeatureFlag>(&"task_creation".to_owned());
    if let Some(flag) = flag.filter(|flag| !flag.enabled) {
        let text = flag.custom_error_message.clone();
        return Err(Refused::FeatureDisabled(
            text.unwrap_or_else(|| "task_creation".to_owned()),
        ));
    }
    let unfinished = draft
        .linked::<Task>(Link::TasksOf(app.guid.0))
        .filter(|task| !matches!(task.state, TaskState::Succeeded | TaskState::Failed));
    if unfinished.count() >= UNFINISHED_MAX {
        return Err(Refused::Unprocessable(format!(
            "The app has {UNFINISHED_MAX} tasks that have not ended; wait for some, or cancel them"
        )));
    }
    Ok(())
}

fn droplet(draft: &Draft, app: &App, new: &NewTask) -> Result<Arc<Droplet>, Refused> {
    let Some(guid) = new.droplet_guid.or(app.current_droplet) else {
        return Err(Refused::unprocessable(
            "Task must have a droplet. Specify droplet or assign current droplet to app.",
        ));
    };
    let droplet = draft.get::<Droplet>(&guid).cloned();
    droplet
        .filter(|droplet| droplet.app == app.guid && droplet.state == DropletState::Staged)
        .ok_or(Refused::NotFound("Droplet"))
}

fn template(draft: &Draft, app: &App, new: &NewTask) -> Result<Option<Arc<Process>>, Refused> {
    let Some(template) = &new.template else {
        return Ok(None);
    };
    let process = draft.get::<Process>(&template.process.guid).cloned();
    process
        .filter(|process| process.app == app.guid)
        .map(Some)
        .ok_or(Refused::NotFound("Process"))
}

fn command(
    draft: &Draft,
    app: &App,
    new: &NewTask,
    template: Option<&Process>,
) -> Result<String, Refused> {
    let given = match &new.command {
        Some(command) => check_command(command)?,
        None => template.and_then(|process| super::process::start_command(draft, app, process)),
    };
    given.ok_or_else(|| {
        Refused::unprocessable("Command No command provided: name one, or a template process")
    })
}

fn next_sequence(draft: &Draft, app: AppGuid) -> u32 {
    let tasks = draft.linked::<Task>(Link::TasksOf(app.0));
    tasks.map(|task| task.sequence_id).max().unwrap_or(0) + 1
}

fn record(draft: &mut Draft, act: &Act<'_>, task: &Task, kind: &str) {
    let Some(app) = draft.get::<App>(&task.app).cloned() else {
        return;
    };
    let data = json!({"task_guid": task.guid, "request": {"name": task.name}});
    app::record(draft, act, &app, kind, data);
}
