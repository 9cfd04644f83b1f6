//! What an agent keeps on disk, in the words of its state file, and what a new one makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_cell_agent::plan::{Desired, Instance};
use cfx_cell_agent::state_file::Facts;
use cfx_protocol::desired::{Assignment, InstanceSpec, SpecId};
use cfx_protocol::generation::Token;
use cfx_protocol::id::AssignmentGuid;

#[derive(Debug, Clone, Default)]
pub struct Saved {
    token: Option<Token>,
    assignments: Vec<Assignment>,
    specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
    facts: Vec<(Facts, Arc<InstanceSpec>)>,
}

impl Saved {
    pub fn save<'a>(&mut self, desired: &Desired, instances: impl Iterator<Item = &'a Instance>) {
        self.token = desired.token;
        self.assignments = desired.assignments.values().cloned().collect();
        let named = |id: &SpecId| {
            self.assignments
                .iter()
                .any(|assignment| assignment.spec == *id)
        };
        let specs = desired.specs.iter().filter(|(id, _)| named(id));
        self.specs = specs.map(|(id, spec)| (id.clone(), spec.clone())).collect();
        self.facts = instances
            .map(|one| (Facts::from(one), one.spec.clone()))
            .collect();
    }

    #[must_use]
    pub fn restore(&self) -> (Desired, BTreeMap<AssignmentGuid, Instance>) {
        let desired = Desired::restored(self.token, self.specs.clone(), self.assignments.clone());
        let instances = self.facts.iter().map(|(facts, spec)| {
            let mut instance = Instance::new(facts.assignment.clone(), spec.clone(), facts.start);
            instance.state = facts.state.clone();
            instance.crashes = facts.crashes;
            instance.remains = facts.remains;
            instance.armed = facts.armed;
            instance.ended = facts.ended;
            instance.address = facts.address;
            instance.outcome = facts.outcome.clone();
            (facts.assignment.guid, instance)
        });
        (desired, instances.collect())
    }
}
