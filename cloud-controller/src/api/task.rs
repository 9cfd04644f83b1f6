//! `/v3/tasks`, and the tasks of an app.

use std::sync::Arc;

use cfx_protocol::id::TaskGuid;
use cfx_protocol::v3::app::AppRelationship;
use cfx_protocol::v3::resource::{Link, ToOne};
use cfx_protocol::v3::task::{self as wire, NewTask};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, process};
use crate::actions;
use crate::state::Link as Children;
use crate::state::app::App;
use crate::state::meta::Meta;
use crate::state::task::Task;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let apps = query.filter("app_guids");
    let spaces = query.filter("space_guids");
    let state = call.state.clone();
    let admitted = state.all::<Task>().filter(|task| {
        let Some(app) = state.get::<App>(&task.app) else {
            return false;
        };
        call.sees(Action::AppRead, app.space)
            && apps.admits_guid(app.guid)
            && spaces.admits_guid(app.space)
    });
    page(&call, &query, admitted.cloned())
}

pub(super) async fn list_of_app(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let tasks = call.state.linked::<Task>(Children::TasksOf(app.guid.0));
    page(&call, &query, tasks.cloned())
}

fn page(call: &Call, query: &Query, tasks: impl Iterator<Item = Arc<Task>>) -> Answer {
    let states = query.filter("states");
    let names = query.filter("names");
    let sequence_ids = query.filter("sequence_ids");
    let admitted = tasks.filter(|task| {
        states.admits(actions::task::state_word(task.state))
            && names.admits(&task.name)
            && sequence_ids.admits_any([task.sequence_id])
    });
    pagination::page(&call.base, query, admitted, |task| {
        // The CLI's table has a column for it, so those who may see it do.
        let app = call.state.get::<App>(&task.app);
        let secrets = app.is_some_and(|app| may_see(call, app));
        present(&call.base, task, secrets)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let (app, task) = find(&call)?;
    response::ok(present(&call.base, &task, may_see(&call, &app)))
}

pub(super) async fn create(call: Call, Body(new): Body<NewTask>) -> Answer {
    let app = app::find_to(&call, Action::AppWrite, call.guid())?;
    let task = call
        .write(|draft, act| actions::task::create_task(draft, act, app.guid, &new))
        .await?;
    response::accepted(present(&call.base, &task, true))
}

pub(super) async fn cancel(call: Call) -> Answer {
    let (app, task) = find(&call)?;
    call.require(Action::AppWrite, Scope::Space(app.space))?;
    let task = call
        .write(|draft, act| actions::task::cancel_task(draft, act, task.guid))
        .await?;
    response::accepted(present(&call.base, &task, true))
}

fn find(call: &Call) -> Result<(Arc<App>, Arc<Task>), ApiError> {
    let not_found = || ApiError::not_found("Task");
    let task = call.state.get::<Task>(&call.guid::<TaskGuid>()).cloned();
    let task = task.ok_or_else(not_found)?;
    let app = call.state.get::<App>(&task.app).cloned();
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    Ok((app.ok_or_else(not_found)?, task))
}

fn may_see(call: &Call, app: &App) -> bool {
    call.may(Action::AppSecretsRead, Scope::Space(app.space))
}

fn present(base: &Base, task: &Task, secrets: bool) -> wire::Task {
    let path = format!("/v3/tasks/{}", task.guid);
    wire::Task {
        guid: task.guid,
        created_at: seconds(task.meta.created_at),
        updated_at: seconds(task.meta.updated_at),
        sequence_id: task.sequence_id,
        name: task.name.clone(),
        command: secrets.then(|| task.command.clone()),
        state: actions::task::state_word(task.state).to_owned(),
        memory_in_mb: task.memory_mb,
        disk_in_mb: task.disk_mb,
        log_rate_limit_in_bytes_per_second: process::log_rate(task.log_rate_bytes),
        result: wire::TaskResult {
            failure_reason: task.failure_reason.clone(),
        },
        droplet_guid: task.droplet,
        relationships: AppRelationship {
            app: ToOne::to(task.app),
        },
        metadata: metadata(&task.meta),
        links: [
            ("self".to_owned(), base.link(&path)),
            (
                "app".to_owned(),
                base.link(&format!("/v3/apps/{}", task.app)),
            ),
            (
                "cancel".to_owned(),
                Link::post(base.href(&format!("{path}/actions/cancel"))),
            ),
            (
                "droplet".to_owned(),
                base.link(&format!("/v3/droplets/{}", task.droplet)),
            ),
        ]
        .into(),
    }
}

impl Listed for Task {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn name(&self) -> &str {
        &self.name
    }
}
