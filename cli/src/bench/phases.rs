//! When each start reached each step, as the platform's own log tells.

use std::collections::BTreeMap;
use std::path::Path;

use cfx_process::telemetry::START_TRACE;
use jiff::Timestamp;
use serde::Deserialize;

use super::percentile;
use crate::failure::{Failure, Outcome};

/// The steps of a cell, in their order.
const STEPS: [&str; 4] = ["assigned", "prepared", "armed", "healthy"];
/// The router's: how many endpoints it has.
const ROUTED: &str = "routed";

/// Seconds from the command to each step, of all instances, in order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Phases(BTreeMap<&'static str, Vec<f64>>);

#[derive(Debug, Deserialize)]
struct Line {
    timestamp: Timestamp,
    target: String,
    step: Option<String>,
    endpoints: Option<usize>,
}

/// Bytes of the log so far.
pub(super) fn mark(log: &Path) -> usize {
    std::fs::metadata(log).map_or(0, |about| {
        usize::try_from(about.len()).unwrap_or(usize::MAX)
    })
}

/// What the log tells after `from`, of a command that was given at `since`.
pub(super) fn read(log: &Path, from: usize, since: Timestamp) -> Outcome<Phases> {
    let text = std::fs::read(log)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", log.display())))?;
    // A log that was begun anew meanwhile is shorter.
    let text = String::from_utf8_lossy(text.get(from..).unwrap_or(&text)).into_owned();
    Ok(parse(&text, since))
}

fn parse(text: &str, since: Timestamp) -> Phases {
    let mut phases = Phases::default();
    let mut routed = None;
    for line in text.lines().filter(|line| line.contains(START_TRACE)) {
        let Ok(line) = serde_json::from_str::<Line>(line) else {
            continue;
        };
        let Some(step) = line.step.filter(|_| line.target == START_TRACE) else {
            continue;
        };
        let after = line.timestamp.duration_since(since).as_secs_f64();
        if let Some(step) = STEPS.iter().find(|known| **known == step) {
            phases.0.entry(step).or_default().push(after);
        } else if let Some(endpoints) = line.endpoints.filter(|_| step == ROUTED) {
            // Before the first table that grows there was one instance.
            let more = endpoints.saturating_sub(routed.unwrap_or(1));
            let times = phases.0.entry(ROUTED).or_default();
            times.extend(std::iter::repeat_n(after, more));
            routed = Some(endpoints.max(routed.unwrap_or(1)));
        }
    }
    phases
        .0
        .values_mut()
        .for_each(|times| times.sort_by(f64::total_cmp));
    phases
}

impl Phases {
    /// Each step with the seconds until half, 99 of 100 and all had reached it.
    pub(super) fn table(&self) -> Vec<(&'static str, [f64; 3])> {
        let steps = STEPS.into_iter().chain([ROUTED]);
        steps
            .filter_map(|step| {
                let times = self.0.get(step).filter(|times| !times.is_empty())?;
                Some((step, [50, 99, 100].map(|part| percentile(times, part))))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_by_the_time_since_the_command() {
        let line = |ms: u32, fields: &str| {
            format!(
                r#"{{"timestamp":"1970-01-01T00:00:{:02}.{:03}Z","level":"TRACE","message":"start",{fields},"target":"cfx_start"}}"#,
                ms / 1_000,
                ms % 1_000
            )
        };
        let text = [
            line(1_100, r#""assignment":"a","index":1,"step":"assigned""#),
            line(1_300, r#""assignment":"b","index":2,"step":"assigned""#),
            line(1_400, r#""endpoints":2,"step":"routed""#),
            line(1_500, r#""endpoints":3,"step":"routed""#),
            r#"{"timestamp":"1970-01-01T00:00:01Z","target":"other","step":"assigned"}"#.to_owned(),
            "cfx_start half a li".to_owned(),
        ]
        .join("\n");
        let phases = parse(&text, Timestamp::from_second(1).expect("a time"));
        let rounded = phases
            .table()
            .into_iter()
            .map(|(step, times)| (step, times.map(|time| (time * 1_000.0).round() / 1_000.0)));
        assert_eq!(
            rounded.collect::<Vec<_>>(),
            [("assigned", [0.1, 0.1, 0.3]), ("routed", [0.4, 0.4, 0.5])]
        );
    }
}
