//! OAuth clients: programs with tokens of their own.

use std::sync::Arc;

use cfx_protocol::uaa::NewOauthClient;
use serde_json::json;

use super::deletion::{Budget, Progress};
use super::{Act, Refused, limits, name, role, user};
use crate::auth::client_guid;
use crate::state::Draft;
use crate::state::auth::{Client, RefreshToken};
use crate::state::user::User;

/// What a client may ask for; there is no browser flow here.
const GRANT_TYPES: [&str; 3] = ["client_credentials", "password", "refresh_token"];
/// Scopes and authorities of one client: more than there are.
const SCOPES_MAX: usize = 100;
/// Clients without which the platform's own tools cannot sign in.
const BUILT_IN: [&str; 2] = ["cf", super::bootstrap::AUTOSCALER];

pub fn create(
    draft: &mut Draft,
    act: &Act<'_>,
    new: NewOauthClient,
    secret_hash: String,
) -> Result<Arc<Client>, Refused> {
    name::check(&new.client_id)?;
    if draft.get::<Client>(&new.client_id).is_some() {
        return Err(Refused::Unprocessable(format!(
            "Client already exists: {}",
            new.client_id
        )));
    }
    check_grant_types(&new.authorized_grant_types)?;
    check_scopes(&new.scope)?;
    check_scopes(&new.authorities)?;
    let made = Client {
        id: new.client_id,
        secret_hash: Some(secret_hash),
        grant_types: new.authorized_grant_types.into_iter().collect(),
        scopes: new.scope.into_iter().collect(),
        authorities: new.authorities.into_iter().collect(),
        created_at: act.now,
    };
    limits::check_fits(&made, "Scopes and authorities")?;
    let made = draft.put(made);
    let data = json!({ "client": made.id, "authorities": made.authorities });
    user::record(draft, act, client_guid(&made.id), "client_create", data);
    Ok(made)
}

fn check_grant_types(grants: &[String]) -> Result<(), Refused> {
    let known = |grant: &String| GRANT_TYPES.contains(&grant.as_str());
    match grants.iter().find(|grant| !known(grant)) {
        None => Ok(()),
        Some(grant) => Err(Refused::Unprocessable(format!(
            "{grant} is not a grant type here; use {}",
            GRANT_TYPES.join(", ")
        ))),
    }
}

fn check_scopes(scopes: &[String]) -> Result<(), Refused> {
    if scopes.len() > SCOPES_MAX {
        return Err(Refused::Unprocessable(format!(
            "A client may have {SCOPES_MAX} scopes and as many authorities"
        )));
    }
    scopes.iter().try_for_each(|scope| name::check(scope))
}

/// The client with its roles and with the sessions that began through it, some at a time.
pub fn delete(draft: &mut Draft, act: &Act<'_>, id: &str) -> Result<Progress, Refused> {
    if BUILT_IN.contains(&id) {
        return Err(Refused::Unprocessable(format!(
            "{id} is a client of the platform itself"
        )));
    }
    let guid = client_guid(id);
    let mut budget = Budget::of_one_commit();
    if role::delete_of(draft, guid, &mut budget) == Progress::More {
        return Ok(Progress::More);
    }
    let through = draft.all::<RefreshToken>().filter(|it| it.client == id);
    for session in through.map(|it| it.guid).collect::<Vec<_>>() {
        if !budget.take() {
            return Ok(Progress::More);
        }
        draft.delete::<RefreshToken>(&session);
    }
    user::record(draft, act, guid, "client_delete", json!({ "client": id }));
    draft.delete::<Client>(&id.to_owned());
    draft.delete::<User>(&guid);
    Ok(Progress::Done)
}
