//! Reports what the cell runs: once a second, at once when a state changed, only what differs from
//! what the controller has acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::http_client::InternalClient;
use cfx_protocol::actual::{CellReport, InstanceReport, ReportReply, digest};
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use cfx_protocol::link::{PREFIX, RHYTHM_MS};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::CALL_MAX;
use crate::agent::Message;
use crate::agent::picture::Picture;
use crate::capacity::{self, Machine};
use crate::hooks::told;

/// Changes within this time share a report.
const GATHER: Duration = Duration::from_millis(10);

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
    instances: BTreeMap<AssignmentGuid, InstanceReport>,
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
            let report = self.compose(&mut acknowledged, &picture);
            let sent = self.send(&report).await;
            acknowledged.note(&picture, report, sent);
            if sent.is_some() && self.tell_taken(&picture).await.is_err() {
                return;
            }
            let rhythm = self.clock.sleep(Duration::from_millis(RHYTHM_MS));
            let mut looker = self.picture.clone();
            let change = looker.wait_for(|newer| newer.changes > picture.changes);
            tokio::select! {
                () = rhythm => {}
                changed = change => match changed {
                    Ok(_) => {}
                    Err(_) => return,
                },
            }
            self.clock.sleep(GATHER).await;
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
        let is_news = |report: &&InstanceReport| {
            let known = self.instances.get(&report.assignment);
            !self.complete || known.is_none_or(|known| !is_same(known, report))
        };
        let here: BTreeSet<_> = picture
            .reports
            .iter()
            .map(|report| report.assignment)
            .collect();
        CellReport {
            cell: CellGuid::NIL,
            boot: Uuid::nil(),
            sequence: self.sequence,
            applied: picture.applied,
            digest: digest(&picture.reports),
            full: !self.complete,
            instances: picture.reports.iter().filter(is_news).cloned().collect(),
            gone: self
                .instances
                .keys()
                .filter(|guid| !here.contains(guid))
                .copied()
                .collect(),
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
    pub fn note(&mut self, picture: &Picture, report: CellReport, reply: Option<ReportReply>) {
        let Some(reply) = reply else {
            // Whether it arrived is not known: the next one says the same and more.
            return;
        };
        for guid in report.gone {
            self.instances.remove(&guid);
        }
        let known = picture
            .reports
            .iter()
            .map(|one| (one.assignment, one.clone()));
        self.instances.extend(known);
        self.complete = !reply.want_full;
    }
}

/// What an instance uses changes all the time and travels by itself: see `metrics`.
fn is_same(before: &InstanceReport, after: &InstanceReport) -> bool {
    let essence = |it: &InstanceReport| {
        let InstanceReport {
            assignment,
            instance,
            starts,
            crashes,
            address,
            state: _,
            usage: _,
            outcome: _,
        } = *it;
        (assignment, instance, starts, crashes, address)
    };
    essence(before) == essence(after)
        && before.state == after.state
        && before.outcome == after.outcome
}

#[cfg(test)]
mod tests {
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
        known.note(&picture(&[1, 2]), first, None);
        let again = known.compose(&picture(&[1, 2]));
        assert_eq!(
            (again.full, again.instances.len(), again.sequence),
            (true, 2, 2)
        );
        known.note(&picture(&[1, 2]), again, TAKEN);
        let quiet = known.compose(&picture(&[1, 2]));
        assert_eq!((quiet.full, quiet.instances.len()), (false, 0));
        let gone = known.compose(&picture(&[2, 3]));
        assert_eq!((gone.instances.len(), gone.gone.len()), (1, 1));
        known.note(&picture(&[2, 3]), gone, None);
        assert_eq!(
            known.compose(&picture(&[2, 3])).gone.len(),
            1,
            "told until it is taken"
        );
    }

    #[test]
    fn what_an_instance_uses_is_no_news() {
        let mut known = Acknowledged::default();
        let first = known.compose(&picture(&[1]));
        known.note(&picture(&[1]), first, TAKEN);
        let mut busier = picture(&[1]);
        busier.reports[0].usage = Some(cfx_protocol::actual::Usage {
            sampled_at: jiff::Timestamp::UNIX_EPOCH,
            cpu: 0.5,
            cpu_entitlement: 1.0,
            memory_bytes: 1,
            disk_bytes: 1,
            log_rate_bytes: 0,
            pids: 1,
        });
        assert_eq!(known.compose(&busier).instances.len(), 0);
        busier.reports[0].crashes = 1;
        assert_eq!(known.compose(&busier).instances.len(), 1);
    }

    #[test]
    fn a_controller_that_lost_track_gets_everything() {
        let mut known = Acknowledged::default();
        let first = known.compose(&picture(&[1]));
        known.note(&picture(&[1]), first, TAKEN);
        let delta = known.compose(&picture(&[1]));
        known.note(&picture(&[1]), delta, Some(ReportReply { want_full: true }));
        let full = known.compose(&picture(&[1]));
        assert!(full.full && full.instances.len() == 1);
    }
}
