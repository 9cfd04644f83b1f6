//! Reports what the cell runs: once a second, at once when routes or results wait for it, only what
//! differs from what the controller has acknowledged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::http_client::InternalClient;
use cfx_protocol::actual::{CellReport, ReportReply};
use cfx_protocol::id::CellGuid;
use cfx_protocol::link::{PREFIX, RHYTHM_MS};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::CALL_MAX;
use crate::agent::Message;
use crate::agent::picture::Picture;
use crate::agent::reports::{Difference, Reports};
use crate::capacity::{self, Machine};
use crate::hooks::told;

/// Between the beginnings of two reports: the first change after a quiet time travels at once, and
/// those that follow it closely share the next report.
const GATHER: Duration = Duration::from_millis(10);
/// A change that nothing waits for may wait this long for company.
const LAZY: Duration = Duration::from_millis(50);
/// Reporting takes at most one part in this many of the time, however many starts there are.
const SHARE: u32 = 3;

#[derive(Debug)]
pub struct Reporter {
    pub client: InternalClient,
    pub cell: CellGuid,
    /// One run of the agent.
    pub boot: Uuid,
    pub machine: Machine,
    pub data: PathBuf,
    pub picture: watch::Receiver<Arc<Picture>>,
    pub messages: mpsc::Sender<Message>,
    pub clock: Clock,
}

/// What the controller knows.
#[derive(Debug, Default)]
pub struct Acknowledged {
    reports: Reports,
    /// It has had a full report and wants no other.
    complete: bool,
    sequence: u64,
}

impl Reporter {
    pub async fn run(mut self) {
        let mut acknowledged = Acknowledged::default();
        // Before the first turn the agent knows nothing, and nothing is what it must not report.
        if self
            .picture
            .wait_for(|picture| picture.changes > 0)
            .await
            .is_err()
        {
            return;
        }
        loop {
            let picture = self.picture.borrow_and_update().clone();
            let began = self.clock.monotonic();
            let report = self.compose(&mut acknowledged, &picture);
            let sent = self.send(&report).await;
            acknowledged.note(&picture, sent);
            if sent.is_some() && self.tell_taken(&picture).await.is_err() {
                return;
            }
            let took = self.clock.monotonic().saturating_sub(began);
            let due = until_due(self.picture.clone(), &self.clock, &picture, gap(took));
            if due.await.is_err() {
                return;
            }
        }
    }

    fn compose(&self, acknowledged: &mut Acknowledged, picture: &Picture) -> CellReport {
        let usage = capacity::usage(self.machine, &self.data, picture.cpu_cores);
        let mut report = acknowledged.compose(picture);
        report.cell = self.cell;
        report.boot = self.boot;
        report.usage = usage;
        report
    }

    async fn send(&self, report: &CellReport) -> Option<ReportReply> {
        let path = format!("{PREFIX}/cells/{}/report", self.cell);
        let call = self.client.post::<_, ReportReply>(&path, report);
        match tokio::time::timeout(CALL_MAX, call).await {
            Ok(Ok(reply)) => Some(reply),
            Ok(Err(error)) => {
                tracing::debug!(error = told(&error), "a report was not taken");
                None
            }
            Err(_) => None,
        }
    }

    async fn tell_taken(&self, picture: &Picture) -> Result<(), ()> {
        let Some((last, _)) = picture.crashes.last() else {
            return Ok(());
        };
        self.messages
            .send(Message::CrashesTaken(*last))
            .await
            .map_err(drop)
    }
}

impl Acknowledged {
    /// The next report, as far as the instances go.
    pub fn compose(&mut self, picture: &Picture) -> CellReport {
        self.sequence += 1;
        let Difference { mut news, gone } = picture.reports.since(&self.reports);
        if !self.complete {
            news = picture.reports.iter().cloned().collect();
        }
        CellReport {
            cell: CellGuid::NIL,
            boot: Uuid::nil(),
            sequence: self.sequence,
            applied: picture.applied,
            digest: picture.reports.digest(),
            full: !self.complete,
            instances: news,
            gone,
            crashes: picture
                .crashes
                .iter()
                .map(|(_, crash)| crash.clone())
                .collect(),
            usage: cfx_protocol::cell::CellUsage::default(),
            healthy: picture.runtime_answers,
            draining: picture.draining,
        }
    }

    /// How the report was received; no reply means that nobody knows.
    pub fn note(&mut self, picture: &Picture, reply: Option<ReportReply>) {
        let Some(reply) = reply else {
            // Whether it arrived is not known: the next one says the same and more.
            return;
        };
        self.reports = picture.reports.clone();
        self.complete = !reply.want_full;
    }
}

/// Until the next report is due, after one that told what `told` shows. An error when the agent has
/// stopped.
async fn until_due(
    mut looker: watch::Receiver<Arc<Picture>>,
    clock: &Clock,
    told: &Picture,
    gap: Duration,
) -> Result<(), watch::error::RecvError> {
    let began = clock.monotonic();
    let (mut changed, mut urgent) = (None, None);
    loop {
        let now = clock.monotonic().saturating_sub(began);
        {
            let newer = looker.borrow_and_update();
            if newer.changes > told.changes {
                changed.get_or_insert(now);
            }
            if newer.urgent > told.urgent {
                urgent.get_or_insert(now);
            }
        }
        tokio::select! {
            () = clock.sleep(due(changed, urgent, gap).saturating_sub(now)) => return Ok(()),
            more = looker.changed() => more?,
        }
    }
}

/// When to report next, counted from the last report like the changes: the first of any kind, and
/// the first that is urgent.
fn due(changed: Option<Duration>, urgent: Option<Duration>, gap: Duration) -> Duration {
    let urgent = urgent.map(|at| at.max(gap));
    let changed = changed.map(|at| (at + LAZY).max(gap));
    [urgent, changed]
        .into_iter()
        .flatten()
        .fold(Duration::from_millis(RHYTHM_MS), Duration::min)
}

/// The pause after a report that took so long.
fn gap(took: Duration) -> Duration {
    GATHER.max(took * SHARE).saturating_sub(took)
}

#[cfg(test)]
mod tests {
    use cfx_protocol::actual::InstanceReport;
    use cfx_protocol::id::AssignmentGuid;
    use cfx_protocol::instance::InstanceState;

    use super::*;

    fn picture(guids: &[u128]) -> Picture {
        let report = |guid: &u128| InstanceReport {
            assignment: AssignmentGuid(Uuid::from_u128(*guid)),
            instance: AssignmentGuid(Uuid::from_u128(*guid)).instance(0),
            starts: 0,
            state: InstanceState::Ready,
            crashes: 0,
            address: None,
            usage: None,
            outcome: None,
        };
        Picture {
            reports: guids.iter().map(report).collect(),
            ..Picture::default()
        }
    }

    const TAKEN: Option<ReportReply> = Some(ReportReply { want_full: false });

    #[test]
    fn only_differences_are_reported_and_only_until_they_are_acknowledged() {
        let mut known = Acknowledged::default();
        let first = known.compose(&picture(&[1, 2]));
        assert!(first.full && first.instances.len() == 2);
        known.note(&picture(&[1, 2]), None);
        let again = known.compose(&picture(&[1, 2]));
        assert_eq!(
            (again.full, again.instances.len(), again.sequence),
            (true, 2, 2)
        );
        known.note(&picture(&[1, 2]), TAKEN);
        let quiet = known.compose(&picture(&[1, 2]));
        assert_eq!((quiet.full, quiet.instances.len()), (false, 0));
        let gone = known.compose(&picture(&[2, 3]));
        assert_eq!((gone.instances.len(), gone.gone.len()), (1, 1));
        known.note(&picture(&[2, 3]), None);
        assert_eq!(
            known.compose(&picture(&[2, 3])).gone.len(),
            1,
            "told until it is taken"
        );
    }

    #[test]
    fn what_is_urgent_travels_at_once_and_what_is_not_waits_for_company() {
        let ms = |number: Option<u64>| number.map(Duration::from_millis);
        for (changed, urgent, due_ms) in [
            (None, None, 1_000),
            // Close behind another report: they keep their distance.
            (Some(0), Some(0), 10),
            (Some(3), Some(9), 10),
            // After a quiet time: at once.
            (Some(300), Some(300), 300),
            (Some(299), Some(300), 300),
            (Some(0), None, 50),
            (Some(300), None, 350),
            // What waits for company goes with the first that does not.
            (Some(300), Some(320), 320),
            (Some(300), Some(360), 350),
            // The rhythm comes first.
            (Some(980), None, 1_000),
        ] {
            let due = due(ms(changed), ms(urgent), GATHER);
            let expected = Duration::from_millis(due_ms);
            assert_eq!(due, expected, "{changed:?} {urgent:?}");
        }
    }

    #[tokio::test]
    async fn a_change_that_came_while_the_last_report_travelled_is_not_slept_over() {
        let clock = Clock::system();
        let told = Picture::default();
        let newer = Picture {
            changes: 1,
            urgent: 1,
            ..Picture::default()
        };
        let (_sender, looker) = watch::channel(Arc::new(newer));
        let began = clock.monotonic();
        let due = until_due(looker, &clock, &told, Duration::ZERO).await;
        due.expect("the agent is there");
        let waited = clock.monotonic().saturating_sub(began);
        assert!(waited < Duration::from_millis(RHYTHM_MS), "{waited:?}");
    }

    #[test]
    fn reports_that_take_long_come_seldom() {
        let ms = Duration::from_millis;
        for (took, pause) in [(0, 10), (2, 8), (4, 8), (10, 20), (100, 200)] {
            assert_eq!(gap(ms(took)), ms(pause), "{took} ms");
        }
    }

    #[test]
    fn a_controller_that_lost_track_gets_everything() {
        let mut known = Acknowledged::default();
        known.compose(&picture(&[1]));
        known.note(&picture(&[1]), TAKEN);
        known.compose(&picture(&[1]));
        known.note(&picture(&[1]), Some(ReportReply { want_full: true }));
        let full = known.compose(&picture(&[1]));
        assert!(full.full && full.instances.len() == 1);
    }
}
