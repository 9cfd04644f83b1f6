//! Asynchronous operations: a `Location` to poll until the job is done.

use std::time::Duration;

use http::header;

use super::error::ClientError;
use super::resource::Job;
use super::transport::Answer;
use super::{Api, path_of};

/// Between two looks at a job; short at first, because most are done at once.
const POLL_FIRST: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(1);
/// Longest that a job is waited for.
const JOB_TIMEOUT: Duration = Duration::from_secs(600);

impl Api {
    /// Wait for the job that `answer` points at; without one there is nothing to wait for.
    pub(crate) async fn finish(&self, answer: &Answer) -> Result<(), ClientError> {
        let location = answer.headers.get(header::LOCATION);
        let Some(path) = location.and_then(|value| value.to_str().ok()).map(path_of) else {
            return Ok(());
        };
        let started = self.clock().monotonic();
        let mut pause = POLL_FIRST;
        loop {
            let job: Job = self.get(&path).await?;
            match job.state.as_str() {
                "COMPLETE" => return Ok(()),
                "FAILED" => return Err(failed(job)),
                _ => {}
            }
            if self.clock().monotonic().saturating_sub(started) > JOB_TIMEOUT {
                return Err(ClientError::Job {
                    operation: job.operation,
                    detail: format!("it is still {} after {JOB_TIMEOUT:?}", job.state),
                });
            }
            self.clock().sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

fn failed(job: Job) -> ClientError {
    let details: Vec<String> = job.errors.into_iter().map(|error| error.detail).collect();
    ClientError::Job {
        operation: job.operation,
        detail: if details.is_empty() {
            "the platform gave no reason".to_owned()
        } else {
            details.join("; ")
        },
    }
}
