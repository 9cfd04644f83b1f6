//! `/v3/jobs`, and the jobs that handlers answer with.

use cfx_protocol::v3::error::V3Error;
use cfx_protocol::v3::job::{self as wire, JobWarning};

use super::error::{Answer, ApiError};
use super::request::{Base, Call};
use super::response::{self, seconds};
use crate::actions::deletion::Progress;
use crate::actions::{self, Act, Refused};
use crate::state::Draft;
use crate::state::job::{Job, JobState};

/// Steps of one request: a step deletes some fifty things.
const STEPS_MAX: usize = 10_000;

pub(super) async fn show(call: Call) -> Answer {
    let found = call.state.get::<Job>(&call.guid());
    let job = found.ok_or_else(|| ApiError::not_found("Job"))?;
    // Whoever began it may follow it, and those who see everything.
    let own = call.caller.guid.0 == job.user;
    if !own && !call.access.reads_everything() {
        return Err(ApiError::not_found("Job"));
    }
    response::ok(present(&call.base, job))
}

/// Do something that takes several commits, and answer with a job that is done.
pub(super) async fn of_steps(
    call: &Call,
    operation: &str,
    step: impl Fn(&mut Draft, &Act<'_>) -> Result<Progress, Refused>,
) -> Answer {
    for _ in 0..STEPS_MAX {
        let made = call
            .write(|draft, act| match step(draft, act)? {
                Progress::More => Ok(None),
                Progress::Done => Ok(Some(actions::job::completed(draft, act, operation))),
            })
            .await?;
        if let Some(job) = made {
            return response::job(&call.base, job);
        }
    }
    Err(ApiError::unavailable(
        "There is very much to delete, and some is left: delete once more.",
        operation,
    ))
}

/// Do something in one commit, and answer with a job that is done.
pub(super) async fn of(
    call: &Call,
    operation: &str,
    action: impl FnOnce(&mut Draft, &Act<'_>) -> Result<(), Refused>,
) -> Answer {
    let job = call
        .write(|draft, act| {
            action(draft, act)?;
            Ok(actions::job::completed(draft, act, operation))
        })
        .await?;
    response::job(&call.base, job)
}

fn present(base: &Base, job: &Job) -> wire::Job {
    let link = |(name, path): (String, String)| (name, base.link(&path));
    let own = ("self".to_owned(), format!("/v3/jobs/{}", job.guid));
    let links = [own].into_iter().chain(job.resource.clone()).map(link);
    wire::Job {
        guid: job.guid,
        created_at: seconds(job.meta.created_at),
        updated_at: seconds(job.meta.updated_at),
        operation: job.operation.clone(),
        state: match job.state {
            JobState::Processing => "PROCESSING",
            JobState::Polling => "POLLING",
            JobState::Complete => "COMPLETE",
            JobState::Failed => "FAILED",
        }
        .to_owned(),
        errors: job
            .errors
            .iter()
            .map(|error| V3Error {
                code: error.code,
                title: error.title.clone(),
                detail: error.detail.clone(),
            })
            .collect(),
        warnings: job
            .warnings
            .iter()
            .map(|detail| JobWarning {
                detail: detail.clone(),
            })
            .collect(),
        links: links.collect(),
    }
}
