//! What a decision remembers of those before it. It is small (a kilobyte at most, beside what the
//! samples take), serialisable, and all that must be kept over a restart of the autoscaler: with
//! the same samples the next decision is the same, wherever it was killed.

use crate::ast::Direction;
use crate::units::Second;

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
