//! What the cell does next: the one decision of the agent, and all of it.
//!
//! `plan` compares what is desired with what is there and names the next step of each instance.
//! It takes no other input and keeps nothing: the same call serves boot, adoption after a crash of
//! the agent, and every change in between. Doing is `execute`'s; a plan carried out twice, or only
//! in part, does no harm, because the next one starts from the whole state again.
//!
//! Invariants:
//! - What no controller has ordered away is not stopped; silence, doubt and emptiness stop nothing.
//! - An instance has at most one step under way.
//! - A run-once work is armed at most once.

mod back_off;
mod desired;
mod halt;
mod instance;

use std::collections::BTreeMap;

use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::InstanceState;
use jiff::Timestamp;

pub use back_off::{BackOff, CRASHES_MAX};
pub use desired::{Desired, Followed, Wish};
pub use halt::{halt, is_halted};
pub use instance::{Instance, Work};

/// What to do now, and when to look again if nothing happens before.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Back-offs that have not ended, each with whose it is.
    pub waits: Vec<(Timestamp, AssignmentGuid)>,
}

/// The next step of one instance. The reason is what people are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub assignment: AssignmentGuid,
    pub action: Action,
    pub reason: &'static str,
}

/// All that can be done about an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make everything that start number `start` needs, up to a first process that waits.
    Prepare { start: u32 },
    /// Give the waiting process its command.
    Arm,
    /// Find out how a run-once work ended, and keep what it made.
    Conclude,
    /// End it as gently as its state allows, and leave nothing of it.
    Stop,
    /// Clear away what an ended start has left; the address stays with the assignment.
    Clear,
    /// Give up a preparation that is still under way.
    Abandon,
    /// Drop the last memory of it.
    Forget,
}

/// The next step of every instance that has one.
#[must_use]
pub fn plan(
    desired: &Desired,
    actual: &BTreeMap<AssignmentGuid, Instance>,
    now: Timestamp,
) -> Plan {
    let new = desired.assignments.keys();
    let new = new.filter(|guid| !actual.contains_key(guid));
    plan_of(actual.keys().chain(new).copied(), desired, actual, now)
}

/// The same for some of them. No step depends on another instance, so planning those that were
/// touched is planning all of them.
#[must_use]
pub fn plan_of(
    guids: impl Iterator<Item = AssignmentGuid>,
    desired: &Desired,
    actual: &BTreeMap<AssignmentGuid, Instance>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    for guid in guids {
        match actual.get(&guid) {
            Some(instance) => plan.consider(instance, desired.wish(&instance.assignment), now),
            None if desired.may_start(guid) => {
                plan.push(guid, prepare(0), "the controller placed it here");
            }
            None => {}
        }
    }
    plan
}

fn next_step(instance: &Instance, wish: Wish, now: Timestamp) -> Option<(Action, &'static str)> {
    match (instance.under_way, wish) {
        (Some(Work::Preparing), Wish::Removed | Wish::Changed) => {
            Some((Action::Abandon, "it is not wanted any more"))
        }
        (Some(_), _) => None,
        (None, Wish::Wanted) => keep(instance, now),
        (None, Wish::Changed) if instance.state == InstanceState::Gone => {
            Some((prepare(instance.start + 1), "its spec has changed"))
        }
        (None, Wish::Changed) => Some((Action::Stop, "its spec has changed")),
        (None, Wish::Removed) if instance.state == InstanceState::Gone => {
            Some((Action::Forget, "nothing of it is left"))
        }
        (None, Wish::Removed) => Some((Action::Stop, "the controller removed it")),
        // Perhaps the controller has lost its memory: what runs goes on.
        (None, Wish::Doubtful) => None,
    }
}

/// The next step of an instance that is wanted as it is.
fn keep(instance: &Instance, now: Timestamp) -> Option<(Action, &'static str)> {
    use InstanceState as S;
    let again = prepare(instance.start + 1);
    match &instance.state {
        S::Preparing => Some((prepare(instance.start), "it is to run and is not ready yet")),
        S::Ready => Some((Action::Arm, "everything it needs is there")),
        S::Starting { .. } | S::Running { .. } if instance.ended => {
            Some((Action::Conclude, "its work has ended"))
        }
        S::Starting { .. } | S::Running { .. } => None,
        S::Crashed { next_retry_at, .. } if next_retry_at.is_some_and(|due| due <= now) => {
            Some((again, "its back-off is over"))
        }
        S::Crashed { .. } if instance.remains => {
            Some((Action::Clear, "it crashed and waits for its next start"))
        }
        // It waits, or it has crashed too often.
        S::Crashed { .. } => None,
        S::Stopping { .. } => Some((Action::Stop, "it was being stopped")),
        S::Gone if instance.outcome.is_some() => None,
        S::Gone => Some((again, "it is wanted again")),
    }
}

fn prepare(start: u32) -> Action {
    Action::Prepare { start }
}

fn wakes_at(instance: &Instance, wish: Wish, now: Timestamp) -> Option<Timestamp> {
    match &instance.state {
        InstanceState::Crashed { next_retry_at, .. } if wish == Wish::Wanted => {
            next_retry_at.filter(|due| *due > now)
        }
        _ => None,
    }
}

impl Plan {
    /// The first back-off that ends.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.waits.iter().map(|(due, _)| *due).min()
    }

    fn consider(&mut self, instance: &Instance, wish: Wish, now: Timestamp) {
        let guid = instance.assignment.guid;
        if let Some((action, reason)) = next_step(instance, wish, now) {
            self.push(guid, action, reason);
        } else if let Some(due) = wakes_at(instance, wish, now) {
            self.waits.push((due, guid));
        }
    }

    fn push(&mut self, assignment: AssignmentGuid, action: Action, reason: &'static str) {
        self.steps.push(Step {
            assignment,
            action,
            reason,
        });
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
