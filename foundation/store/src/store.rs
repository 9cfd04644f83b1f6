//! The trait that every backend fulfils, what it loads, and how it fails.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cfx_protocol::id::ClusterGuid;

use crate::commit::{Commit, CommitError};
use crate::lease::{LeaseError, LeaseId};
use crate::watch::{WatchError, WatchStream};

/// Counts commits. The first commit of a new store is revision 1; a commit that changes nothing
/// makes no revision.
pub type Revision = u64;

/// Durable, ordered, watched state. Keys are paths such as `/cfx/v1/app/<guid>`.
///
/// Promises of every backend, held by the contract suite:
/// - a commit happens whole or not at all, and what is acknowledged survives a crash;
/// - revisions grow by one a commit; a load shows exactly what its revision made;
/// - a watcher sees every revision once, in order, or is told that it must list again.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Whose state this is, and in which life of it we are.
    fn identity(&self) -> Identity;

    /// Everything under a prefix, sorted by key, at one revision.
    async fn load(&self, prefix: &str) -> Result<Loaded, StoreError>;

    /// Applies all operations if all compares hold, else none.
    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError>;

    /// Follows a prefix from a revision on, that one included. After a load, that is
    /// `loaded.revision + 1`.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, WatchError>;

    /// A lease that ends `ttl` after its last keep-alive, and takes its keys with it.
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, LeaseError>;

    /// Starts the time of a lease anew.
    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), LeaseError>;

    /// Ends a lease now: one commit deletes its keys.
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), LeaseError>;

    /// Writes out what is left and lets go of files and locks. Calls after it fail with `Closed`.
    async fn close(&self) -> Result<(), StoreError>;
}

/// One installation, and one life of its controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterGuid,
    /// Grows with each open; a restore from a backup raises it beyond all that were before.
    pub epoch: u64,
}

/// What `load` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub revision: Revision,
    pub entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    /// The commit that made the key.
    pub create_revision: Revision,
    /// The commit that wrote it last.
    pub mod_revision: Revision,
}

/// Values may hold credentials: their size is all that a log may see.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("value_bytes", &self.value.len())
            .field("create_revision", &self.create_revision)
            .field("mod_revision", &self.mod_revision)
            .finish()
    }
}

/// Why the store as a whole does not serve. `can_retry` tells whether waiting can help.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store at {path} is in use by process {pid}")]
    InUse { path: PathBuf, pid: String },
    #[error(
        "the store at {path} is damaged: {detail}; it is left as it is. \
         Restore the last backup with `{restore_command}`"
    )]
    Damaged {
        path: PathBuf,
        /// Names the key, where there is one.
        detail: String,
        restore_command: String,
    },
    #[error(
        "the store at {path} was written by a newer cfx (format {found}, this one knows {known})"
    )]
    NewerFormat {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("no space left for the store: {detail}")]
    NoSpace { detail: String },
    #[error("opening the store at {path} took longer than {seconds} s")]
    OpenTimeout { path: PathBuf, seconds: u64 },
    #[error("the store does not serve: {detail}")]
    Unavailable { detail: String },
    #[error("the store is closed")]
    Closed,
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Can the same call succeed later without an operator?
    #[must_use]
    pub fn can_retry(&self) -> bool {
        matches!(self, Self::NoSpace { .. } | Self::Unavailable { .. })
    }
}
