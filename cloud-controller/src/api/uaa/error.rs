//! How UAA says no: `{"error", "error_description"}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use cfx_protocol::uaa::UaaError;
use http::StatusCode;

use crate::actions::Refused;
use crate::api::error::ApiError;
use crate::auth::PasswordError;
use crate::state::WriteError;

pub(crate) type UaaAnswer = Result<Response, UaaRefusal>;

/// A refused request. The words and the statuses are those that the CLI tells apart.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}: {description}")]
pub(crate) struct UaaRefusal {
    status: StatusCode,
    error: &'static str,
    description: String,
    /// For the log.
    inside: Option<String>,
}

impl UaaRefusal {
    pub(super) fn new(
        status: StatusCode,
        error: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self {
            status,
            error,
            description: description.into(),
            inside: None,
        }
    }

    pub(super) fn unauthenticated() -> Self {
        let description = "Full authentication is required to access this resource";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", description)
    }

    pub(super) fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Bad credentials")
    }

    /// The description is one that the CLI knows.
    pub(super) fn locked() -> Self {
        let description =
            "Your account has been locked because of too many failed attempts to login.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", description)
    }

    pub(super) fn invalid_client() -> Self {
        let description = "Bad client credentials";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description)
    }

    pub(super) fn invalid_token() -> Self {
        let description = "The token is invalid, has expired or was revoked; log in again";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", description)
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub(super) fn invalid_resource(description: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_scim_resource",
            description,
        )
    }

    pub(super) fn insufficient_scope(scopes: &[&str]) -> Self {
        let description = format!(
            "Insufficient scope for this resource: one of {} is needed",
            scopes.join(", ")
        );
        Self::new(StatusCode::FORBIDDEN, "insufficient_scope", description)
    }

    pub(super) fn not_found(description: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "scim_resource_not_found",
            description,
        )
    }

    pub(super) fn exists(description: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "scim_resource_already_exists",
            description,
        )
    }

    pub(super) fn internal(inside: impl ToString) -> Self {
        Self {
            inside: Some(inside.to_string()),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "An unknown error occurred.",
            )
        }
    }
}

impl From<PasswordError> for UaaRefusal {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Length => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_password",
                error.to_string(),
            ),
            PasswordError::Busy => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                error.to_string(),
            ),
            PasswordError::Hash(_) => Self::internal(error),
        }
    }
}

impl From<Refused> for UaaRefusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(what) => Self::not_found(format!("{what} not found")),
            Refused::Forbidden => {
                Self::new(StatusCode::FORBIDDEN, "access_denied", refused.to_string())
            }
            other => Self::invalid_resource(other.to_string()),
        }
    }
}

impl<E: Into<UaaRefusal>> From<WriteError<E>> for UaaRefusal {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Action(refused) => refused.into(),
            WriteError::Store(error) => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                ..Self::internal(error)
            },
            WriteError::Record(error) => Self::internal(error),
        }
    }
}

/// Bodies are read as everywhere else.
impl From<ApiError> for UaaRefusal {
    fn from(error: ApiError) -> Self {
        Self::invalid_request(error.detail())
    }
}

impl IntoResponse for UaaRefusal {
    fn into_response(self) -> Response {
        if let Some(inside) = &self.inside {
            tracing::error!(status = %self.status, inside, "a request to UAA failed");
        }
        let body = UaaError {
            error: self.error.to_owned(),
            error_description: self.description,
        };
        (self.status, Json(body)).into_response()
    }
}
