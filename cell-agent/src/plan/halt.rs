//! The other plan: how a cell comes to rest when the whole platform is stopped. Pure, like the first.

use std::collections::BTreeMap;

use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::InstanceState;

use super::{Action, Instance, Plan, Work};

/// The way to a cell on which nothing runs, with everything remembered: what is desired starts
/// again with the next agent.
#[must_use]
pub fn halt<'a>(instances: impl Iterator<Item = &'a Instance>) -> Plan {
    let mut plan = Plan::default();
    for instance in instances {
        let reason = "the platform is being stopped";
        match (instance.under_way, &instance.state) {
            (Some(Work::Preparing), _) => {
                plan.push(instance.assignment.guid, Action::Abandon, reason);
            }
            (Some(_), _) | (None, InstanceState::Gone) => {}
            (None, InstanceState::Crashed { .. }) if !instance.remains => {}
            (None, InstanceState::Crashed { .. }) => {
                plan.push(instance.assignment.guid, Action::Clear, reason);
            }
            (None, _) => plan.push(instance.assignment.guid, Action::Stop, reason),
        }
    }
    plan
}

/// Nothing of any instance is on the machine, and nothing is being done.
#[must_use]
pub fn is_halted(actual: &BTreeMap<AssignmentGuid, Instance>) -> bool {
    let at_rest = |instance: &Instance| match instance.state {
        InstanceState::Gone => true,
        InstanceState::Crashed { .. } => !instance.remains,
        _ => false,
    };
    actual
        .values()
        .all(|instance| instance.under_way.is_none() && at_rest(instance))
}
