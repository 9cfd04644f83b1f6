//! The store of a single controller: sled, used with the care that version 0.34 needs.
//!
//! On disk: `lock` (who has it open), `witness` (the newest acknowledged revision), `data/` (sled's).
//! This handle only queues requests; `committer` is the one thread that works on them.

mod committer;
mod disk;
mod lock;
mod space;
#[cfg(test)]
mod tests;
mod witness;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use cfx_protocol::id::ClusterGuid;
use tokio::sync::{Semaphore, oneshot};

use crate::commit::{Commit, CommitError};
use crate::lease::{LeaseError, LeaseId, Monotonic};
use crate::store::{Identity, Loaded, Revision, Store, StoreError};
use crate::watch::{WatchError, WatchStream};
use committer::{Committer, Queued, Request};

/// Requests that wait for the committer; more wait at the door.
const QUEUE_MAX: usize = 4_096;
/// A store of a million keys verifies in seconds; sled has been seen to hang on damaged files.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);
/// What the disk space guard keeps free unless 5 % of the disk is less.
pub const SPACE_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// Where a store is and what opening it needs to know.
#[derive(Debug, Clone)]
pub struct SledOptions {
    pub path: PathBuf,
    /// The cluster's guid if the store is made now; a store that is there keeps its own.
    pub new_cluster: ClusterGuid,
    pub clock: Monotonic,
    /// What an operator types to restore a backup: part of the message when the store is damaged.
    pub restore_command: String,
    /// What writes leave free, unless 5 % of the disk is less.
    pub space_reserve_bytes: u64,
    /// Off only in tests, to see sled itself meet a full disk.
    pub(crate) space_guard: bool,
    /// The epoch becomes at least this one: for a restore.
    pub(crate) epoch_min: u64,
    /// Where the revisions of a new store begin: for a restore.
    pub(crate) first_revision: Revision,
}

impl SledOptions {
    #[must_use]
    pub fn new(
        path: impl Into<PathBuf>,
        new_cluster: ClusterGuid,
        clock: Monotonic,
        restore_command: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            new_cluster,
            clock,
            restore_command: restore_command.into(),
            space_reserve_bytes: SPACE_RESERVE_BYTES,
            space_guard: true,
            epoch_min: 1,
            first_revision: 0,
        }
    }
}

/// A handle of an open store. When the last one is dropped the store closes by itself; `close`
/// tells when it has.
#[derive(Debug)]
pub struct SledStore {
    identity: Identity,
    requests: mpsc::Sender<Queued>,
    places: Arc<Semaphore>,
}

impl SledStore {
    /// Opens or creates, and verifies every value. Raises the epoch.
    pub async fn open(options: SledOptions) -> Result<Self, StoreError> {
        let path = options.path.clone();
        std::fs::create_dir_all(&path).map_err(io_error("create", &path))?;
        let (requests, queue) = mpsc::channel();
        let (opened, outcome) = oneshot::channel();
        std::thread::Builder::new()
            .name("cfx-store".to_owned())
            .spawn(move || serve(options, queue, opened))
            .map_err(io_error("start the thread of", &path))?;
        let identity = match tokio::time::timeout(OPEN_TIMEOUT, outcome).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(_)) => return Err(lost()),
            Err(_) => {
                return Err(StoreError::OpenTimeout {
                    path,
                    seconds: OPEN_TIMEOUT.as_secs(),
                });
            }
        };
        Ok(Self {
            identity,
            requests,
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
        })
    }

    /// Queues a request and waits for its answer; none when the store is closed.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Queued {
                request: request(reply),
                _place: place,
            })
            .ok()?;
        answer.await.ok()
    }
}

/// The committer's thread, from open to close.
fn serve(
    options: SledOptions,
    queue: mpsc::Receiver<Queued>,
    opened: oneshot::Sender<Result<Identity, StoreError>>,
) {
    match Committer::open(options, queue) {
        Ok(committer) => {
            if opened.send(Ok(committer.identity())).is_ok() {
                committer.run();
            }
        }
        // Who asked has given up, or hears why.
        Err(error) => drop(opened.send(Err(error))),
    }
}

#[async_trait]
impl Store for SledStore {
    fn identity(&self) -> Identity {
        self.identity
    }

    async fn load(&self, prefix: &str) -> Result<Loaded, StoreError> {
        self.ask(|reply| Request::Load(prefix.to_owned(), reply))
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        commit.check_limits()?;
        self.ask(|reply| Request::Commit(commit, reply))
            .await
            .unwrap_or(Err(CommitError::Store(StoreError::Closed)))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, WatchError> {
        self.ask(|reply| Request::Watch(prefix.to_owned(), from, reply))
            .await
            .unwrap_or(Err(WatchError::Closed))
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, LeaseError> {
        self.ask(|reply| Request::Grant(ttl, reply))
            .await
            .unwrap_or(Err(LeaseError::Store(StoreError::Closed)))
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), LeaseError> {
        self.ask(|reply| Request::KeepAlive(lease, reply))
            .await
            .unwrap_or(Err(LeaseError::Store(StoreError::Closed)))
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), LeaseError> {
        self.ask(|reply| Request::Revoke(lease, reply))
            .await
            .unwrap_or(Err(LeaseError::Store(StoreError::Closed)))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.ask(Request::Close).await.ok_or(StoreError::Closed)
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable {
        detail: "its thread died while opening".to_owned(),
    }
}

fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |source| {
        if source.kind() == io::ErrorKind::StorageFull {
            return StoreError::NoSpace {
                detail: format!("cannot {action} {}", path.display()),
            };
        }
        StoreError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
