//! `/v3/buildpacks`.

use std::sync::Arc;

use cfx_protocol::v3::buildpack::{self as wire, BuildpackPatch, NewBuildpack};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::job;
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use crate::actions;
use crate::state::buildpack::Buildpack;
use crate::state::meta::Meta;

/// The CLI prints them as they come, so they come in the order of detection.
pub(super) async fn list(call: Call, query: Query) -> Answer {
    let (names, stacks) = (query.filter("names"), query.filter("stacks"));
    let found = call.state.all::<Buildpack>().filter(|buildpack| {
        names.admits(&buildpack.name)
            && stacks.admits(buildpack.stack.as_deref().unwrap_or_default())
    });
    pagination::page_with(
        &call.base,
        &query,
        "position",
        found.cloned(),
        |buildpack| present(&call.base, buildpack),
        |_| None,
    )
}

pub(super) async fn show(call: Call) -> Answer {
    response::ok(present(&call.base, &*find(&call)?))
}

pub(super) async fn create(call: Call, Body(new): Body<NewBuildpack>) -> Answer {
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let made = call
        .write(|draft, act| actions::buildpack::create(draft, act, new))
        .await?;
    response::created(present(&call.base, &made))
}

pub(super) async fn update(call: Call, Body(patch): Body<BuildpackPatch>) -> Answer {
    let guid = find(&call)?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let changed = call
        .write(|draft, act| actions::buildpack::update(draft, act, guid, patch))
        .await?;
    response::ok(present(&call.base, &changed))
}

pub(super) async fn delete(call: Call) -> Answer {
    let guid = find(&call)?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    job::of(&call, "buildpack.delete", |draft, act| {
        actions::buildpack::delete(draft, act, guid)
    })
    .await
}

fn find(call: &Call) -> Result<Arc<Buildpack>, ApiError> {
    let found = call.state.get::<Buildpack>(&call.guid()).cloned();
    found.ok_or_else(|| ApiError::not_found("Buildpack"))
}

fn present(base: &Base, buildpack: &Buildpack) -> wire::Buildpack {
    let path = format!("/v3/buildpacks/{}", buildpack.guid);
    let mut upload = base.link(&format!("{path}/upload"));
    upload.method = Some("POST".to_owned());
    wire::Buildpack {
        guid: buildpack.guid,
        created_at: seconds(buildpack.meta.created_at),
        updated_at: seconds(buildpack.meta.updated_at),
        name: buildpack.name.clone(),
        stack: buildpack.stack.clone(),
        state: match buildpack.blob {
            Some(_) => "READY",
            None => "AWAITING_UPLOAD",
        }
        .to_owned(),
        filename: buildpack.filename.clone(),
        lifecycle: "buildpack".to_owned(),
        position: buildpack.position,
        enabled: buildpack.enabled,
        locked: buildpack.locked,
        metadata: metadata(&buildpack.meta),
        links: [
            ("self".to_owned(), base.link(&path)),
            ("upload".to_owned(), upload),
        ]
        .into(),
    }
}

impl Listed for Buildpack {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn position(&self) -> u32 {
        self.position
    }
}
