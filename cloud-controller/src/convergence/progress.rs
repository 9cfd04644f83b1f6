//! How far the ends of instances have come: since when routers have let go of them, and whether
//! their cells have followed the order to stop them. Kept in memory; after a restart everything is
//! asked anew, which only takes longer.

use std::collections::BTreeMap;
use std::time::Duration;

use cfx_protocol::id::AssignmentGuid;

use crate::state::intent::{Intent, IntentPhase};

/// What was seen of instances that are ending.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    endings: BTreeMap<AssignmentGuid, Ending>,
    pass: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ending {
    stopping: bool,
    /// The revision of the state in which its present phase was first seen.
    since: u64,
    withdrawn: Option<Duration>,
    seen_in: u64,
}

impl Progress {
    /// A look at all intents that are ending begins.
    pub(super) fn begin(&mut self) {
        self.pass += 1;
    }

    /// What was not noted since `begin` has ended.
    pub(super) fn finish(&mut self) {
        let pass = self.pass;
        self.endings.retain(|_, ending| ending.seen_in == pass);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.endings.is_empty()
    }

    /// Since when every router serves a table without it.
    pub(super) fn withdrawn(
        &mut self,
        intent: &Intent,
        revision: u64,
        confirmed: Option<u64>,
        now: Duration,
    ) -> Option<Duration> {
        let ending = self.note(intent, revision);
        if ending.withdrawn.is_none() && confirmed >= Some(ending.since) {
            ending.withdrawn = Some(now);
        }
        ending.withdrawn
    }

    /// Has its cell taken over a set that no longer has it?
    pub(super) fn is_ordered_away(
        &mut self,
        intent: &Intent,
        revision: u64,
        applied: Option<u64>,
    ) -> bool {
        let since = self.note(intent, revision).since;
        applied >= Some(since)
    }

    fn note(&mut self, intent: &Intent, revision: u64) -> &mut Ending {
        let stopping = intent.phase == IntentPhase::Stop;
        let fresh = Ending {
            stopping,
            since: revision,
            withdrawn: None,
            seen_in: self.pass,
        };
        let ending = self.endings.entry(intent.assignment).or_insert(fresh);
        if ending.stopping != stopping {
            *ending = fresh;
        }
        ending.seen_in = self.pass;
        ending
    }
}
