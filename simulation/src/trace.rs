//! What happened: facts for the checkers, the last lines for people, and a hash of everything, by
//! which two runs of one seed are compared.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use cfx_protocol::actual::CrashReport;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid, ProcessGuid};
use cfx_protocol::route::Endpoint;

/// Lines kept for a report of a violation.
const LINES_KEPT: usize = 60;

/// Something that a checker may care about.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Faults, restarts, commands: told for people.
    Note(String),
    /// A cell took over a desired set.
    CellFollowed { cell: usize, token: Token },
    /// A router took over a table.
    RouterFollowed { router: usize, token: Token },
    /// A record of where an instance is to run appeared, changed or went.
    Intended {
        intent: Box<IntentFact>,
        change: Change,
        by_user: bool,
    },
    /// A container exists from now on.
    Made {
        cell: usize,
        assignment: AssignmentGuid,
        start: u32,
    },
    /// Its app has its command.
    Armed {
        cell: usize,
        assignment: AssignmentGuid,
        start: u32,
    },
    /// The app listens, or does so no more.
    Listening {
        cell: usize,
        assignment: AssignmentGuid,
        listening: bool,
    },
    Crashed {
        cell: usize,
        report: Box<CrashReport>,
        ran: Option<Duration>,
    },
    /// A cell ends an instance because it was told to.
    Stopping {
        cell: usize,
        assignment: AssignmentGuid,
        instance: InstanceGuid,
        serves: bool,
    },
    /// A request came out where its endpoint's address is now; none: nobody listens there.
    Delivered {
        router: usize,
        endpoint: Box<Endpoint>,
        to: Option<Receiver>,
    },
    /// A request was under way in an instance that was told to stop.
    Interrupted {
        router: usize,
        assignment: AssignmentGuid,
    },
    /// A machine's wall clock jumped.
    Jumped { cell: usize },
    /// A router, or its link, is in trouble, and was until now.
    RouterTrouble { router: usize },
}

/// Who got a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    pub assignment: AssignmentGuid,
    /// It is the one whom the endpoint means, or a later start of the same.
    pub is_meant: bool,
}

/// An intent with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentFact {
    pub process: ProcessGuid,
    pub assignment: AssignmentGuid,
    pub index: u32,
    pub version: u64,
    pub cell: usize,
    pub memory_mb: u32,
    pub disk_mb: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Placed,
    Unrouted,
    Stopped,
    Forgotten,
}

#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    fresh: Vec<Fact>,
    hash: u64,
    facts: u64,
    /// Print each line as it comes.
    pub spoken: Option<fn(&str)>,
}

impl Trace {
    pub fn tell(&mut self, at: Duration, fact: Fact) {
        let mut line = String::new();
        // Writing into a string cannot fail.
        let _written = match &fact {
            Fact::Note(text) => write!(line, "{:>10.3}  {text}", at.as_secs_f64()),
            fact => write!(line, "{:>10.3}  {fact:?}", at.as_secs_f64()),
        };
        self.hash = line
            .bytes()
            .fold(self.hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        self.facts += 1;
        if let Some(speak) = self.spoken {
            speak(&line);
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.fresh.push(fact);
    }

    /// Facts since the last call.
    pub fn fresh(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.fresh)
    }

    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    #[must_use]
    pub fn facts(&self) -> u64 {
        self.facts
    }

    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
