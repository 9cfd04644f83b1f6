//! Tables of records, the links between them, and the macro that lists them all once.

use std::fmt;

use imbl::{OrdMap, OrdSet};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use std::sync::Arc;

use cfx_protocol::id::AssignmentGuid;

use super::State;
use super::intent::{Intent, IntentChunkKey};

/// One kind of durable thing. Its store key is `/cfx/v1/<KIND>/<key>`.
pub trait Record:
    Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static
{
    type Key: Ord + Clone + fmt::Display + fmt::Debug + Send + Sync + 'static;
    const KIND: &'static str;

    fn key(&self) -> Self::Key;

    /// The things this record belongs to, so that they find it again. Only for records whose key
    /// is a guid.
    fn links(&self) -> Vec<Link> {
        Vec::new()
    }

    /// The key as a guid, for the index of links.
    fn guid(&self) -> Option<Uuid> {
        None
    }

    /// The intents of a process that this record is, for the index of their owners.
    fn owned(&self) -> Option<(IntentChunkKey, &[Intent])> {
        None
    }
}

/// "The children of", as an index key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    SpacesOf(Uuid),
    AppsOf(Uuid),
    ProcessesOf(Uuid),
    PackagesOf(Uuid),
    BuildsOf(Uuid),
    DropletsOf(Uuid),
    DeploymentsOf(Uuid),
    TasksOf(Uuid),
    /// Routes by space.
    RoutesOf(Uuid),
    /// Routes by the app they lead to.
    RoutesTo(Uuid),
    /// Routes by domain.
    RoutesUnder(Uuid),
    /// Roles by user.
    RolesOf(Uuid),
    /// Roles by organisation or space.
    RolesIn(Uuid),
    ServiceInstancesOf(Uuid),
    /// Bindings by app.
    BindingsOf(Uuid),
    /// Bindings by service instance.
    BindingsTo(Uuid),
    RefreshTokensOf(Uuid),
}

/// All records of one kind, in key order.
pub type Table<R> = OrdMap<<R as Record>::Key, Arc<R>>;

/// Which children belong to whom.
pub(super) type Links = OrdMap<Link, OrdSet<Uuid>>;

/// In which chunk the intent with an assignment is.
pub(super) type Owners = OrdMap<AssignmentGuid, IntentChunkKey>;

/// A record that knows its table.
pub trait Stored: Record {
    fn table(state: &State) -> &Table<Self>;
    fn table_mut(state: &mut State) -> &mut Table<Self>;
}

impl State {
    /// One record.
    #[must_use]
    pub fn get<R: Stored>(&self, key: &R::Key) -> Option<&Arc<R>> {
        R::table(self).get(key)
    }

    /// All records of a kind, in key order.
    pub fn all<R: Stored>(&self) -> impl Iterator<Item = &Arc<R>> {
        R::table(self).values()
    }

    /// The children of one kind that a link leads to, in guid order.
    pub fn linked<R>(&self, link: Link) -> impl Iterator<Item = &Arc<R>>
    where
        R: Stored,
        R::Key: From<Uuid>,
    {
        let guids = self.links.get(&link).into_iter().flatten();
        guids.filter_map(|guid| self.get::<R>(&R::Key::from(*guid)))
    }

    pub(super) fn insert<R: Stored>(&mut self, record: Arc<R>) {
        let key = record.key();
        self.unlink::<R>(&key);
        if let Some((chunk, intents)) = record.owned() {
            let owned = intents.iter().map(|intent| (intent.assignment, chunk));
            self.owners.extend(owned);
        }
        if let Some(guid) = record.guid() {
            for link in record.links() {
                self.links.entry(link).or_default().insert(guid);
            }
        }
        R::table_mut(self).insert(key, record);
    }

    pub(super) fn remove<R: Stored>(&mut self, key: &R::Key) {
        self.unlink::<R>(key);
        R::table_mut(self).remove(key);
    }

    /// Where the intent with an assignment is, if it is of a process.
    #[must_use]
    pub fn owner_of(&self, assignment: AssignmentGuid) -> Option<IntentChunkKey> {
        self.owners.get(&assignment).copied()
    }

    fn unlink<R: Stored>(&mut self, key: &R::Key) {
        let Some(old) = R::table(self).get(key).cloned() else {
            return;
        };
        for intent in old.owned().map_or(&[][..], |(_, intents)| intents) {
            self.owners.remove(&intent.assignment);
        }
        let Some(guid) = old.guid() else { return };
        for link in old.links() {
            let Some(children) = self.links.get_mut(&link) else {
                continue;
            };
            children.remove(&guid);
            if children.is_empty() {
                self.links.remove(&link);
            }
        }
    }
}

/// Lists every kind once: the fields of `State`, and how an entry of the store becomes a record.
macro_rules! tables {
    ($($field:ident: $record:ty),+ $(,)?) => {
        /// Everything durable, at one revision.
        #[derive(Debug, Clone, Default)]
        pub struct State {
            pub(crate) revision: u64,
            links: $crate::state::table::Links,
            owners: $crate::state::table::Owners,
            $($field: $crate::state::Table<$record>,)+
        }

        $(impl $crate::state::table::Stored for $record {
            fn table(state: &State) -> &$crate::state::Table<Self> {
                &state.$field
            }

            fn table_mut(state: &mut State) -> &mut $crate::state::Table<Self> {
                &mut state.$field
            }
        })+

        impl State {
            /// Take over one entry of the store. False: no kind has this name.
            fn load_entry(&mut self, kind: &str, value: &[u8]) -> Result<bool, serde_json::Error> {
                $(if kind == <$record as $crate::state::Record>::KIND {
                    let record: $record = serde_json::from_slice(value)?;
                    self.insert(std::sync::Arc::new(record));
                    return Ok(true);
                })+
                Ok(false)
            }
        }
    };
}
pub(super) use tables;

/// Implements `Record` for a record with a guid: kind, key type, links.
macro_rules! guid_record {
    ($record:ty, $key:ty, $kind:literal, $self:ident => [$($link:expr),* $(,)?]) => {
        impl $crate::state::Record for $record {
            type Key = $key;
            const KIND: &'static str = $kind;

            fn key(&self) -> $key {
                self.guid
            }

            fn links(&$self) -> Vec<$crate::state::Link> {
                vec![$($link),*]
            }

            fn guid(&self) -> Option<uuid::Uuid> {
                Some(self.guid.0)
            }
        }
    };
}
pub(super) use guid_record;
