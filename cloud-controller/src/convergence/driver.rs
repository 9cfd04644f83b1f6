//! The reconciler: looks at what changed, plans, commits, and waits until something has changed.
//!
//! It is woken by the state, by reports, by acknowledgements of routers and by time. A pass that
//! fails is simply made again: nothing but the store remembers it. A slow sweep over everything is a
//! safety net that is to catch nothing; what it does catch is counted.

use std::sync::Arc;
use std::time::Duration;

use cfx_planner::convergence::CELL_FORGOTTEN;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;

use super::commit::commit;
use super::dispatch::Dispatch;
use super::insight::Insight;
use super::mirror::Mirror;
use super::outcome::{self, Open};
use super::snapshot::Moment;
use crate::actions::{Act, act};
use crate::cells::Observed;
use crate::events::Events;
use crate::routing::Routers;
use crate::state::StateHandle;

/// Between the beginnings of two passes: the first change after a quiet time is planned at once, and
/// those that follow it closely share the next pass.
pub(crate) const COALESCE: Duration = Duration::from_millis(5);
/// Between passes that nothing asked for: silent cells are noticed this much late at most.
pub(crate) const IDLE_PASS: Duration = Duration::from_millis(500);
/// The same while instances are ending, whose steps are due by time.
pub(crate) const BUSY_PASS: Duration = Duration::from_millis(100);
/// After a pass that the store did not take.
pub(crate) const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Between two sweeps over everything.
const SWEEP: Duration = Duration::from_secs(60);

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
        let mut follower = self.follower();
        loop {
            woken.mark_seen();
            let began = self.clock.monotonic();
            let wait = match self.pass(&mut follower).await {
                Ok(()) if follower.mirror.is_busy() => BUSY_PASS,
                Ok(()) => IDLE_PASS,
                Err(error) => {
                    self.events.pass_failed(&error.to_string());
                    self.clock.sleep(FAILED_PAUSE).await;
                    continue;
                }
            };
            tokio::select! {
                () = woken.any() => {}
                () = self.clock.sleep(wait) => {}
            }
            let passed = self.clock.monotonic().saturating_sub(began);
            self.clock.sleep(COALESCE.saturating_sub(passed)).await;
        }
    }

    /// The memory of the loop, which begins to listen now.
    pub(crate) fn follower(&self) -> Follower {
        let now = self.clock.monotonic();
        Follower {
            mirror: Mirror::new(&self.observed, now),
            open: Open::default(),
            listening_since: now,
            swept: now,
            sweep_every: SWEEP,
        }
    }

    pub(crate) async fn pass(
        &self,
        follower: &mut Follower,
    ) -> Result<(), crate::state::WriteError<std::convert::Infallible>> {
        let act = Act {
            now: self.clock.now(),
            ids: &self.ids,
            actor: act::platform(),
        };
        let now = self.clock.monotonic();
        let instances = self.observed.instances();
        outcome::apply(&self.state, &instances, &mut follower.open, &act).await?;
        let listening_since = follower.listening_since;
        let moment = follower
            .mirror
            .follow(&self.observed, |cells, instances| Moment {
                state: self.state.read(),
                instances,
                cells,
                desired: self.dispatch.desired(),
                confirmed: self.routers.confirmed(now),
                now,
                wall: act.now,
                listening_since,
            });
        if now.saturating_sub(follower.swept) >= follower.sweep_every {
            self.sweep(follower, &moment);
            follower.swept = now;
        }
        let mut plan = follower.mirror.planner.plan(now, self.ids.number());
        self.insight.explain(&mut plan);
        if self.insight.learn(&plan) {
            self.events.mode_changed(plan.mode);
        }
        let done = commit(&self.state, &moment.state, &plan.actions, &act).await?;
        self.events
            .planned(&plan, done, self.clock.monotonic().saturating_sub(now));
        Ok(())
    }

    /// Look at everything. What is found was missed before, and is repaired.
    fn sweep(&self, follower: &mut Follower, moment: &Moment) {
        self.events.swept(follower.mirror.sweep(moment));
        self.observed.forget_silent(CELL_FORGOTTEN, moment.now);
        let desired = self.dispatch.desired();
        let present = desired
            .cells
            .values()
            .flat_map(|set| set.assignments.keys().copied());
        self.insight.retain(&present.collect());
    }
}

/// What the loop keeps from pass to pass; it is made anew from everything at a start.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) mirror: Mirror,
    open: Open,
    listening_since: Duration,
    swept: Duration,
    /// The simulator sweeps in each pass, so that nothing that is missed stays hidden.
    pub(crate) sweep_every: Duration,
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
