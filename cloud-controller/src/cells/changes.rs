//! What changed since a listener last asked. Each listener has a set of its own, so that it may be
//! slow and still misses nothing; a set is never larger than what there is.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use cfx_protocol::id::{AssignmentGuid, CellGuid};
use parking_lot::Mutex;

/// Names of what is different; how it is now, the listener reads.
#[derive(Debug, Default)]
pub struct Changed {
    /// Cells that reported, whatever they said.
    pub heard: BTreeSet<CellGuid>,
    /// Cells that registered, said something new of themselves, or were forgotten.
    pub cells: BTreeSet<CellGuid>,
    pub instances: BTreeSet<AssignmentGuid>,
}

/// Collects changes for one reader.
#[derive(Debug)]
pub struct Listener(Arc<Mutex<Changed>>);

impl Listener {
    /// Everything since the last time.
    pub(super) fn take(&self) -> Changed {
        std::mem::take(&mut self.0.lock())
    }
}

/// All who listen.
#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<Weak<Mutex<Changed>>>);

impl Listeners {
    /// One more, who begins with what is there already.
    pub(super) fn add(&mut self, present: Changed) -> Listener {
        let listener = Listener(Arc::new(Mutex::new(present)));
        self.0.retain(|other| other.strong_count() > 0);
        self.0.push(Arc::downgrade(&listener.0));
        listener
    }

    pub(super) fn tell(&self, note: impl Fn(&mut Changed)) {
        for listener in self.0.iter().filter_map(Weak::upgrade) {
            note(&mut listener.lock());
        }
    }
}
