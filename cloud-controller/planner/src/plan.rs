//! What the planner answers: actions with their reasons, and what found no place.

use std::fmt;
use std::sync::Arc;

use cfx_protocol::id::{AssignmentGuid, CellGuid};

use crate::constraint::RuledOut;
use crate::snapshot::{Size, Work};

/// The steps of one pass, in the order in which they are to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub unplaced: Vec<Unplaced>,
    pub mode: Mode,
}

/// How the planner treats silent cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// Many cells fell silent at once: more likely the network than the cells. Only apps without
    /// any routable instance get a replacement.
    Static {
        silent: u32,
        of: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Record that an instance is to run on a cell.
    Place(Placement),
    /// Take an instance out of the routes.
    Unroute(Ending),
    /// Tell the cell to stop it.
    Stop(Ending),
    /// Nothing of it is left: delete the intent.
    Forget(Ending),
    /// A work that runs once cannot be done.
    Abandon { work: Work, why: Abandoned },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub work: Work,
    pub index: u32,
    pub version: u64,
    pub cell: CellGuid,
    pub assignment: AssignmentGuid,
    pub size: Size,
    pub cause: Cause,
    pub choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub work: Work,
    pub assignment: AssignmentGuid,
    pub reason: EndReason,
}

/// Why an instance is to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Missing,
    /// The cell of the one before it does not answer.
    CellLost(Arc<str>),
    /// The cell of the one before it is being emptied.
    CellDrains(Arc<str>),
    /// It takes over from an instance of an older version.
    NewVersion {
        from: u64,
    },
    /// A task or a staging.
    Once,
}

/// Why this cell: what the winner had over the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub zone: Arc<str>,
    /// Instances of the app there before.
    pub in_zone: u32,
    pub on_cell: u32,
    /// Load after the placement, percent.
    pub load_percent: u64,
    /// Cells that are open and offer what it needs, full or not, of all.
    pub offering: u32,
    pub cells: u32,
}

/// Why an instance is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// No instance of its process is wanted.
    ProcessStopped,
    /// Its index is not wanted any more.
    ScaledDown {
        instances: u32,
    },
    OldVersion {
        version: u64,
        wanted: u64,
    },
    /// Another instance with its index serves.
    Replaced {
        by: AssignmentGuid,
    },
    /// Routers have let go of it.
    Withdrawn,
    /// The run-once work is over.
    WorkOver,
    /// Its cell has nothing left of it.
    Gone,
    /// Its cell was silent for too long to wait for.
    CellForgotten,
}

/// Why a run-once work cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Abandoned {
    NoCell {
        waited_s: u64,
        /// What ruled the cells out when it was last tried; whoever remembers that puts it in.
        ruled_out: Arc<[RuledOut]>,
    },
    CellLost(Arc<str>),
}

/// A wished instance that no cell takes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    pub work: Work,
    pub index: u32,
    pub cells: u32,
    /// Each cell is counted once, under the first constraint that ruled it out.
    pub ruled_out: Arc<[RuledOut]>,
}

impl Action {
    #[must_use]
    pub fn work(&self) -> Work {
        match self {
            Self::Place(placement) => placement.work,
            Self::Unroute(ending) | Self::Stop(ending) | Self::Forget(ending) => ending.work,
            Self::Abandon { work, .. } => *work,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&reason(&self.cause, &self.choice))
    }
}

/// Why an instance is to be placed, and why there.
#[must_use]
pub fn reason(cause: &Cause, choice: &Choice) -> String {
    format!("{cause}; {choice}")
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it was wanted and nowhere"),
            Self::CellLost(cell) => write!(f, "{cell}, where it was, does not answer"),
            Self::CellDrains(cell) => write!(f, "{cell}, where it was, is being drained"),
            Self::NewVersion { from } => write!(f, "it takes over from version {from}"),
            Self::Once => f.write_str("it is to run once"),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the best of {} of {} cells that offer what it needs, in zone {} \
             (this app before: {} in the zone, {} on the cell; load after: {}%)",
            self.offering, self.cells, self.zone, self.in_zone, self.on_cell, self.load_percent
        )
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProcessStopped => f.write_str("no instance of its process is wanted"),
            Self::ScaledDown { instances } => write!(f, "only {instances} instances are wanted"),
            Self::OldVersion { version, wanted } => {
                write!(f, "it is of version {version}, wanted is {wanted}")
            }
            Self::Replaced { by } => write!(f, "instance {by} serves in its place"),
            Self::Withdrawn => f.write_str("every router has let go of it"),
            Self::WorkOver => f.write_str("its work is over"),
            Self::Gone => f.write_str("its cell has nothing left of it"),
            Self::CellForgotten => f.write_str("its cell was silent for too long"),
        }
    }
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCell {
                waited_s,
                ruled_out,
            } => {
                write!(f, "no cell could take it for {waited_s} s")?;
                for (nth, out) in ruled_out.iter().enumerate() {
                    let before = if nth == 0 { ": " } else { "; " };
                    let cells = if out.cells == 1 { "cell" } else { "cells" };
                    let constraint = out.constraint.as_str();
                    write!(
                        f,
                        "{before}{} {cells}: {constraint}, {}",
                        out.cells, out.detail
                    )?;
                }
                Ok(())
            }
            Self::CellLost(cell) => write!(f, "{cell}, where it ran, does not answer"),
        }
    }
}
