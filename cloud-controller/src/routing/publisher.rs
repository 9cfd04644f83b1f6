//! Publishes the route table: brings it in line when its inputs changed, and streams the difference
//! to each router.
//!
//! After a start nothing is published before every cell that has instances has reported, or had
//! the time to: an emptier table must not replace the good one that routers have saved.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_process::clock::Clock;
use cfx_process::ndjson;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{CellGuid, RouteGuid, RouterGuid};
use cfx_protocol::link::{CELL_LOST_MS, RHYTHM_MS};
use cfx_protocol::route::{Route, RouteFrame};
use futures_util::stream::{self, Stream};
use imbl::ordmap::DiffItem;
use tokio::sync::watch;

use super::keeper::Keeper;
use super::routers::{Connected, Routers};
use super::table::Table;
use crate::cells::Observed;
use crate::events::Events;
use crate::state::intent::{IntentChunk, IntentPhase};
use crate::state::{State, StateHandle};

/// A stream says something at least this often.
const RHYTHM: Duration = Duration::from_millis(RHYTHM_MS);
/// Between two tables: the first change after a quiet time is published at once, and those that
/// follow it closely share the next table.
pub const TICK: Duration = Duration::from_millis(10);
/// Between two looks that found the table as it was: such a look must not hold up the next change.
const GLANCE: Duration = Duration::from_millis(1);
/// Between two sweeps over everything.
const SWEEP: Duration = Duration::from_secs(60);

/// A table as routers follow it.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its revision counts tables, not commits: readiness changes tables too.
    pub token: Token,
    pub table: Table,
}

/// Serves the streams; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Publisher {
    published: watch::Receiver<Option<Arc<Published>>>,
    routers: Routers,
    clock: Clock,
}

/// The task that keeps the table.
#[derive(Debug)]
pub struct Reconciler {
    state: StateHandle,
    observed: Observed,
    routers: Routers,
    clock: Clock,
    events: Arc<Events>,
    keeper: Keeper,
    started: Duration,
    swept: Duration,
    /// The simulator sweeps each time, so that nothing that is missed stays hidden.
    pub(crate) sweep_every: Duration,
    published: watch::Sender<Option<Arc<Published>>>,
}

/// A publisher and the task that feeds it.
#[must_use]
pub fn publisher(
    state: StateHandle,
    observed: Observed,
    routers: Routers,
    clock: Clock,
    events: Arc<Events>,
) -> (Publisher, Reconciler) {
    let (sender, receiver) = watch::channel(None);
    let publisher = Publisher {
        published: receiver,
        routers: routers.clone(),
        clock: clock.clone(),
    };
    let reconciler = Reconciler {
        started: clock.monotonic(),
        swept: clock.monotonic(),
        sweep_every: SWEEP,
        keeper: Keeper::new(&observed),
        events,
        state,
        observed,
        routers,
        clock,
        published: sender,
    };
    (publisher, reconciler)
}

impl Reconciler {
    /// Follow state and reports for as long as the controller lives.
    pub async fn run(mut self) {
        let mut state = self.state.changes();
        let mut observed = self.observed.changes();
        loop {
            let began = self.clock.monotonic();
            let pace = if self.reconcile() { TICK } else { GLANCE };
            let wake = Duration::from_millis(RHYTHM_MS);
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                changed = observed.changed() => if changed.is_err() { return },
                () = self.clock.sleep(wake) => {}
            }
            let passed = self.clock.monotonic().saturating_sub(began);
            self.clock.sleep(pace.saturating_sub(passed)).await;
        }
    }

    /// Is there a new table?
    pub(crate) fn reconcile(&mut self) -> bool {
        let before = self.published.borrow().clone();
        if before.is_none() && !self.is_informed(&self.state.read()) {
            return false;
        }
        let (mut table, state, instances) = self.keeper.follow(&self.observed, &self.state);
        let now = self.clock.monotonic();
        if now.saturating_sub(self.swept) >= self.sweep_every {
            self.swept = now;
            self.events.swept(self.keeper.sweep(&state, &instances));
            table = self.keeper.table();
        }
        let covers = state.revision;
        if let Some(before) = &before
            && table.ptr_eq(&before.table)
        {
            self.routers.table_covers(before.token, covers);
            return false;
        }
        let revision = before.map_or(0, |before| before.token.revision) + 1;
        let token = Token {
            revision,
            ..self.state.token()
        };
        self.routers.table_covers(token, covers);
        let published = Published { token, table };
        self.published.send_replace(Some(Arc::new(published)));
        true
    }

    /// Is enough known to say what is routable?
    fn is_informed(&self, state: &State) -> bool {
        let waited = self.clock.monotonic().saturating_sub(self.started);
        if waited >= Duration::from_millis(CELL_LOST_MS) {
            return true;
        }
        let cells: BTreeSet<CellGuid> = state
            .all::<IntentChunk>()
            .flat_map(|chunk| chunk.intents.iter())
            .filter(|intent| intent.phase == IntentPhase::Run)
            .map(|intent| intent.cell)
            .collect();
        let reported = |cell: &CellGuid| self.observed.cell(*cell).is_some_and(|it| it.known);
        cells.iter().all(reported)
    }
}

impl Publisher {
    /// The newest table; none before the first.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        self.published.borrow().clone()
    }

    /// The frames for a router, as lines, for as long as it listens.
    pub fn stream(
        &self,
        router: RouterGuid,
    ) -> impl Stream<Item = Result<Bytes, serde_json::Error>> + use<> {
        stream::unfold(self.follow(router), |mut line| async move {
            let frame = line.next().await?;
            Some((ndjson::line(&frame), line))
        })
    }

    pub(crate) fn follow(&self, router: RouterGuid) -> RouterStream {
        let now = self.clock.monotonic();
        RouterStream {
            router,
            _connected: self.routers.connected(router, now),
            publisher: self.clone(),
            last: None,
            at: now,
        }
    }
}

#[derive(Debug)]
pub(crate) struct RouterStream {
    router: RouterGuid,
    _connected: Connected,
    publisher: Publisher,
    last: Option<Arc<Published>>,
    /// When the last frame was sent.
    at: Duration,
}

impl RouterStream {
    /// None: the controller stops.
    async fn next(&mut self) -> Option<RouteFrame> {
        loop {
            if let Some(frame) = self.ready() {
                return Some(frame);
            }
            let wait = RHYTHM.saturating_sub(self.silence());
            let changed = self.publisher.published.changed();
            if let Ok(Err(_)) = tokio::time::timeout(wait, changed).await {
                return None;
            }
        }
    }

    /// What there is to say now, without waiting.
    pub(crate) fn ready(&mut self) -> Option<RouteFrame> {
        let now = self.publisher.published.borrow_and_update().clone();
        let news = now.and_then(|now| self.advance(now));
        let is_due = self.silence() >= RHYTHM;
        if news.is_some() || is_due {
            self.at = self.publisher.clock.monotonic();
        }
        let frame = match (news, &self.last) {
            (Some(frame), _) => frame,
            (None, Some(last)) if is_due => RouteFrame::Keepalive { token: last.token },
            // Before the first table there is nothing to say instead of one.
            (None, _) => return None,
        };
        self.publisher.routers.heard(self.router, self.at);
        Some(frame)
    }

    fn silence(&self) -> Duration {
        let now = self.publisher.clock.monotonic();
        now.saturating_sub(self.at)
    }

    fn advance(&mut self, now: Arc<Published>) -> Option<RouteFrame> {
        let token = now.token;
        let frame = match &self.last {
            None => RouteFrame::Snapshot {
                token,
                routes: now
                    .table
                    .values()
                    .map(|route| Route::clone(route))
                    .collect(),
            },
            Some(last) if last.token == token => return None,
            Some(last) => {
                let (upsert, remove) = difference(&last.table, &now.table);
                RouteFrame::Delta {
                    token,
                    previous: last.token,
                    upsert,
                    remove,
                }
            }
        };
        self.last = Some(now);
        Some(frame)
    }
}

fn difference(before: &Table, after: &Table) -> (Vec<Route>, Vec<RouteGuid>) {
    let (mut upsert, mut remove) = (Vec::new(), Vec::new());
    for item in before.diff(after) {
        match item {
            DiffItem::Add(_, route) => upsert.push(Route::clone(route)),
            DiffItem::Update { new, .. } => upsert.push(Route::clone(new.1)),
            DiffItem::Remove(guid, _) => remove.push(*guid),
        }
    }
    (upsert, remove)
}
