//! What the agent shows of itself after each turn. Those who look at it cannot change anything.

use std::collections::BTreeSet;

use cfx_protocol::actual::{CrashReport, InstanceReport};
use cfx_protocol::generation::Token;
use cfx_protocol::id::InstanceGuid;
use cfx_protocol::instance::InstanceState;

use super::Agent;
use crate::plan::is_halted;

#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Grows with every change that is worth a report at once; 0 before the first turn.
    pub changes: u64,
    pub applied: Option<Token>,
    pub reports: Vec<InstanceReport>,
    pub crashes: Vec<(u64, CrashReport)>,
    /// Names of all starts of which something may be on the machine.
    pub names: BTreeSet<InstanceGuid>,
    /// Containers of unknown assignments are waiting for a verdict.
    pub has_strays: bool,
    pub running: usize,
    pub cpu_cores: f64,
    pub draining: bool,
    /// It was told to halt, and nothing of any instance is on the machine any more.
    pub halted: bool,
    pub runtime_answers: bool,
}

impl Picture {
    pub(super) fn of(agent: &Agent) -> Self {
        let now = agent.clock.now();
        let instances = agent.instances.values();
        let reports: Vec<_> = instances
            .clone()
            .map(|one| one.report(&agent.rule, now))
            .collect();
        let is_running = |one: &&InstanceReport| matches!(one.state, InstanceState::Running { .. });
        let names = instances
            .flat_map(|one| super::order(one).names())
            .chain(agent.strays.keys().copied());
        Self {
            changes: agent.changes + 1,
            applied: agent.desired.token,
            crashes: agent.crashes.iter().cloned().collect(),
            names: names.collect(),
            has_strays: !agent.strays.is_empty(),
            running: reports.iter().filter(is_running).count(),
            cpu_cores: reports
                .iter()
                .filter_map(|one| one.usage.map(|usage| usage.cpu))
                .sum::<f64>()
                // Floats that are none sum up to -0.0.
                .abs(),
            reports,
            draining: agent.desired.draining,
            halted: agent.halting && is_halted(&agent.instances),
            runtime_answers: agent.runtime_answers,
        }
    }
}
