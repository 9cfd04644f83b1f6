//! The durable records.

use cfx_rules::state::Pause;
use cfx_rules::units::Second;
use cfx_rules::{Decision, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::measure::Points;

/// An app's rules, as somebody gave them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PolicyRecord {
    /// One statement a line, in canonical form.
    pub(crate) text: String,
    /// The app-autoscaler policy that it was made of; asked for, it is given back as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) imported: Option<Value>,
    /// Switched off, nothing is watched.
    pub(crate) enabled: bool,
    /// Paused, everything is watched and nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pause: Option<Pause>,
    pub(crate) updated_at: Second,
}

/// What the evaluator remembers of an app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) state: State,
    /// Decided and perhaps done: settled after a restart by looking at the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) under_way: Option<UnderWay>,
    #[serde(default)]
    pub(crate) breaker: Breaker,
    /// Places in the rings of acts and of decisions.
    #[serde(default)]
    pub(crate) acts: u64,
    #[serde(default)]
    pub(crate) decisions: u64,
}

/// An act between the decision and its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnderWay {
    pub(crate) decision: Decision,
    /// What is remembered once it is done.
    pub(crate) then: State,
}

/// Refusals of the platform in a row, and how long no act is tried after too many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breaker {
    pub(crate) failures: u32,
    /// Times it opened since the last success.
    pub(crate) openings: u32,
    pub(crate) open_until: Option<Second>,
}

/// How an act ended. The numbers are app-autoscaler's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Succeeded,
    Failed,
    Ignored,
}

/// One act, or one that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HistoryEntry {
    pub(crate) at_ns: i64,
    pub(crate) ended: Ended,
    /// By a schedule or the limits, not by a rule.
    pub(crate) scheduled: bool,
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// In a few words, as app-autoscaler writes it.
    pub(crate) reason: String,
    /// In one sentence; the decision of that moment has the rest.
    pub(crate) explanation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
}

/// Ticks in a row that came to the same conclusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionRecord {
    pub(crate) first: Second,
    pub(crate) last: Second,
    pub(crate) ticks: u32,
    /// Of the last one, with its numbers.
    pub(crate) decision: Decision,
    /// Why the decision was not carried out, where that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_done: Option<String>,
}

/// Samples of one app, taken in since the batch before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SampleBatch {
    /// Metric's number in `metrics`, instance index, and second and value in pairs.
    pub(crate) metrics: Vec<cfx_rules::ast::Metric>,
    pub(crate) rows: Vec<(u16, u32, Points)>,
}
