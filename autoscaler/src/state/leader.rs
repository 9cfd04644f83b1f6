//! Of several autoscalers over one store, one acts: the one that holds the leader's key by a lease.
//! Everything the evaluator writes is fenced by that key, so that one that was held up and lost its
//! lease changes nothing any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_store::commit::{Commit, Compare, Op};
use cfx_store::lease::LeaseId;
use cfx_store::store::Store;

use super::{LEADER, StateError};

/// How long a leader that is silent stays one.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(5);

/// The wish to lead.
#[derive(Debug)]
pub(crate) struct Leadership {
    store: Arc<dyn Store>,
    name: String,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    lease: LeaseId,
    fence: Compare,
}

impl Leadership {
    /// `name` is for people who look into the store.
    pub(crate) fn new(store: Arc<dyn Store>, name: String) -> Self {
        Self {
            store,
            name,
            held: None,
        }
    }

    /// Hold the lead, or take it when it is free. True when it was taken just now: whatever was
    /// known before is to be read again.
    pub(crate) async fn hold(&mut self) -> Result<bool, StateError> {
        if let Some(held) = &self.held {
            if self.store.keep_lease_alive(held.lease).await.is_ok() {
                return Ok(false);
            }
            self.held = None;
        }
        let lease = self.store.grant_lease(LEASE_TTL).await?;
        let taken = self.store.commit(Commit {
            compares: vec![Compare::absent(LEADER)],
            ops: vec![Op::Put {
                key: LEADER.to_owned(),
                value: Bytes::from(self.name.clone()),
                lease: Some(lease),
            }],
        });
        match taken.await {
            Ok(revision) => {
                let fence = Compare::create_revision(LEADER, revision);
                self.held = Some(Held { lease, fence });
                Ok(true)
            }
            Err(error) => {
                // It would end by itself; a waiting autoscaler must not pile them up until then.
                drop(self.store.revoke_lease(lease).await);
                let error = StateError::from(error);
                if error.is_conflict() {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// What holds while this one leads; none when it does not.
    pub(crate) fn fence(&self) -> Option<&Compare> {
        self.held.as_ref().map(|held| &held.fence)
    }

    /// A fenced write was refused: somebody else leads.
    pub(crate) fn lost(&mut self) {
        self.held = None;
    }

    /// Let others lead at once.
    pub(crate) async fn resign(&mut self) {
        if let Some(held) = self.held.take() {
            // It ends by itself anyway.
            drop(self.store.revoke_lease(held.lease).await);
        }
    }
}
