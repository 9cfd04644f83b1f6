//! The one writer: commits drafts to the store, then publishes them to readers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cfx_protocol::generation::Token;
use cfx_store::commit::{Commit, CommitError, Op};
use cfx_store::store::{Store, StoreError};
use tokio::sync::{Mutex, watch};

use super::State;
use super::draft::{Change, Draft, PREFIX};

/// The state could not be read at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record {key} cannot be understood: {source}")]
    Record {
        key: String,
        source: serde_json::Error,
    },
    #[error(
        "the record {key} is of a kind that this version does not know: it was written by a newer one"
    )]
    UnknownKind { key: String },
}

/// A write did not happen; nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The action refused.
    #[error("{0}")]
    Action(E),
    /// The store did not take it.
    #[error("the change could not be stored: {0}")]
    Store(CommitError),
    #[error("a record cannot be written as JSON: {0}")]
    Record(serde_json::Error),
}

/// The controller's state; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct StateHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    state: ArcSwap<State>,
    writer: Mutex<()>,
    revision: watch::Sender<u64>,
}

impl StateHandle {
    /// Load everything that the store holds.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, OpenError> {
        let loaded = store.load(PREFIX).await?;
        let mut state = State {
            revision: loaded.revision,
            ..State::default()
        };
        for entry in &loaded.entries {
            let kind = entry
                .key
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('/').next())
                .unwrap_or_default();
            let known =
                state
                    .load_entry(kind, &entry.value)
                    .map_err(|source| OpenError::Record {
                        key: entry.key.clone(),
                        source,
                    })?;
            if !known {
                return Err(OpenError::UnknownKind {
                    key: entry.key.clone(),
                });
            }
        }
        let (revision, _) = watch::channel(loaded.revision);
        Ok(Self(Arc::new(Inner {
            store,
            state: ArcSwap::from_pointee(state),
            writer: Mutex::new(()),
            revision,
        })))
    }

    /// The state as of now; it does not change under the reader.
    #[must_use]
    pub fn read(&self) -> Arc<State> {
        self.0.state.load_full()
    }

    /// Run an action and commit what it changed. When it answers, the change is durable and
    /// visible. An action that changes nothing costs no commit.
    pub async fn write<T, E>(
        &self,
        action: impl FnOnce(&mut Draft) -> Result<T, E>,
    ) -> Result<T, WriteError<E>> {
        let _turn = self.0.writer.lock().await;
        let mut draft = Draft::of(&self.0.state.load());
        let answer = action(&mut draft).map_err(WriteError::Action)?;
        let (mut state, changes) = draft.into_parts();
        if changes.is_empty() {
            return Ok(answer);
        }
        let ops = changes
            .into_iter()
            .map(op)
            .collect::<Result<_, _>>()
            .map_err(WriteError::Record)?;
        let commit = Commit {
            compares: Vec::new(),
            ops,
        };
        state.revision = self
            .0
            .store
            .commit(commit)
            .await
            .map_err(WriteError::Store)?;
        let revision = state.revision;
        self.0.state.store(Arc::new(state));
        self.0.revision.send_replace(revision);
        Ok(answer)
    }

    /// Tells of each new revision.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// The token of what this controller says now.
    #[must_use]
    pub fn token(&self) -> Token {
        let identity = self.0.store.identity();
        Token {
            cluster: identity.cluster,
            epoch: identity.epoch,
            revision: self.0.state.load().revision,
        }
    }
}

fn op(change: Change) -> Result<Op, serde_json::Error> {
    Ok(match change.value {
        Some(value) => Op::Put {
            key: change.key,
            value: value?.into(),
            lease: None,
        },
        None => Op::Delete { key: change.key },
    })
}
