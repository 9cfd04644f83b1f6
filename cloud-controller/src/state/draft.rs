//! A private copy of the state, and the list of what was changed in it.

use std::ops::Deref;
use std::sync::Arc;

use super::table::Stored;
use super::{Record, State};

/// What an action works on. It reads like a `State` and sees its own changes; nothing is visible
/// to others before it is committed.
#[derive(Debug)]
pub struct Draft {
    state: State,
    changes: Vec<Change>,
}

/// One entry for the store.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: String,
    /// None deletes.
    pub(super) value: Option<Result<Vec<u8>, serde_json::Error>>,
}

impl Draft {
    pub(super) fn of(state: &State) -> Self {
        Self {
            state: state.clone(),
            changes: Vec::new(),
        }
    }

    /// A draft of an empty state, for tests of actions.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            state: State::default(),
            changes: Vec::new(),
        }
    }

    /// Insert or replace.
    pub fn put<R: Stored>(&mut self, record: R) -> Arc<R> {
        let record = Arc::new(record);
        let key = store_key::<R>(&record.key());
        self.note(Change {
            key,
            value: Some(serde_json::to_vec(&*record)),
        });
        self.state.insert(record.clone());
        record
    }

    /// Change a record that is there; false when it is not.
    pub fn update<R: Stored>(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) -> bool {
        let Some(old) = self.state.get::<R>(key) else {
            return false;
        };
        let mut record = R::clone(old);
        change(&mut record);
        self.put(record);
        true
    }

    /// Delete; deleting what is not there changes nothing.
    pub fn delete<R: Stored>(&mut self, key: &R::Key) {
        if self.state.get::<R>(key).is_some() {
            self.note(Change {
                key: store_key::<R>(key),
                value: None,
            });
            self.state.remove::<R>(key);
        }
    }

    /// How many entries differ so far: it orders what happens at one moment.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.changes.len()
    }

    /// Later changes of a key replace earlier ones.
    fn note(&mut self, change: Change) {
        self.changes.retain(|earlier| earlier.key != change.key);
        self.changes.push(change);
    }

    pub(super) fn into_parts(self) -> (State, Vec<Change>) {
        (self.state, self.changes)
    }
}

impl Deref for Draft {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

/// Where a record lies in the store.
pub(super) fn store_key<R: Record>(key: &R::Key) -> String {
    format!("{PREFIX}{}/{key}", R::KIND)
}

/// The prefix of everything the controller keeps.
pub(super) const PREFIX: &str = "/cfx/v1/";
