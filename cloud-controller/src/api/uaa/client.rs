//! `/oauth/clients`: programs that take tokens of their own.

use axum::Json;
use axum::response::IntoResponse;
use cfx_protocol::uaa::{NewOauthClient, OauthClient};
use http::StatusCode;

use super::{UaaAnswer, UaaBody, UaaCall, UaaRefusal};
use crate::actions;
use crate::state::auth::Client;

pub(in crate::api) async fn show(call: UaaCall) -> UaaAnswer {
    if call.param() != call.caller.client || !call.caller.is_client {
        call.demand(&["clients.read", "clients.admin", "uaa.admin"])?;
    }
    let client = call.state.get::<Client>(&call.param().to_owned());
    let client = client.ok_or_else(|| unknown(&call))?;
    Ok(Json(present(client)).into_response())
}

pub(in crate::api) async fn create(call: UaaCall, body: UaaBody<NewOauthClient>) -> UaaAnswer {
    call.demand(&["clients.write", "clients.admin", "uaa.admin"])?;
    let new = body.0;
    if call.state.get::<Client>(&new.client_id).is_some() {
        return Err(UaaRefusal::new(
            StatusCode::CONFLICT,
            "invalid_client",
            format!("Client already exists: {}", new.client_id),
        ));
    }
    let secret = new.client_secret.as_deref().unwrap_or_default();
    let secret_hash = call
        .context
        .auth
        .passwords()
        .hash(secret, &call.context.ids)
        .await?;
    let act = call.act();
    let made = call
        .context
        .state
        .write(|draft| actions::client::create(draft, &act, new.clone(), secret_hash));
    let made = made.await?;
    Ok((StatusCode::CREATED, Json(present(&made))).into_response())
}

pub(in crate::api) async fn delete(call: UaaCall) -> UaaAnswer {
    call.demand(&["clients.write", "clients.admin", "uaa.admin"])?;
    let id = call.param().to_owned();
    let client = call.state.get::<Client>(&id).cloned();
    let client = client.ok_or_else(|| unknown(&call))?;
    let act = call.act();
    call.in_steps(|draft| actions::client::delete(draft, &act, &id))
        .await?;
    Ok(Json(present(&client)).into_response())
}

fn unknown(call: &UaaCall) -> UaaRefusal {
    UaaRefusal::not_found(format!("No client with requested id: {}", call.param()))
}

fn present(client: &Client) -> OauthClient {
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect();
    OauthClient {
        client_id: client.id.clone(),
        scope: list(&client.scopes),
        authorities: list(&client.authorities),
        authorized_grant_types: list(&client.grant_types),
    }
}
