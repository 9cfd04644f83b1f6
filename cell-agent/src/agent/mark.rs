//! Turning the steps of a plan into orders, noted so that they are remembered before they are begun.

use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::{InstanceEvent, InstanceState};

use super::Agent;
use crate::hooks::Order;
use crate::plan::{Action, Instance, Step, Wish, Work};

impl Agent {
    /// Note that a step is under way, and make its order.
    pub(super) fn mark(&mut self, step: &Step) -> Option<(Action, Order)> {
        tracing::debug!(assignment = %step.assignment, action = ?step.action, reason = step.reason, "step");
        if step.action == Action::Forget {
            self.instances.remove(&step.assignment);
            self.desired.forget(step.assignment);
            self.touch(step.assignment);
            return None;
        }
        if let Action::Prepare { start } = step.action {
            return self
                .mark_prepare(step.assignment, start)
                .map(|order| (step.action, order));
        }
        let now = self.clock.now();
        let instance = self.instances.get_mut(&step.assignment)?;
        let mut order = order(instance);
        // Before a controller removes an instance it has taken it out of its routes, and waited for
        // requests in flight. A change of spec is the cell's own affair.
        let is_changed = self.desired.wish(&instance.assignment) == Wish::Changed;
        order.is_routed = is_changed && instance.state.is_routable();
        instance.under_way = match step.action {
            Action::Arm => {
                instance.armed = true;
                Some(Work::Arming)
            }
            Action::Conclude => Some(Work::Concluding),
            Action::Clear => Some(Work::Clearing),
            Action::Stop => Some(Work::Stopping),
            Action::Abandon | Action::Forget | Action::Prepare { .. } => instance.under_way,
        };
        if step.action == Action::Stop {
            self.apply(step.assignment, InstanceEvent::StopRequested, now);
        }
        if step.action != Action::Abandon {
            self.touch(step.assignment);
        }
        Some((step.action, order))
    }

    fn mark_prepare(&mut self, guid: AssignmentGuid, start: u32) -> Option<Order> {
        let (assignment, spec) = self.desired.get(guid)?;
        let instance = self
            .instances
            .entry(guid)
            .or_insert_with(|| Instance::new(assignment.clone(), spec.clone(), start));
        instance.assignment = assignment.clone();
        instance.spec = spec.clone();
        if instance.start != start || instance.state != InstanceState::Preparing {
            instance.begin(start);
        }
        self.events.start_step(assignment, "assigned");
        let order = order(instance);
        instance.under_way = Some(Work::Preparing);
        instance.remains = true;
        self.touch(guid);
        Some(order)
    }
}

/// The order for whatever is done next about an instance.
pub(crate) fn order(instance: &Instance) -> Order {
    Order {
        assignment: instance.assignment.clone(),
        spec: instance.spec.clone(),
        start: instance.start,
        address: instance.address,
        remains: instance.remains,
        is_routed: false,
    }
}
