//! What a commit asks for, the limits it keeps, and the one function that judges it for every
//! backend that keeps its own revisions.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use crate::lease::LeaseId;
use crate::store::{Entry, Revision, StoreError};
use crate::watch::Event;

/// Most operations, and most compares, in one commit: etcd's `--max-txn-ops`.
pub const COMMIT_OPS_MAX: usize = 128;
/// Most bytes of keys and values in one commit: etcd refuses requests of 1.5 MiB.
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of one value: above this sled leaves its fast path, and diffs stop being small.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of one key.
pub const KEY_BYTES_MAX: usize = 512;

/// Operations that happen together, if all compares hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    pub compares: Vec<Compare>,
    /// At most one operation for each key.
    pub ops: Vec<Op>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: String,
        value: Bytes,
        /// The key goes when this lease ends. Without one, a put takes the key off its old lease.
        lease: Option<LeaseId>,
    },
    /// Deleting what is not there changes nothing.
    Delete { key: String },
}

/// A condition on the state before the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    pub key: String,
    pub condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Absent,
    ModRevision(Revision),
    CreateRevision(Revision),
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else wrote first: load again, decide again.
    #[error("`{key}` is not as the commit expects it")]
    Conflict { key: String },
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error("the lease {0} has ended")]
    NoLease(LeaseId),
    /// The answer was lost: the commit may have happened or not. Load to find out.
    #[error("it is unknown whether the commit happened: {detail}")]
    Unknown { detail: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A commit that no state could make legal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("{found} operations or compares in one commit; at most {COMMIT_OPS_MAX} are allowed")]
    TooManyOps { found: usize },
    #[error("{found} bytes in one commit; at most {COMMIT_BYTES_MAX} are allowed")]
    CommitTooLarge { found: usize },
    #[error("the value of `{key}` has {found} bytes; at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLarge { key: String, found: usize },
    #[error("a key has {found} bytes; 1 to {KEY_BYTES_MAX} are allowed")]
    KeyLength { found: usize },
    #[error("`{key}` occurs in two operations of one commit")]
    DuplicateKey { key: String },
}

impl Commit {
    /// Checks everything that does not depend on the state.
    pub fn check_limits(&self) -> Result<(), LimitError> {
        let found = self.ops.len().max(self.compares.len());
        if found > COMMIT_OPS_MAX {
            return Err(LimitError::TooManyOps { found });
        }
        let mut bytes = 0;
        let mut seen = BTreeSet::new();
        for compare in &self.compares {
            check_key(&compare.key)?;
            bytes += compare.key.len();
        }
        for op in &self.ops {
            check_key(op.key())?;
            bytes += op.key().len();
            if let Op::Put { key, value, .. } = op {
                if value.len() > VALUE_BYTES_MAX {
                    return Err(LimitError::ValueTooLarge {
                        key: key.clone(),
                        found: value.len(),
                    });
                }
                bytes += value.len();
            }
            if !seen.insert(op.key()) {
                return Err(LimitError::DuplicateKey {
                    key: op.key().to_owned(),
                });
            }
        }
        if bytes > COMMIT_BYTES_MAX {
            return Err(LimitError::CommitTooLarge { found: bytes });
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), LimitError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(LimitError::KeyLength { found: key.len() });
    }
    Ok(())
}

impl Compare {
    #[must_use]
    pub fn absent(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            condition: Condition::Absent,
        }
    }

    #[must_use]
    pub fn mod_revision(key: impl Into<String>, revision: Revision) -> Self {
        Self {
            key: key.into(),
            condition: Condition::ModRevision(revision),
        }
    }

    #[must_use]
    pub fn create_revision(key: impl Into<String>, revision: Revision) -> Self {
        Self {
            key: key.into(),
            condition: Condition::CreateRevision(revision),
        }
    }
}

impl Op {
    #[must_use]
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease: None,
        }
    }

    #[must_use]
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Values may hold credentials: their size is all that a log may see.
impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, lease } => f
                .debug_struct("Put")
                .field("key", key)
                .field("value_bytes", &value.len())
                .field("lease", lease)
                .finish(),
            Self::Delete { key } => f.debug_struct("Delete").field("key", key).finish(),
        }
    }
}

/// The revisions of a key that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revisions {
    pub(crate) create: Revision,
    pub(crate) modified: Revision,
}

/// Judges a commit whose limits were checked against the state that `lookup` shows, and says
/// what it changes. No events means that there is no new revision.
pub(crate) fn judge<E>(
    commit: Commit,
    revision: Revision,
    mut lookup: impl FnMut(&str) -> Result<Option<Revisions>, E>,
) -> Result<Vec<Event>, CommitError>
where
    CommitError: From<E>,
{
    for compare in commit.compares {
        let found = lookup(&compare.key)?;
        let holds = match compare.condition {
            Condition::Absent => found.is_none(),
            Condition::ModRevision(wanted) => found.is_some_and(|f| f.modified == wanted),
            Condition::CreateRevision(wanted) => found.is_some_and(|f| f.create == wanted),
        };
        if !holds {
            return Err(CommitError::Conflict { key: compare.key });
        }
    }
    let mut events = Vec::with_capacity(commit.ops.len());
    for op in commit.ops {
        let found = lookup(op.key())?;
        match op {
            Op::Put { key, value, lease } => events.push(Event::Put {
                entry: Entry {
                    key,
                    value,
                    create_revision: found.map_or(revision, |f| f.create),
                    mod_revision: revision,
                },
                lease,
            }),
            Op::Delete { key } if found.is_some() => events.push(Event::Delete { key, revision }),
            Op::Delete { .. } => {}
        }
    }
    Ok(events)
}
