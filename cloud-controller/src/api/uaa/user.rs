//! `/Users`: UAA's side of users.

use axum::Json;
use axum::response::IntoResponse;
use cfx_protocol::uaa::{
    NewScimUser, PasswordChange, ScimEmail, ScimGroup, ScimList, ScimMeta, ScimName, ScimUser,
};
use http::StatusCode;
use serde_json::json;

use super::filter::Filter;
use super::{ORIGIN, UaaAnswer, UaaBody, UaaCall, UaaRefusal, ZONE};
use crate::actions;
use crate::actions::user::{NewAccount, named};
use crate::api::query::Query;
use crate::api::response::seconds;
use crate::auth::Attempt;
use crate::state::user::User;

/// Users of one answer, as UAA has it.
const USERS_MAX: usize = 100;

pub(in crate::api) async fn list(call: UaaCall, query: Query) -> UaaAnswer {
    call.demand(&["scim.read", "uaa.admin"])?;
    let filter = Filter::parse(query.get("filter").unwrap_or_default())
        .map_err(UaaRefusal::invalid_request)?;
    let found: Vec<ScimUser> = call
        .state
        .all::<User>()
        .filter(|user| !user.origin.is_empty() && filter.admits(user))
        .map(|user| present(user))
        .collect();
    let total_results = found.len();
    let body = ScimList {
        resources: found.into_iter().take(USERS_MAX).collect(),
        start_index: 1,
        items_per_page: USERS_MAX,
        total_results,
        schemas: schemas(),
    };
    Ok(Json(body).into_response())
}

pub(in crate::api) async fn show(call: UaaCall) -> UaaAnswer {
    let guid = call.user_guid();
    if guid != call.caller.guid {
        call.demand(&["scim.read", "uaa.admin"])?;
    }
    let user = call.state.get::<User>(&guid);
    let user = user.ok_or_else(|| unknown(&call))?;
    Ok(Json(present(user)).into_response())
}

pub(in crate::api) async fn create(call: UaaCall, body: UaaBody<NewScimUser>) -> UaaAnswer {
    call.demand(&["scim.write", "scim.create", "uaa.admin"])?;
    let new = body.0;
    let origin = new.origin.filter(|origin| !origin.is_empty());
    let origin = origin.unwrap_or_else(|| ORIGIN.to_owned());
    if named(&call.state, &new.user_name, &origin).is_some() {
        return Err(UaaRefusal::exists(format!(
            "Username already in use: {}",
            new.user_name
        )));
    }
    let email = new.emails.into_iter().next().map(|email| email.value);
    let account = NewAccount {
        password_hash: hash_of(&call, &origin, new.password).await?,
        email: email.unwrap_or_default(),
        username: new.user_name,
        origin,
        given_name: new.name.given_name,
        family_name: new.name.family_name,
    };
    let act = call.act();
    let made = call
        .context
        .state
        .write(|draft| actions::user::create(draft, &act, account));
    let made = made.await?;
    Ok((StatusCode::CREATED, Json(present(&made))).into_response())
}

/// Only passwords of our own users are kept, and each of those needs one.
async fn hash_of(
    call: &UaaCall,
    origin: &str,
    password: Option<String>,
) -> Result<Option<String>, UaaRefusal> {
    if origin != ORIGIN {
        return Ok(None);
    }
    let password = password.filter(|password| !password.is_empty());
    let password = password.ok_or_else(|| {
        UaaRefusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_password",
            "A password is needed for a user of this origin",
        )
    })?;
    let passwords = call.context.auth.passwords();
    Ok(Some(passwords.hash(&password, &call.context.ids).await?))
}

pub(in crate::api) async fn delete(call: UaaCall) -> UaaAnswer {
    call.demand(&["scim.write", "uaa.admin"])?;
    let guid = call.user_guid();
    let user = call.state.get::<User>(&guid).cloned();
    let user = user.ok_or_else(|| unknown(&call))?;
    let act = call.act();
    call.in_steps(|draft| actions::user::delete_account(draft, &act, guid))
        .await?;
    Ok(Json(present(&user)).into_response())
}

/// One's own with the old password; anybody's with `uaa.admin` or `password.write` of a client.
pub(in crate::api) async fn set_password(
    call: UaaCall,
    body: UaaBody<PasswordChange>,
) -> UaaAnswer {
    let guid = call.user_guid();
    let user = call.state.get::<User>(&guid).cloned();
    if guid == call.caller.guid {
        call.demand(&["password.write", "uaa.admin"])?;
        let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let old = body.0.old_password.as_deref().unwrap_or_default();
        let attempt = Attempt::new("user", &call.caller.name, call.from);
        let now = call.context.clock.monotonic();
        let throttle = call.context.auth.throttle();
        if throttle.wait(&attempt, now).is_some() {
            return Err(UaaRefusal::locked());
        }
        if !call.context.auth.passwords().verify(old, hash).await? {
            throttle.failed(&attempt, now);
            return Err(UaaRefusal::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Old password is incorrect",
            ));
        }
    } else {
        call.demand(&["uaa.admin"])?;
    }
    user.filter(|user| user.origin == ORIGIN)
        .ok_or_else(|| unknown(&call))?;
    let passwords = call.context.auth.passwords();
    let hash = passwords.hash(&body.0.password, &call.context.ids).await?;
    let act = call.act();
    let written = call
        .context
        .state
        .write(|draft| actions::user::set_password(draft, &act, guid, hash));
    written.await?;
    Ok(Json(json!({ "status": "ok", "message": "password updated" })).into_response())
}

fn unknown(call: &UaaCall) -> UaaRefusal {
    UaaRefusal::not_found(format!("User {} does not exist", call.param()))
}

fn present(user: &User) -> ScimUser {
    let group = |name: &String| ScimGroup {
        value: name.clone(),
        display: name.clone(),
        kind: "DIRECT".to_owned(),
    };
    ScimUser {
        id: user.guid.to_string(),
        user_name: user.username.clone(),
        origin: user.origin.clone(),
        name: ScimName {
            given_name: user.given_name.clone(),
            family_name: user.family_name.clone(),
        },
        emails: vec![ScimEmail {
            value: user.email.clone(),
            primary: true,
        }],
        groups: user.groups.iter().map(group).collect(),
        active: user.active,
        verified: true,
        zone_id: ZONE.to_owned(),
        meta: ScimMeta {
            version: 0,
            created: seconds(user.meta.created_at),
            last_modified: seconds(user.meta.updated_at),
        },
        schemas: schemas(),
    }
}

fn schemas() -> Vec<String> {
    vec!["urn:scim:schemas:core:1.0".to_owned()]
}
