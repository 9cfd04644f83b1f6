//! UAA's endpoints: tokens, keys, users, clients. They answer at the root and under `/uaa`.
//!
//! Their errors have UAA's shape, not v3's.

mod error;
mod filter;
mod form;

pub(super) mod client;
pub(super) mod key;
pub(super) mod login;
pub(super) mod token;
pub(super) mod user;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use cfx_process::http_server::PeerAddress;
use cfx_protocol::id::UserGuid;
use http::request::Parts;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::context::Context;
use super::request::{Body, bearer};
use crate::actions::deletion::Progress;
use crate::actions::{Act, Refused};
use crate::auth::Caller;
use crate::state::audit_event::Party;
use crate::state::{Draft, State};

pub(super) use error::{UaaAnswer, UaaRefusal};

/// The zone every user and client is in.
const ZONE: &str = "uaa";
/// Commits of one deletion.
const STEPS_MAX: usize = 1_000;
/// Where users come from whose passwords are kept here.
pub(crate) const ORIGIN: &str = "uaa";

/// An authenticated request to UAA.
#[derive(Debug)]
pub(super) struct UaaCall {
    context: Context,
    caller: Caller,
    state: Arc<State>,
    token: String,
    from: Option<IpAddr>,
    params: Vec<(String, String)>,
}

impl FromRequestParts<Context> for UaaCall {
    type Rejection = UaaRefusal;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, UaaRefusal> {
        let state = context.state.read();
        let token = bearer(&parts.headers).ok_or_else(UaaRefusal::unauthenticated)?;
        let verified = context.auth.verify(&state, token, context.clock.now());
        let caller = verified.map_err(|_| UaaRefusal::invalid_token())?;
        let token = token.to_owned();
        let params = match RawPathParams::from_request_parts(parts, context).await {
            Ok(params) => (&params)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            Err(_) => Vec::new(),
        };
        Ok(Self {
            context: context.clone(),
            caller,
            state,
            token,
            from: parts.extensions.get::<PeerAddress>().map(|it| it.0.ip()),
            params,
        })
    }
}

/// A JSON body, refused in UAA's words.
#[derive(Debug)]
pub(super) struct UaaBody<T>(T);

impl<T: DeserializeOwned> FromRequest<Context> for UaaBody<T> {
    type Rejection = UaaRefusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, UaaRefusal> {
        let body = Body::<T>::from_request(request, context).await;
        body.map(|body| Self(body.0))
            .map_err(|error| UaaRefusal::invalid_resource(error.detail()))
    }
}

impl UaaCall {
    /// The one parameter of the path.
    fn param(&self) -> &str {
        self.params
            .first()
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// The one parameter, as the guid of a user; of nobody when it is none.
    fn user_guid(&self) -> UserGuid {
        self.param().parse().unwrap_or(UserGuid(Uuid::nil()))
    }

    fn demand(&self, scopes: &[&str]) -> Result<(), UaaRefusal> {
        if scopes.iter().any(|scope| self.caller.has_scope(scope)) {
            return Ok(());
        }
        Err(UaaRefusal::insufficient_scope(scopes))
    }

    /// Do something that takes several commits.
    async fn in_steps(
        &self,
        step: impl Fn(&mut Draft) -> Result<Progress, Refused>,
    ) -> Result<(), UaaRefusal> {
        for _ in 0..STEPS_MAX {
            if self.context.state.write(&step).await? == Progress::Done {
                return Ok(());
            }
        }
        Err(UaaRefusal::internal("a deletion took too many steps"))
    }

    fn act(&self) -> Act<'_> {
        Act {
            now: self.context.clock.now(),
            ids: &self.context.ids,
            actor: Party {
                guid: self.caller.id(),
                kind: self.caller.kind().to_owned(),
                name: self.caller.name.clone(),
            },
        }
    }
}
