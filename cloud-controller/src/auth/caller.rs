//! The holder of a token.

use std::collections::BTreeSet;

use cfx_protocol::id::UserGuid;
use uuid::Uuid;

use super::Claims;
use crate::state::State;
use crate::state::auth::{Client, RefreshToken};
use crate::state::user::User;

/// Scopes that every user has.
pub const USER_SCOPES: [&str; 5] = [
    "cloud_controller.read",
    "cloud_controller.write",
    "openid",
    "password.write",
    "uaa.user",
];

/// A user, or a client with a token of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Of a client: derived from its id.
    pub guid: UserGuid,
    /// The username, or the client's id.
    pub name: String,
    pub email: String,
    pub client: String,
    pub is_client: bool,
    pub session: Option<Uuid>,
    scopes: BTreeSet<String>,
}

impl Caller {
    /// None when the user, the client or the session is gone. A scope that was taken away since
    /// the token was made does not count.
    pub(super) fn of(state: &State, claims: Claims) -> Option<Self> {
        let client = state.get::<Client>(&claims.cid)?;
        let Some(user_id) = &claims.user_id else {
            let held = |scope: &String| client.authorities.contains(scope);
            return Some(Self {
                guid: client_guid(&client.id),
                name: client.id.clone(),
                email: String::new(),
                client: client.id.clone(),
                is_client: true,
                session: None,
                scopes: claims.scope.into_iter().filter(held).collect(),
            });
        };
        let user = state.get::<User>(&user_id.parse().ok()?)?;
        let session = claims.session?;
        let live = state.get::<RefreshToken>(&session)?.user == user.guid;
        if !user.active || !live {
            return None;
        }
        let held =
            |scope: &String| user.groups.contains(scope) || USER_SCOPES.contains(&scope.as_str());
        Some(Self {
            guid: user.guid,
            name: user.username.clone(),
            email: user.email.clone(),
            client: client.id.clone(),
            is_client: false,
            session: Some(session),
            scopes: claims.scope.into_iter().filter(held).collect(),
        })
    }

    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// How audit events and tokens name the caller.
    #[must_use]
    pub fn id(&self) -> String {
        if self.is_client {
            self.name.clone()
        } else {
            self.guid.to_string()
        }
    }

    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.is_client { "client" } else { "user" }
    }
}

/// Clients hold roles like users, under a guid that follows from their id.
#[must_use]
pub fn client_guid(id: &str) -> UserGuid {
    UserGuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()))
}
