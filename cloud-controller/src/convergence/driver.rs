//! The reconciler: looks at everything, plans, commits, and waits until something has changed.
//!
//! It is woken by the state, by reports, by acknowledgements of routers and by time. A pass that
//! fails is simply made again: nothing but the store remembers it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfx_planner::convergence::CELL_FORGOTTEN;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;

use super::commit::commit;
use super::dispatch::Dispatch;
use super::insight::Insight;
use super::outcome;
use super::progress::Progress;
use super::snapshot::Moment;
use crate::actions::{Act, act};
use crate::cells::Observed;
use crate::events::Events;
use crate::routing::Routers;
use crate::state::StateHandle;

/// Changes within this time are planned together.
pub(crate) const COALESCE: Duration = Duration::from_millis(5);
/// Between passes that nothing asked for: silent cells are noticed this much late at most.
pub(crate) const IDLE_PASS: Duration = Duration::from_millis(500);
/// The same while instances are ending, whose steps are due by time.
pub(crate) const BUSY_PASS: Duration = Duration::from_millis(100);
/// After a pass that the store did not take.
pub(crate) const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Between two sweeps over what is kept in memory only.
pub(crate) const SWEEP: Duration = Duration::from_secs(60);

/// Everything the loop works with.
#[derive(Debug)]
pub struct Driver {
    pub state: StateHandle,
    pub observed: Observed,
    pub dispatch: Dispatch,
    pub routers: Routers,
    pub insight: Insight,
    pub clock: Clock,
    pub ids: IdSource,
    pub events: Arc<Events>,
}

impl Driver {
    /// Reconcile for as long as the controller lives.
    pub async fn run(self) {
        let mut woken = Woken {
            state: self.state.changes(),
            observed: self.observed.changes(),
            routers: self.routers.changes(),
        };
        let listening_since = self.clock.monotonic();
        let (mut progress, mut swept) = (Progress::default(), listening_since);
        loop {
            woken.mark_seen();
            let wait = match self.pass(&mut progress, listening_since).await {
                Ok(()) if progress.is_empty() => IDLE_PASS,
                Ok(()) => BUSY_PASS,
                Err(error) => {
                    self.events.pass_failed(&error.to_string());
                    self.clock.sleep(FAILED_PAUSE).await;
                    continue;
                }
            };
            if self.clock.monotonic().saturating_sub(swept) >= SWEEP {
                self.sweep();
                swept = self.clock.monotonic();
            }
            tokio::select! {
                () = woken.any() => self.clock.sleep(COALESCE).await,
                () = self.clock.sleep(wait) => {}
            }
        }
    }

    pub(crate) async fn pass(
        &self,
        progress: &mut Progress,
        listening_since: Duration,
    ) -> Result<(), crate::state::WriteError<std::convert::Infallible>> {
        let act = Act {
            now: self.clock.now(),
            ids: &self.ids,
            actor: act::platform(),
        };
        let instances = self.observed.instances();
        outcome::apply(&self.state, &instances, &act).await?;
        let state = self.state.read();
        let cells: BTreeMap<_, _> = self
            .observed
            .cells()
            .into_iter()
            .map(|cell| (cell.registration.guid, cell))
            .collect();
        let now = self.clock.monotonic();
        let moment = Moment {
            state: &state,
            instances: &instances,
            cells: &cells,
            dispatch: &self.dispatch,
            confirmed: self.routers.confirmed(now),
            now,
            wall: act.now,
            listening_since,
        };
        let snapshot = moment.snapshot(progress);
        let plan = cfx_planner::plan(&snapshot, now, self.ids.number());
        if self.insight.learn(&plan) {
            self.events.mode_changed(plan.mode);
        }
        let done = commit(&self.state, &state, &plan.actions, &act).await?;
        self.events
            .planned(&plan, done, self.clock.monotonic().saturating_sub(now));
        Ok(())
    }

    pub(crate) fn sweep(&self) {
        self.observed
            .forget_silent(CELL_FORGOTTEN, self.clock.monotonic());
        let desired = self.dispatch.desired();
        let present = desired.cells.values().flat_map(|set| set.keys().copied());
        self.insight.retain(&present.collect());
    }
}

/// Everything that can ask for a pass.
struct Woken {
    state: tokio::sync::watch::Receiver<u64>,
    observed: tokio::sync::watch::Receiver<u64>,
    routers: tokio::sync::watch::Receiver<u64>,
}

impl Woken {
    fn mark_seen(&mut self) {
        self.state.mark_unchanged();
        self.observed.mark_unchanged();
        self.routers.mark_unchanged();
    }

    async fn any(&mut self) {
        // A sender that is gone means that the controller stops: then time alone wakes.
        let waits = (
            self.state.changed(),
            self.observed.changed(),
            self.routers.changed(),
        );
        tokio::select! {
            Ok(()) = waits.0 => {}
            Ok(()) = waits.1 => {}
            Ok(()) = waits.2 => {}
            else => std::future::pending().await,
        }
    }
}
