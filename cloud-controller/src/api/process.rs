//! `/v3/processes`, and the same below an app.

use std::sync::Arc;

use cfx_protocol::health::{Check, HealthCheck, ReadinessCheck};
use cfx_protocol::v3::process::{self as wire, HIDDEN_COMMAND, ProcessPatch, Scale};
use cfx_protocol::v3::resource::{Link, ToOne};
use http::HeaderMap;
use http::header::IF_MATCH;
use serde_json::json;
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, app_log, process_instances};
use crate::actions;
use crate::actions::app::process_of;
use crate::state::Link as Children;
use crate::state::app::App;
use crate::state::feature_flag::FeatureFlag;
use crate::state::meta::Meta;
use crate::state::process::Process;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let apps = query.filter("app_guids");
    let spaces = query.filter("space_guids");
    let organizations = query.filter("organization_guids");
    let state = call.state.clone();
    let admitted = state.all::<Process>().filter(|process| {
        let Some(app) = state.get::<App>(&process.app) else {
            return false;
        };
        call.sees(Action::AppRead, app.space)
            && apps.admits_guid(app.guid)
            && spaces.admits_guid(app.space)
            && (organizations.is_absent()
                || organizations
                    .admits_any(app::organization_of(&state, app).map(|owner| owner.guid)))
    });
    page(&call, &query, admitted.cloned())
}

pub(super) async fn list_of_app(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let processes = call
        .state
        .linked::<Process>(Children::ProcessesOf(app.guid.0));
    page(&call, &query, processes.cloned())
}

fn page(call: &Call, query: &Query, processes: impl Iterator<Item = Arc<Process>>) -> Answer {
    let types = query.filter("types");
    let embed = query.names("embed", "process_instances");
    let admitted = processes.filter(|process| types.admits(&process.process_type));
    pagination::page(&call.base, query, admitted, |process| {
        let command = process.command.as_ref().map(|_| HIDDEN_COMMAND.to_owned());
        let mut shown = present(&call.base, process, command);
        if embed {
            shown.process_instances = Some(process_instances::summaries(call, process));
        }
        shown
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let (app, process) = find(&call)?;
    let shown = response::ok(present_whole(&call, &app, &process));
    response::tagged(shown, &actions::process::entity_tag(&process))
}

pub(super) async fn update(call: Call, Body(patch): Body<ProcessPatch>) -> Answer {
    let (app, process) = find_to(&call, Action::AppWrite)?;
    let process = call
        .write(|draft, act| actions::process::update_process(draft, act, process.guid, &patch))
        .await?;
    response::ok(present_whole(&call, &app, &process))
}

/// With `If-Match`, only if the process is still as the caller read it.
pub(super) async fn scale(call: Call, headers: HeaderMap, Body(wanted): Body<Scale>) -> Answer {
    let (app, process) = find_to(&call, Action::AppManage)?;
    require_scaling(&call)?;
    let expected = headers
        .get(IF_MATCH)
        .map(|tags| tags.to_str().unwrap_or_default());
    let process = call
        .write(|draft, act| {
            if let Some(tags) = expected {
                actions::process::demand(draft, process.guid, tags)?;
            }
            actions::process::scale(draft, act, process.guid, &wanted)
        })
        .await?;
    let said = json!(wanted);
    app_log::tell(
        &call,
        app.guid,
        format!("Updated app with guid {} ({said})", app.guid),
    );
    let scaled = response::accepted(present_whole(&call, &app, &process));
    response::tagged(scaled, &actions::process::entity_tag(&process))
}

pub(super) async fn sidecars(call: Call, query: Query) -> Answer {
    find(&call)?;
    pagination::plain(&call.base, &query, Vec::<()>::new())
}

/// Replace one instance.
pub(super) async fn terminate_instance(call: Call) -> Answer {
    let (app, process) = find_to(&call, Action::AppManage)?;
    let index = call.param("index").parse::<u32>();
    let index = index.map_err(|_| ApiError::not_found("Instance"))?;
    call.write(|draft, act| actions::process::terminate_instance(draft, act, process.guid, index))
        .await?;
    app_log::tell(
        &call,
        app.guid,
        format!(
            "Stopping instance {index} of process '{}' of app with guid {}",
            process.process_type, app.guid
        ),
    );
    response::no_content()
}

/// The process that the path names: by its guid, or by an app's guid and a type.
pub(super) fn find(call: &Call) -> Result<(Arc<App>, Arc<Process>), ApiError> {
    let process_type = call.param("type");
    if !process_type.is_empty() {
        let app = app::find(call, call.guid())?;
        let process = process_of(&call.state, app.guid, process_type);
        let process = process.ok_or_else(|| ApiError::not_found("Process"))?;
        return Ok((app, process));
    }
    let process = call.state.get::<Process>(&call.guid()).cloned();
    let process = process.ok_or_else(|| ApiError::not_found("Process"))?;
    let app = call.state.get::<App>(&process.app).cloned();
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    let app = app.ok_or_else(|| ApiError::not_found("Process"))?;
    Ok((app, process))
}

fn find_to(call: &Call, action: Action) -> Result<(Arc<App>, Arc<Process>), ApiError> {
    let (app, process) = find(call)?;
    call.require(action, Scope::Space(app.space))?;
    Ok((app, process))
}

fn require_scaling(call: &Call) -> Result<(), ApiError> {
    let flag = call.state.get::<FeatureFlag>(&"app_scaling".to_owned());
    match flag.filter(|flag| !flag.enabled && !call.access.is_admin()) {
        None => Ok(()),
        Some(flag) => {
            let text = flag.custom_error_message.clone();
            let text = text.unwrap_or_else(|| "app_scaling".to_owned());
            Err(actions::Refused::FeatureDisabled(text).into())
        }
    }
}

/// With the command, for those who may see secrets.
fn present_whole(call: &Call, app: &App, process: &Process) -> wire::Process {
    let command = actions::process::start_command(&call.state, app, process);
    let shown = if call.may(Action::AppSecretsRead, Scope::Space(app.space)) {
        command
    } else {
        command.map(|_| "[PRIVATE DATA HIDDEN]".to_owned())
    };
    present(&call.base, process, shown)
}

fn present(base: &Base, process: &Process, command: Option<String>) -> wire::Process {
    let path = format!("/v3/processes/{}", process.guid);
    let app = format!("/v3/apps/{}", process.app);
    let link = |name: &str, path: &str| (name.to_owned(), base.link(path));
    wire::Process {
        guid: process.guid,
        created_at: seconds(process.meta.created_at),
        updated_at: seconds(process.meta.updated_at),
        version: process.version.to_string(),
        kind: process.process_type.clone(),
        command,
        instances: process.instances,
        memory_in_mb: process.memory_mb,
        disk_in_mb: process.disk_mb,
        log_rate_limit_in_bytes_per_second: log_rate(process.log_rate_bytes),
        health_check: present_health(&process.health),
        readiness_health_check: present_readiness(&process.readiness),
        relationships: wire::ProcessRelationships {
            app: ToOne::to(process.app),
            revision: ToOne { data: None },
        },
        metadata: metadata(&process.meta),
        links: [
            link("self", &path),
            (
                "scale".to_owned(),
                Link::post(base.href(&format!("{path}/actions/scale"))),
            ),
            link("app", &app),
            link("stats", &format!("{path}/stats")),
            link("process_instances", &format!("{path}/process_instances")),
        ]
        .into(),
        process_instances: None,
    }
}

/// -1 is unlimited.
pub(super) fn log_rate(bytes: Option<u64>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn present_health(health: &HealthCheck) -> wire::HealthCheck {
    wire::HealthCheck {
        kind: actions::health_check::kind(&health.check).to_owned(),
        data: wire::HealthCheckData {
            timeout: Some(health.start_timeout_s),
            invocation_timeout: Some(health.invocation_timeout_s),
            interval: Some(health.interval_s),
            endpoint: endpoint(&health.check),
        },
    }
}

fn present_readiness(readiness: &ReadinessCheck) -> wire::HealthCheck {
    wire::HealthCheck {
        kind: actions::health_check::kind(&readiness.check).to_owned(),
        data: wire::HealthCheckData {
            timeout: None,
            invocation_timeout: Some(readiness.invocation_timeout_s),
            interval: Some(readiness.interval_s),
            endpoint: endpoint(&readiness.check),
        },
    }
}

fn endpoint(check: &Check) -> Option<String> {
    match check {
        Check::Http { endpoint } => Some(endpoint.clone()),
        Check::Port | Check::Process => None,
    }
}

impl Listed for Process {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
