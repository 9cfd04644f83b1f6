//! `/v3/builds`.

use std::sync::Arc;

use cfx_protocol::id::BuildGuid;
use cfx_protocol::v3::app::AppRelationship;
use cfx_protocol::v3::build::{self as wire, NewBuild};
use cfx_protocol::v3::resource::{Reference, ToOne};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, app_log, package, stg_hold};
use crate::actions;
use crate::state::Link as Children;
use crate::state::app::App;
use crate::state::build::{Build, BuildCreator, BuildState};
use crate::state::meta::Meta;

/// Staging logs are limited, but by no number that a client could change.
const STAGING_LOG_RATE: i64 = -1;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let apps = query.filter("app_guids");
    let state = call.state.clone();
    let admitted = state.all::<Build>().filter(|build| {
        let app = state.get::<App>(&build.app);
        app.is_some_and(|app| call.sees(Action::AppRead, app.space)) && apps.admits_guid(build.app)
    });
    page(&call, &query, admitted.cloned())
}

pub(super) async fn list_of_app(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let builds = call.state.linked::<Build>(Children::BuildsOf(app.guid.0));
    page(&call, &query, builds.cloned())
}

fn page(call: &Call, query: &Query, builds: impl Iterator<Item = Arc<Build>>) -> Answer {
    let states = query.filter("states");
    let packages = query.filter("package_guids");
    let admitted = builds.filter(|build| {
        states.admits(actions::build::state_word(build.state))
            && packages.admits_guid(build.package)
    });
    pagination::page(&call.base, query, admitted, |build| {
        present(&call.base, build, build.state)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let (_, build) = find(&call, call.guid())?;
    let state = stg_hold::shown_state(&call, &build);
    response::ok(present(&call.base, &build, state))
}

pub(super) async fn create(call: Call, Body(new): Body<NewBuild>) -> Answer {
    // A package that is not seen is as one that does not exist.
    let found = package::find(&call, new.package.guid);
    let (app, _) = found.map_err(|_| {
        ApiError::unprocessable(
            "Unable to use package. Ensure that the package exists and you have access to it.",
        )
    })?;
    call.require(Action::AppWrite, Scope::Space(app.space))?;
    let creator = BuildCreator {
        guid: call.caller.guid,
        name: call.caller.name.clone(),
        email: call.caller.email.clone(),
    };
    let build = call
        .write(|draft, act| actions::build::create_build(draft, act, &new, creator))
        .await?;
    app_log::tell(
        &call,
        app.guid,
        format!("Creating build for app with guid {}", app.guid),
    );
    response::created(present(&call.base, &build, build.state))
}

fn find(call: &Call, guid: BuildGuid) -> Result<(Arc<App>, Arc<Build>), ApiError> {
    let not_found = || ApiError::not_found("Build");
    let build = call.state.get::<Build>(&guid).cloned();
    let build = build.ok_or_else(not_found)?;
    let app = call.state.get::<App>(&build.app).cloned();
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    Ok((app.ok_or_else(not_found)?, build))
}

fn present(base: &Base, build: &Build, state: BuildState) -> wire::Build {
    let link = |name: &str, path: String| (name.to_owned(), base.link(&path));
    let mut links = cfx_protocol::v3::resource::Links::from([
        link("self", format!("/v3/builds/{}", build.guid)),
        link("app", format!("/v3/apps/{}", build.app)),
    ]);
    let staged = state == BuildState::Staged;
    if staged {
        links.extend([link("droplet", format!("/v3/droplets/{}", build.droplet))]);
    }
    wire::Build {
        guid: build.guid,
        created_at: seconds(build.meta.created_at),
        updated_at: seconds(build.meta.updated_at),
        state: actions::build::state_word(state).to_owned(),
        error: build.error.clone().filter(|_| state == BuildState::Failed),
        staging_memory_in_mb: build.memory_mb,
        staging_disk_in_mb: build.disk_mb,
        staging_log_rate_limit_bytes_per_second: STAGING_LOG_RATE,
        lifecycle: app::present_lifecycle(&build.lifecycle),
        package: Reference {
            guid: build.package,
        },
        droplet: staged.then_some(Reference {
            guid: build.droplet,
        }),
        created_by: wire::CreatedBy {
            guid: build.created_by.guid,
            name: build.created_by.name.clone(),
            email: build.created_by.email.clone(),
        },
        relationships: AppRelationship {
            app: ToOne::to(build.app),
        },
        metadata: metadata(&build.meta),
        links,
    }
}

impl Listed for Build {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
