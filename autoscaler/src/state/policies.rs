//! The policies of all apps, as the store has them: in memory for the evaluator's ticks, changed
//! through here by the API, and following the store where other autoscalers write too.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use cfx_rules::Policy;
use cfx_store::commit::{Commit, Compare, Op};
use cfx_store::store::{Entry, Revision, Store};
use cfx_store::watch::{Event, WatchError};
use parking_lot::RwLock;

use super::record::PolicyRecord;
use super::{POLICY, StateError, app_of, key, put, read};
use crate::config::APPS_MAX;
use crate::events::Events;

/// How often a change is tried anew when somebody else wrote first.
const TRIES: u32 = 5;

/// One app's policy.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) record: PolicyRecord,
    pub(crate) policy: Policy,
    /// Of the write that made it.
    pub(crate) revision: Revision,
}

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError<E> {
    /// By the change itself.
    #[error(transparent)]
    Refused(E),
    #[error("there are rules for {APPS_MAX} apps already")]
    TooMany,
    #[error(transparent)]
    State(StateError),
}

/// All policies; cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    store: Arc<dyn Store>,
    known: Arc<RwLock<BTreeMap<AppGuid, Arc<Known>>>>,
    events: Arc<Events>,
}

impl Policies {
    /// Read what the store has. `follow` from the revision that comes with it.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        events: Arc<Events>,
    ) -> Result<(Self, Revision), StateError> {
        let policies = Self {
            store,
            known: Arc::default(),
            events,
        };
        let revision = policies.reload().await?;
        Ok((policies, revision))
    }

    pub(crate) fn get(&self, app: AppGuid) -> Option<Arc<Known>> {
        self.known.read().get(&app).cloned()
    }

    /// Those that are switched on.
    pub(crate) fn enabled(&self) -> Vec<(AppGuid, Arc<Known>)> {
        let known = self.known.read();
        let enabled = known.iter().filter(|(_, one)| one.record.enabled);
        enabled.map(|(app, one)| (*app, one.clone())).collect()
    }

    /// Change, make or (with `None`) remove an app's policy. The change may be tried several times.
    pub(crate) async fn change<E>(
        &self,
        app: AppGuid,
        change: impl Fn(Option<&Known>) -> Result<Option<(PolicyRecord, Policy)>, E>,
    ) -> Result<Option<Arc<Known>>, ChangeError<E>> {
        let mut tries = 0;
        loop {
            let old = self.get(app);
            let new = change(old.as_deref()).map_err(ChangeError::Refused)?;
            if old.is_none() && new.is_some() && self.known.read().len() >= APPS_MAX {
                return Err(ChangeError::TooMany);
            }
            match self.write(app, old.as_deref(), new).await {
                Err(error) if error.is_conflict() && tries < TRIES => {
                    tries += 1;
                    self.reload().await.map_err(ChangeError::State)?;
                }
                written => return written.map_err(ChangeError::State),
            }
        }
    }

    async fn write(
        &self,
        app: AppGuid,
        old: Option<&Known>,
        new: Option<(PolicyRecord, Policy)>,
    ) -> Result<Option<Arc<Known>>, StateError> {
        let key = key(POLICY, app);
        let compare = match old {
            Some(old) => Compare::mod_revision(key.clone(), old.revision),
            None => Compare::absent(key.clone()),
        };
        let op = match &new {
            Some((record, _)) => put(key, record)?,
            None if old.is_none() => return Ok(None),
            None => Op::delete(key),
        };
        let commit = Commit {
            compares: vec![compare],
            ops: vec![op],
        };
        let revision = self.store.commit(commit).await?;
        let new = new.map(|(record, policy)| {
            Arc::new(Known {
                record,
                policy,
                revision,
            })
        });
        self.learn(app, new.clone(), revision);
        Ok(new)
    }

    /// A newer one replaces an older one, never the other way round.
    fn learn(&self, app: AppGuid, new: Option<Arc<Known>>, revision: Revision) {
        let mut known = self.known.write();
        if known.get(&app).is_some_and(|old| old.revision > revision) {
            return;
        }
        match new {
            Some(new) => known.insert(app, new),
            None => known.remove(&app),
        };
    }

    async fn reload(&self) -> Result<Revision, StateError> {
        let loaded = self.store.load(POLICY).await?;
        let fresh = loaded.entries.iter().filter_map(|it| self.understood(it));
        *self.known.write() = fresh.collect();
        Ok(loaded.revision)
    }

    /// A policy that cannot be read is told and left alone: the others must go on.
    fn understood(&self, entry: &Entry) -> Option<(AppGuid, Arc<Known>)> {
        let app = app_of(&entry.key, POLICY)?;
        let parsed = read::<PolicyRecord>(entry).map_err(|error| error.to_string());
        let parsed = parsed.and_then(|record| {
            let policy = Policy::parse(&record.text).map_err(|error| error.to_string())?;
            Ok((record, policy))
        });
        match parsed {
            Ok((record, policy)) => {
                let revision = entry.mod_revision;
                let known = Known {
                    record,
                    policy,
                    revision,
                };
                Some((app, Arc::new(known)))
            }
            Err(detail) => {
                self.events.policy_unreadable(app, &detail);
                None
            }
        }
    }

    /// Follow what others write, until the store closes.
    pub(crate) async fn follow(self, mut revision: Revision) {
        loop {
            let Ok(mut changes) = self.store.watch(POLICY, revision + 1).await else {
                match self.reload().await {
                    Ok(current) if current > revision => revision = current,
                    _ => return,
                }
                continue;
            };
            loop {
                match changes.next().await {
                    Ok(batch) => {
                        revision = batch.revision;
                        batch.events.into_iter().for_each(|event| self.take(event));
                    }
                    Err(WatchError::Compacted { .. }) => break,
                    Err(WatchError::Closed) => return,
                }
            }
        }
    }

    fn take(&self, event: Event) {
        match event {
            Event::Put { entry, .. } => {
                if let Some((app, known)) = self.understood(&entry) {
                    self.learn(app, Some(known), entry.mod_revision);
                }
            }
            Event::Delete { key, revision } => {
                if let Some(app) = app_of(&key, POLICY) {
                    self.learn(app, None, revision);
                }
            }
        }
    }
}
