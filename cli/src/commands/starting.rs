//! Waiting until an app's instances run, and telling why they do not.

use std::time::Duration;

use cfx_protocol::v3::platform::Why;

use super::logs::formatted;
use super::summary::running;
use crate::client::Api;
use crate::client::resource::{App, Process, Stats};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Progress;

/// Between two looks at the instances.
pub(super) const STATS_POLL: Duration = Duration::from_millis(500);
/// An instance is between two crashes for a moment; looks in a row before it counts.
const CRASHED_LOOKS: u32 = 2;
/// An app that no cell takes is given up after this part of the time it has to start: twenty
/// seconds of five minutes, in which something else may end and make room.
const NOWHERE_PART: u32 = 15;
/// Log lines shown when an app does not start.
const LINES_SHOWN: usize = 20;

/// Wait until each process with instances has one that runs.
pub(crate) async fn wait(context: &Context, api: &Api, app: &App) -> Outcome {
    let processes: Vec<Process> = api
        .list(&format!("/v3/apps/{}/processes", app.guid))
        .await?;
    let from_ns = context.clock.now_ns();
    let progress = context.terminal.progress("waiting for the app to start");
    let started = context.clock.monotonic();
    let timeout = context.environment.startup_timeout;
    let mut watch = Watch::new(timeout / NOWHERE_PART);
    loop {
        let waited = context.clock.monotonic().saturating_sub(started);
        match watch.look(api, &processes, waited).await? {
            Look::Started => return Ok(()),
            Look::Crashed(kind) => {
                drop(progress);
                explain(context, api, app, from_ns).await;
                return Err(not_started(app, &kind));
            }
            Look::Nowhere(detail) => return Err(no_place(app, &detail)),
            Look::Waiting => {}
        }
        watch.tell(context, &progress);
        if waited > timeout {
            drop(progress);
            explain(context, api, app, from_ns).await;
            return Err(too_late(app, timeout));
        }
        context.clock.sleep(STATS_POLL).await;
    }
}

enum Look {
    Started,
    /// All instances of this process crashed.
    Crashed(String),
    /// No cell takes any instance of a process, for this reason.
    Nowhere(String),
    Waiting,
}

struct Watch {
    crashed_looks: u32,
    /// How long an app may be nowhere, and since when it is.
    nowhere_max: Duration,
    nowhere_since: Option<Duration>,
    line: String,
    told: String,
}

impl Watch {
    fn new(nowhere_max: Duration) -> Self {
        Self {
            crashed_looks: 0,
            nowhere_max,
            nowhere_since: None,
            line: String::new(),
            told: String::new(),
        }
    }

    async fn look(&mut self, api: &Api, processes: &[Process], now: Duration) -> Outcome<Look> {
        let mut all_started = true;
        let mut crashed = None;
        let mut nowhere = None;
        let mut lines = Vec::new();
        for process in processes {
            let path = format!("/v3/processes/{}/stats", process.guid);
            let instances: Vec<Stats> = api.list(&path).await?;
            if instances.is_empty() {
                continue;
            }
            all_started &= running(&instances) > 0;
            if instances.iter().all(|instance| instance.state == "CRASHED") {
                crashed = Some(process.kind.clone());
            }
            nowhere = nowhere.or_else(|| placeless(&instances));
            lines.push(counts(process, &instances));
        }
        self.line = lines.join("; ");
        if all_started {
            return Ok(Look::Started);
        }
        self.crashed_looks = if crashed.is_some() {
            self.crashed_looks + 1
        } else {
            0
        };
        self.nowhere_since = nowhere.is_some().then(|| self.nowhere_since.unwrap_or(now));
        let nowhere_for = self
            .nowhere_since
            .map_or(Duration::ZERO, |since| now - since);
        Ok(match (crashed, nowhere) {
            (Some(kind), _) if self.crashed_looks >= CRASHED_LOOKS => Look::Crashed(kind),
            (_, Some(detail)) if nowhere_for > self.nowhere_max => Look::Nowhere(detail),
            _ => Look::Waiting,
        })
    }

    /// On a terminal the line is redrawn; else it is printed when it changes.
    fn tell(&mut self, context: &Context, progress: &Progress) {
        progress.message(&self.line);
        if !progress.is_live() && self.line != self.told {
            context.terminal.say(format!("   {}", self.line));
        }
        self.told.clone_from(&self.line);
    }
}

/// Why none of them is anywhere; none when one is, or nobody knows why.
fn placeless(instances: &[Stats]) -> Option<String> {
    let all_down = instances.iter().all(|instance| instance.state == "DOWN");
    let mut details = instances.iter().filter_map(|one| one.details.clone());
    details.find(|detail| all_down && !detail.is_empty())
}

/// `web: 1 of 3 running, 2 starting`.
fn counts(process: &Process, instances: &[Stats]) -> String {
    let mut text = format!(
        "{}: {} of {} running",
        process.kind,
        running(instances),
        instances.len()
    );
    for state in ["STARTING", "CRASHED", "DOWN", "STOPPING"] {
        let count = instances.iter().filter(|one| one.state == state).count();
        if count > 0 {
            text.push_str(&format!(", {count} {}", state.to_lowercase()));
        }
    }
    let mut detail = instances.iter().filter_map(|one| one.details.as_deref());
    if let Some(detail) = detail.find(|text| !text.is_empty()) {
        text.push_str(&format!(" ({detail})"));
    }
    text
}

/// What is known about the crashes, and the app's last words. Best effort: the failure follows.
async fn explain(context: &Context, api: &Api, app: &App, from_ns: i64) {
    let terminal = &context.terminal;
    terminal.blank();
    let why: Result<Option<Why>, _> = api.find(&format!("/cfx/v1/why/{}", app.guid)).await;
    if let Ok(Some(why)) = why {
        for instance in &why.instances {
            let reason = match &instance.crash {
                Some(crash) => format!("{} ({} in a row)", crash.reason, crash.crashes),
                None => instance.reason.clone(),
            };
            let place = format!("{}/{}", instance.process_type, instance.index);
            terminal.say(format!(
                "   {place}: {} {reason}",
                instance.state.to_lowercase()
            ));
        }
    }
    if let Ok(lines) = api.recent_logs(&app.guid).await {
        let since = lines.iter().filter(|line| line.timestamp_ns >= from_ns);
        let since: Vec<_> = since.filter(|line| line.source_type != "STG").collect();
        terminal.say("   last log lines:");
        for line in &since[since.len().saturating_sub(LINES_SHOWN)..] {
            terminal.say(formatted(terminal, line));
        }
    }
    terminal.blank();
}

fn not_started(app: &App, kind: &str) -> Failure {
    Failure::new(format!(
        "{} did not start: all instances of {kind} crashed",
        app.name
    ))
    .next(format!(
        "`cfx logs {} --recent` has the whole log; `cfx why {}` the reasons",
        app.name, app.name
    ))
}

fn no_place(app: &App, detail: &str) -> Failure {
    Failure::new(format!("no cell can take {}: {detail}", app.name)).next(format!(
        "`cfx why {}` tells what is missing; ask for less (-m, -k), or add a cell",
        app.name
    ))
}

fn too_late(app: &App, timeout: Duration) -> Failure {
    Failure::new(format!("{} did not start within {timeout:?}", app.name)).next(format!(
        "`cfx why {}` tells what it waits for; CF_STARTUP_TIMEOUT sets the limit in minutes",
        app.name
    ))
}
