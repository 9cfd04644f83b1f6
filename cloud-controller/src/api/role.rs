//! `/v3/roles`.

use std::sync::Arc;

use cfx_protocol::id::UserGuid;
use cfx_protocol::v3::resource::ToOne;
use cfx_protocol::v3::role::{self as wire, NewRole, UserReference};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, seconds};
use super::{job, organization, space, user};
use crate::actions;
use crate::actions::{feature_flag, role as roles};
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::role::{RoleAssignment, RoleTarget, RoleType};
use crate::state::space::Space;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let (users, types) = (query.filter("user_guids"), query.filter("types"));
    let organizations = query.filter("organization_guids");
    let spaces = query.filter("space_guids");
    let visible = call.state.all::<RoleAssignment>().filter(|role| {
        let there = match role.target {
            RoleTarget::Organization(guid) => organizations.admits_guid(guid) && spaces.is_absent(),
            RoleTarget::Space(guid) => spaces.admits_guid(guid) && organizations.is_absent(),
        };
        there
            && users.admits_guid(role.user)
            && types.admits(roles::name_of(role.role))
            && sees(&call, role)
    });
    pagination::page_with(
        &call.base,
        &query,
        "created_at",
        visible.cloned(),
        |role| present(&call.base, role),
        |shown| included(&call, &query, shown),
    )
}

pub(super) async fn show(call: Call, query: Query) -> Answer {
    let role = find(&call)?;
    let included = included(&call, &query, std::slice::from_ref(&role));
    response::with_included(present(&call.base, &role), included)
}

pub(super) async fn create(call: Call, Body(new): Body<NewRole>) -> Answer {
    let role = parse_type(&new.kind)?;
    let target = target(&call, role, &new)?;
    require_write(&call, target)?;
    let user = user_of(&call, &new.relationships.user.data)?;
    let made = call
        .write(|draft, act| roles::grant(draft, act, user, role, target))
        .await?;
    response::created(present(&call.base, &made))
}

pub(super) async fn delete(call: Call) -> Answer {
    let role = find(&call)?;
    require_write(&call, role.target)?;
    job::of(&call, "role.delete", |draft, act| {
        actions::role::revoke(draft, act, role.guid)
    })
    .await
}

fn find(call: &Call) -> Result<Arc<RoleAssignment>, ApiError> {
    let found = call.state.get::<RoleAssignment>(&call.guid());
    let seen = found.filter(|role| sees(call, role)).cloned();
    seen.ok_or_else(|| ApiError::not_found("Role"))
}

fn sees(call: &Call, role: &RoleAssignment) -> bool {
    match role.target {
        RoleTarget::Organization(guid) => call.sees_in(Action::OrganizationRead, guid),
        RoleTarget::Space(guid) => call.sees(Action::SpaceRead, guid),
    }
}

fn require_write(call: &Call, target: RoleTarget) -> Result<(), ApiError> {
    match target {
        RoleTarget::Organization(guid) => {
            call.require(Action::OrganizationRoleWrite, Scope::Organization(guid))
        }
        RoleTarget::Space(guid) => call.require(Action::SpaceRoleWrite, Scope::Space(guid)),
    }
}

fn target(call: &Call, role: RoleType, new: &NewRole) -> Result<RoleTarget, ApiError> {
    let to = &new.relationships;
    let organization = to.organization.and_then(|to| to.data).map(|to| to.guid);
    let space = to.space.and_then(|to| to.data).map(|to| to.guid);
    match (roles::is_of_organization(role), organization, space) {
        (true, Some(guid), None) => {
            let there = call.state.get::<Organization>(&guid).is_some();
            let seen = there && call.sees_in(Action::OrganizationRead, guid);
            seen.then_some(RoleTarget::Organization(guid))
                .ok_or_else(|| invalid("organization"))
        }
        (false, None, Some(guid)) => {
            let there = call.state.get::<Space>(&guid).is_some();
            let seen = there && call.sees(Action::SpaceRead, guid);
            seen.then_some(RoleTarget::Space(guid))
                .ok_or_else(|| invalid("space"))
        }
        (true, ..) => Err(ApiError::unprocessable(
            "Role with type that begins with 'organization_' must be associated with an organization only.",
        )),
        (false, ..) => Err(ApiError::unprocessable(
            "Role with type that begins with 'space_' must be associated with a space only.",
        )),
    }
}

fn invalid(what: &str) -> ApiError {
    ApiError::unprocessable(format!(
        "Invalid {what}. Ensure the {what} exists and you have access to it."
    ))
}

fn user_of(call: &Call, reference: &UserReference) -> Result<UserGuid, ApiError> {
    match (&reference.guid, &reference.username) {
        (Some(guid), None) => Ok(roles::user_by_id(&call.state, guid)?),
        (None, Some(username)) => {
            if !call.access.is_admin() {
                feature_flag::require(&call.state, "set_roles_by_username")?;
            }
            let origin = reference.origin.as_deref();
            Ok(roles::user_by_name(&call.state, username, origin)?)
        }
        _ => Err(ApiError::unprocessable(
            "User must be given by guid, or by username and perhaps origin",
        )),
    }
}

fn parse_type(text: &str) -> Result<RoleType, ApiError> {
    let parsed = serde_json::from_value(Value::String(text.to_owned()));
    parsed.map_err(|_| {
        ApiError::unprocessable(
            "Type must be one of organization_user, organization_auditor, organization_manager, \
             organization_billing_manager, space_auditor, space_developer, space_manager, \
             space_supporter",
        )
    })
}

fn included(call: &Call, query: &Query, shown: &[Arc<RoleAssignment>]) -> Option<Value> {
    let mut included = Map::new();
    if query.names("include", "user") {
        let users = user::present_all(call, shown.iter().map(|role| role.user));
        included.insert("users".to_owned(), json!(users));
    }
    if query.names("include", "organization") {
        let guids = shown.iter().filter_map(|role| match role.target {
            RoleTarget::Organization(guid) => Some(guid),
            RoleTarget::Space(_) => None,
        });
        let organizations = organization::present_all(call, guids);
        included.insert("organizations".to_owned(), json!(organizations));
    }
    if query.names("include", "space") {
        let guids = shown.iter().filter_map(|role| match role.target {
            RoleTarget::Organization(_) => None,
            RoleTarget::Space(guid) => Some(guid),
        });
        included.insert("spaces".to_owned(), json!(space::present_all(call, guids)));
    }
    (!included.is_empty()).then_some(Value::Object(included))
}

fn present(base: &Base, role: &RoleAssignment) -> wire::Role {
    let (organization, space) = match role.target {
        RoleTarget::Organization(guid) => (Some(guid), None),
        RoleTarget::Space(guid) => (None, Some(guid)),
    };
    let to_one = |path: &str, guid: String| base.link(&format!("/v3/{path}/{guid}"));
    let links = [
        Some(("self", to_one("roles", role.guid.to_string()))),
        Some(("user", to_one("users", role.user.to_string()))),
        organization.map(|guid| ("organization", to_one("organizations", guid.to_string()))),
        space.map(|guid| ("space", to_one("spaces", guid.to_string()))),
    ];
    let links = links.into_iter().flatten();
    wire::Role {
        guid: role.guid,
        created_at: seconds(role.meta.created_at),
        updated_at: seconds(role.meta.updated_at),
        kind: roles::name_of(role.role).to_owned(),
        relationships: wire::RoleRelationships {
            user: ToOne::to(role.user.to_string()),
            organization: organization.map_or(ToOne { data: None }, ToOne::to),
            space: space.map_or(ToOne { data: None }, ToOne::to),
        },
        links: links.map(|(name, link)| (name.to_owned(), link)).collect(),
    }
}

impl Listed for RoleAssignment {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
