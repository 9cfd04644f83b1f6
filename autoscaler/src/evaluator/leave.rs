//! What is let go of: apps whose rules changed or went, apps that are gone themselves, and what a
//! policy left that was removed while nobody watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use cfx_rules::units::Second;
use cfx_store::commit::Compare;

use super::watched::Watched;
use super::{Evaluator, TickError};
use crate::state::policies::Known;
use crate::state::{
    CREDENTIAL, DECISION, HISTORY, POLICY, SAMPLES, STATE, StateError, app_of, commit_all, forget,
};
use crate::target::Workload;

/// What goes with an app's rules. What was done stays for as long as the app does.
pub(super) const OF_RULES: [&str; 3] = [STATE, SAMPLES, DECISION];
/// An app that the platform has not shown for so long is deleted, and its rules go.
const GONE_AFTER_S: Second = 60;
/// When more apps than this are gone at once, and none is left, it is the platform that is to be
/// doubted, not the apps.
const GONE_AT_ONCE_MAX: usize = 3;

impl Evaluator {
    /// Let go of apps whose rules are gone, switched off or other ones. Their samples stay on disk
    /// for the next look.
    pub(super) async fn part(
        &mut self,
        policies: &[(AppGuid, Arc<Known>)],
        fence: &Compare,
        now: Second,
    ) -> Result<(), TickError> {
        let same: BTreeMap<_, _> = policies.iter().map(|(app, known)| (*app, known)).collect();
        let mut ops = Vec::new();
        let mut without = Vec::new();
        for watched in self.apps.values_mut() {
            match same.get(&watched.app) {
                None if self.policies.get(watched.app).is_none() => without.push(watched.app),
                Some(known) if known.policy == watched.known.policy => {
                    watched.known = Arc::clone(known);
                }
                _ => {
                    watched.close(&mut ops)?;
                    watched.keep(&mut ops)?;
                    watched.flush(now, &mut ops)?;
                }
            }
        }
        let unchanged = |app: &AppGuid, watched: &mut Watched| {
            let known = same.get(app);
            known.is_some_and(|known| Arc::ptr_eq(known, &watched.known))
        };
        self.apps.retain(unchanged);
        for app in without {
            forget(&*self.edges.store, app, &OF_RULES, Some(fence)).await?;
        }
        Ok(commit_all(&*self.edges.store, ops, Some(fence)).await?)
    }

    /// What a policy left that was removed while nobody watched.
    pub(super) async fn sweep(&self, fence: &Compare) -> Result<(), StateError> {
        let states = self.edges.store.load(STATE).await?;
        let apps = states
            .entries
            .iter()
            .filter_map(|it| app_of(&it.key, STATE));
        for app in apps.filter(|app| self.policies.get(*app).is_none()) {
            forget(&*self.edges.store, app, &OF_RULES, Some(fence)).await?;
        }
        Ok(())
    }

    /// An app that is not there for a while is deleted; everything about it goes.
    pub(super) async fn forget_gone(
        &mut self,
        wanted: &[AppGuid],
        found: &BTreeMap<AppGuid, Workload>,
        fence: &Compare,
        now: Second,
    ) -> Result<(), TickError> {
        self.gone.retain(|app, _| !found.contains_key(app));
        let missing: Vec<_> = wanted
            .iter()
            .filter(|app| !found.contains_key(app))
            .collect();
        if found.is_empty() && missing.len() > GONE_AT_ONCE_MAX {
            self.events.all_gone(missing.len());
            return Ok(());
        }
        for app in missing {
            let since = *self.gone.entry(*app).or_insert(now);
            if now - since < GONE_AFTER_S {
                continue;
            }
            self.apps.remove(app);
            let all = [POLICY, CREDENTIAL, STATE, SAMPLES, HISTORY, DECISION];
            forget(&*self.edges.store, *app, &all, Some(fence)).await?;
            self.events.app_gone(*app);
            self.gone.remove(app);
        }
        Ok(())
    }
}
