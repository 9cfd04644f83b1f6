//! Who is calling, and why a call is refused.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use cfx_process::identity::PeerIdentity;
use cfx_protocol::id::{CellGuid, RouterGuid};
use cfx_protocol::link::Role;
use http::StatusCode;
use http::request::Parts;
use uuid::Uuid;

use super::Context;

/// A call that is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("a certificate of a {} is needed", .0.as_str())]
    Stranger(Role),
    #[error("a {} may speak only for itself", .0.as_str())]
    NotItself(Role),
    #[error("the cell is not registered: it has to present itself first")]
    NotRegistered,
    #[error("the join token is unknown, used, expired or not for this role: make a new one")]
    JoinToken,
    #[error("the certificate request cannot be signed: {0}")]
    CertificateRequest(String),
    #[error("{0}")]
    Malformed(String),
    #[error("the controller cannot store it now: {0}")]
    NotStored(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Stranger(_) | Self::NotItself(_) | Self::JoinToken => StatusCode::FORBIDDEN,
            Self::NotRegistered => StatusCode::CONFLICT,
            Self::CertificateRequest(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NotStored(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, self.to_string()).into_response()
    }
}

/// The caller is a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell(pub(super) CellGuid);

/// The caller is a router.
#[derive(Debug, Clone, Copy)]
pub(super) struct Router(pub(super) RouterGuid);

impl Cell {
    /// It speaks of `guid`: that must be itself.
    pub(super) fn is(self, guid: CellGuid) -> Result<(), Refused> {
        (self.0 == guid)
            .then_some(())
            .ok_or(Refused::NotItself(Role::Cell))
    }
}

impl Router {
    pub(super) fn is(self, guid: RouterGuid) -> Result<(), Refused> {
        (self.0 == guid)
            .then_some(())
            .ok_or(Refused::NotItself(Role::Router))
    }
}

impl FromRequestParts<Context> for Cell {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refused> {
        peer(parts, context, Role::Cell).map(|guid| Self(CellGuid(guid)))
    }
}

impl FromRequestParts<Context> for Router {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refused> {
        peer(parts, context, Role::Router).map(|guid| Self(RouterGuid(guid)))
    }
}

fn peer(parts: &Parts, context: &Context, role: Role) -> Result<Uuid, Refused> {
    match parts.extensions.get::<PeerIdentity>() {
        Some(peer) if peer.role == role => Ok(peer.guid),
        _ => {
            context.events.stranger_refused(role.as_str());
            Err(Refused::Stranger(role))
        }
    }
}
