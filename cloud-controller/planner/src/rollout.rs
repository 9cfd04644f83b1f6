//! How instances of an older version give way to the wanted one.

use std::collections::BTreeMap;

use crate::convergence::unroute;
use crate::plan::{Action, Cause, EndReason};
use crate::snapshot::{Intent, Process, Rollout, Work};

/// How many successors may still be requested in this pass.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Option<u32>,
}

impl Budget {
    /// In flight is an index whose instances of the wanted version do not serve yet.
    pub(crate) fn of(process: &Process) -> Self {
        let Rollout::Rolling { max_in_flight } = process.rollout else {
            return Self { left: None };
        };
        let mut serves: BTreeMap<u32, bool> = BTreeMap::new();
        let wanted = |intent: &&Intent| {
            intent.runs() && intent.version == process.version && intent.index < process.instances
        };
        for intent in process.intents.iter().filter(wanted) {
            *serves.entry(intent.index).or_default() |= intent.is_routable();
        }
        let in_flight = serves.values().filter(|serves| !**serves).count();
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        Self {
            left: Some(max_in_flight.max(1).saturating_sub(in_flight)),
        }
    }

    /// Only successors are counted: what is simply missing or lost is not held back.
    pub(crate) fn allows(&mut self, cause: &Cause) -> bool {
        let (Some(left), Cause::NewVersion { .. }) = (&mut self.left, cause) else {
            return true;
        };
        let allowed = *left > 0;
        *left = left.saturating_sub(1);
        allowed
    }
}

/// Which instances of an older version at one index are to end now. Rolling, one that serves ends
/// only when its successor serves (I4), and one that does not serve when its successor is there.
/// Successors are those on cells that stay.
pub(crate) fn retire(process: &Process, successors: &[&Intent], old: &[&Intent]) -> Vec<Action> {
    let successor_serves = successors.iter().any(|intent| intent.is_routable());
    let may_end = |old: &Intent| match process.rollout {
        Rollout::Replace => true,
        Rollout::Rolling { .. } => successor_serves || (!old.may_serve() && !successors.is_empty()),
    };
    let ending = |old: &Intent| {
        let reason = EndReason::OldVersion {
            version: old.version,
            wanted: process.version,
        };
        unroute(Work::Process(process.guid), old, reason)
    };
    let ended = old.iter().filter(|old| may_end(old));
    ended.map(|old| ending(old)).collect()
}
