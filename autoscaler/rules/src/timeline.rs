//! What a simulation or a backtest makes: load, instances, and each act with its reason.

use crate::units::{Milli, Second};

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Timeline {
    /// Seconds between two points, and between two decisions.
    pub step_s: u32,
    /// What `load` counts, such as `requests/s`.
    pub load_unit: String,
    pub points: Vec<Point>,
    pub acts: Vec<Act>,
    /// What the reader should know about the assumptions.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Point {
    pub at: Second,
    /// Of the whole app.
    pub load: Milli,
    /// What the running instances could not serve of it. Only in simulations.
    pub lost: Milli,
    pub wanted: u32,
    pub running: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Act {
    pub at: Second,
    pub from: u32,
    pub to: u32,
    /// As `explain::summary` says it.
    pub reason: String,
}

impl Timeline {
    /// Most and fewest instances that were wanted.
    #[must_use]
    pub fn extremes(&self) -> Option<(u32, u32)> {
        let wanted = || self.points.iter().map(|point| point.wanted);
        Some((wanted().min()?, wanted().max()?))
    }

    /// Instance hours that were paid for.
    #[must_use]
    pub fn instance_hours(&self) -> u64 {
        let seconds = self.points.iter().map(|point| u64::from(point.wanted));
        seconds.sum::<u64>() * u64::from(self.step_s) / 3_600
    }
}
