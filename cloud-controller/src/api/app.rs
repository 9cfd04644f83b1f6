//! `/v3/apps`: listing, showing, creating, changing and deleting.

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, SpaceGuid};
use cfx_protocol::v3::app::{self as wire, AppPatch, NewApp};
use cfx_protocol::v3::resource::{Link, Links, Reference, ToOne};
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app_log, job, organization, space};
use crate::actions;
use crate::actions::deletion::delete_app;
use crate::state::State;
use crate::state::app::{App, DesiredState, Lifecycle};
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::space::Space;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let names = query.filter("names");
    let spaces = query.filter("space_guids");
    let organizations = query.filter("organization_guids");
    let stacks = query.filter("stacks");
    let kinds = query.filter("lifecycle_type");
    let state = &call.state;
    let admitted = state.all::<App>().filter(|app| {
        call.sees(Action::AppRead, app.space)
            && names.admits(&app.name)
            && spaces.admits_guid(app.space)
            && (organizations.is_absent()
                || organizations.admits_any(organization_of(state, app).map(|it| it.guid)))
            && stacks.admits(stack_of(&app.lifecycle))
            && kinds.admits(actions::lifecycle::kind(&app.lifecycle))
    });
    let present_app = |app: &App| present(&call.base, app);
    let include = |apps: &[Arc<App>]| included(&call, &query, apps);
    pagination::page_with(
        &call.base,
        &query,
        "created_at",
        admitted.cloned(),
        present_app,
        include,
    )
}

pub(super) async fn show(call: Call, query: Query) -> Answer {
    let app = find(&call, call.guid())?;
    let mut shown = serde_json::to_value(present(&call.base, &app)).map_err(ApiError::internal)?;
    if let Some(included) = included(&call, &query, std::slice::from_ref(&app)) {
        shown["included"] = included;
    }
    response::ok(shown)
}

pub(super) async fn create(call: Call, Body(new): Body<NewApp>) -> Answer {
    require_space(
        &call,
        new.relationships.space.data.map(|to| to.guid),
        Action::AppWrite,
    )?;
    let app = call
        .write(|draft, act| actions::app::create_app(draft, act, &new))
        .await?;
    app_log::tell(
        &call,
        app.guid,
        format!("Created app with guid {}", app.guid),
    );
    response::created(present(&call.base, &app))
}

pub(super) async fn update(call: Call, Body(patch): Body<AppPatch>) -> Answer {
    let app = find_to(&call, Action::AppWrite, call.guid())?;
    let app = call
        .write(|draft, act| actions::app::update_app(draft, act, app.guid, &patch))
        .await?;
    let said = json!({"name": patch.name, "lifecycle": patch.lifecycle});
    app_log::tell(
        &call,
        app.guid,
        format!("Updated app with guid {} ({said})", app.guid),
    );
    response::ok(present(&call.base, &app))
}

pub(super) async fn delete(call: Call) -> Answer {
    let app = find_to(&call, Action::AppWrite, call.guid())?;
    job::of_steps(&call, "app.delete", |draft, act| {
        delete_app(draft, act, app.guid)
    })
    .await
}

/// There are none: a process of an app is one container with one command.
pub(super) async fn sidecars(call: Call, query: Query) -> Answer {
    find(&call, call.guid())?;
    pagination::plain(&call.base, &query, Vec::<()>::new())
}

/// The app, if the caller sees it.
pub(super) fn find(call: &Call, guid: AppGuid) -> Result<Arc<App>, ApiError> {
    let app = call.state.get::<App>(&guid).cloned();
    app.filter(|app| call.sees(Action::AppRead, app.space))
        .ok_or_else(|| ApiError::not_found("App"))
}

/// The app, if the caller sees it and may do this to it.
pub(super) fn find_to(call: &Call, action: Action, guid: AppGuid) -> Result<Arc<App>, ApiError> {
    let app = find(call, guid)?;
    call.require(action, Scope::Space(app.space))?;
    Ok(app)
}

/// May the caller do this in a space that the request names? One that is not seen is as one that
/// does not exist.
pub(super) fn require_space(
    call: &Call,
    guid: Option<SpaceGuid>,
    action: Action,
) -> Result<SpaceGuid, ApiError> {
    let guid = guid.filter(|guid| space::find(call, *guid).is_ok());
    let guid = guid.ok_or_else(|| {
        ApiError::unprocessable(
            "Invalid space. Ensure that the space exists and you have access to it.",
        )
    })?;
    call.require(action, Scope::Space(guid))?;
    Ok(guid)
}

pub(super) fn present(base: &Base, app: &App) -> wire::App {
    wire::App {
        guid: app.guid,
        created_at: seconds(app.meta.created_at),
        updated_at: seconds(app.meta.updated_at),
        name: app.name.clone(),
        state: state_word(app).to_owned(),
        lifecycle: present_lifecycle(&app.lifecycle),
        relationships: wire::AppRelationships {
            space: ToOne::to(app.space),
            current_droplet: ToOne {
                data: app.current_droplet.map(|guid| Reference { guid }),
            },
        },
        metadata: metadata(&app.meta),
        links: links(base, app),
    }
}

pub(super) fn present_lifecycle(lifecycle: &Lifecycle) -> wire::Lifecycle {
    let data = match lifecycle {
        Lifecycle::Buildpack { buildpacks, stack } => wire::LifecycleData {
            buildpacks: Some(buildpacks.clone()),
            stack: Some(stack.clone()),
        },
        Lifecycle::Docker => wire::LifecycleData::default(),
    };
    wire::Lifecycle {
        kind: actions::lifecycle::kind(lifecycle).to_owned(),
        data,
    }
}

pub(super) fn state_word(app: &App) -> &'static str {
    match app.desired_state {
        DesiredState::Started => "STARTED",
        DesiredState::Stopped => "STOPPED",
    }
}

fn links(base: &Base, app: &App) -> Links {
    let path = format!("/v3/apps/{}", app.guid);
    let get = |name: &str, below: &str| (name.to_owned(), base.link(&format!("{path}{below}")));
    let post = |name: &str| {
        let href = base.href(&format!("{path}/actions/{name}"));
        (name.to_owned(), Link::post(href))
    };
    [
        get("self", ""),
        get("environment_variables", "/environment_variables"),
        (
            "space".to_owned(),
            base.link(&format!("/v3/spaces/{}", app.space)),
        ),
        get("processes", "/processes"),
        get("packages", "/packages"),
        get("current_droplet", "/droplets/current"),
        get("droplets", "/droplets"),
        get("tasks", "/tasks"),
        get("features", "/features"),
        post("start"),
        post("stop"),
    ]
    .into()
}

/// `include=space,space.organization`.
fn included(call: &Call, query: &Query, apps: &[Arc<App>]) -> Option<Value> {
    let with_organizations =
        query.names("include", "space.organization") || query.names("include", "org");
    if !with_organizations && !query.names("include", "space") {
        return None;
    }
    let mut included = json!({});
    let spaces = apps.iter().map(|app| app.space);
    included["spaces"] = json!(space::present_all(call, spaces));
    if with_organizations {
        let owners = apps
            .iter()
            .filter_map(|app| organization_of(&call.state, app));
        let owners = owners.map(|owner| owner.guid);
        included["organizations"] = json!(organization::present_all(call, owners));
    }
    Some(included)
}

pub(super) fn organization_of<'a>(state: &'a State, app: &App) -> Option<&'a Arc<Organization>> {
    let space = state.get::<Space>(&app.space)?;
    state.get::<Organization>(&space.organization)
}

fn stack_of(lifecycle: &Lifecycle) -> &str {
    match lifecycle {
        Lifecycle::Buildpack { stack, .. } => stack,
        Lifecycle::Docker => "",
    }
}

impl Listed for App {
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
