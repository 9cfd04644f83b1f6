//! The controller's reconcilers one step at a time, for who owns the time: the simulator.
//!
//! It is made of the same parts that `start` runs as tasks, without sockets and without waiting.
//! Nothing here decides anything; what wakes whom is said in the same words as in the loops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::telemetry;
use cfx_protocol::actual::{CellReport, ReportReply};
use cfx_protocol::cell::CellRegistration;
use cfx_protocol::desired::DesiredFrame;
use cfx_protocol::id::{CellGuid, RouterGuid};
use cfx_protocol::route::{RouteFrame, TableAck};
use cfx_store::store::Store;
use tokio::sync::watch;

use crate::cells::Observed;
use crate::convergence::dispatch::CellStream;
use crate::convergence::driver::{BUSY_PASS, COALESCE, FAILED_PAUSE, Follower, IDLE_PASS};
use crate::convergence::{Board, Dispatch, Driver, Insight, record_crashes};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::routing::publisher::{self, Reconciler, RouterStream, TICK};
use crate::routing::{Publisher, Routers};
use crate::state::{OpenError, StateHandle, WriteError};

/// A controller that does nothing by itself.
#[derive(Debug)]
pub struct Steps {
    driver: Driver,
    board: Board,
    publisher: Publisher,
    reconciler: Reconciler,
    follower: Follower,
    plan_wakes: [watch::Receiver<u64>; 3],
    publish_wakes: [watch::Receiver<u64>; 2],
}

/// The stream of one cell's desired set.
#[derive(Debug)]
pub struct DesiredSteps(CellStream);

/// The stream of route tables to one router; it counts as connected until this is dropped.
#[derive(Debug)]
pub struct RouteSteps(RouterStream);

impl Steps {
    /// Load what the store holds.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Clock,
        ids: IdSource,
    ) -> Result<Self, OpenError> {
        let state = StateHandle::open(store).await?;
        let (observed, routers) = (Observed::default(), Routers::default());
        let board = Board::new(state.clone(), "http://api.localhost".into());
        let dispatch = Dispatch::new(&board, clock.clone());
        let metrics = Metrics::register(&telemetry::Metrics::default());
        let events = Arc::new(Events::new(metrics));
        let (publisher, mut reconciler) = publisher::publisher(
            state.clone(),
            observed.clone(),
            routers.clone(),
            clock.clone(),
            events.clone(),
        );
        let driver = Driver {
            state,
            observed,
            dispatch,
            routers,
            insight: Insight::default(),
            clock,
            ids,
            events,
        };
        let mut follower = driver.follower();
        (follower.sweep_every, reconciler.sweep_every) = (Duration::ZERO, Duration::ZERO);
        Ok(Self {
            plan_wakes: [
                driver.state.changes(),
                driver.observed.changes(),
                driver.routers.changes(),
            ],
            publish_wakes: [driver.state.changes(), driver.observed.changes()],
            follower,
            driver,
            board,
            publisher,
            reconciler,
        })
    }

    #[must_use]
    pub fn state(&self) -> &StateHandle {
        &self.driver.state
    }

    #[must_use]
    pub fn observed(&self) -> &Observed {
        &self.driver.observed
    }

    #[must_use]
    pub fn insight(&self) -> &Insight {
        &self.driver.insight
    }

    /// One pass of the convergence; answers when the next one is due if nothing wakes it before.
    pub async fn pass(&mut self) -> (Duration, Result<(), WriteError<Infallible>>) {
        for wake in &mut self.plan_wakes {
            wake.mark_unchanged();
        }
        let passed = self.driver.pass(&mut self.follower).await;
        let wait = match &passed {
            Err(_) => FAILED_PAUSE,
            Ok(()) if self.follower.mirror.is_busy() => BUSY_PASS,
            Ok(()) => IDLE_PASS,
        };
        (wait, passed)
    }

    /// What sweeps have had to repair so far: each is something that a pass missed.
    #[must_use]
    pub fn sweep_repairs(&self) -> u64 {
        self.driver.events.sweep_repairs()
    }

    /// Something asks for a pass; it is made after this time, with all else that happens until then.
    #[must_use]
    pub fn wants_pass(&self) -> Option<Duration> {
        any_changed(&self.plan_wakes).then_some(COALESCE)
    }

    /// Bring the cells' desired sets in line with the state.
    pub fn follow_state(&mut self) {
        self.board.advance();
    }

    /// Bring the route table in line with state and reports.
    pub fn publish(&mut self) {
        for wake in &mut self.publish_wakes {
            wake.mark_unchanged();
        }
        self.reconciler.reconcile();
    }

    /// As `wants_pass`, for the route table.
    #[must_use]
    pub fn wants_publish(&self) -> Option<Duration> {
        any_changed(&self.publish_wakes).then_some(TICK)
    }

    pub fn register(&self, registration: CellRegistration) {
        self.driver
            .observed
            .register(registration, self.driver.clock.monotonic());
    }

    /// Take in a report as the internal endpoint does: crashes are durable before it is answered.
    pub async fn report(
        &self,
        mut report: CellReport,
    ) -> Result<ReportReply, WriteError<Infallible>> {
        let (cell, crashes) = (report.cell, std::mem::take(&mut report.crashes));
        let now = self.driver.clock.monotonic();
        let want_full = !self.driver.observed.report(report, now);
        if !crashes.is_empty() {
            record_crashes(&self.driver.state, cell, &crashes).await?;
        }
        Ok(ReportReply { want_full })
    }

    /// None: the cell has to register first.
    #[must_use]
    pub fn follow_desired(&self, cell: CellGuid) -> Option<DesiredSteps> {
        self.driver.observed.cell(cell)?;
        Some(DesiredSteps(self.driver.dispatch.follow(cell)))
    }

    #[must_use]
    pub fn follow_routes(&self, router: RouterGuid) -> RouteSteps {
        RouteSteps(self.publisher.follow(router))
    }

    pub fn acknowledge(&self, ack: &TableAck) {
        let now = self.driver.clock.monotonic();
        self.driver.routers.acknowledge(ack.router, ack.token, now);
    }
}

impl DesiredSteps {
    /// What there is to say now.
    pub fn ready(&mut self) -> Option<DesiredFrame> {
        self.0.ready()
    }
}

impl RouteSteps {
    /// What there is to say now.
    pub fn ready(&mut self) -> Option<RouteFrame> {
        self.0.ready()
    }
}

/// A sender that is gone means that the controller stops.
fn any_changed(wakes: &[watch::Receiver<u64>]) -> bool {
    wakes.iter().any(|wake| wake.has_changed().unwrap_or(false))
}
