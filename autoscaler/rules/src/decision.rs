//! The record that every tick leaves: what was looked at, what each rule said and why, and what
//! came of it. `explain` turns it into sentences. A record stands alone: it quotes the rules.

use std::sync::Arc;

use crate::ast::{Direction, Metric, Op, Range};
use crate::units::{Milli, Second};

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    pub at: Second,
    /// Instances wanted before, and after. Equal when nothing is to be done.
    pub from: u32,
    pub to: u32,
    /// A digest of state, samples, policy and time: equal inputs have equal digests.
    pub inputs: u64,
    pub limits: Range,
    pub limits_from: LimitsFrom,
    /// One for each rule of the policy, in its order.
    pub rules: Vec<RuleRecord>,
    pub outcome: Outcome,
}

/// Where the limits come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsFrom {
    Policy,
    /// Recurring schedules, by their texts.
    Recurring(Vec<Arc<str>>),
    /// Specific dates; they outrank recurring ones.
    SpecificDate(Vec<Arc<str>>),
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A rule changed the count.
    Rule {
        rule: usize,
        arithmetic: Arithmetic,
    },
    /// The count was outside the limits, or a schedule began.
    Limits {
        schedule_began: bool,
    },
    Held(WhyNot),
}

/// How a count came about, in whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Arithmetic {
    /// Hundredths of an instance: 40 % more than 3 are 420.
    pub raw_hundredths: i64,
    pub rounded: u32,
    /// After the rule's steps and limits.
    pub stepped: u32,
    pub clamped_by: Option<Clamp>,
    pub to: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clamp {
    LeastStep,
    MostStep,
    RuleLimits,
    Limits,
}

/// Why the count stays.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    Paused {
        until: Option<Second>,
        reason: String,
    },
    /// Neither rules nor samples say anything.
    NoRuleHolds,
    NoRules,
    /// The app is not started, or wants no instance.
    NotStarted,
    /// The rule holds, but the last act is too recent.
    CoolDown {
        rule: usize,
        until: Second,
    },
    /// The rule holds, but the count is at its limit already.
    AtLimit {
        rule: usize,
    },
    /// One in-rule holds, but this one does not: all must be quiet.
    NotAllQuiet {
        holds: usize,
        does_not: usize,
    },
    /// An in-rule holds, but an out-rule misses data: nobody knows that it is quiet.
    OutUndecided {
        holds: usize,
        undecided: usize,
    },
    /// With fewer instances this out-rule would be true.
    Projection {
        holds: usize,
        against: usize,
        metric: Metric,
        /// Mean of the instances in the last minute, and with fewer of them.
        now: Milli,
        then: Milli,
        threshold: Milli,
        to: u32,
    },
    /// An in-rule holds, but the samples for the projection are missing.
    ProjectionUnknown {
        holds: usize,
        against: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleRecord {
    /// The rule's canonical sentence.
    pub text: Arc<str>,
    pub direction: Direction,
    pub verdict: Verdict,
    /// What the rule would make of the count; only where it holds.
    pub wants: Option<Arithmetic>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Holds,
    /// Data is missing, and the rule says to assume or to fall back.
    Assumed(Finding),
    Fallback(Finding),
    DoesNot(Finding),
    /// Data is missing: neither true nor false.
    Undecided(Finding),
}

/// The first thing that spoke against a comparison.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// Which comparison of the rule, from the left, counted from 0.
    pub comparison: usize,
    pub metric: Metric,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// This bucket has a value on the wrong side. `instance` is `None` for averages and the like.
    Value {
        instance: Option<u32>,
        at: Second,
        value: Milli,
        op: Op,
        threshold: Milli,
    },
    /// The instance has run, past its warm-up, for less than the rule asks.
    Young {
        instance: u32,
        since: Second,
        has_s: u32,
        needs_s: u32,
    },
    /// The count changed too recently.
    EvidenceRestarted {
        since: Second,
        has_s: u32,
        needs_s: u32,
    },
    /// A hole of this many seconds.
    Hole {
        instance: Option<u32>,
        at: Second,
        seconds: u32,
    },
    /// Fewer than nine buckets of ten.
    Sparse {
        instance: Option<u32>,
        present: u32,
        of: u32,
    },
    /// No instance has run for its warm-up.
    NobodyYet,
    /// No instance sends this gauge.
    NobodySends,
}

impl Cause {
    /// Whether data is missing, rather than speaking against the comparison.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        matches!(
            self,
            Self::Hole { .. } | Self::Sparse { .. } | Self::NobodyYet | Self::NobodySends
        )
    }
}
