//! Users: UAA's accounts, and the same people as the v3 API knows them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::id::{EventGuid, UserGuid};
use cfx_protocol::v3::user::{NewUser, UserPatch};
use serde_json::{Value, json};

use super::deletion::{Budget, Progress};
use super::{Act, Refused, Target, limits, metadata, name, role, session};
use crate::auth::client_guid;
use crate::state::audit_event::{AuditEvent, Party};
use crate::state::auth::Client;
use crate::state::meta::Meta;
use crate::state::user::User;
use crate::state::{Draft, State};

/// A user that UAA is told of.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub username: String,
    pub origin: String,
    pub password_hash: Option<String>,
    pub given_name: String,
    pub family_name: String,
    pub email: String,
}

/// A user by name, without regard to case, as UAA compares them.
#[must_use]
pub fn named(state: &State, username: &str, origin: &str) -> Option<Arc<User>> {
    let lower = username.to_lowercase();
    let is_it = |user: &&Arc<User>| user.origin == origin && user.username.to_lowercase() == lower;
    state.all::<User>().find(is_it).cloned()
}

pub fn create(draft: &mut Draft, act: &Act<'_>, new: NewAccount) -> Result<Arc<User>, Refused> {
    for text in [&new.username, &new.origin] {
        name::check(text)?;
    }
    for text in [&new.given_name, &new.family_name, &new.email] {
        if !text.is_empty() {
            name::check(text)?;
        }
    }
    if named(draft, &new.username, &new.origin).is_some() {
        return Err(Refused::Unprocessable(format!(
            "Username already in use: {}",
            new.username
        )));
    }
    let made = draft.put(User {
        guid: act.ids.guid(),
        username: new.username,
        origin: new.origin,
        password_hash: new.password_hash,
        given_name: new.given_name,
        family_name: new.family_name,
        email: new.email,
        active: true,
        groups: BTreeSet::new(),
        in_cloud_controller: false,
        meta: Meta::new(act.now),
    });
    let data = json!({ "username": made.username, "origin": made.origin });
    record(draft, act, made.guid, "create", data);
    Ok(made)
}

/// The account with its roles and sessions, some at a time.
pub fn delete_account(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: UserGuid,
) -> Result<Progress, Refused> {
    let user = draft.get::<User>(&guid).cloned();
    let user = user.ok_or(Refused::NotFound("User"))?;
    if user.guid.to_string() == act.actor.guid {
        return Err(Refused::unprocessable("You cannot delete yourself"));
    }
    if role::delete_of(draft, guid, &mut Budget::of_one_commit()) == Progress::More {
        return Ok(Progress::More);
    }
    session::end_all(draft, guid);
    record(
        draft,
        act,
        guid,
        "delete",
        json!({ "username": user.username }),
    );
    draft.delete::<User>(&guid);
    Ok(Progress::Done)
}

/// Set a hash; whoever signed in with the old password is signed out.
pub fn set_password(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: UserGuid,
    hash: String,
) -> Result<(), Refused> {
    let changed = draft.update::<User>(&guid, |user| {
        user.password_hash = Some(hash);
        user.meta.updated_at = act.now;
    });
    if !changed {
        return Err(Refused::NotFound("User"));
    }
    session::end_all(draft, guid);
    record(draft, act, guid, "password_change", json!({}));
    Ok(())
}

/// `POST /v3/users`: a user of UAA, a client, or somebody of another origin becomes known here.
pub fn register(draft: &mut Draft, act: &Act<'_>, new: NewUser) -> Result<Arc<User>, Refused> {
    let mut user = match (new.guid, new.username, new.origin) {
        (Some(id), None, None) => by_id(draft, act, &id)?,
        (None, Some(username), Some(origin)) => by_name(draft, act, username, origin)?,
        _ => {
            return Err(Refused::unprocessable(
                "Either guid, or username and origin must be given",
            ));
        }
    };
    if user.in_cloud_controller {
        return Err(Refused::Unprocessable(format!(
            "User with guid '{}' already exists.",
            user.guid
        )));
    }
    user.in_cloud_controller = true;
    metadata::apply(&mut user.meta, new.metadata)?;
    limits::check_fits(&user, "Labels and annotations")?;
    Ok(draft.put(user))
}

fn by_id(draft: &Draft, act: &Act<'_>, id: &str) -> Result<User, Refused> {
    if let Some(client) = draft.get::<Client>(&id.to_owned()) {
        let known = draft.get::<User>(&client_guid(id));
        return Ok(known.map_or_else(
            || unnamed(act, client_guid(&client.id), &client.id, ""),
            |user| User::clone(user),
        ));
    }
    let guid: UserGuid = id
        .parse()
        .map_err(|_| Refused::unprocessable("Guid must be that of a user, or a client's id"))?;
    let known = draft.get::<User>(&guid);
    Ok(known.map_or_else(|| unnamed(act, guid, "", ""), |user| User::clone(user)))
}

fn by_name(
    draft: &Draft,
    act: &Act<'_>,
    username: String,
    origin: String,
) -> Result<User, Refused> {
    name::check(&username)?;
    name::check(&origin)?;
    match named(draft, &username, &origin) {
        Some(user) => Ok(User::clone(&user)),
        None if origin == "uaa" => Err(Refused::Unprocessable(format!(
            "No user exists with the username '{username}' and origin 'uaa'."
        ))),
        None => Ok(unnamed(act, act.ids.guid(), &username, &origin)),
    }
}

/// Somebody whose password is not kept here.
fn unnamed(act: &Act<'_>, guid: UserGuid, username: &str, origin: &str) -> User {
    User {
        guid,
        username: username.to_owned(),
        origin: origin.to_owned(),
        password_hash: None,
        given_name: String::new(),
        family_name: String::new(),
        email: String::new(),
        active: true,
        groups: BTreeSet::new(),
        in_cloud_controller: false,
        meta: Meta::new(act.now),
    }
}

pub fn update(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: UserGuid,
    patch: UserPatch,
) -> Result<Arc<User>, Refused> {
    let found = draft.get::<User>(&guid);
    let mut user = User::clone(found.ok_or(Refused::NotFound("User"))?);
    metadata::apply(&mut user.meta, patch.metadata)?;
    user.meta.updated_at = act.now;
    limits::check_fits(&user, "Labels and annotations")?;
    Ok(draft.put(user))
}

/// `DELETE /v3/users/{guid}`: the roles go; the account of UAA stays, as it has its own end.
pub fn forget(draft: &mut Draft, act: &Act<'_>, guid: UserGuid) -> Result<Progress, Refused> {
    let user = draft.get::<User>(&guid).cloned();
    let user = user.ok_or(Refused::NotFound("User"))?;
    if role::delete_of(draft, guid, &mut Budget::of_one_commit()) == Progress::More {
        return Ok(Progress::More);
    }
    record(
        draft,
        act,
        guid,
        "forget",
        json!({ "username": user.username }),
    );
    if user.password_hash.is_some() {
        draft.update::<User>(&guid, |user| user.in_cloud_controller = false);
    } else {
        draft.delete::<User>(&guid);
    }
    Ok(Progress::Done)
}

/// Leave an event about a user: `audit.user.<verb>`.
pub fn record(draft: &mut Draft, act: &Act<'_>, guid: UserGuid, verb: &str, data: Value) {
    let name = draft.get::<User>(&guid).map(|user| user.username.clone());
    let target = Target {
        party: Party {
            guid: guid.to_string(),
            kind: "user".to_owned(),
            name: name.unwrap_or_default(),
        },
        space: None,
        organization: None,
    };
    act.record(draft, &format!("audit.user.{verb}"), target, data);
}

/// Somebody gave a wrong password for a name; whether the name exists is not told.
pub fn record_failure(draft: &mut Draft, act: &Act<'_>, from: Option<&str>) {
    draft.put(AuditEvent {
        guid: act.ids.guid::<EventGuid>(),
        kind: "audit.user.sign_in_failed".to_owned(),
        actor: act.actor.clone(),
        target: act.actor.clone(),
        data: json!({ "from": from }),
        space: None,
        organization: None,
        created_at: act.now,
    });
}
