//! What checkers must remember of earlier facts. Nothing here judges.

use std::collections::BTreeMap;
use std::time::Duration;

use cfx_protocol::generation::Token;
use cfx_protocol::id::AssignmentGuid;

use crate::scenario::Scenario;
use crate::trace::Fact;

#[derive(Debug)]
pub struct History {
    /// The newest token that each cell and each router followed.
    pub cell_tokens: Vec<Option<Token>>,
    pub router_tokens: Vec<Option<Token>>,
    /// Since when an instance listens, or until when it did.
    pub listening: BTreeMap<AssignmentGuid, (bool, Duration)>,
    pub crashes: BTreeMap<AssignmentGuid, Crash>,
    /// When a cell's wall clock jumped last, and when a router was in trouble last.
    pub jumped: Vec<Option<Duration>>,
    pub router_trouble: Vec<Option<Duration>>,
}

/// The last crash of an assignment.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub at: Duration,
    pub count: u32,
    pub cell: usize,
}

impl History {
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            cell_tokens: vec![None; scenario.cells.len()],
            router_tokens: vec![None; scenario.routers],
            listening: BTreeMap::new(),
            crashes: BTreeMap::new(),
            jumped: vec![None; scenario.cells.len()],
            router_trouble: vec![None; scenario.routers],
        }
    }

    /// Remember a fact after it was judged.
    pub fn note(&mut self, now: Duration, fact: &Fact) {
        match fact {
            Fact::CellFollowed { cell, token } => self.cell_tokens[*cell] = Some(*token),
            Fact::RouterFollowed { router, token } => self.router_tokens[*router] = Some(*token),
            Fact::Listening {
                assignment,
                listening,
                ..
            } => {
                self.listening.insert(*assignment, (*listening, now));
            }
            Fact::Crashed { cell, report, .. } => {
                let crash = Crash {
                    at: now,
                    count: report.crashes,
                    cell: *cell,
                };
                self.crashes.insert(report.assignment, crash);
            }
            Fact::Jumped { cell } => self.jumped[*cell] = Some(now),
            Fact::RouterTrouble { router } => self.router_trouble[*router] = Some(now),
            _ => {}
        }
    }

    /// Did it listen at any moment since `since`?
    #[must_use]
    pub fn listened_since(&self, assignment: AssignmentGuid, since: Duration) -> bool {
        self.listening
            .get(&assignment)
            .is_some_and(|(listens, changed)| *listens || *changed >= since)
    }
}
