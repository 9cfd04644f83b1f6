//! What an autoscaler must not forget: policies, what decisions remember, the samples that are
//! evidence, what was done and why. All of it lies in the autoscaler's own store.
//!
//! ```text
//!   policy/APP            written by the API          what an app's rules are
//!   credential/APP        written by the API          how an app sends measurements
//!   state/APP             written by the evaluator    cool-downs, an act under way
//!   samples/APP/SECOND/N  written by the evaluator    evidence, as old as the rules look back
//!   history/APP/SLOT      written by the evaluator    the last acts, a ring
//!   decision/APP/SLOT     written by the evaluator    the last decisions, a ring
//!   leader                held under a lease          which autoscaler acts
//! ```

pub(crate) mod journal;
pub(crate) mod leader;
pub(crate) mod policies;
pub(crate) mod record;
pub(crate) mod ring;

use std::collections::BTreeMap;

use cfx_protocol::id::AppGuid;
use cfx_store::commit::{COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Commit, CommitError, Compare, Op};
use cfx_store::lease::LeaseError;
use cfx_store::store::{Entry, Store, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) const POLICY: &str = "/cfx/autoscaler/v1/policy/";
pub(crate) const STATE: &str = "/cfx/autoscaler/v1/state/";
pub(crate) const SAMPLES: &str = "/cfx/autoscaler/v1/samples/";
pub(crate) const HISTORY: &str = "/cfx/autoscaler/v1/history/";
pub(crate) const DECISION: &str = "/cfx/autoscaler/v1/decision/";
pub(crate) const CREDENTIAL: &str = "/cfx/autoscaler/v1/credential/";
pub(crate) const LEADER: &str = "/cfx/autoscaler/v1/leader";

/// Room that a commit leaves for its compares and for what the store adds, bytes.
const COMMIT_SLACK_BYTES: usize = 64 * 1024;

/// Why something could not be kept or found again.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the store refused a change: {0}")]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error("what is kept under `{key}` cannot be read: {detail}")]
    Unreadable { key: String, detail: String },
}

impl StateError {
    /// Somebody else wrote first, or leads now.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Conflict { .. }))
    }

    /// No state of the store could take it.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Limit(_)))
    }
}

pub(crate) fn key(prefix: &str, app: AppGuid) -> String {
    format!("{prefix}{app}")
}

/// The app that a key is about.
pub(crate) fn app_of(key: &str, prefix: &str) -> Option<AppGuid> {
    let rest = key.strip_prefix(prefix)?;
    rest.split('/').next()?.parse().ok()
}

pub(crate) fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, StateError> {
    serde_json::from_slice(&entry.value).map_err(|error| StateError::Unreadable {
        key: entry.key.clone(),
        detail: error.to_string(),
    })
}

pub(crate) fn put(key: String, value: &impl Serialize) -> Result<Op, StateError> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(Op::put(key, bytes)),
        Err(error) => Err(StateError::Unreadable {
            key,
            detail: error.to_string(),
        }),
    }
}

/// Do all of this, in as few commits as the store's limits allow; each holds only under `fence`. Of
/// several operations on one key the last counts.
pub(crate) async fn commit_all(
    store: &dyn Store,
    ops: Vec<Op>,
    fence: Option<&Compare>,
) -> Result<(), StateError> {
    let mut last: BTreeMap<String, Op> = BTreeMap::new();
    for op in ops {
        last.insert(op.key().to_owned(), op);
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    for op in last.into_values() {
        let size = op.key().len() + value_len(&op);
        let full =
            batch.len() == COMMIT_OPS_MAX || bytes + size > COMMIT_BYTES_MAX - COMMIT_SLACK_BYTES;
        if full && !batch.is_empty() {
            commit(store, std::mem::take(&mut batch), fence).await?;
            bytes = 0;
        }
        bytes += size;
        batch.push(op);
    }
    if batch.is_empty() {
        return Ok(());
    }
    commit(store, batch, fence).await
}

async fn commit(
    store: &dyn Store,
    ops: Vec<Op>,
    fence: Option<&Compare>,
) -> Result<(), StateError> {
    let compares = fence.cloned().into_iter().collect();
    store.commit(Commit { compares, ops }).await?;
    Ok(())
}

fn value_len(op: &Op) -> usize {
    match op {
        Op::Put { value, .. } => value.len(),
        Op::Delete { .. } => 0,
    }
}

/// Forget everything about an app under these prefixes.
pub(crate) async fn forget(
    store: &dyn Store,
    app: AppGuid,
    prefixes: &[&str],
    fence: Option<&Compare>,
) -> Result<(), StateError> {
    let mut ops = Vec::new();
    for prefix in prefixes {
        let found = store.load(&key(prefix, app)).await?;
        ops.extend(found.entries.into_iter().map(|entry| Op::delete(entry.key)));
    }
    commit_all(store, ops, fence).await
}
