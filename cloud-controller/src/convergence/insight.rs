//! What the newest plan said, kept for people who ask why. Not durable: after a restart the
//! reason of what was placed before is not known any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfx_planner::plan::{self, Abandoned, Action, Cause, Choice, Mode, Plan, Unplaced};
use cfx_planner::snapshot::Work;
use cfx_protocol::id::{AssignmentGuid, ProcessGuid};
use parking_lot::RwLock;

/// Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Insight(Arc<RwLock<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Why each present instance is where it is.
    placed: BTreeMap<AssignmentGuid, (Cause, Choice)>,
    unplaced: BTreeMap<(Work, u32), Unplaced>,
    mode: Mode,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            placed: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            mode: Mode::Normal,
        }
    }
}

impl Insight {
    /// Why an instance was placed where it is.
    #[must_use]
    pub fn placed(&self, assignment: AssignmentGuid) -> Option<String> {
        let inner = self.0.read();
        let (cause, choice) = inner.placed.get(&assignment)?;
        Some(plan::reason(cause, choice))
    }

    /// Why an instance is nowhere, when the newest plan wanted it and no cell could take it.
    #[must_use]
    pub fn unplaced(&self, process: ProcessGuid, index: u32) -> Option<Unplaced> {
        let key = (Work::Process(process), index);
        self.0.read().unplaced.get(&key).cloned()
    }

    /// In the words of the v3 API's `details`: `insufficient resources: memory`.
    #[must_use]
    pub fn details(&self, process: ProcessGuid, index: u32) -> Option<String> {
        let unplaced = self.unplaced(process, index)?;
        let constraints = unplaced.ruled_out.iter().map(|it| it.constraint.as_str());
        let constraints: Vec<_> = constraints.collect();
        Some(match constraints.is_empty() {
            true => "insufficient resources: there is no cell".to_owned(),
            false => format!("insufficient resources: {}", constraints.join(", ")),
        })
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.read().mode
    }

    /// Say of what is given up why no cell could take it: the plan before knew.
    pub(super) fn explain(&self, plan: &mut Plan) {
        for action in &mut plan.actions {
            if let Action::Abandon {
                work,
                why: Abandoned::NoCell { ruled_out, .. },
            } = action
                && let Some(unplaced) = self.0.read().unplaced.get(&(*work, 0))
            {
                *ruled_out = Arc::clone(&unplaced.ruled_out);
            }
        }
    }

    /// Take over a plan. True: the mode has changed.
    pub(super) fn learn(&self, plan: &Plan) -> bool {
        let mut inner = self.0.write();
        for action in &plan.actions {
            match action {
                Action::Place(placement) => {
                    let reason = (placement.cause.clone(), placement.choice.clone());
                    inner.placed.insert(placement.assignment, reason);
                }
                Action::Forget(ending) => drop(inner.placed.remove(&ending.assignment)),
                _ => {}
            }
        }
        let unplaced = plan.unplaced.iter().cloned();
        inner.unplaced = unplaced.map(|it| ((it.work, it.index), it)).collect();
        std::mem::replace(&mut inner.mode, plan.mode) != plan.mode
    }

    /// Drop what is known of instances that are not there any more.
    pub(super) fn retain(&self, present: &BTreeSet<AssignmentGuid>) {
        let mut inner = self.0.write();
        inner.placed.retain(|guid, _| present.contains(guid));
    }
}

#[cfg(test)]
mod tests {
    use cfx_planner::constraint::{Constraint, RuledOut};
    use cfx_protocol::id::BuildGuid;

    use super::*;

    #[test]
    fn what_is_given_up_tells_what_ruled_the_cells_out() {
        let work = Work::Staging(BuildGuid(uuid::Uuid::from_u128(1)));
        let ruled_out = |constraint, cells, detail: &str| RuledOut {
            constraint,
            cells,
            detail: detail.to_owned(),
        };
        let mut tried = Plan {
            actions: Vec::new(),
            unplaced: vec![Unplaced {
                work,
                index: 0,
                cells: 3,
                ruled_out: Arc::new([
                    ruled_out(Constraint::Draining, 1, "is being drained"),
                    ruled_out(Constraint::Disk, 2, "needs 4096M, most free is 9M"),
                ]),
            }],
            mode: Mode::Normal,
        };
        let insight = Insight::default();
        insight.explain(&mut tried);
        insight.learn(&tried);
        let why = Abandoned::NoCell {
            waited_s: 60,
            ruled_out: Arc::default(),
        };
        let mut plan = Plan {
            actions: vec![Action::Abandon { work, why }],
            unplaced: Vec::new(),
            mode: Mode::Normal,
        };
        insight.explain(&mut plan);
        let Action::Abandon { why, .. } = &plan.actions[0] else {
            panic!("{:?}", plan.actions);
        };
        assert_eq!(
            why.to_string(),
            "no cell could take it for 60 s: 1 cell: draining, is being drained; \
             2 cells: disk, needs 4096M, most free is 9M"
        );
    }
}
