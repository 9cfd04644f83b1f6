//! What a caller may do with an app: the platform is asked with the caller's own token, so that the
//! answer is the platform's and there is no second table of rights.

use std::fmt;

use async_trait::async_trait;
use cfx_protocol::id::AppGuid;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::public_api::{Ask, CallError, JSON, PublicApi};

/// An entity tag that no process has: a scale under it is judged and never done.
const NO_STATE: &str = "\"none\"";

/// What is to be done with an app's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Needs to see the app.
    Read,
    /// Needs to be allowed to scale it.
    Write,
}

/// The platform's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// The token is none of the platform's.
    Unknown,
    /// There is no such app, for these eyes.
    Hidden,
    Forbidden,
}

#[async_trait]
pub trait Access: fmt::Debug + Send + Sync {
    async fn judge(
        &self,
        authorization: &HeaderValue,
        app: AppGuid,
        intent: Intent,
    ) -> Result<Verdict, CallError>;
}

/// Asks the v3 API as the caller.
#[derive(Debug, Clone)]
pub struct AsCaller(PublicApi);

#[derive(Debug, Deserialize)]
struct Page {
    resources: Vec<Process>,
}

#[derive(Debug, Deserialize)]
struct Process {
    guid: String,
}

impl AsCaller {
    #[must_use]
    pub fn new(api: PublicApi) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Access for AsCaller {
    async fn judge(
        &self,
        authorization: &HeaderValue,
        app: AppGuid,
        intent: Intent,
    ) -> Result<Verdict, CallError> {
        let path = format!("/v3/apps/{app}/processes?types=web");
        let read = self.0.as_caller(authorization, Ask::get(&path)).await;
        let processes: Page = match read {
            Ok(reply) => reply.json(&path)?,
            Err(error) => return refusal(error),
        };
        let Some(web) = processes
            .resources
            .first()
            .filter(|_| intent == Intent::Write)
        else {
            return Ok(Verdict::Allowed);
        };
        // An empty scale under a state that is not there: judged, and never done.
        let path = format!("/v3/processes/{}/actions/scale", web.guid);
        let mut ask = Ask::post(path, JSON, "{}".to_owned());
        ask.if_match = Some(NO_STATE.to_owned());
        match self.0.as_caller(authorization, ask).await {
            Ok(_) => Ok(Verdict::Allowed),
            Err(error) if error.status() == Some(StatusCode::PRECONDITION_FAILED) => {
                Ok(Verdict::Allowed)
            }
            Err(error) => refusal(error),
        }
    }
}

fn refusal(error: CallError) -> Result<Verdict, CallError> {
    match error.status() {
        Some(StatusCode::UNAUTHORIZED) => Ok(Verdict::Unknown),
        Some(StatusCode::NOT_FOUND) => Ok(Verdict::Hidden),
        Some(StatusCode::FORBIDDEN) => Ok(Verdict::Forbidden),
        _ => Err(error),
    }
}
