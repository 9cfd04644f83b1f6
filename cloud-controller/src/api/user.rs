//! `/v3/users`: people and clients as far as they have to do with organisations.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::id::UserGuid;
use cfx_protocol::v3::user::{self as wire, NewUser, UserPatch};
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
use crate::state::Link;
use crate::state::meta::Meta;
use crate::state::role::RoleAssignment;
use crate::state::user::User;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let (usernames, origins) = (query.filter("usernames"), query.filter("origins"));
    let partial = query.filter("partial_usernames");
    let visible = call.state.all::<User>().filter(|user| {
        let part = |part: &String| user.username.contains(part.as_str());
        usernames.admits(&user.username)
            && origins.admits(&user.origin)
            && (partial.is_absent() || partial.values().iter().any(part))
            && sees(&call, user)
    });
    pagination::page(&call.base, &query, visible.cloned(), |user| {
        present(&call.base, user)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let user = find(&call, call.guid())?;
    response::ok(present(&call.base, &user))
}

pub(super) async fn create(call: Call, Body(new): Body<NewUser>) -> Answer {
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let made = call
        .write(|draft, act| actions::user::register(draft, act, new))
        .await?;
    response::created(present(&call.base, &made))
}

pub(super) async fn update(call: Call, Body(patch): Body<UserPatch>) -> Answer {
    let guid = find(&call, call.guid())?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let changed = call
        .write(|draft, act| actions::user::update(draft, act, guid, patch))
        .await?;
    response::ok(present(&call.base, &changed))
}

pub(super) async fn delete(call: Call) -> Answer {
    let guid = find(&call, call.guid())?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    job::of_steps(&call, "user.delete", |draft, act| {
        actions::user::forget(draft, act, guid)
    })
    .await
}

/// `GET /whoami`.
pub(super) async fn whoami(call: Call) -> Answer {
    let kind = if call.caller.is_client {
        "Client"
    } else {
        "User"
    };
    response::ok(serde_json::json!({ "name": call.caller.name, "kind": kind }))
}

fn find(call: &Call, guid: UserGuid) -> Result<Arc<User>, ApiError> {
    let found = call.state.get::<User>(&guid);
    let seen = found.filter(|user| sees(call, user)).cloned();
    seen.ok_or_else(|| ApiError::not_found("User"))
}

/// Oneself, and those with whom one shares an organisation.
fn sees(call: &Call, user: &User) -> bool {
    if !user.in_cloud_controller {
        return false;
    }
    if user.guid == call.caller.guid || call.access.reads_everything() {
        return true;
    }
    let mut roles = call
        .state
        .linked::<RoleAssignment>(Link::RolesOf(user.guid.0));
    roles.any(|role| {
        let organization = actions::role::organization_of(&call.state, role.target);
        organization.is_some_and(|guid| call.sees_in(Action::OrganizationRead, guid))
    })
}

/// The users that these roles, which the caller sees, belong to; each once.
pub(super) fn present_all(call: &Call, guids: impl Iterator<Item = UserGuid>) -> Vec<wire::User> {
    let guids: BTreeSet<UserGuid> = guids.collect();
    let users = guids.iter().filter_map(|guid| call.state.get::<User>(guid));
    users.map(|user| present(&call.base, user)).collect()
}

fn present(base: &Base, user: &User) -> wire::User {
    let named = !user.username.is_empty();
    let known = |text: &String| named.then(|| text.clone()).filter(|text| !text.is_empty());
    let guid = user.guid.to_string();
    let path = format!("/v3/users/{guid}");
    wire::User {
        created_at: seconds(user.meta.created_at),
        updated_at: seconds(user.meta.updated_at),
        username: known(&user.username),
        presentation_name: if named {
            user.username.clone()
        } else {
            guid.clone()
        },
        origin: known(&user.origin),
        guid,
        metadata: metadata(&user.meta),
        links: [("self".to_owned(), base.link(&path))].into(),
    }
}

impl Listed for User {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn name(&self) -> &str {
        &self.username
    }
}
