//! How many instances there are, looked at again and again while the load goes on.

use std::time::Duration;

use serde::Serialize;

use crate::client::Api;
use crate::client::resource::{Process, Stats};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Between two looks: a time to routable is known this exactly.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// One look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Seconds from the start of the load; negative before it.
    pub(crate) at: f64,
    pub(crate) desired: u32,
    pub(crate) running: u32,
    /// Takes requests from the router.
    pub(crate) routable: u32,
    pub(crate) crashed: u32,
}

/// Whom to look at.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) context: &'a Context,
    pub(crate) api: &'a Api,
    process: String,
}

impl<'a> Watched<'a> {
    pub(crate) async fn find(context: &'a Context, api: &'a Api, app: &str) -> Outcome<Self> {
        let path = format!("/v3/apps/{app}/processes/web");
        let process: Option<Process> = api.find(&path).await?;
        let process = process.ok_or_else(|| {
            Failure::new("the app has no process `web`").next("push one that answers HTTP")
        })?;
        Ok(Self {
            context,
            api,
            process: process.guid,
        })
    }

    /// One look; none when the platform does not answer, which must not end a rehearsal.
    pub(crate) async fn look(&self, start: Duration) -> Option<Sample> {
        let path = format!("/v3/processes/{}/stats", self.process);
        let before = self.since(start);
        let stats: Vec<Stats> = self.api.list(&path).await.ok()?;
        // What was told was true somewhere between the question and the answer.
        let at = f64::midpoint(before, self.since(start));
        Some(sample(at, &stats))
    }

    fn since(&self, start: Duration) -> f64 {
        self.context.clock.monotonic().as_secs_f64() - start.as_secs_f64()
    }
}

fn sample(at: f64, stats: &[Stats]) -> Sample {
    let count = |is: fn(&Stats) -> bool| {
        let count = stats.iter().filter(|one| is(one)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    Sample {
        at,
        desired: u32::try_from(stats.len()).unwrap_or(u32::MAX),
        running: count(|one| one.state == "RUNNING"),
        // Platforms that do not tell routable tell running.
        routable: count(|one| one.routable.unwrap_or(one.state == "RUNNING")),
        crashed: count(|one| one.state == "CRASHED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_runs_and_takes_no_requests_is_not_routable() {
        let one = |state: &str, routable| Stats {
            state: state.to_owned(),
            routable,
            ..Stats::default()
        };
        let stats = [
            one("RUNNING", Some(true)),
            one("RUNNING", Some(false)),
            one("RUNNING", None),
            one("STARTING", None),
            one("CRASHED", Some(false)),
        ];
        let sample = sample(1.0, &stats);
        assert_eq!(
            (
                sample.desired,
                sample.running,
                sample.routable,
                sample.crashed
            ),
            (5, 3, 2, 1)
        );
    }
}
