//! How a new cell or router gets its certificate: with a token that an operator made, once.

use axum::Json;
use axum::extract::State;
use cfx_protocol::link::{JoinReply, JoinRequest, Role};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Context;
use super::peer::Refused;
use crate::state::WriteError;
use crate::state::auth::JoinToken;

pub(super) async fn join(
    State(context): State<Context>,
    Json(request): Json<JoinRequest>,
) -> Result<Json<JoinReply>, Refused> {
    if !matches!(request.role, Role::Cell | Role::Router) {
        return Err(Refused::JoinToken);
    }
    let now = context.clock.now();
    let guid: Uuid = context.ids.guid();
    let digest = hex::encode(Sha256::digest(request.token.as_bytes()));
    let is_good = |token: &JoinToken| token.role == request.role && token.expires_at > now;
    // Signed only for a good token, and handed out only when the token is used up.
    if !context
        .state
        .read()
        .get(&digest)
        .is_some_and(|it| is_good(it))
    {
        context.events.stranger_refused("join");
        return Err(Refused::JoinToken);
    }
    let certificate = context
        .authority
        .sign(&request.certificate_request, request.role, guid, now)
        .map_err(|error| Refused::CertificateRequest(error.to_string()))?;
    let used = context.state.write(|draft| {
        let good = draft
            .get::<JoinToken>(&digest)
            .is_some_and(|it| is_good(it));
        if !good {
            return Err("the token is used up");
        }
        draft.delete::<JoinToken>(&digest);
        Ok(())
    });
    used.await.map_err(|error| match error {
        WriteError::Action(_) => Refused::JoinToken,
        error => Refused::NotStored(error.to_string()),
    })?;
    let name: String = request.name.chars().take(64).collect();
    context.events.joined(request.role.as_str(), guid, &name);
    Ok(Json(JoinReply {
        guid,
        certificate,
        authority: context.authority.certificate().to_owned(),
    }))
}
