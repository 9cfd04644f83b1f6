//! Giving roles and taking them away.

use std::sync::Arc;

use cfx_protocol::id::{OrgGuid, RoleGuid, SpaceGuid, UserGuid};
use serde_json::json;
use uuid::Uuid;

use super::deletion::{Budget, Progress};
use super::{Act, Refused, Target};
use crate::auth::client_guid;
use crate::state::audit_event::Party;
use crate::state::auth::Client;
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::role::{RoleAssignment, RoleTarget, RoleType};
use crate::state::space::Space;
use crate::state::user::User;
use crate::state::{Draft, Link, State};

/// Give a role. That the target is there and may be changed is known already.
pub fn grant(
    draft: &mut Draft,
    act: &Act<'_>,
    user: UserGuid,
    role: RoleType,
    target: RoleTarget,
) -> Result<Arc<RoleAssignment>, Refused> {
    if is_of_organization(role) != matches!(target, RoleTarget::Organization(_)) {
        return Err(Refused::unprocessable(
            "An organization role needs an organization, a space role needs a space",
        ));
    }
    let username = user_label(draft, user).ok_or_else(invalid_user)?;
    if holds(draft, user, |held| {
        held.role == role && held.target == target
    }) {
        return Err(Refused::Unprocessable(format!(
            "User '{username}' already has '{}' role in {}.",
            name_of(role),
            place(draft, target)
        )));
    }
    if let RoleTarget::Space(space) = target {
        demand_role_in_organization_of(draft, user, space)?;
    }
    if draft.get::<User>(&user).is_some() {
        draft.update::<User>(&user, |user| user.in_cloud_controller = true);
    }
    let made = draft.put(RoleAssignment {
        guid: act.ids.guid(),
        user,
        role,
        target,
        meta: Meta::new(act.now),
    });
    record(draft, act, &made, &username, "add");
    Ok(made)
}

fn demand_role_in_organization_of(
    state: &State,
    user: UserGuid,
    space: SpaceGuid,
) -> Result<(), Refused> {
    let space = state.get::<Space>(&space);
    let space = space.ok_or(Refused::NotFound("Space"))?;
    let organization = RoleTarget::Organization(space.organization);
    if holds(state, user, |held| held.target == organization) {
        return Ok(());
    }
    Err(Refused::unprocessable(
        "Users cannot be assigned roles in a space if they do not have a role in that space's \
         organization.",
    ))
}

pub fn revoke(draft: &mut Draft, act: &Act<'_>, guid: RoleGuid) -> Result<(), Refused> {
    let found = draft.get::<RoleAssignment>(&guid).cloned();
    let found = found.ok_or(Refused::NotFound("Role"))?;
    if let (RoleType::OrganizationUser, RoleTarget::Organization(organization)) =
        (found.role, found.target)
    {
        let inside = |held: &RoleAssignment| match held.target {
            RoleTarget::Organization(_) => false,
            RoleTarget::Space(space) => draft
                .get::<Space>(&space)
                .is_some_and(|space| space.organization == organization),
        };
        if holds(draft, found.user, inside) {
            return Err(Refused::unprocessable(
                "Cannot delete organization_user role while user has roles in spaces in that \
                 organization.",
            ));
        }
    }
    let username = user_label(draft, found.user).unwrap_or_default();
    record(draft, act, &found, &username, "remove");
    draft.delete::<RoleAssignment>(&guid);
    Ok(())
}

/// All roles in an organisation or a space, which is going.
pub fn delete_in(draft: &mut Draft, place: Uuid, budget: &mut Budget) -> Progress {
    delete_linked(draft, Link::RolesIn(place), budget)
}

/// All roles of a user who is going.
pub fn delete_of(draft: &mut Draft, user: UserGuid, budget: &mut Budget) -> Progress {
    delete_linked(draft, Link::RolesOf(user.0), budget)
}

fn delete_linked(draft: &mut Draft, link: Link, budget: &mut Budget) -> Progress {
    let roles = draft.linked::<RoleAssignment>(link);
    for guid in roles.map(|role| role.guid).collect::<Vec<_>>() {
        if !budget.take() {
            return Progress::More;
        }
        draft.delete::<RoleAssignment>(&guid);
    }
    Progress::Done
}

/// A user by guid, or a client by its id.
pub fn user_by_id(state: &State, id: &str) -> Result<UserGuid, Refused> {
    if state.get::<Client>(&id.to_owned()).is_some() {
        return Ok(client_guid(id));
    }
    let guid: UserGuid = id.parse().map_err(|_| invalid_user())?;
    match user_label(state, guid) {
        Some(_) => Ok(guid),
        None => Err(invalid_user()),
    }
}

/// A user by name. The origin may be left out when only one has the name.
pub fn user_by_name(
    state: &State,
    username: &str,
    origin: Option<&str>,
) -> Result<UserGuid, Refused> {
    let lower = username.to_lowercase();
    let mut found = state.all::<User>().filter(|user| {
        user.username.to_lowercase() == lower
            && origin.is_none_or(|origin| user.origin == origin)
            && !user.username.is_empty()
    });
    match (found.next(), found.next(), origin) {
        (Some(user), None, _) => Ok(user.guid),
        (None, _, Some(origin)) => Err(Refused::Unprocessable(format!(
            "No user exists with the username '{username}' and origin '{origin}'."
        ))),
        (None, _, None) => Err(Refused::Unprocessable(format!(
            "No user exists with the username '{username}'."
        ))),
        (Some(_), Some(_), _) => Err(Refused::Unprocessable(format!(
            "Ambiguous user. User with username '{username}' exists in several origins. \
             Specify an origin to disambiguate."
        ))),
    }
}

#[must_use]
pub fn is_of_organization(role: RoleType) -> bool {
    matches!(
        role,
        RoleType::OrganizationUser
            | RoleType::OrganizationAuditor
            | RoleType::OrganizationManager
            | RoleType::OrganizationBillingManager
    )
}

/// As the API writes it.
#[must_use]
pub fn name_of(role: RoleType) -> &'static str {
    match role {
        RoleType::OrganizationUser => "organization_user",
        RoleType::OrganizationAuditor => "organization_auditor",
        RoleType::OrganizationManager => "organization_manager",
        RoleType::OrganizationBillingManager => "organization_billing_manager",
        RoleType::SpaceAuditor => "space_auditor",
        RoleType::SpaceDeveloper => "space_developer",
        RoleType::SpaceManager => "space_manager",
        RoleType::SpaceSupporter => "space_supporter",
    }
}

/// The organisation a role belongs to in the end.
#[must_use]
pub fn organization_of(state: &State, target: RoleTarget) -> Option<OrgGuid> {
    match target {
        RoleTarget::Organization(guid) => Some(guid),
        RoleTarget::Space(guid) => state.get::<Space>(&guid).map(|space| space.organization),
    }
}

fn holds(state: &State, user: UserGuid, is: impl Fn(&RoleAssignment) -> bool) -> bool {
    state
        .linked::<RoleAssignment>(Link::RolesOf(user.0))
        .any(|held| is(held))
}

/// How messages name a user; none when there is no such user or client.
fn user_label(state: &State, guid: UserGuid) -> Option<String> {
    if let Some(user) = state.get::<User>(&guid) {
        let named = !user.username.is_empty();
        return Some(if named {
            user.username.clone()
        } else {
            guid.to_string()
        });
    }
    let mut clients = state.all::<Client>();
    clients
        .find(|client| client_guid(&client.id) == guid)
        .map(|client| client.id.clone())
}

fn invalid_user() -> Refused {
    Refused::unprocessable("Invalid user. Ensure that the user exists and you have access to it.")
}

fn place(state: &State, target: RoleTarget) -> String {
    match target {
        RoleTarget::Organization(guid) => {
            let name = state
                .get::<Organization>(&guid)
                .map(|org| org.name.as_str());
            format!("organization '{}'", name.unwrap_or_default())
        }
        RoleTarget::Space(guid) => {
            let name = state.get::<Space>(&guid).map(|space| space.name.as_str());
            format!("space '{}'", name.unwrap_or_default())
        }
    }
}

fn record(draft: &mut Draft, act: &Act<'_>, role: &RoleAssignment, username: &str, verb: &str) {
    let target = Target {
        party: Party {
            guid: role.user.to_string(),
            kind: "user".to_owned(),
            name: username.to_owned(),
        },
        space: match role.target {
            RoleTarget::Organization(_) => None,
            RoleTarget::Space(guid) => Some(guid),
        },
        organization: organization_of(draft, role.target),
    };
    let kind = format!("audit.user.{}_{verb}", name_of(role.role));
    act.record(
        draft,
        &kind,
        target,
        json!({ "request": { "role": name_of(role.role) } }),
    );
}
