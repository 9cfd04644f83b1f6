//! What can go wrong between the CLI and the platform, and what the user can do about it.

use http::StatusCode;
use serde::Deserialize;

use crate::failure::Failure;

/// Cloud Foundry's number of "Unknown request": no such endpoint.
const UNKNOWN_REQUEST: i64 = 10_000;
/// Longest piece of an answer shown in an error, characters.
const EXCERPT_MAX_CHARS: usize = 300;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("`{address}` is not an address: {detail}")]
    Address { address: String, detail: String },
    #[error("the certificate authority cannot be used: {detail}")]
    Authority { detail: String },
    #[error("nothing answers at {address}: {detail}")]
    Unreachable { address: String, detail: String },
    #[error("the certificate of {address} cannot be verified: {detail}")]
    Untrusted { address: String, detail: String },
    #[error("{address} did not answer within {seconds} s")]
    Deadline { address: String, seconds: u64 },
    #[error("{}", .0.summary())]
    Api(ApiError),
    #[error("the login has expired")]
    LoginExpired,
    #[error("{detail}")]
    Login { detail: String },
    #[error("the answer to {what} cannot be understood: {detail}")]
    Garbled { what: String, detail: String },
    #[error("{operation} failed: {detail}")]
    Job { operation: String, detail: String },
    #[error("cannot read {what}: {detail}")]
    File { what: String, detail: String },
}

/// An error answer of the v3 API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) errors: Vec<ErrorItem>,
    /// The answer, when it is not a v3 error document.
    pub(crate) excerpt: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct ErrorItem {
    #[serde(default)]
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
}

/// The error documents of the APIs that the CLI speaks to.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    V3 {
        errors: Vec<ErrorItem>,
    },
    Autoscaler {
        message: String,
    },
    /// What is wrong with an app-autoscaler policy, and where.
    Policy(Vec<Problem>),
}

#[derive(Deserialize)]
struct Problem {
    context: String,
    description: String,
}

impl Document {
    fn items(self) -> Vec<ErrorItem> {
        let item = |detail: String| ErrorItem {
            detail,
            ..ErrorItem::default()
        };
        match self {
            Self::V3 { errors } => errors,
            Self::Autoscaler { message } => vec![item(message)],
            Self::Policy(problems) => problems
                .into_iter()
                .map(|one| item(format!("{}: {}", one.context, one.description)))
                .collect(),
        }
    }
}

impl ApiError {
    pub(crate) fn read(status: StatusCode, body: &[u8]) -> Self {
        let errors = serde_json::from_slice::<Document>(body).map(Document::items);
        Self {
            status,
            errors: errors.unwrap_or_default(),
            excerpt: String::from_utf8_lossy(body)
                .chars()
                .take(EXCERPT_MAX_CHARS)
                .collect(),
        }
    }

    fn summary(&self) -> String {
        let details: Vec<&str> = self
            .errors
            .iter()
            .map(|error| error.detail.as_str())
            .collect();
        if !details.is_empty() {
            return details.join("; ");
        }
        match self.excerpt.trim() {
            "" => format!("the platform answered {}", self.status),
            text => format!("the platform answered {}: {text}", self.status),
        }
    }

    fn has_title(&self, title: &str) -> bool {
        self.errors.iter().any(|error| error.title == title)
    }
}

impl ClientError {
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Api(error) => Some(error.status),
            _ => None,
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// A 422 whose words contain `text`.
    pub(crate) fn is_unprocessable(&self, text: &str) -> bool {
        matches!(self, Self::Api(error) if error.status == StatusCode::UNPROCESSABLE_ENTITY
            && error.errors.iter().any(|item| item.detail.contains(text)))
    }

    pub(crate) fn is_invalid_token(&self) -> bool {
        matches!(self, Self::Api(error) if error.status == StatusCode::UNAUTHORIZED
            && error.has_title("CF-InvalidAuthToken"))
    }

    fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::Address { .. } => "give it as http://HOST:PORT or https://HOST",
            Self::Authority { .. } => {
                "give the PEM file of the platform's authority: --ca-cert FILE"
            }
            Self::Unreachable { .. } => {
                "start a platform with `cfx up`, or point at another one with `cfx api URL`"
            }
            Self::Untrusted { .. } => {
                "name the platform's authority with `cfx api URL --ca-cert FILE`, \
                 or accept any certificate with --skip-ssl-validation"
            }
            Self::Deadline { .. } => "try again; `cfx status` tells how the platform is",
            Self::LoginExpired => "log in again: `cfx login`",
            Self::Login { .. } => "check user and password, then `cfx login` again",
            Self::Api(error) => return api_step(error),
            Self::Garbled { .. } => {
                "check that `cfx api` points at a Cloud Foundry API (`cfx api` shows the target)"
            }
            Self::Job { .. } | Self::File { .. } => return None,
        };
        Some(step.to_owned())
    }
}

fn api_step(error: &ApiError) -> Option<String> {
    let step = match error.status {
        StatusCode::UNAUTHORIZED => "log in: `cfx login`",
        StatusCode::FORBIDDEN => {
            "ask an org or space manager for the role, or log in as another user: `cfx login`"
        }
        StatusCode::NOT_FOUND if error.errors.iter().any(|item| item.code == UNKNOWN_REQUEST) => {
            "this API lacks what the command needs; `cfx api` shows which API it is"
        }
        StatusCode::TOO_MANY_REQUESTS => "wait a moment, then try again",
        status if status.is_server_error() => "try again; `cfx status` tells how the platform is",
        _ => return None,
    };
    Some(step.to_owned())
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Failure::new(error.to_string());
        match error.next_step() {
            Some(step) => failure.next(step),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v3_error_speaks_with_its_own_words() {
        let body = br#"{"errors":[{"code":10008,"title":"CF-UnprocessableEntity","detail":"name must be unique in space"}]}"#;
        let error = ClientError::Api(ApiError::read(StatusCode::UNPROCESSABLE_ENTITY, body));
        assert_eq!(error.to_string(), "name must be unique in space");
        assert!(error.is_unprocessable("must be unique"));
    }

    #[test]
    fn the_autoscalers_errors_speak_with_their_own_words_too() {
        let read = |body: &[u8]| ClientError::Api(ApiError::read(StatusCode::BAD_REQUEST, body));
        let plain = read(br#"{"code":"Not-Found","message":"no such rule"}"#);
        assert_eq!(plain.to_string(), "no such rule");
        let places = read(br#"[{"context":"(root).threshold","description":"must be whole"}]"#);
        assert_eq!(places.to_string(), "(root).threshold: must be whole");
    }

    #[test]
    fn an_answer_that_is_no_v3_error_shows_its_status_and_start() {
        let error = ClientError::Api(ApiError::read(
            StatusCode::BAD_GATEWAY,
            b"<html>oops</html>",
        ));
        assert_eq!(
            error.to_string(),
            "the platform answered 502 Bad Gateway: <html>oops</html>"
        );
        assert!(Failure::from(error).next_step().is_some());
    }
}
