//! `/v3/organizations`.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::id::OrgGuid;
use cfx_protocol::v3::organization::{self as wire, NewOrganization, OrganizationPatch};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::job;
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use crate::actions::{self, feature_flag};
use crate::state::meta::Meta;
use crate::state::organization::Organization;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let names = query.filter("names");
    let visible = call.state.all::<Organization>().filter(|organization| {
        names.admits(&organization.name)
            && call.sees_in(Action::OrganizationRead, organization.guid)
    });
    pagination::page(&call.base, &query, visible.cloned(), |organization| {
        present(&call.base, organization)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let organization = find(&call, call.guid())?;
    response::ok(present(&call.base, &organization))
}

pub(super) async fn create(call: Call, Body(new): Body<NewOrganization>) -> Answer {
    let by_flag = !call.may(Action::OrganizationCreate, Scope::Platform)
        && feature_flag::is_enabled(&call.state, "user_org_creation");
    if !by_flag {
        call.require(Action::OrganizationCreate, Scope::Platform)?;
    }
    let manager = by_flag.then_some(call.caller.guid);
    let made = call
        .write(|draft, act| actions::organization::create(draft, act, new, manager))
        .await?;
    response::created(present(&call.base, &made))
}

pub(super) async fn update(call: Call, Body(patch): Body<OrganizationPatch>) -> Answer {
    let guid = find(&call, call.guid())?.guid;
    call.require(Action::OrganizationUpdate, Scope::Organization(guid))?;
    if patch.suspended.is_some() {
        call.require(Action::OrganizationSuspend, Scope::Organization(guid))?;
    }
    let changed = call
        .write(|draft, act| actions::organization::update(draft, act, guid, patch))
        .await?;
    response::ok(present(&call.base, &changed))
}

pub(super) async fn delete(call: Call) -> Answer {
    let guid = find(&call, call.guid())?.guid;
    call.require(Action::OrganizationDelete, Scope::Organization(guid))?;
    job::of_steps(&call, "organization.delete", |draft, act| {
        actions::organization::delete(draft, act, guid)
    })
    .await
}

/// The organisation, if the caller sees it.
pub(super) fn find(call: &Call, guid: OrgGuid) -> Result<Arc<Organization>, ApiError> {
    call.see(
        Action::OrganizationRead,
        Scope::Organization(guid),
        "Organization",
    )?;
    let found = call.state.get::<Organization>(&guid).cloned();
    found.ok_or_else(|| ApiError::not_found("Organization"))
}

/// Each of these once, as far as the caller sees them.
pub(super) fn present_all(
    call: &Call,
    guids: impl Iterator<Item = OrgGuid>,
) -> Vec<wire::Organization> {
    let guids: BTreeSet<OrgGuid> = guids.collect();
    let found = guids.into_iter().filter_map(|guid| find(call, guid).ok());
    found
        .map(|organization| present(&call.base, &organization))
        .collect()
}

pub(super) fn present(base: &Base, organization: &Organization) -> wire::Organization {
    let path = format!("/v3/organizations/{}", organization.guid);
    let link = |name: &str, below: &str| (name.to_owned(), base.link(&format!("{path}{below}")));
    wire::Organization {
        guid: organization.guid,
        created_at: seconds(organization.meta.created_at),
        updated_at: seconds(organization.meta.updated_at),
        name: organization.name.clone(),
        suspended: organization.suspended,
        relationships: wire::OrganizationRelationships::default(),
        metadata: metadata(&organization.meta),
        links: [
            link("self", ""),
            link("domains", "/domains"),
            link("default_domain", "/domains/default"),
        ]
        .into(),
    }
}

impl Listed for Organization {
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
