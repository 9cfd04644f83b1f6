//! The controller's disk: it outlives the controller, counts its lives as epochs, and fails on
//! demand.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use cfx_protocol::id::ClusterGuid;
use cfx_store::commit::{Commit, CommitError, Op};
use cfx_store::lease::{LeaseError, LeaseId, Monotonic};
use cfx_store::memory::MemoryStore;
use cfx_store::store::{Identity, Loaded, Revision, Store, StoreError};
use cfx_store::watch::{WatchError, WatchStream};

/// Keys of intents, for the planted bug that does not write them.
const INTENTS: &str = "/cfx/v1/intent/";

/// Entries in one commit of a copy: their values may be large.
const COPIED_AT_ONCE: usize = 20;

/// How the disk answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    /// No space: nothing is written, and the writer is told so.
    Full,
    /// After this many more commits the machine stops in the middle of one. Whether that one is on
    /// the disk nobody has told.
    Stops { after: u32, written: bool },
    /// It has stopped.
    Stopped,
}

#[derive(Debug)]
pub struct Disk {
    memory: MemoryStore,
    shared: Mutex<Shared>,
    /// Planted bug: intents are acknowledged and not written.
    loses_intents: bool,
}

#[derive(Debug, Default)]
struct Shared {
    epoch: u64,
    mood: Mood,
}

impl Disk {
    #[must_use]
    pub fn new(cluster: ClusterGuid, loses_intents: bool) -> Arc<Self> {
        // No leases are used: their time stands still.
        let clock = Monotonic::new(|| Duration::ZERO);
        let memory = MemoryStore::new(cluster, clock);
        Arc::new(Self {
            memory,
            shared: Mutex::default(),
            loses_intents,
        })
    }

    /// Open it for one more life of the controller.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> Arc<dyn Store> {
        let mut shared = self.shared();
        shared.epoch += 1;
        shared.mood = Mood::Well;
        Arc::new(Life {
            disk: self.clone(),
            epoch: shared.epoch,
        })
    }

    /// What somebody finds who starts a copy of this disk elsewhere: all of it as of now, in the
    /// epoch before the next one.
    #[must_use]
    pub fn copy(&self) -> Arc<Self> {
        let copy = Self::new(self.memory.identity().cluster, false);
        let loaded = at_once(self.memory.load("/"));
        let entries = loaded.map(|loaded| loaded.entries).unwrap_or_default();
        for some in entries.chunks(COPIED_AT_ONCE) {
            let ops = some
                .iter()
                .map(|entry| Op::put(entry.key.clone(), entry.value.clone()));
            let commit = Commit {
                compares: Vec::new(),
                ops: ops.collect(),
            };
            // A commit of what was committed before is within all limits.
            let _revision = at_once(copy.memory.commit(commit));
        }
        copy.shared().epoch = self.shared().epoch - 1;
        copy
    }

    pub fn set_mood(&self, mood: Mood) {
        self.shared().mood = mood;
    }

    #[must_use]
    pub fn mood(&self) -> Mood {
        self.shared().mood
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True: write it. An error goes to the writer, whether it is written or not.
    fn judge(&self) -> (bool, Result<(), CommitError>) {
        let mut shared = self.shared();
        let stopped = || CommitError::Unknown {
            detail: "the machine stopped".to_owned(),
        };
        match shared.mood {
            Mood::Well => (true, Ok(())),
            Mood::Full => {
                let detail = "the disk is full".to_owned();
                (false, Err(StoreError::NoSpace { detail }.into()))
            }
            Mood::Stops { after: 0, written } => {
                shared.mood = Mood::Stopped;
                (written, Err(stopped()))
            }
            Mood::Stops { after, written } => {
                shared.mood = Mood::Stops {
                    after: after - 1,
                    written,
                };
                (true, Ok(()))
            }
            Mood::Stopped => (false, Err(stopped())),
        }
    }
}

/// The disk in one life of the controller.
#[derive(Debug)]
struct Life {
    disk: Arc<Disk>,
    epoch: u64,
}

#[async_trait]
impl Store for Life {
    fn identity(&self) -> Identity {
        Identity {
            epoch: self.epoch,
            ..self.disk.memory.identity()
        }
    }

    async fn load(&self, prefix: &str) -> Result<Loaded, StoreError> {
        self.disk.memory.load(prefix).await
    }

    async fn commit(&self, mut commit: Commit) -> Result<Revision, CommitError> {
        let (written, told) = self.disk.judge();
        if !written {
            return told.map(|()| 0);
        }
        if self.disk.loses_intents {
            commit.ops.retain(|op| !op.key().starts_with(INTENTS));
            // A commit of nothing makes no revision, and a lost one would be noticed by that.
            commit.ops.push(Op::put("/lost", "intents"));
        }
        let revision = self.disk.memory.commit(commit).await?;
        told.map(|()| revision)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, WatchError> {
        self.disk.memory.watch(prefix, from).await
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, LeaseError> {
        self.disk.memory.grant_lease(ttl).await
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), LeaseError> {
        self.disk.memory.keep_lease_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), LeaseError> {
        self.disk.memory.revoke_lease(lease).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Runs what never waits: in this world every store answers at once.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing in this world waits for real"),
    }
}
