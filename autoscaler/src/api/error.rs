//! The API's one error, as Cloud Foundry's autoscaler writes it: `{code, message}`, and for a policy
//! that is wrong a list of places with what is wrong there.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::json;

use crate::public_api::CallError;
use crate::state::StateError;

/// What handlers return.
pub(crate) type Answer = Result<Response, ApiError>;

/// A refused request. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    /// Where in the policy, and what about it.
    #[error("the policy is wrong in {} places", .0.len())]
    Policy(Vec<(String, String)>),
    #[error("the token is missing or not of this platform: sign in again")]
    Unauthorized,
    #[error("you may see this app, but scaling it needs the role of a space developer")]
    Forbidden,
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("too many requests: try again in a second")]
    TooMany,
    #[error("the platform's API does not answer; try again in a moment")]
    Platform(#[source] CallError),
    #[error("the change could not be kept and did not happen; try again in a moment")]
    Store(#[source] StateError),
}

impl ApiError {
    pub(crate) fn no_app() -> Self {
        Self::NotFound("there is no such app, or it is not yours to see".to_owned())
    }

    pub(crate) fn no_policy() -> Self {
        Self::NotFound(
            "this app has no scaling rules; `cfx autoscale add APP RULE` makes one".to_owned(),
        )
    }

    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) | Self::Policy(_) => (StatusCode::BAD_REQUEST, "Bad-Request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "Not-Found"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "Conflict"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "Request-Limit-Exceeded"),
            Self::Platform(_) => (StatusCode::BAD_GATEWAY, "Bad-Gateway"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "Service-Unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.row();
        match &self {
            Self::Platform(inside) => tracing::warn!(%inside, "a request could not be judged"),
            Self::Store(inside) => tracing::error!(%inside, "a change could not be kept"),
            _ => {}
        }
        match self {
            Self::Policy(wrong) => {
                let one = |(context, description): (String, String)| json!({ "context": context, "description": description });
                let all: Vec<_> = wrong.into_iter().map(one).collect();
                (status, Json(all)).into_response()
            }
            Self::TooMany => {
                let body = Json(json!({ "code": code, "message": Self::TooMany.to_string() }));
                (status, [(RETRY_AFTER, "1")], body).into_response()
            }
            other => {
                let body = json!({ "code": code, "message": other.to_string() });
                (status, Json(body)).into_response()
            }
        }
    }
}
