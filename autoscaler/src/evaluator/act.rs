//! The life of an act: kept, done, and its end kept too. Between the two the autoscaler may die, or
//! the platform may not answer; then a look at the app tells how it ended.

use cfx_protocol::id::AppGuid;
use cfx_rules::decision::Outcome;
use cfx_rules::explain::summary;
use cfx_rules::units::Second;
use cfx_rules::{Decision, State};
use cfx_store::commit::Op;

use super::watched::Watched;
use crate::public_api::CallError;
use crate::state::StateError;
use crate::state::record::{Ended, HistoryEntry, UnderWay};
use crate::state::ring::ACTS;
use crate::target::{Change, TargetError, Workload};
use crate::wording;

/// What is to be done to one app.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) app: AppGuid,
    pub(super) change: Change,
}

impl Watched {
    /// An act whose end is unknown: the app shows whether it was done.
    pub(super) fn settle(
        &mut self,
        workload: &Workload,
        ops: &mut Vec<Op>,
    ) -> Result<(), StateError> {
        let Some(under_way) = self.record.under_way.take() else {
            return Ok(());
        };
        if workload.instances == under_way.decision.to {
            return self.done(under_way, ops);
        }
        Ok(())
    }

    /// Note a decision to do nothing; an act is kept as under way before anything is done.
    pub(super) fn begin(
        &mut self,
        workload: &Workload,
        decision: Decision,
        then: State,
        ops: &mut Vec<Op>,
    ) -> Result<Option<Act>, StateError> {
        if decision.to == decision.from {
            self.record.state = then;
            self.note(decision, None, ops)?;
            return Ok(None);
        }
        if self.record.breaker.is_open(decision.at) {
            let until = self.record.breaker.open_until.unwrap_or_default();
            self.note(decision, Some(wording::breaker_open(until)), ops)?;
            return Ok(None);
        }
        let change = Change {
            process: workload.process,
            from: decision.from,
            to: decision.to,
        };
        self.record.under_way = Some(UnderWay { decision, then });
        Ok(Some(Act {
            app: self.app,
            change,
        }))
    }

    /// How the act ended.
    pub(super) fn end(
        &mut self,
        ended: Result<(), TargetError>,
        now: Second,
        ops: &mut Vec<Op>,
    ) -> Result<(), StateError> {
        let Some(under_way) = self.record.under_way.take() else {
            return Ok(());
        };
        let not_done = match ended {
            Ok(()) => return self.done(under_way, ops),
            Err(TargetError::Stale) => wording::STALE.to_owned(),
            Err(TargetError::Call(CallError::Refused { detail, status, .. }))
                if status.is_client_error() =>
            {
                self.record.breaker.failed(now);
                let refused = wording::refused(&detail);
                let entry = entry(&under_way.decision, Ended::Failed, refused.clone());
                self.record_act(&entry, ops)?;
                refused
            }
            Err(TargetError::Call(error)) => {
                // It may have been done: the next look tells.
                self.record.under_way = Some(under_way.clone());
                error.to_string()
            }
        };
        self.note(under_way.decision, Some(not_done), ops)
    }

    fn done(&mut self, under_way: UnderWay, ops: &mut Vec<Op>) -> Result<(), StateError> {
        let UnderWay { decision, then } = under_way;
        self.record.state = then;
        self.record.breaker.succeeded();
        self.record_act(&entry(&decision, Ended::Succeeded, String::new()), ops)?;
        self.note(decision, None, ops)
    }

    fn record_act(&mut self, entry: &HistoryEntry, ops: &mut Vec<Op>) -> Result<(), StateError> {
        ops.push(ACTS.put(self.app, self.record.acts, entry)?);
        self.record.acts += 1;
        Ok(())
    }
}

fn entry(decision: &Decision, ended: Ended, error: String) -> HistoryEntry {
    HistoryEntry {
        at_ns: decision.at.saturating_mul(1_000_000_000),
        ended,
        scheduled: matches!(decision.outcome, Outcome::Limits { .. }),
        from: decision.from,
        to: decision.to,
        reason: wording::reason(decision),
        explanation: summary(decision),
        error,
    }
}
