//! The environment of an app, and its features.

use std::sync::Arc;

use cfx_protocol::v3::app::{
    AppEnvironment, AppFeature, AppFeaturePatch, EnvironmentVariables, EnvironmentVariablesPatch,
    SshEnabled,
};
use serde_json::{Map, Value};

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::permission::Action;
use super::query::Query;
use super::request::{Body, Call};
use super::{app, app_log, pagination, response};
use crate::actions::app::process_of;
use crate::actions::environment::{Group, group_variables, patch_environment};
use crate::actions::process::WEB;
use crate::actions::{self, vcap};
use crate::state::app::App;

/// Name, what it does, and whether it is on where nobody decided.
const FEATURES: [(&str, &str, bool); 5] = [
    ("ssh", "Enable SSHing into the app.", false),
    ("revisions", "Enable versioning of an application", false),
    (
        "service-binding-k8s",
        "Enable k8s service bindings for the app",
        false,
    ),
    (
        "file-based-vcap-services",
        "Enable file-based VCAP service bindings for the app",
        false,
    ),
    (
        "hash-based-routing",
        "Enable hash-based routing for the app",
        false,
    ),
];

/// All that the app gets to see, secrets included.
pub(super) async fn show(call: Call) -> Answer {
    let app = find_secrets(&call)?;
    let state = &call.state;
    let web = process_of(state, app.guid, WEB);
    let application = web.map(|web| vcap::application(state, &app, &web, &call.base.href("")));
    let wrapped = |name: &str, value: Map<String, Value>| {
        Map::from_iter([(name.to_owned(), Value::Object(value))])
    };
    record_show(&call, &app, "audit.app.environment.show").await?;
    response::ok(AppEnvironment {
        environment_variables: app.environment.clone(),
        staging_env_json: group_variables(state, Group::Staging),
        running_env_json: group_variables(state, Group::Running),
        system_env_json: wrapped("VCAP_SERVICES", vcap::services(state, &app)),
        application_env_json: wrapped("VCAP_APPLICATION", application.unwrap_or_default()),
    })
}

pub(super) async fn variables(call: Call) -> Answer {
    let app = find_secrets(&call)?;
    record_show(&call, &app, "audit.app.environment_variables.show").await?;
    response::ok(present_variables(&call, &app))
}

pub(super) async fn update(call: Call, Body(patch): Body<EnvironmentVariablesPatch>) -> Answer {
    let app = app::find_to(&call, Action::AppWrite, call.guid())?;
    let app = call
        .write(|draft, act| patch_environment(draft, act, app.guid, &patch.var))
        .await?;
    app_log::tell(
        &call,
        app.guid,
        format!(
            "Updated app with guid {} (environment variables changed)",
            app.guid
        ),
    );
    response::ok(present_variables(&call, &app))
}

pub(super) async fn features(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let all = FEATURES.iter().map(|known| present_feature(&app, known));
    pagination::plain(&call.base, &query, all.collect())
}

pub(super) async fn feature(call: Call) -> Answer {
    let app = app::find(&call, call.guid())?;
    response::ok(present_feature(&app, known_feature(&call)?))
}

pub(super) async fn set_feature(call: Call, Body(patch): Body<AppFeaturePatch>) -> Answer {
    let app = app::find_to(&call, Action::AppWrite, call.guid())?;
    let known = known_feature(&call)?;
    if patch.enabled {
        return Err(ApiError::unprocessable(format!(
            "The feature '{}' is not offered by this platform",
            known.0
        )));
    }
    let app = call
        .write(|draft, act| actions::app::set_feature(draft, act, app.guid, known.0, patch.enabled))
        .await?;
    response::ok(present_feature(&app, known))
}

pub(super) async fn ssh_enabled(call: Call) -> Answer {
    app::find(&call, call.guid())?;
    response::ok(SshEnabled {
        enabled: false,
        reason: "Disabled globally".to_owned(),
    })
}

/// The app, for those who may see its secrets. Who sees the app but not these is told so.
fn find_secrets(call: &Call) -> Result<Arc<App>, ApiError> {
    let app = app::find(call, call.guid())?;
    if !call.may(Action::AppSecretsRead, Scope::Space(app.space)) {
        return Err(ApiError::forbidden());
    }
    Ok(app)
}

/// Seeing secrets leaves an event.
async fn record_show(call: &Call, app: &App, kind: &str) -> Result<(), ApiError> {
    call.write(|draft, act| {
        let target = actions::Target::in_space(draft, app.space, "app", app.guid, &app.name);
        act.record(draft, kind, target, serde_json::json!({}));
        Ok(())
    })
    .await
}

fn present_variables(call: &Call, app: &App) -> EnvironmentVariables {
    let path = format!("/v3/apps/{}", app.guid);
    EnvironmentVariables {
        var: app.environment.clone(),
        links: [
            (
                "self".to_owned(),
                call.base.link(&format!("{path}/environment_variables")),
            ),
            ("app".to_owned(), call.base.link(&path)),
        ]
        .into(),
    }
}

fn known_feature(call: &Call) -> Result<&'static (&'static str, &'static str, bool), ApiError> {
    let name = call.param("name");
    FEATURES
        .iter()
        .find(|known| known.0 == name)
        .ok_or_else(|| ApiError::not_found("Feature"))
}

fn present_feature(app: &App, known: &(&str, &str, bool)) -> AppFeature {
    let (name, description, default) = known;
    AppFeature {
        name: (*name).to_owned(),
        description: (*description).to_owned(),
        enabled: app.features.get(*name).copied().unwrap_or(*default),
    }
}
