//! What changed the instance count, when, and why: the autoscaler's own history where there is an
//! autoscaler, the platform's audit events, and at least what was seen.

use serde::{Deserialize, Serialize};

use super::instances::Sample;
use crate::client::resource::{Event, Page};
use crate::client::{Api, query};

/// Acts of one rehearsal that are told; more would be a rule that flutters.
const ACTS_MAX: &str = "200";
/// An act of the history and an audit event of one count this near are one, seconds.
const SAME_S: f64 = 5.0;
/// Succeeded, in the autoscaler's history.
const SUCCEEDED: i64 = 0;
const FAILED: i64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cause {
    Rule,
    Schedule,
    /// Somebody, by hand.
    Person,
    /// Seen in the counts only.
    Unknown,
}

/// One change of the wanted count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Act {
    /// Seconds from the start of the load.
    pub(crate) at: f64,
    pub(crate) from: Option<i64>,
    /// Below 0 when it failed before a count was decided.
    pub(crate) to: i64,
    pub(crate) cause: Cause,
    pub(crate) explanation: String,
    /// Why it did not come about.
    pub(crate) error: Option<String>,
    /// From the decision until so many were routable; none when they never were.
    pub(crate) routable_after_s: Option<f64>,
    /// The next act came before they could be.
    pub(crate) is_superseded: bool,
}

impl Act {
    pub(crate) fn grows(&self) -> bool {
        self.from.is_none_or(|from| self.to > from)
    }

    /// `2 → 200`.
    pub(crate) fn change(&self) -> String {
        let known = |count: Option<i64>| match count {
            Some(count) if count >= 0 => count.to_string(),
            _ => "?".to_owned(),
        };
        format!("{} → {}", known(self.from), known(Some(self.to)))
    }
}

/// An entry of `GET /v1/apps/:g/scaling_histories`.
#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(default)]
    status: i64,
    /// Nanoseconds since 1970.
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    scaling_type: i64,
    #[serde(default)]
    old_instances: i64,
    #[serde(default)]
    new_instances: i64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
    /// cfx's own addition: which rule saw what.
    #[serde(default)]
    explanation: String,
}

/// Everything that tells what was decided from `since_ns` on.
pub(crate) async fn gather(api: &Api, app: &str, start_ns: i64, samples: &[Sample]) -> Vec<Act> {
    let since_ns = start_ns.saturating_sub(60_000_000_000);
    let history = history(api, app, since_ns).await;
    let mut acts: Vec<Act> = history
        .iter()
        .filter_map(|entry| told(entry, start_ns))
        .collect();
    for act in by_hand(api, app, start_ns).await {
        let is_known = acts
            .iter()
            .any(|one| one.to == act.to && (one.at - act.at).abs() < SAME_S);
        if !is_known && act.at >= seconds(since_ns, start_ns) {
            acts.push(act);
        }
    }
    for act in seen(samples) {
        let is_known = acts
            .iter()
            .any(|one| one.to == act.to && (one.at - act.at).abs() < SAME_S);
        if !is_known {
            acts.push(act);
        }
    }
    acts.sort_by(|a, b| a.at.total_cmp(&b.at));
    for act in &mut acts {
        act.from = act.from.or_else(|| wanted_before(act.at, samples));
    }
    time_to_routable(&mut acts, samples);
    acts
}

/// A platform without an autoscaler has no history.
async fn history(api: &Api, app: &str, since_ns: i64) -> Vec<Entry> {
    let path = query::with(
        &format!("/v1/apps/{app}/scaling_histories"),
        &[
            ("start-time", &since_ns.to_string()),
            ("order-direction", "asc"),
            ("results-per-page", ACTS_MAX),
        ],
    );
    let page: Result<Page<Entry>, _> = api.get(&path).await;
    page.map(|page| page.resources).unwrap_or_default()
}

fn told(entry: &Entry, start_ns: i64) -> Option<Act> {
    let has_failed = entry.status == FAILED;
    let is_change = entry.status == SUCCEEDED && entry.new_instances != entry.old_instances;
    if !has_failed && !is_change {
        return None;
    }
    let words = [&entry.explanation, &entry.reason, &entry.message];
    let words = words.into_iter().find(|words| !words.is_empty());
    Some(Act {
        at: seconds(entry.timestamp, start_ns),
        from: Some(entry.old_instances).filter(|count| *count >= 0),
        to: entry.new_instances,
        cause: match entry.scaling_type {
            1 => Cause::Schedule,
            _ => Cause::Rule,
        },
        explanation: words.cloned().unwrap_or_default(),
        error: has_failed.then(|| entry.error.clone()),
        routable_after_s: None,
        is_superseded: false,
    })
}

/// What the audit events tell.
async fn by_hand(api: &Api, app: &str, start_ns: i64) -> Vec<Act> {
    let path = query::with(
        "/v3/audit_events",
        &[
            ("types", "audit.app.process.scale"),
            ("target_guids", app),
            ("order_by", "-created_at"),
            ("per_page", ACTS_MAX),
        ],
    );
    let page: Result<Page<Event>, _> = api.get(&path).await;
    let events = page.map(|page| page.resources).unwrap_or_default();
    let acts = events.iter().filter_map(|event| {
        let created = i64::try_from(event.created_at?.as_nanosecond()).ok()?;
        let request = event.data.get("request")?;
        let who = event.actor.name.clone().unwrap_or_default();
        Some(Act {
            at: seconds(created, start_ns),
            from: None,
            to: request.get("instances")?.as_i64()?,
            cause: Cause::Person,
            explanation: format!("scaled by {who}"),
            error: None,
            routable_after_s: None,
            is_superseded: false,
        })
    });
    acts.collect()
}

/// What the counts tell.
fn seen(samples: &[Sample]) -> Vec<Act> {
    let changes = samples
        .windows(2)
        .filter(|pair| pair[0].desired != pair[1].desired);
    let acts = changes.map(|pair| Act {
        at: pair[1].at,
        from: Some(pair[0].desired.into()),
        to: pair[1].desired.into(),
        cause: Cause::Unknown,
        explanation: "seen in the instance count; nobody told why".to_owned(),
        error: None,
        routable_after_s: None,
        is_superseded: false,
    });
    acts.collect()
}

/// What was wanted at the last look before this moment.
fn wanted_before(at: f64, samples: &[Sample]) -> Option<i64> {
    let before = samples.iter().take_while(|sample| sample.at < at).last();
    before.map(|sample| sample.desired.into())
}

fn seconds(ns: i64, start_ns: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "hours at most")]
    let difference = ns.saturating_sub(start_ns) as f64;
    difference / 1e9
}

/// From each decision to the first look at which so many were routable, unless the next act wants
/// fewer before that.
fn time_to_routable(acts: &mut [Act], samples: &[Sample]) {
    for place in 0..acts.len() {
        let (at, to) = (acts[place].at, acts[place].to);
        if acts[place].error.is_some() || !acts[place].grows() {
            continue;
        }
        let later = &acts[place + 1..];
        let shrinks = later.iter().find(|act| act.to < to).map(|act| act.at);
        let until = shrinks.unwrap_or(f64::INFINITY);
        let mut then = samples.iter().filter(|sample| sample.at >= at);
        let reached = then.find(|sample| i64::from(sample.routable) >= to && sample.at < until);
        acts[place].routable_after_s = reached.map(|sample| sample.at - at);
        acts[place].is_superseded = reached.is_none() && shrinks.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: f64, desired: u32, routable: u32) -> Sample {
        Sample {
            at,
            desired,
            running: routable,
            routable,
            crashed: 0,
        }
    }

    #[test]
    fn a_time_to_routable_runs_from_the_decision_to_the_first_look_that_shows_all() {
        let samples = [
            sample(0.0, 2, 2),
            sample(1.0, 200, 2),
            sample(4.0, 200, 150),
            sample(7.5, 200, 200),
            sample(9.0, 300, 210),
            sample(10.0, 50, 50),
        ];
        let mut acts = seen(&samples);
        assert_eq!(
            acts.iter().map(|act| act.to).collect::<Vec<_>>(),
            [200, 300, 50]
        );
        acts[0].at = 0.5;
        time_to_routable(&mut acts, &samples);
        assert_eq!(acts[0].routable_after_s, Some(7.0));
        assert_eq!(
            (acts[1].routable_after_s, acts[1].is_superseded),
            (None, true)
        );
        assert!(!acts[2].grows());
        assert_eq!(acts[2].routable_after_s, None);
    }

    #[test]
    fn the_autoscalers_history_says_why() {
        let entry = Entry {
            timestamp: 12_500_000_000,
            scaling_type: 0,
            old_instances: 2,
            new_instances: 3,
            reason: "+40% because throughput > 50 for 5 seconds".into(),
            ..Entry::default()
        };
        let act = told(&entry, 10_000_000_000).expect("a change");
        assert!((act.at - 2.5).abs() < 1e-9);
        assert_eq!((act.from, act.to, act.cause), (Some(2), 3, Cause::Rule));
        assert_eq!(act.explanation, entry.reason);
        let ignored = Entry { status: 2, ..entry };
        assert!(told(&ignored, 0).is_none());
        let failed = Entry {
            status: 1,
            error: "no room".into(),
            ..Entry::default()
        };
        assert_eq!(
            told(&failed, 0).and_then(|act| act.error),
            Some("no room".into())
        );
    }
}
