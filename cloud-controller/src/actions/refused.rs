//! Why an action was refused. It knows nothing of HTTP; `api/error.rs` gives each kind its status
//! and Cloud Foundry's number.

/// Each message is for the person who asked, and says what to do where that is not plain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What the request is about is not there, or not for these eyes. The word is the resource's
    /// name: `App`, `Droplet`, ...
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The request is understood and cannot be done.
    #[error("{0}")]
    Unprocessable(String),
    /// Several things are wrong with it.
    #[error("{}", .0.join(", "))]
    AllUnprocessable(Vec<String>),
    /// The request itself is wrong, whatever the state.
    #[error("Bad request: {0}")]
    BadRequest(String),
    /// The caller sees it and may not do this.
    #[error("You are not authorized to perform the requested action")]
    Forbidden,
    /// An operator has switched this off; the text names the flag or is the operator's own.
    #[error("Feature Disabled: {0}")]
    FeatureDisabled(String),
    #[error("Docker support has not been enabled.")]
    DockerDisabled,
    /// `If-Match` named a state that is not there any more.
    #[error("{0} has changed since it was read: read it again, then decide again")]
    Stale(&'static str),
    #[error("Only one build can be STAGING at a time per application.")]
    StagingInProgress,
    /// Staging cannot begin.
    #[error("Staging error: {0}")]
    Staging(String),
    /// A service instance is being worked on.
    #[error("An operation for service instance {0} is in progress.")]
    OperationInProgress(String),
}

impl Refused {
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::Unprocessable(message.into())
    }
}
