//! The API's one error: what the caller is told, and what only the log sees.
//!
//! Every refusal of the API is a row of the table in `Code::row`. The outside message says what
//! to do; the inside context (a store's error, a panic) goes to the log and never to the caller.

use axum::Json;
use axum::response::{IntoResponse, Response};
use cfx_protocol::v3::error::{ErrorList, V3Error};
use cfx_store::commit::CommitError;
use http::StatusCode;

use crate::actions::Refused;
use crate::state::WriteError;

/// What handlers return.
pub(crate) type Answer = Result<Response, ApiError>;

/// Cloud Foundry's name of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidAuthToken,
    MessageParseError,
    UnknownRequest,
    ServerError,
    NotAuthenticated,
    NotAuthorized,
    BadQueryParameter,
    UnprocessableEntity,
    ResourceNotFound,
    ServiceUnavailable,
    OrgSuspended,
    InvalidRequest,
    AsyncServiceInstanceOperationInProgress,
    StagingError,
    BuildpackInvalid,
    DockerDisabled,
    FeatureDisabled,
    PreconditionFailed,
}

impl Code {
    /// Number, title without `CF-`, and status.
    const fn row(self) -> (u32, &'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::InvalidAuthToken => (1_000, "InvalidAuthToken", S::UNAUTHORIZED),
            Self::MessageParseError => (1_001, "MessageParseError", S::BAD_REQUEST),
            Self::UnknownRequest => (10_000, "NotFound", S::NOT_FOUND),
            Self::ServerError => (10_001, "ServerError", S::INTERNAL_SERVER_ERROR),
            Self::NotAuthenticated => (10_002, "NotAuthenticated", S::UNAUTHORIZED),
            Self::NotAuthorized => (10_003, "NotAuthorized", S::FORBIDDEN),
            Self::InvalidRequest => (10_004, "InvalidRequest", S::BAD_REQUEST),
            Self::BadQueryParameter => (10_005, "BadQueryParameter", S::BAD_REQUEST),
            Self::UnprocessableEntity => (10_008, "UnprocessableEntity", S::UNPROCESSABLE_ENTITY),
            Self::ResourceNotFound => (10_010, "ResourceNotFound", S::NOT_FOUND),
            Self::ServiceUnavailable => (10_015, "ServiceUnavailable", S::SERVICE_UNAVAILABLE),
            Self::OrgSuspended => (10_017, "OrgSuspended", S::FORBIDDEN),
            Self::AsyncServiceInstanceOperationInProgress => (
                60_016,
                "AsyncServiceInstanceOperationInProgress",
                S::CONFLICT,
            ),
            Self::StagingError => (170_001, "StagingError", S::BAD_REQUEST),
            Self::BuildpackInvalid => (290_003, "BuildpackInvalid", S::BAD_REQUEST),
            Self::DockerDisabled => (320_003, "DockerDisabled", S::BAD_REQUEST),
            Self::FeatureDisabled => (330_002, "FeatureDisabled", S::FORBIDDEN),
            // Cloud Foundry has no preconditions: the number is ours.
            Self::PreconditionFailed => (900_412, "PreconditionFailed", S::PRECONDITION_FAILED),
        }
    }
}

/// A refused request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{details:?}")]
pub(crate) struct ApiError {
    code: Code,
    /// For the caller; one entry of `errors` each.
    details: Vec<String>,
    /// For the log.
    inside: Option<String>,
}

impl ApiError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            details: vec![detail.into()],
            inside: None,
        }
    }

    /// `what` is the resource's name: `App`, `Droplet`. The same for what is not there and for
    /// what the caller may not see.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::ResourceNotFound, format!("{what} not found"))
    }

    pub(crate) fn unknown_request() -> Self {
        Self::new(Code::UnknownRequest, "Unknown request")
    }

    pub(crate) fn forbidden() -> Self {
        let detail = "You are not authorized to perform the requested action";
        Self::new(Code::NotAuthorized, detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(Code::UnprocessableEntity, detail)
    }

    pub(crate) fn bad_query(detail: impl Into<String>) -> Self {
        let detail = format!("The query parameter is invalid: {}", detail.into());
        Self::new(Code::BadQueryParameter, detail)
    }

    pub(crate) fn unreadable(detail: impl Into<String>) -> Self {
        let detail = format!(
            "Request invalid due to parse error: {}",
            detail.into().trim_end_matches('.')
        );
        Self::new(Code::MessageParseError, detail)
    }

    /// Our fault: the caller learns only that.
    pub(crate) fn internal(inside: impl ToString) -> Self {
        Self {
            inside: Some(inside.to_string()),
            ..Self::new(Code::ServerError, "An unknown error occurred.")
        }
    }

    /// A retry can help.
    pub(crate) fn unavailable(detail: &str, inside: impl ToString) -> Self {
        Self {
            inside: Some(inside.to_string()),
            ..Self::new(Code::ServiceUnavailable, detail)
        }
    }

    /// What the caller is told, in one sentence.
    pub(crate) fn detail(&self) -> String {
        self.details.join(", ")
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let code = match &refused {
            Refused::NotFound(_) => Code::ResourceNotFound,
            Refused::Unprocessable(_) | Refused::StagingInProgress => Code::UnprocessableEntity,
            Refused::AllUnprocessable(details) => {
                return Self {
                    code: Code::UnprocessableEntity,
                    details: details.clone(),
                    inside: None,
                };
            }
            Refused::BadRequest(_) => Code::InvalidRequest,
            Refused::Forbidden => Code::NotAuthorized,
            Refused::FeatureDisabled(_) => Code::FeatureDisabled,
            Refused::DockerDisabled => Code::DockerDisabled,
            Refused::Stale(_) => Code::PreconditionFailed,
            Refused::Staging(_) => Code::StagingError,
            Refused::OperationInProgress(_) => Code::AsyncServiceInstanceOperationInProgress,
        };
        Self::new(code, refused.to_string())
    }
}

impl<E: Into<ApiError>> From<WriteError<E>> for ApiError {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Action(refused) => refused.into(),
            WriteError::Store(CommitError::Limit(limit)) => Self {
                inside: Some(limit.to_string()),
                ..Self::unprocessable("The request asks for too much at once: make it smaller.")
            },
            WriteError::Store(error) => Self::unavailable(
                "The change could not be stored; nothing of it happened. Try again.",
                error,
            ),
            WriteError::Record(error) => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (number, title, status) = self.code.row();
        if let Some(inside) = &self.inside {
            tracing::error!(%status, inside, "a request failed");
        }
        let error = |detail| V3Error {
            code: number,
            title: format!("CF-{title}"),
            detail,
        };
        let errors = self.details.into_iter().map(error).collect();
        (status, Json(ErrorList { errors })).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_wrong_inside_stays_inside() {
        let response = ApiError::internal("password=hunter2").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .expect("body");
        assert_eq!(
            body,
            r#"{"errors":[{"code":10001,"title":"CF-ServerError","detail":"An unknown error occurred."}]}"#
        );
    }
}
