//! What the controller wants of this cell, and how much of it is certain.
//!
//! Only an explicit removal, or the same absence in two snapshots in a row, makes an assignment
//! unwanted. What is merely not named is doubtful: a controller that was restored from an old or
//! empty store must not be able to stop a cell by forgetting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfx_protocol::desired::{Assignment, DesiredFrame, InstanceSpec, SpecId};
use cfx_protocol::generation::{Refused, Token};
use cfx_protocol::id::AssignmentGuid;

use super::instance::Instance;

/// Specs that a long stream may leave unused before the cell asks for a fresh snapshot. They are
/// kept that long because a delta does not repeat what its stream has said before.
const SPECS_UNUSED_MAX: usize = 1_000;

/// The desired set as far as it was followed.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    pub token: Option<Token>,
    pub specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
    pub assignments: BTreeMap<AssignmentGuid, Assignment>,
    /// Ordered away, and perhaps not gone yet.
    removed: BTreeSet<AssignmentGuid>,
    /// Missing in the last snapshot.
    doubted: BTreeSet<AssignmentGuid>,
    /// The cell takes nothing new.
    pub draining: bool,
}

/// What the controller wants of something that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Wanted,
    /// Wanted with another spec.
    Changed,
    Removed,
    /// It is neither named nor ordered away.
    Doubtful,
}

/// What following a frame means for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    Changed,
    Unchanged,
    /// The snapshot does not name what is here: ask for another one before acting on that.
    Doubts,
    /// Something is missing: dial again for a snapshot.
    Gap,
}

impl Desired {
    #[must_use]
    pub fn restored(
        token: Option<Token>,
        specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
        assignments: Vec<Assignment>,
    ) -> Self {
        Self {
            token,
            specs,
            assignments: by_guid(assignments),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn wish(&self, actual: &Assignment) -> Wish {
        match self.assignments.get(&actual.guid) {
            Some(wanted) if wanted.spec == actual.spec => Wish::Wanted,
            Some(wanted) if self.specs.contains_key(&wanted.spec) => Wish::Changed,
            Some(_) => Wish::Doubtful,
            None if self.removed.contains(&actual.guid) => Wish::Removed,
            None => Wish::Doubtful,
        }
    }

    /// May it be started from nothing?
    #[must_use]
    pub fn may_start(&self, guid: AssignmentGuid) -> bool {
        !self.draining && self.get(guid).is_some()
    }

    #[must_use]
    pub fn get(&self, guid: AssignmentGuid) -> Option<(&Assignment, &Arc<InstanceSpec>)> {
        let assignment = self.assignments.get(&guid)?;
        Some((assignment, self.specs.get(&assignment.spec)?))
    }

    /// Take over a frame. `present` is what is here.
    pub fn follow(
        &mut self,
        frame: DesiredFrame,
        present: &BTreeMap<AssignmentGuid, Instance>,
    ) -> Result<Followed, Refused> {
        if let Some(followed) = self.token {
            followed.admit(frame.token())?;
        }
        Ok(match frame {
            DesiredFrame::Keepalive { token } if self.token == Some(token) => Followed::Unchanged,
            DesiredFrame::Keepalive { .. } => Followed::Gap,
            DesiredFrame::Delta { previous, .. } if self.token != Some(previous) => Followed::Gap,
            DesiredFrame::Delta {
                token,
                specs,
                upsert,
                remove,
                ..
            } => {
                self.token = Some(token);
                self.specs.extend(specs);
                self.apply_delta(upsert, remove, present)
            }
            DesiredFrame::Snapshot {
                token,
                specs,
                assignments,
            } => {
                self.token = Some(token);
                self.specs.extend(specs);
                self.apply_snapshot(by_guid(assignments), present)
            }
        })
    }

    fn apply_delta(
        &mut self,
        upsert: Vec<Assignment>,
        remove: Vec<AssignmentGuid>,
        present: &BTreeMap<AssignmentGuid, Instance>,
    ) -> Followed {
        for assignment in upsert {
            self.removed.remove(&assignment.guid);
            self.doubted.remove(&assignment.guid);
            self.assignments.insert(assignment.guid, assignment);
        }
        for guid in remove {
            self.assignments.remove(&guid);
            self.doubted.remove(&guid);
            if present.contains_key(&guid) {
                self.removed.insert(guid);
            }
        }
        let unused = self.specs.len().saturating_sub(self.assignments.len());
        if unused > SPECS_UNUSED_MAX || !self.is_complete() {
            return Followed::Gap;
        }
        Followed::Changed
    }

    fn apply_snapshot(
        &mut self,
        wanted: BTreeMap<AssignmentGuid, Assignment>,
        present: &BTreeMap<AssignmentGuid, Instance>,
    ) -> Followed {
        let known = self.assignments.keys().chain(present.keys()).copied();
        let absent: BTreeSet<_> = known.filter(|guid| !wanted.contains_key(guid)).collect();
        self.removed.retain(|guid| absent.contains(guid));
        let twice = absent.intersection(&self.doubted).copied();
        self.removed.extend(twice);
        // What was doubted and is removed now stays in the set: it does no harm there, and a third
        // snapshot says the same.
        self.doubted = absent;
        self.assignments = wanted;
        let used: BTreeSet<_> = self.assignments.values().map(|a| &a.spec).collect();
        self.specs.retain(|id, _| used.contains(id));
        if self.doubted.is_subset(&self.removed) {
            Followed::Changed
        } else {
            Followed::Doubts
        }
    }

    /// Nothing is left of these: their removal is over.
    pub fn forget(&mut self, guid: AssignmentGuid) {
        self.removed.remove(&guid);
        self.doubted.remove(&guid);
    }

    fn is_complete(&self) -> bool {
        let known = |a: &Assignment| self.specs.contains_key(&a.spec);
        self.assignments.values().all(known)
    }
}

fn by_guid(assignments: Vec<Assignment>) -> BTreeMap<AssignmentGuid, Assignment> {
    assignments.into_iter().map(|a| (a.guid, a)).collect()
}
