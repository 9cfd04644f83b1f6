//! The planner decides; it never acts. It compares what is wanted with what is there and answers
//! with the steps that bring the two together. It is pure: no clock, no I/O, no randomness beyond
//! the seed, so any decision can be replayed from its inputs.
//!
//! ```text
//!            convergence              placement
//! Snapshot ---------------> wishes ---------------> Plan { actions, unplaced, mode }
//!   cells    what is missing, what   which cell, or
//!   works    must end, and why       why no cell
//!   intents
//! ```
//!
//! A plan is fully specific: the executor commits the actions in order and has no choices left.
//! Each action carries its reason; the same words show in `cfx why`, in logs and in tests.
//! `invariant::check` states what every plan must keep.
//!
//! `plan` looks at everything and is the specification. `Planner` follows changes and answers the
//! same for the cost of what changed; the tests compare the two.

pub mod planner;

pub mod brake;
pub mod choose;
pub mod constraint;
pub mod convergence;
pub mod invariant;
pub mod ledger;
pub mod placement;
pub mod plan;
pub mod rollout;
pub mod score;
pub mod snapshot;
pub mod task;

mod pool;
mod seat;
mod tally;

pub use plan::{Action, Mode, Plan};
pub use planner::Planner;
pub use snapshot::{Liveness, Snapshot};

use std::time::Duration;

/// One pass over everything. `now` is monotonic, on the time line of `Cell::heard`; equal
/// arguments give equal plans.
#[must_use]
pub fn plan(snapshot: &Snapshot, now: Duration, seed: u64) -> Plan {
    let mode = brake::mode(snapshot.heard(), now);
    let wishes = convergence::wishes(snapshot, now, mode);
    let mut ledger = ledger::Ledger::of(snapshot, now);
    let mut actions = wishes.endings;
    let unplaced = placement::place(&mut ledger, &wishes.requests, seed, &mut actions);
    let plan = Plan {
        actions,
        unplaced,
        mode,
    };
    debug_assert_eq!(invariant::check(snapshot, &plan, now), Ok(()));
    plan
}

#[cfg(test)]
mod tests;
