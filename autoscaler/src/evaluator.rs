//! The one loop: looks at every app with rules once a second and makes the platform what the rules
//! ask for.
//!
//! ```text
//!   lead? -> policies -> apps as they are -> samples -> decide -> keep -> scale -> keep
//! ```
//! It takes no input, recomputes from the whole state, and is safe to kill between any two steps:
//! an act is kept before it is done, and settled by looking at the app when its end is unknown.
//! Without rules it asks nobody for anything.

mod act;
mod breaker;
mod leave;
mod watched;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::AppGuid;
use cfx_rules::units::Second;
use cfx_store::commit::{Compare, Op};
use futures_util::future::join_all;

use crate::edges::Edges;
use crate::events::Events;
use crate::inbox::Inbox;
use crate::latest::Latest;
use crate::public_api::CallError;
use crate::source::{Question, Series};
use crate::state::journal::BATCH_S;
use crate::state::leader::Leadership;
use crate::state::policies::{Known, Policies};
use crate::state::record::StateRecord;
use crate::state::{SAMPLES, STATE, StateError, commit_all, key, read};
use crate::target::{TargetError, Workload};

use act::Act;
use watched::Watched;

/// Memory of all samples, bytes: 60 apps of 300 instances with rules over an hour.
const EVIDENCE_MAX_BYTES: usize = 512 * 1024 * 1024;
/// Catching up asks for more; each of these is a question of its own, so many at once.
const QUESTIONS_AT_ONCE: usize = 4;
/// Scale requests under way at once.
const ACTS_AT_ONCE: usize = 16;

/// Why a tick did not come to its end. The next one begins anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TickError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the apps cannot be read: {0}")]
    Target(#[from] TargetError),
    #[error("the measurements cannot be read: {0}")]
    Source(#[from] CallError),
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// Another autoscaler acts.
    Following,
    /// There are no rules.
    Idle,
    Evaluated {
        apps: usize,
        acts: usize,
    },
}

#[derive(Debug)]
pub(crate) struct Evaluator {
    edges: Edges,
    policies: Policies,
    inbox: Inbox,
    latest: Latest,
    events: Arc<Events>,
    leadership: Leadership,
    apps: BTreeMap<AppGuid, Watched>,
    /// Since when the platform does not show them.
    gone: BTreeMap<AppGuid, Second>,
    flushed_at: Second,
}

impl Evaluator {
    pub(crate) fn new(
        edges: Edges,
        policies: Policies,
        inbox: Inbox,
        latest: Latest,
        events: Arc<Events>,
    ) -> Self {
        let name = edges.ids.guid::<uuid::Uuid>().to_string();
        Self {
            leadership: Leadership::new(edges.store.clone(), name),
            edges,
            policies,
            inbox,
            latest,
            events,
            apps: BTreeMap::new(),
            gone: BTreeMap::new(),
            flushed_at: 0,
        }
    }

    /// Tick until the shutdown, then put on disk what only memory has.
    pub(crate) async fn run(mut self, tick: Duration, shutdown: cfx_process::shutdown::Shutdown) {
        let clock = self.edges.clock.clone();
        while !shutdown.is_requested() {
            let began = clock.monotonic();
            match self.tick().await {
                Ok(done) => self
                    .events
                    .ticked(done, clock.monotonic().saturating_sub(began)),
                Err(error) => self.failed(&error),
            }
            let took = clock.monotonic().saturating_sub(began);
            let rest = clock.sleep(tick.saturating_sub(took));
            if shutdown.or(rest).await.is_none() {
                break;
            }
        }
        if let Err(error) = self.flush_all(clock.now().as_second()).await {
            self.events.tick_failed(&error);
        }
        self.leadership.resign().await;
    }

    fn failed(&mut self, error: &TickError) {
        if let TickError::State(state) = error
            && state.is_conflict()
        {
            self.leadership.lost();
            self.apps.clear();
        }
        self.events.tick_failed(error);
    }

    /// One look at everything.
    pub(crate) async fn tick(&mut self) -> Result<Tick, TickError> {
        let taken = self.leadership.hold().await?;
        self.latest.leads(self.leadership.fence().is_some());
        let Some(fence) = self.leadership.fence().cloned() else {
            self.apps.clear();
            self.latest.replace(std::iter::empty());
            return Ok(Tick::Following);
        };
        if taken {
            self.apps.clear();
            self.events.leads();
            self.sweep(&fence).await?;
        }
        let now = self.edges.clock.now().as_second();
        let policies = self.policies.enabled();
        self.part(&policies, &fence, now).await?;
        if policies.is_empty() {
            self.latest.replace(std::iter::empty());
            return Ok(Tick::Idle);
        }
        let guids: Vec<_> = policies.iter().map(|(app, _)| *app).collect();
        let workloads = self.edges.target.workloads(&guids, now).await?;
        let workloads: BTreeMap<_, _> = workloads.into_iter().map(|it| (it.app, it)).collect();
        self.forget_gone(&guids, &workloads, &fence, now).await?;
        self.meet(policies, &workloads, now).await?;
        self.measure(now).await?;
        let acts = self.decide(&workloads, &fence, now).await?;
        let count = acts.len();
        self.carry_out(acts, &fence, now).await?;
        if now - self.flushed_at >= BATCH_S {
            self.flush_all(now).await?;
        }
        self.latest.replace(
            self.apps
                .values()
                .filter_map(|it| Some((it.app, it.latest()?))),
        );
        let bytes = self.apps.values().map(Watched::bytes).sum();
        self.events.watches(self.apps.len(), bytes);
        Ok(Tick::Evaluated {
            apps: self.apps.len(),
            acts: count,
        })
    }

    /// Take up apps that have rules now, and see who runs of all.
    async fn meet(
        &mut self,
        policies: Vec<(AppGuid, Arc<Known>)>,
        workloads: &BTreeMap<AppGuid, Workload>,
        now: Second,
    ) -> Result<(), TickError> {
        for (app, known) in policies {
            let workload = workloads.get(&app).filter(|it| !it.is_disabled);
            match (workload, self.apps.get_mut(&app)) {
                (None, _) => {
                    self.apps.remove(&app);
                }
                (Some(workload), Some(watched)) => watched.roster(workload),
                (Some(workload), None) => {
                    let bytes: usize = self.apps.values().map(Watched::bytes).sum();
                    if bytes > EVIDENCE_MAX_BYTES {
                        self.events.out_of_memory(app, bytes);
                        continue;
                    }
                    let watched = self.open(app, known, workload, now).await?;
                    self.apps.insert(app, watched);
                }
            }
        }
        Ok(())
    }

    async fn open(
        &self,
        app: AppGuid,
        known: Arc<Known>,
        workload: &Workload,
        now: Second,
    ) -> Result<Watched, StateError> {
        let store = &*self.edges.store;
        let state = store.load(&key(STATE, app)).await?;
        let state = state.entries.first().map(read::<StateRecord>).transpose()?;
        let samples = store.load(&format!("{SAMPLES}{app}/")).await?;
        Watched::open(app, known, state, &samples.entries, workload, now)
    }

    /// Ask for all samples at once; apps that have to catch up are asked for by themselves.
    async fn measure(&mut self, now: Second) -> Result<(), TickError> {
        let mut groups: BTreeMap<Second, Question> = BTreeMap::new();
        for watched in self.apps.values() {
            let series = watched.series();
            if series.is_empty() {
                continue;
            }
            let after = watched.wants_after(now);
            let question = groups.entry(after).or_insert_with(|| Question {
                apps: Vec::new(),
                metrics: Default::default(),
                after,
                until: now,
            });
            question.apps.push((watched.app, watched.size()));
            question.metrics.extend(series);
        }
        let questions: Vec<_> = groups.into_values().collect();
        let mut found: Vec<Series> = Vec::new();
        for some in questions.chunks(QUESTIONS_AT_ONCE) {
            let asked = some.iter().map(|question| self.edges.source.read(question));
            for answer in join_all(asked).await {
                found.extend(answer?);
            }
        }
        let mut of_app: BTreeMap<AppGuid, Vec<&Series>> = BTreeMap::new();
        for series in &found {
            of_app.entry(series.app).or_default().push(series);
        }
        for watched in self.apps.values_mut() {
            watched.receive(self.inbox.take(watched.app));
            watched.measure(of_app.get(&watched.app).map_or(&[], Vec::as_slice), now);
        }
        Ok(())
    }

    /// Decide for every app, and keep what is to be done before it is done.
    async fn decide(
        &mut self,
        workloads: &BTreeMap<AppGuid, Workload>,
        fence: &Compare,
        now: Second,
    ) -> Result<Vec<Act>, TickError> {
        let mut ops = Vec::new();
        let mut acts = Vec::new();
        for watched in self.apps.values_mut() {
            let Some(workload) = workloads.get(&watched.app) else {
                continue;
            };
            watched.settle(workload, &mut ops)?;
            let (decision, then) = watched.decide(now);
            if let Some(act) = watched.begin(workload, decision, then, &mut ops)? {
                acts.push(act);
            }
            watched.keep(&mut ops)?;
        }
        commit_all(&*self.edges.store, ops, Some(fence)).await?;
        Ok(acts)
    }

    /// Scale, all at once, and keep how it ended.
    async fn carry_out(
        &mut self,
        acts: Vec<Act>,
        fence: &Compare,
        now: Second,
    ) -> Result<(), TickError> {
        if acts.is_empty() {
            return Ok(());
        }
        let target = &self.edges.target;
        let mut ended = Vec::with_capacity(acts.len());
        for some in acts.chunks(ACTS_AT_ONCE) {
            ended.extend(join_all(some.iter().map(|act| target.scale(&act.change))).await);
        }
        let mut ops: Vec<Op> = Vec::new();
        for (act, ended) in acts.iter().zip(ended) {
            self.events.acted(act.app, &act.change, &ended);
            if let Some(watched) = self.apps.get_mut(&act.app) {
                watched.end(ended, now, &mut ops)?;
                watched.keep(&mut ops)?;
            }
        }
        Ok(commit_all(&*self.edges.store, ops, Some(fence)).await?)
    }

    async fn flush_all(&mut self, now: Second) -> Result<(), TickError> {
        let Some(fence) = self.leadership.fence().cloned() else {
            return Ok(());
        };
        let mut ops = Vec::new();
        for watched in self.apps.values_mut() {
            watched.flush(now, &mut ops)?;
        }
        commit_all(&*self.edges.store, ops, Some(&fence)).await?;
        self.flushed_at = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
