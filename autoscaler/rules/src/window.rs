//! What the rules look at: who runs, and per instance the samples of the recent past, in buckets.
//!
//! Memory is as small as the policy allows. A comparison looks at one aspect of a bucket only (its
//! lowest sample for "all above", its highest for "all below", its mean for averages), so a track
//! keeps just that: 8 to 9 bytes a bucket, 12 for means, in rings of a power of two. One hour in
//! buckets of 10 s is 4.7 KiB an instance, and the last minute of the projection test 0.3 KiB more;
//! 5,000 instances take 25 MiB. [`Window::bytes`] tells the present size.
//!
//! ```text
//! bucket k of width w holds the samples whose second t has k*w < t <= (k+1)*w
//! ```

mod track;

use crate::ast::{Comparison, Metric, Over, defaults};
use crate::digest;
use crate::policy::Policy;
use crate::units::{Milli, ONE, Second, VALUE_MAX};

pub(crate) use track::{BLOCK, Mark, Track};

/// Most instances of an app that are watched; further ones do not count as evidence.
pub const INSTANCES_MAX: u32 = 20_000;

/// Two readings of an instance's start that differ by no more are the same start: it is computed
/// from an age in whole seconds, and cells and controller may disagree by a tick.
const SAME_START_S: Second = 3;

/// What one comparison needs to be kept of each instance.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Need {
    pub metric: Metric,
    pub aspect: Aspect,
    /// Width of a bucket, in seconds.
    pub width_s: u32,
    /// Number of buckets.
    pub buckets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    Lowest,
    Highest,
    Mean,
}

/// An instance that is RUNNING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    pub index: u32,
    /// When it became RUNNING.
    pub since: Second,
}

/// Why a sample was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    #[error("no rule looks at this metric")]
    NotNeeded,
    #[error("no such instance runs")]
    NoInstance,
    #[error("the sample is from an earlier start of the instance, or older than all windows")]
    TooOld,
    #[error("the value is beyond {VALUE_MAX} units")]
    TooLarge,
}

/// The samples of one app. Rebuilt from recorded samples after a restart of the autoscaler; equal
/// samples give an equal window, in whatever order they come.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    needs: Vec<Need>,
    /// One for each need: what its tracks keep an answer to.
    marks: Vec<Option<Mark>>,
    /// Seconds between two samples.
    step_s: u32,
    /// Instances that are wanted now: the count that rules change.
    size: u32,
    /// By index.
    seats: Vec<Seat>,
}

/// One index of the app.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Seat {
    pub(crate) runs: bool,
    /// The last start that was seen. A listing that omits an instance once does not end its
    /// evidence; another start does.
    pub(crate) since: Option<Second>,
    /// One for each need.
    pub(crate) tracks: Vec<Track>,
}

impl Window {
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self::with_step(policy, 1)
    }

    /// A window for samples that come only every `step_s` seconds, as recorded ones may. Buckets
    /// are at least that wide.
    #[must_use]
    pub fn with_step(policy: &Policy, step_s: u32) -> Self {
        let needs = policy.needs().iter().map(|need| need.at_least(step_s));
        Self {
            needs: needs.collect(),
            marks: policy.marks.clone(),
            step_s,
            size: 0,
            seats: Vec::new(),
        }
    }

    /// The policy changed: what it needs and was kept, stays.
    pub fn retarget(&mut self, policy: &Policy) {
        let mut fresh = Self::with_step(policy, self.step_s);
        fresh.size = self.size;
        for old in &mut self.seats {
            let mut keep = |need: &Need| {
                let found = self.needs.iter().position(|known| known == need);
                found.and_then(|at| old.tracks.get_mut(at).map(std::mem::take))
            };
            let tracks = fresh.needs.iter().zip(&fresh.marks).map(|(need, mark)| {
                let mut track = keep(need).unwrap_or_default();
                track.remark(*mark);
                track
            });
            fresh.seats.push(Seat {
                runs: old.runs,
                since: old.since,
                tracks: tracks.collect(),
            });
        }
        *self = fresh;
    }

    /// Whether it keeps what this policy needs; if not, [`Window::retarget`] it.
    #[must_use]
    pub fn fits(&self, policy: &Policy) -> bool {
        let wanted = policy.needs().iter().map(|need| need.at_least(self.step_s));
        wanted.eq(self.needs.iter().cloned()) && policy.marks == self.marks
    }

    /// Who is wanted and who runs. An instance that started again loses its samples, one that is
    /// not listed does not run.
    pub fn roster(&mut self, size: u32, running: &[Running]) {
        self.size = size;
        let wanted = size.min(INSTANCES_MAX) as usize;
        let tracks = self.needs.len();
        self.seats.resize_with(wanted, || Seat {
            runs: false,
            since: None,
            tracks: vec![Track::default(); tracks],
        });
        for seat in &mut self.seats {
            seat.runs = false;
        }
        for one in running {
            if let Some(seat) = self.seats.get_mut(one.index as usize) {
                seat.starts(one.since, &self.needs);
            }
        }
    }

    /// The value of the second that ends at `at`. Samples may come late, and in any order.
    pub fn push(
        &mut self,
        index: u32,
        metric: &Metric,
        at: Second,
        value: Milli,
    ) -> Result<(), NotKept> {
        if value.abs() > VALUE_MAX * ONE {
            return Err(NotKept::TooLarge);
        }
        let Some(seat) = self.seats.get_mut(index as usize) else {
            return Err(NotKept::NoInstance);
        };
        if !metric.survives_restart() && seat.since.ok_or(NotKept::NoInstance)? >= at {
            return Err(NotKept::TooOld);
        }
        let mut outcome = Err(NotKept::NotNeeded);
        let needs = self.needs.iter().zip(&self.marks);
        for ((need, mark), track) in needs.zip(&mut seat.tracks) {
            if need.metric == *metric {
                let kept = track.push(need, *mark, at, value);
                outcome = match (outcome, kept) {
                    (Ok(()), _) | (_, true) => Ok(()),
                    _ => Err(NotKept::TooOld),
                };
            }
        }
        outcome
    }

    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// What is kept; its metrics are what a source must deliver.
    #[must_use]
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// Memory of the samples, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let seats = self.seats.iter();
        seats
            .flat_map(|seat| seat.tracks.iter().map(Track::bytes))
            .sum()
    }

    pub(crate) fn mark(&self, need: usize) -> Option<Mark> {
        self.marks.get(need).copied().flatten()
    }

    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// A digest of all that is kept, whatever the order in which it came.
    pub(crate) fn digest(&self) -> u64 {
        self.seats.iter().fold(u64::from(self.size), |hash, seat| {
            let start = if seat.runs { seat.since } else { None };
            let tracks = seat.tracks.iter().map(Track::digest);
            let samples = tracks.fold(0, u64::wrapping_add);
            let start = start.unwrap_or(Second::MIN);
            digest::mix(&[hash.cast_signed(), start, samples.cast_signed()])
        })
    }
}

impl Seat {
    fn starts(&mut self, since: Second, needs: &[Need]) {
        self.runs = true;
        if self
            .since
            .is_some_and(|known| (since - known).abs() <= SAME_START_S)
        {
            return;
        }
        self.since = Some(since);
        for (need, track) in needs.iter().zip(&mut self.tracks) {
            if !need.metric.survives_restart() {
                *track = Track::default();
            }
        }
    }
}

impl Need {
    /// What `comparison` looks at.
    #[must_use]
    pub fn of(comparison: &Comparison) -> Self {
        let width_s = comparison.every_s.unwrap_or_else(|| width_s(comparison));
        let aspect = match (comparison.over, comparison.op.looks_up()) {
            (Over::Avg | Over::Percentile(_), _) => Aspect::Mean,
            (Over::Min, _) | (Over::All | Over::Any, true) => Aspect::Lowest,
            (Over::Max, _) | (Over::All | Over::Any, false) => Aspect::Highest,
        };
        Self {
            metric: comparison.metric.clone(),
            aspect,
            width_s,
            buckets: comparison.for_s.div_ceil(width_s).max(1),
        }
    }

    /// Seconds that the buckets reach back.
    #[must_use]
    pub fn span_s(&self) -> u32 {
        self.width_s.saturating_mul(self.buckets)
    }

    fn at_least(&self, step_s: u32) -> Self {
        let width_s = self.width_s.max(step_s);
        Self {
            width_s,
            buckets: self.span_s().div_ceil(width_s).max(1),
            ..self.clone()
        }
    }

    /// Buckets that a ring must have: the window, what may be ahead of it while others are late,
    /// the two before it that tell whether a hole began earlier,
    /// and a block that the ring has begun to overwrite.
    fn capacity(&self) -> usize {
        let late = defaults::LAG_MAX_S / Second::from(self.width_s) + 4 + BLOCK;
        (self.buckets + self.stands()) as usize + usize::try_from(late).unwrap_or(0)
    }

    /// Buckets without a sample for which the last one still stands.
    pub(crate) fn stands(&self) -> u32 {
        self.metric.stands_s() / self.width_s.max(2)
    }

    /// The bucket that holds the sample of the second that ends at `at`.
    pub(crate) fn bucket(&self, at: Second) -> i64 {
        (at - 1).div_euclid(Second::from(self.width_s))
    }
}

/// Width of a bucket where the author names none: fine for short windows, coarse enough that a
/// second without data is no hole in long ones. Response time exists only in seconds with requests.
#[must_use]
pub fn width_s(comparison: &Comparison) -> u32 {
    match (comparison.for_s, &comparison.metric) {
        (30.., Metric::ResponseTime(_)) if comparison.for_s <= 3_600 => 10,
        (..=120, _) => 1,
        (..=3_600, _) => 10,
        _ => 60,
    }
}
