//! What checkers must remember of earlier facts. Nothing here judges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cfx_protocol::generation::Token;
use cfx_protocol::id::AssignmentGuid;

use crate::scenario::Scenario;
use crate::trace::Fact;

/// An agent looks at its clock this often at least.
pub(super) const JUMP_NOTICED: Duration = Duration::from_millis(260);

#[derive(Debug)]
pub struct History {
    /// The newest token that each cell and each router followed.
    pub cell_tokens: Vec<Option<Token>>,
    pub router_tokens: Vec<Option<Token>>,
    /// Since when an instance listens, or until when it did.
    pub listening: BTreeMap<AssignmentGuid, (bool, Duration)>,
    pub crashes: BTreeMap<AssignmentGuid, Crash>,
    /// How often each assignment got its command.
    pub armed: BTreeMap<AssignmentGuid, u32>,
    /// Assignments that run once.
    pub tasks: BTreeSet<AssignmentGuid>,
    /// When a cell's wall clock jumped last, and when it did with no agent there to notice.
    pub jumped: Vec<Option<Duration>>,
    pub jumped_unnoticed: Vec<Option<Duration>>,
    /// When a router was in trouble last.
    pub router_trouble: Vec<Option<Duration>>,
}

/// The last crash of an assignment.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    pub at: Duration,
    pub count: u32,
    pub cell: usize,
    /// Its agent had not noticed yet that the clock had jumped.
    pub jumped: bool,
}

impl History {
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            cell_tokens: vec![None; scenario.cells.len()],
            router_tokens: vec![None; scenario.routers],
            listening: BTreeMap::new(),
            crashes: BTreeMap::new(),
            armed: BTreeMap::new(),
            tasks: BTreeSet::new(),
            jumped: vec![None; scenario.cells.len()],
            jumped_unnoticed: vec![None; scenario.cells.len()],
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
                let jumped = self.jumped[*cell].is_some_and(|at| now < at + JUMP_NOTICED);
                let crash = Crash {
                    at: now,
                    count: report.crashes,
                    cell: *cell,
                    jumped,
                };
                self.crashes.insert(report.assignment, crash);
            }
            Fact::Jumped { cell, noticed } => {
                self.jumped[*cell] = Some(now);
                if !noticed {
                    self.jumped_unnoticed[*cell] = Some(now);
                }
            }
            Fact::Armed { assignment, .. } => {
                *self.armed.entry(*assignment).or_default() += 1;
            }
            Fact::Intended { intent, .. } if intent.runs_once => {
                self.tasks.insert(intent.assignment);
            }
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
