//! What a decision remembers of those before it. It is small (a kilobyte at most, beside what the
//! samples take), serialisable, and all that must be kept over a restart of the autoscaler: with
//! the same samples the next decision is the same, wherever it was killed.

use crate::ast::Direction;
use crate::decision::{Decision, Outcome, WhyNot};
use crate::policy::Policy;
use crate::units::Second;
use crate::{check, digest};

/// Most growths that are remembered. Older ones are forgotten first; their instances then count as
/// old ones, which can only make rules wait longer.
pub const GROWTHS_MAX: usize = 32;

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The operator's hand on the brake: nothing is changed, by rule or schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The count that the last decision left.
    pub(crate) size: Option<u32>,
    /// The last act by a rule.
    pub(crate) last_act: Option<Act>,
    /// When the count last changed, by whomever. Rules that restart their evidence look no
    /// further back.
    pub(crate) evidence_from: Option<Second>,
    pub(crate) growths: Vec<Growth>,
    /// The schedules that were active, so that `starting at` is applied once.
    pub(crate) begun: Vec<Begun>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pause {
    /// `None`: until someone resumes.
    pub until: Option<Second>,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Act {
    pub(crate) at: Second,
    pub(crate) direction: Direction,
    /// Cool-down of the rule that acted.
    pub(crate) cool_down_s: u32,
}

/// The count grew: indices from `from` on exist since `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Growth {
    pub(crate) at: Second,
    pub(crate) from: u32,
}

/// A schedule's occurrence that has begun, by the digest of its text and its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Begun {
    pub(crate) schedule: u64,
    pub(crate) at: Second,
}

impl State {
    /// Change nothing until then, or until [`State::resume`].
    pub fn pause(&mut self, until: Option<Second>, reason: &str) {
        self.pause = Some(Pause {
            until,
            reason: reason.chars().take(PAUSE_REASON_CHARS_MAX).collect(),
        });
    }

    pub fn resume(&mut self) {
        self.pause = None;
    }
}

/// A pause's reason is a line for people.
const PAUSE_REASON_CHARS_MAX: usize = 200;

impl State {
    /// The count is `size` now, whoever made it so.
    pub(crate) fn observe(&mut self, size: u32, now: Second) {
        if let Some(known) = self.size
            && known != size
        {
            self.changed(known, size, now);
        }
        self.size = Some(size);
    }

    /// Remember what the decision does.
    pub(crate) fn follow(&mut self, decision: &Decision, policy: &Policy, begun: Vec<Begun>) {
        let paused = matches!(decision.outcome, Outcome::Held(WhyNot::Paused { .. }));
        if !paused {
            self.pause = None;
            self.begun = begun;
        }
        if decision.to != decision.from {
            self.changed(decision.from, decision.to, decision.at);
            self.size = Some(decision.to);
        }
        if let Outcome::Rule { rule, .. } = decision.outcome {
            let rule = &policy.rules()[rule];
            self.last_act = Some(Act {
                at: decision.at,
                direction: rule.direction,
                cool_down_s: rule.cool_down_s,
            });
        }
        let oldest = decision.at - Second::from(check::FOR_MAX_S);
        self.growths.retain(|growth| growth.at >= oldest);
    }

    fn changed(&mut self, from: u32, to: u32, at: Second) {
        self.evidence_from = Some(at);
        if to > from {
            if self.growths.len() == GROWTHS_MAX {
                self.growths.remove(0);
            }
            self.growths.push(Growth { at, from });
        }
    }

    /// When this index was added; `None` when it is older than what is remembered.
    pub(crate) fn born(&self, index: u32) -> Option<Second> {
        let grown = self
            .growths
            .iter()
            .rev()
            .find(|growth| growth.from <= index);
        grown.map(|growth| growth.at)
    }

    pub(crate) fn digest(&self) -> u64 {
        let mut numbers = vec![i64::from(self.pause.is_some())];
        numbers.extend(self.size.map(i64::from));
        numbers.push(self.evidence_from.unwrap_or(Second::MIN));
        if let Some(act) = self.last_act {
            numbers.extend([act.at, act.direction as i64, i64::from(act.cool_down_s)]);
        }
        for growth in &self.growths {
            numbers.extend([growth.at, i64::from(growth.from)]);
        }
        for begun in &self.begun {
            numbers.extend([begun.schedule.cast_signed(), begun.at]);
        }
        digest::mix(&numbers)
    }
}
