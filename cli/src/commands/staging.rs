//! From a package to a droplet, with the staging log live.

use std::time::Duration;

use serde_json::json;

use super::logs::{LOG_POLL, harmless};
use crate::client::resource::{App, Build};
use crate::client::{Api, LogCursor, LogLine};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Progress;

/// Looks at the log between two looks at the build.
const LOOKS_PER_BUILD_POLL: u32 = 2;
/// How long the last staging lines may take to arrive after the build ended.
const LAST_LINES: Duration = Duration::from_millis(400);

/// Stage a package; the guid of the droplet.
pub(crate) async fn stage(
    context: &Context,
    api: &Api,
    app: &App,
    package: &str,
) -> Outcome<String> {
    context.terminal.say("Staging app...");
    let from_ns = context.clock.now_ns();
    let body = json!({"package": {"guid": package}});
    let build: Build = api.post("/v3/builds", &body).await?;
    let progress = context.terminal.progress("staging");
    let mut log = StagingLog {
        context,
        progress: &progress,
        cursor: LogCursor::starting_at(&app.guid, from_ns),
        readable: true,
    };
    let started = context.clock.monotonic();
    let mut look = 0;
    let ended = loop {
        log.look(api).await;
        if look % LOOKS_PER_BUILD_POLL == 0 {
            let build: Build = api.get(&format!("/v3/builds/{}", build.guid)).await?;
            if build.state != "STAGING" {
                break build;
            }
        }
        look += 1;
        let timeout = context.environment.staging_timeout;
        if context.clock.monotonic().saturating_sub(started) > timeout {
            return Err(
                Failure::new(format!("staging takes longer than {timeout:?}")).next(
                    "look at `cfx logs APP --recent`; CF_STAGING_TIMEOUT sets the limit in minutes",
                ),
            );
        }
        context.clock.sleep(LOG_POLL).await;
    };
    context.clock.sleep(LAST_LINES).await;
    log.look(api).await;
    match (ended.state.as_str(), ended.droplet) {
        ("STAGED", Some(droplet)) => Ok(droplet.guid),
        _ => Err(failed(app, ended.error.as_deref())),
    }
}

struct StagingLog<'a> {
    context: &'a Context,
    progress: &'a Progress,
    cursor: LogCursor,
    readable: bool,
}

impl StagingLog<'_> {
    /// Print what came. Without a log staging goes on; the user is told once.
    async fn look(&mut self, api: &Api) {
        if !self.readable {
            return;
        }
        match self.cursor.look(api).await {
            Ok(lines) => self.print(&lines),
            Err(error) => {
                self.readable = false;
                self.context
                    .terminal
                    .warn(format!("no staging log: {error}"));
            }
        }
    }

    fn print(&self, lines: &[LogLine]) {
        let staging = lines.iter().filter(|line| line.source_type == "STG");
        self.progress.aside(|| {
            for line in staging {
                self.context
                    .terminal
                    .say(format!("   {}", harmless(&line.text)));
            }
        });
    }
}

fn failed(app: &App, error: Option<&str>) -> Failure {
    let error = error.unwrap_or("the platform gave no reason");
    let next = if error.contains("NoAppDetected") {
        "push the folder that holds the app (-p FOLDER), or name the buildpack (-b NAME)".to_owned()
    } else {
        format!(
            "the lines above tell more; again: `cfx logs {} --recent`",
            app.name
        )
    };
    Failure::new(format!("staging {} failed: {error}", app.name)).next(next)
}
