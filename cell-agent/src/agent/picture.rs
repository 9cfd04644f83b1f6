//! What the agent shows of itself after each turn. Those who look at it cannot change anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::actual::{CrashReport, InstanceReport};
use cfx_protocol::generation::Token;
use cfx_protocol::id::InstanceGuid;

use super::Agent;
use super::reports::Reports;
use crate::plan::is_halted;

/// Making one costs little, however many instances there are.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Grows with every change that is worth a report soon; 0 before the first turn.
    pub changes: u64,
    /// Grows with every change that is worth a report at once.
    pub urgent: u64,
    pub applied: Option<Token>,
    pub reports: Reports,
    pub crashes: Arc<[(u64, CrashReport)]>,
    /// Containers of unknown assignments that are waiting for a verdict.
    pub strays: Vec<InstanceGuid>,
    pub cpu_cores: f64,
    pub draining: bool,
    /// It was told to halt, and nothing of any instance is on the machine any more.
    pub halted: bool,
    pub runtime_answers: bool,
}

impl Picture {
    pub(super) fn of(agent: &Agent) -> Self {
        Self {
            changes: agent.changes,
            urgent: agent.urgent,
            applied: agent.desired.token,
            reports: agent.shown.reports.clone(),
            crashes: agent.shown.crashes.clone(),
            strays: agent.strays.keys().copied().collect(),
            cpu_cores: agent.shown.cpu_cores,
            draining: agent.desired.draining,
            halted: agent.halting && is_halted(&agent.instances),
            runtime_answers: agent.runtime_answers,
        }
    }

    /// Names of all starts of which something may be on the machine: this one and the one before.
    #[must_use]
    pub fn names(&self) -> BTreeSet<InstanceGuid> {
        let starts = |report: &InstanceReport| {
            let (guid, start) = (report.assignment, report.starts);
            let before = start.checked_sub(1).into_iter();
            before.chain([start]).map(move |start| guid.instance(start))
        };
        let known = self.reports.iter().flat_map(starts);
        known.chain(self.strays.iter().copied()).collect()
    }
}

/// Must the controller hear of this change at once? Routes, back-offs and results wait for it;
/// that a start has come one step further is only looked at.
pub(super) fn is_urgent(before: Option<&InstanceReport>, after: Option<&InstanceReport>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        // It came or went. What came is not there yet.
        return after.is_none() && before.is_some();
    };
    let is_routable = |report: &InstanceReport| report.state.is_routable();
    let is_crashed = |report: &InstanceReport| report.state.v3_name() == "CRASHED";
    is_routable(before) != is_routable(after)
        || is_crashed(before) != is_crashed(after)
        || before.outcome != after.outcome
        || before.crashes < after.crashes
}
