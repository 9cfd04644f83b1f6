//! `/v3/spaces`.

use std::sync::Arc;

use cfx_protocol::id::SpaceGuid;
use cfx_protocol::v3::resource::ToOne;
use cfx_protocol::v3::space::{self as wire, NewSpace, SpacePatch};
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{job, organization};
use crate::actions;
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::space::Space;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let names = query.filter("names");
    let organizations = query.filter("organization_guids");
    let visible = call.state.all::<Space>().filter(|space| {
        names.admits(&space.name)
            && organizations.admits_guid(space.organization)
            && call.sees(Action::SpaceRead, space.guid)
    });
    pagination::page_with(
        &call.base,
        &query,
        "created_at",
        visible.cloned(),
        |space| present(&call.base, space),
        |spaces| included(&call, &query, spaces),
    )
}

pub(super) async fn show(call: Call, query: Query) -> Answer {
    let space = find(&call, call.guid())?;
    let included = included(&call, &query, std::slice::from_ref(&space));
    response::with_included(present(&call.base, &space), included)
}

pub(super) async fn create(call: Call, Body(new): Body<NewSpace>) -> Answer {
    let wanted = new.relationships.organization.data;
    let guid = wanted.map(|reference| reference.guid);
    let seen = guid.filter(|guid| call.sees_in(Action::OrganizationRead, *guid));
    let guid = seen.filter(|guid| call.state.get::<Organization>(guid).is_some());
    let guid = guid.ok_or_else(|| {
        ApiError::unprocessable(
            "Invalid organization. Ensure the organization exists and you have access to it.",
        )
    })?;
    call.require(Action::SpaceCreate, Scope::Organization(guid))?;
    let made = call
        .write(|draft, act| actions::space::create(draft, act, guid, new.name, new.metadata))
        .await?;
    response::created(present(&call.base, &made))
}

pub(super) async fn update(call: Call, Body(patch): Body<SpacePatch>) -> Answer {
    let guid = find(&call, call.guid())?.guid;
    call.require(Action::SpaceUpdate, Scope::Space(guid))?;
    let changed = call
        .write(|draft, act| actions::space::update(draft, act, guid, patch))
        .await?;
    response::ok(present(&call.base, &changed))
}

pub(super) async fn delete(call: Call) -> Answer {
    let guid = find(&call, call.guid())?.guid;
    call.require(Action::SpaceDelete, Scope::Space(guid))?;
    job::of_steps(&call, "space.delete", |draft, act| {
        actions::space::delete(draft, act, guid)
    })
    .await
}

/// The space, if the caller sees it.
pub(super) fn find(call: &Call, guid: SpaceGuid) -> Result<Arc<Space>, ApiError> {
    call.see(Action::SpaceRead, Scope::Space(guid), "Space")?;
    let found = call.state.get::<Space>(&guid).cloned();
    found.ok_or_else(|| ApiError::not_found("Space"))
}

fn included(call: &Call, query: &Query, spaces: &[Arc<Space>]) -> Option<Value> {
    let wanted = query.names("include", "organization") || query.names("include", "org");
    wanted.then(|| {
        let guids = spaces.iter().map(|space| space.organization);
        json!({ "organizations": organization::present_all(call, guids) })
    })
}

/// Each of these once, as far as the caller sees them.
pub(super) fn present_all(call: &Call, guids: impl Iterator<Item = SpaceGuid>) -> Vec<wire::Space> {
    let guids: std::collections::BTreeSet<SpaceGuid> = guids.collect();
    let spaces = guids.into_iter().filter_map(|guid| find(call, guid).ok());
    spaces.map(|space| present(&call.base, &space)).collect()
}

pub(super) fn present(base: &Base, space: &Space) -> wire::Space {
    let path = format!("/v3/spaces/{}", space.guid);
    let organization = format!("/v3/organizations/{}", space.organization);
    let link = |name: &str, path: &str| (name.to_owned(), base.link(path));
    wire::Space {
        guid: space.guid,
        created_at: seconds(space.meta.created_at),
        updated_at: seconds(space.meta.updated_at),
        name: space.name.clone(),
        relationships: wire::SpaceRelationships {
            organization: ToOne::to(space.organization),
        },
        metadata: metadata(&space.meta),
        links: [
            link("self", &path),
            link("organization", &organization),
            link("apply_manifest", &format!("{path}/actions/apply_manifest")),
        ]
        .into(),
    }
}

impl Listed for Space {
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
