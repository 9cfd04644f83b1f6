//! Streams of desired sets, one to each cell that is connected: a snapshot first, then what
//! changed, and a keepalive in each silent second.
//!
//! Level-triggered: a stream compares what it sent last with what is desired now, so whatever
//! happened in between is covered by one delta.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cfx_process::clock::Clock;
use cfx_process::ndjson;
use cfx_protocol::desired::{Assignment, DesiredFrame, InstanceSpec, SpecId};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use cfx_protocol::link::RHYTHM_MS;
use futures_util::stream::{self, Stream};
use imbl::ordmap::DiffItem;
use tokio::sync::watch;

use super::board::{Assignments, Bells, Board, Desired};

/// A stream says something at least this often.
const RHYTHM: Duration = Duration::from_millis(RHYTHM_MS);

/// Serves the streams; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Dispatch {
    desired: watch::Receiver<Arc<Desired>>,
    bells: Bells,
    clock: Clock,
}

impl Dispatch {
    #[must_use]
    pub fn new(board: &Board, clock: Clock) -> Self {
        Self {
            desired: board.published(),
            bells: board.bells(),
            clock,
        }
    }

    /// What all cells are to run now.
    #[must_use]
    pub fn desired(&self) -> Arc<Desired> {
        self.desired.borrow().clone()
    }

    /// The frames for a cell, as lines, for as long as it listens.
    pub fn stream(
        &self,
        cell: CellGuid,
    ) -> impl Stream<Item = Result<Bytes, serde_json::Error>> + use<> {
        let line = self.follow(cell);
        stream::unfold(line, |mut line| async move {
            let frame = line.next().await?;
            Some((ndjson::line(&frame), line))
        })
    }

    pub(crate) fn follow(&self, cell: CellGuid) -> CellStream {
        CellStream {
            cell,
            bell: self.bells.of(cell),
            dispatch: self.clone(),
            last: None,
        }
    }
}

/// The memory of one stream.
#[derive(Debug)]
pub(crate) struct CellStream {
    cell: CellGuid,
    bell: watch::Receiver<u64>,
    dispatch: Dispatch,
    /// None before the snapshot.
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    token: Token,
    at: Duration,
    assignments: Assignments,
    specs: BTreeSet<SpecId>,
}

impl CellStream {
    /// None: the controller stops.
    async fn next(&mut self) -> Option<DesiredFrame> {
        loop {
            if let Some(frame) = self.ready() {
                return Some(frame);
            }
            let wait = RHYTHM.saturating_sub(self.silence());
            let changed = self.bell.changed();
            if let Ok(Err(_)) = tokio::time::timeout(wait, changed).await {
                return None;
            }
        }
    }

    /// What there is to say now, without waiting.
    pub(crate) fn ready(&mut self) -> Option<DesiredFrame> {
        self.bell.mark_unchanged();
        let Some(mut last) = self.last.take() else {
            return Some(self.snapshot());
        };
        let now = self.dispatch.clock.monotonic();
        let is_due = now.saturating_sub(last.at) >= RHYTHM;
        let frame = match self.delta(&mut last) {
            None if is_due => Some(DesiredFrame::Keepalive { token: last.token }),
            frame => frame,
        };
        if frame.is_some() {
            last.at = now;
        }
        self.last = Some(last);
        frame
    }

    fn silence(&self) -> Duration {
        let since = self.last.as_ref().map_or(Duration::ZERO, |last| last.at);
        self.dispatch.clock.monotonic().saturating_sub(since)
    }

    fn snapshot(&mut self) -> DesiredFrame {
        let desired = self.dispatch.desired();
        let assignments = desired.assignments(self.cell);
        let specs = specs_of(&desired, assignments.values());
        let frame = DesiredFrame::Snapshot {
            token: desired.token,
            assignments: assignments.values().cloned().collect(),
            specs: specs.clone(),
        };
        self.last = Some(Last {
            token: desired.token,
            at: self.dispatch.clock.monotonic(),
            assignments,
            specs: specs.into_keys().collect(),
        });
        frame
    }

    /// What changed since the last frame, if anything did.
    fn delta(&mut self, last: &mut Last) -> Option<DesiredFrame> {
        let desired = self.dispatch.desired();
        let now = desired.assignments(self.cell);
        let (upsert, remove) = difference(&last.assignments, &now);
        if upsert.is_empty() && remove.is_empty() {
            return None;
        }
        let mut specs = specs_of(&desired, upsert.iter());
        specs.retain(|id, _| last.specs.insert(id.clone()));
        let frame = DesiredFrame::Delta {
            token: desired.token,
            previous: last.token,
            specs,
            upsert,
            remove,
        };
        last.token = desired.token;
        last.assignments = now;
        Some(frame)
    }
}

fn difference(before: &Assignments, after: &Assignments) -> (Vec<Assignment>, Vec<AssignmentGuid>) {
    let (mut upsert, mut remove) = (Vec::new(), Vec::new());
    for item in before.diff(after) {
        match item {
            DiffItem::Add(_, assignment) => upsert.push(assignment.clone()),
            DiffItem::Update { new, .. } => upsert.push(new.1.clone()),
            DiffItem::Remove(guid, _) => remove.push(*guid),
        }
    }
    (upsert, remove)
}

fn specs_of<'a>(
    desired: &Desired,
    assignments: impl Iterator<Item = &'a Assignment>,
) -> BTreeMap<SpecId, Arc<InstanceSpec>> {
    assignments
        .filter_map(|assignment| {
            let spec = desired.specs.get(&assignment.spec)?;
            Some((assignment.spec.clone(), spec.clone()))
        })
        .collect()
}
