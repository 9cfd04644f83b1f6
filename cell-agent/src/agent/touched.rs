//! Which assignments something may have happened to since the last turn.

use std::collections::BTreeSet;

use cfx_protocol::id::AssignmentGuid;

#[derive(Debug, Default)]
pub(super) struct Touched {
    guids: BTreeSet<AssignmentGuid>,
    all: bool,
}

impl Touched {
    /// Whatever there is.
    pub(super) fn all() -> Self {
        Self {
            guids: BTreeSet::new(),
            all: true,
        }
    }

    pub(super) fn insert(&mut self, guid: AssignmentGuid) {
        self.guids.insert(guid);
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.guids.append(&mut other.guids);
        self.all |= other.all;
    }

    /// Those that were named, which are not all when `is_all`.
    pub(super) fn guids(&self) -> &BTreeSet<AssignmentGuid> {
        &self.guids
    }

    pub(super) fn is_all(&self) -> bool {
        self.all
    }
}
