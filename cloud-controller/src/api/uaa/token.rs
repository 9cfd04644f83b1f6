//! `/oauth/token`: signing in, refreshing, clients' own tokens; and taking tokens back.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::response::IntoResponse;
use cfx_protocol::uaa::TokenReply;
use http::StatusCode;
use http::header::{CACHE_CONTROL, PRAGMA};
use serde_json::json;
use uuid::Uuid;

use super::form::Form;
use super::{ORIGIN, UaaAnswer, UaaCall, UaaRefusal, ZONE};
use crate::actions::session::{self, Exchange};
use crate::actions::{Act, act, user};
use crate::auth::{ACCESS_TOKEN_LIFE_S, Attempt, Claims, USER_SCOPES, digest};
use crate::state::audit_event::Party;
use crate::state::auth::Client;
use crate::state::user::User;
use crate::state::{Draft, State};

/// Random bytes of a refresh token.
const REFRESH_SECRET_BYTES: usize = 32;

pub(in crate::api) async fn issue(form: Form) -> UaaAnswer {
    let state = form.context.state.read();
    let client = authenticate_client(&form, &state).await?;
    let grant = form.demand("grant_type")?;
    if !client.grant_types.contains(grant) {
        return Err(UaaRefusal::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized_client",
            format!("The client {} may not use this grant type", client.id),
        ));
    }
    match grant {
        "password" => sign_in(&form, &state, &client).await,
        "refresh_token" => refresh(&form, &client).await,
        "client_credentials" => own_token(&form, &state, &client),
        _ => Err(UaaRefusal::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "Use password, refresh_token or client_credentials",
        )),
    }
}

/// `DELETE /oauth/token/revoke/{token_id}`: sign out. Only the token itself may take itself back.
pub(in crate::api) async fn revoke(call: UaaCall) -> UaaAnswer {
    let now = call.context.clock.now();
    let claims = call.context.auth.claims(&call.state, &call.token, now);
    let claims = claims.map_err(|_| UaaRefusal::invalid_token())?;
    if claims.jti != call.param() {
        return Err(UaaRefusal::not_found("Token not found"));
    }
    if let Some(guid) = claims.session {
        let act = call.act();
        call.context
            .state
            .write(|draft| {
                session::end(draft, guid)?;
                user::record(draft, &act, call.caller.guid, "sign_out", json!({}));
                Ok::<_, crate::actions::Refused>(())
            })
            .await?;
    }
    Ok(StatusCode::OK.into_response())
}

async fn authenticate_client(form: &Form, state: &State) -> Result<Arc<Client>, UaaRefusal> {
    let (id, secret) = &form.client;
    let client = state.get::<Client>(id).cloned();
    let attempt = Attempt::new("client", id, form.from);
    let now = form.context.clock.monotonic();
    let throttle = form.context.auth.throttle();
    let right = match client.as_ref().map(|client| &client.secret_hash) {
        Some(None) => secret.is_empty(),
        _ if throttle.wait(&attempt, now).is_some() => return Err(UaaRefusal::locked()),
        hash => {
            let hash = hash.and_then(|hash| hash.as_deref());
            form.context.auth.passwords().verify(secret, hash).await?
        }
    };
    match client {
        Some(client) if right => Ok(client),
        _ => {
            throttle.failed(&attempt, now);
            Err(UaaRefusal::invalid_client())
        }
    }
}

async fn sign_in(form: &Form, state: &State, client: &Client) -> UaaAnswer {
    let username = form.demand("username")?;
    let password = form.demand("password")?;
    let throttle = form.context.auth.throttle();
    let now = form.context.clock.monotonic();
    let attempt = Attempt::new("user", username, form.from);
    if throttle.wait(&attempt, now).is_some() {
        return Err(UaaRefusal::locked());
    }
    let asked = origin_asked(form);
    let found = user::named(state, username, ORIGIN).filter(|_| asked == ORIGIN);
    let hash = found
        .as_ref()
        .and_then(|user| user.password_hash.as_deref());
    let right = form.context.auth.passwords().verify(password, hash).await?;
    match found.filter(|user| right && user.active) {
        Some(user) => {
            throttle.succeeded(&attempt);
            begin_session(form, client, &user).await
        }
        None => {
            throttle.failed(&attempt, now);
            form.context.events.sign_in_failed();
            note_failure(form, username).await?;
            Err(UaaRefusal::bad_credentials())
        }
    }
}

/// `login_hint={"origin":"x"}`.
fn origin_asked(form: &Form) -> String {
    let hint = form.get("login_hint").unwrap_or_default();
    let hint = serde_json::from_str::<serde_json::Value>(hint).unwrap_or_default();
    hint["origin"].as_str().unwrap_or(ORIGIN).to_owned()
}

async fn begin_session(form: &Form, client: &Client, user: &User) -> UaaAnswer {
    let scopes = user_scopes(user, client, form.get("scope"))?;
    let secret = form.context.ids.secret(REFRESH_SECRET_BYTES);
    let act = act_of(form, user);
    let begun = form.context.state.write(|draft: &mut Draft| {
        let digest = digest(&secret);
        let session = session::begin(draft, &act, user.guid, &client.id, scopes.clone(), digest);
        let data = json!({ "client": client.id });
        user::record(draft, &act, user.guid, "sign_in", data);
        Ok::<_, crate::actions::Refused>(session)
    });
    let session = begun.await?;
    form.context.events.signed_in();
    reply_to_user(form, client, user, &scopes, "password", session, &secret)
}

async fn refresh(form: &Form, client: &Client) -> UaaAnswer {
    let token = form.demand("refresh_token")?;
    let (session, secret) = token
        .split_once('.')
        .ok_or_else(UaaRefusal::invalid_token)?;
    let session: Uuid = session.parse().map_err(|_| UaaRefusal::invalid_token())?;
    let next = form.context.ids.secret(REFRESH_SECRET_BYTES);
    let act = Act {
        now: form.context.clock.now(),
        ids: &form.context.ids,
        actor: act::platform(),
    };
    let exchanged = form.context.state.write(|draft: &mut Draft| {
        let (presented, next) = (digest(secret), digest(&next));
        let exchange = session::exchange(draft, &act, session, &client.id, &presented, next);
        Ok::<_, crate::actions::Refused>(exchange)
    });
    let renewed = match exchanged.await? {
        Exchange::Renewed(session) => session,
        Exchange::Reused => {
            form.context.events.refresh_token_reused(session);
            return Err(UaaRefusal::invalid_token());
        }
        Exchange::Unknown => return Err(UaaRefusal::invalid_token()),
    };
    let state = form.context.state.read();
    let user = state.get::<User>(&renewed.user).filter(|user| user.active);
    let user = user.ok_or_else(UaaRefusal::invalid_token)?;
    let held = user_scopes(user, client, None)?;
    let scopes = renewed.scopes.intersection(&held).cloned().collect();
    reply_to_user(form, client, user, &scopes, "refresh_token", session, &next)
}

fn own_token(form: &Form, state: &State, client: &Client) -> UaaAnswer {
    let scopes = narrowed(client.authorities.clone(), form.get("scope"))?;
    let claims = Claims {
        sub: client.id.clone(),
        authorities: scopes.iter().cloned().collect(),
        ..claims(form, client, &scopes, "client_credentials")
    };
    let access_token = sign(form, state, &claims)?;
    Ok(reply(access_token, None, &claims))
}

fn reply_to_user(
    form: &Form,
    client: &Client,
    user: &User,
    scopes: &BTreeSet<String>,
    grant: &str,
    session: Uuid,
    secret: &str,
) -> UaaAnswer {
    let claims = Claims {
        sub: user.guid.to_string(),
        user_id: Some(user.guid.to_string()),
        origin: Some(user.origin.clone()),
        user_name: Some(user.username.clone()),
        email: Some(user.email.clone()),
        session: Some(session),
        revocable: true,
        ..claims(form, client, scopes, grant)
    };
    let access_token = sign(form, &form.context.state.read(), &claims)?;
    Ok(reply(
        access_token,
        Some(format!("{session}.{secret}")),
        &claims,
    ))
}

fn sign(form: &Form, state: &State, claims: &Claims) -> Result<String, UaaRefusal> {
    let signed = form.context.auth.sign(state, claims);
    signed.map_err(UaaRefusal::internal)
}

fn claims(form: &Form, client: &Client, scopes: &BTreeSet<String>, grant: &str) -> Claims {
    let now = form.context.clock.now().as_second();
    // Whom a token is for: the parts of its scopes before the last dot, and the client.
    let audiences = scopes
        .iter()
        .filter_map(|scope| scope.rsplit_once('.').map(|(of, _)| of));
    let own = ["cloud_controller", client.id.as_str()];
    let audiences: BTreeSet<&str> = audiences.chain(own).collect();
    Claims {
        jti: form.context.ids.guid::<Uuid>().simple().to_string(),
        sub: String::new(),
        scope: scopes.iter().cloned().collect(),
        client_id: client.id.clone(),
        cid: client.id.clone(),
        azp: client.id.clone(),
        grant_type: grant.to_owned(),
        user_id: None,
        origin: None,
        user_name: None,
        email: None,
        authorities: Vec::new(),
        session: None,
        revocable: false,
        iat: now,
        exp: now + ACCESS_TOKEN_LIFE_S,
        iss: form.base.href("/uaa/oauth/token"),
        zid: ZONE.to_owned(),
        aud: audiences.into_iter().map(str::to_owned).collect(),
    }
}

fn reply(
    access_token: String,
    refresh_token: Option<String>,
    claims: &Claims,
) -> axum::response::Response {
    let body = TokenReply {
        access_token,
        token_type: "bearer".to_owned(),
        refresh_token,
        expires_in: ACCESS_TOKEN_LIFE_S - 1,
        scope: claims.scope.join(" "),
        jti: claims.jti.clone(),
    };
    (
        [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")],
        Json(body),
    )
        .into_response()
}

/// What a user holds and the client may carry, and of that what was asked for.
fn user_scopes(
    user: &User,
    client: &Client,
    asked: Option<&str>,
) -> Result<BTreeSet<String>, UaaRefusal> {
    let ordinary = USER_SCOPES.iter().map(|scope| (*scope).to_owned());
    let held = user.groups.iter().cloned().chain(ordinary);
    let carried = held.filter(|scope| client.scopes.contains(scope));
    narrowed(carried.collect(), asked)
}

fn narrowed(held: BTreeSet<String>, asked: Option<&str>) -> Result<BTreeSet<String>, UaaRefusal> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(held);
    };
    let asked: BTreeSet<String> = asked.split([' ', ',']).map(str::to_owned).collect();
    let scopes: BTreeSet<String> = held.intersection(&asked).cloned().collect();
    if scopes.is_empty() {
        return Err(UaaRefusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            "None of the scopes asked for is allowed to this user and client",
        ));
    }
    Ok(scopes)
}

async fn note_failure(form: &Form, username: &str) -> Result<(), UaaRefusal> {
    let act = Act {
        now: form.context.clock.now(),
        ids: &form.context.ids,
        actor: Party {
            guid: String::new(),
            kind: "user".to_owned(),
            name: username
                .chars()
                .take(crate::actions::name::NAME_MAX_CHARS)
                .collect(),
        },
    };
    let from = form.from.map(|ip| ip.to_string());
    let noted = form.context.state.write(|draft| {
        user::record_failure(draft, &act, from.as_deref());
        Ok::<_, crate::actions::Refused>(())
    });
    Ok(noted.await?)
}

fn act_of<'a>(form: &'a Form, user: &User) -> Act<'a> {
    Act {
        now: form.context.clock.now(),
        ids: &form.context.ids,
        actor: Party {
            guid: user.guid.to_string(),
            kind: "user".to_owned(),
            name: user.username.clone(),
        },
    }
}
