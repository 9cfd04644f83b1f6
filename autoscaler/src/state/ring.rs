//! Bounded lists in the store: a ring of slots, in which the newest takes the place of the oldest.

use cfx_protocol::id::AppGuid;
use cfx_store::commit::Op;
use cfx_store::store::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DECISION, HISTORY, StateError, put, read};

/// A kind of list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    prefix: &'static str,
    slots: u64,
}

/// The last acts of an app: at the shortest cool-down that people use, more than a day.
pub(crate) const ACTS: Ring = Ring {
    prefix: HISTORY,
    slots: 1_000,
};

/// The last decisions of an app, each of at most a minute: four hours and more.
pub(crate) const DECISIONS: Ring = Ring {
    prefix: DECISION,
    slots: 256,
};

impl Ring {
    /// Keep the entry with this number. The numbers of one list count up from 0.
    pub(crate) fn put(
        self,
        app: AppGuid,
        number: u64,
        entry: &impl Serialize,
    ) -> Result<Op, StateError> {
        let slot = number % self.slots;
        put(format!("{}{app}/{slot:04}", self.prefix), entry)
    }

    /// All that is kept, in no order.
    pub(crate) async fn load<T: DeserializeOwned>(
        self,
        store: &dyn Store,
        app: AppGuid,
    ) -> Result<Vec<T>, StateError> {
        let found = store.load(&format!("{}{app}/", self.prefix)).await?;
        found.entries.iter().map(read).collect()
    }
}
