//! The store without a disk, for tests and the simulator. Nothing survives it.
//!
//! It has no thread of its own: leases end when a call comes in, or at `expire_leases`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cfx_protocol::id::ClusterGuid;
use parking_lot::Mutex;

use crate::commit::{self, Commit, CommitError, Op, Revisions};
use crate::lease::{LeaseError, LeaseId, Leases, Monotonic};
use crate::store::{Entry, Identity, Loaded, Revision, Store, StoreError};
use crate::watch::{Feed, WatchBatch, WatchError, WatchStream};

#[derive(Debug)]
pub struct MemoryStore {
    identity: Identity,
    clock: Monotonic,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    revision: Revision,
    entries: BTreeMap<String, Entry>,
    feed: Feed,
    leases: Leases,
    closed: bool,
}

impl MemoryStore {
    #[must_use]
    pub fn new(cluster: ClusterGuid, clock: Monotonic) -> Self {
        Self {
            identity: Identity { cluster, epoch: 1 },
            clock,
            state: Mutex::new(State {
                revision: 0,
                entries: BTreeMap::new(),
                feed: Feed::new(0),
                leases: Leases::default(),
                closed: false,
            }),
        }
    }

    /// Ends the leases whose time is over, so that their watchers hear of it without a call.
    pub fn expire_leases(&self) {
        let now = self.clock.now();
        self.state.lock().expire(now);
    }

    /// The state, with the leases that are due ended first.
    fn at_work(&self) -> Result<parking_lot::MutexGuard<'_, State>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        state.expire(now);
        Ok(state)
    }
}

impl State {
    fn expire(&mut self, now: Duration) {
        for id in self.leases.due(now) {
            // It was just there.
            drop(self.end_lease(id));
        }
    }

    fn end_lease(&mut self, id: LeaseId) -> Result<(), LeaseError> {
        let keys = self.leases.keys(id)?;
        self.delete(keys);
        self.leases.end(id)
    }

    fn delete(&mut self, keys: Vec<String>) {
        let ops = keys.into_iter().map(|key| Op::Delete { key }).collect();
        // Without compares and leases there is nothing that could refuse it.
        drop(self.apply(Commit {
            compares: Vec::new(),
            ops,
        }));
    }

    fn apply(&mut self, commit: Commit) -> Result<Revision, CommitError> {
        for op in &commit.ops {
            if let Op::Put {
                lease: Some(id), ..
            } = op
                && !self.leases.exists(*id)
            {
                return Err(CommitError::NoLease(*id));
            }
        }
        let revision = self.revision + 1;
        let entries = &self.entries;
        let events = commit::judge(commit, revision, |key| -> Result<_, CommitError> {
            Ok(entries.get(key).map(|entry| Revisions {
                create: entry.create_revision,
                modified: entry.mod_revision,
            }))
        })?;
        if events.is_empty() {
            return Ok(self.revision);
        }
        for event in &events {
            self.leases.follow(event);
            match event {
                crate::watch::Event::Put { entry, .. } => {
                    self.entries.insert(entry.key.clone(), entry.clone());
                }
                crate::watch::Event::Delete { key, .. } => {
                    self.entries.remove(key);
                }
            }
        }
        self.revision = revision;
        self.feed.publish(WatchBatch { revision, events });
        Ok(revision)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn identity(&self) -> Identity {
        self.identity
    }

    async fn load(&self, prefix: &str) -> Result<Loaded, StoreError> {
        let state = self.at_work()?;
        Ok(Loaded {
            revision: state.revision,
            entries: state
                .entries
                .range(prefix.to_owned()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(_, entry)| entry.clone())
                .collect(),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
        commit.check_limits()?;
        self.at_work()?.apply(commit)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, WatchError> {
        self.at_work()
            .map_err(|_| WatchError::Closed)?
            .feed
            .subscribe(prefix, from)
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, LeaseError> {
        let now = self.clock.now();
        self.at_work()?.leases.grant(ttl, now)
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), LeaseError> {
        let now = self.clock.now();
        self.at_work()?.leases.keep_alive(lease, now)
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), LeaseError> {
        self.at_work()?.end_lease(lease)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.closed = true;
        state.feed.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::{Fixture, TestTime, contract_tests};

    async fn open() -> Fixture {
        let time = TestTime::default();
        Fixture {
            store: Arc::new(MemoryStore::new(ClusterGuid::NIL, time.clock())),
            time,
            _folder: None,
        }
    }

    contract_tests!(open);
}
