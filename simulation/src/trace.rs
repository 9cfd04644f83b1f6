//! What happened: facts for the checkers, the last lines for people, and a hash of everything, by
//! which two runs of one seed are compared.

use std::collections::VecDeque;
use std::fmt;
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
        author: Author,
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
    Jumped { cell: usize, noticed: bool },
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
    /// The process, or the task under the same name.
    pub work: ProcessGuid,
    pub runs_once: bool,
    pub assignment: AssignmentGuid,
    pub index: u32,
    pub version: u64,
    pub cell: usize,
    pub memory_mb: u32,
    pub disk_mb: u32,
}

/// Who changed an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    Platform,
    User,
    /// A controller that ended before anybody saw it.
    Earlier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Placed,
    Unrouted,
    Stopped,
    Forgotten,
}

/// Enough of a guid to tell it from others in one world.
#[must_use]
pub fn short(guid: uuid::Uuid) -> String {
    guid.simple().to_string().chars().take(5).collect()
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => f.write_str(text),
            Self::CellFollowed { cell, token } => write!(f, "cell {cell} follows {token}"),
            Self::RouterFollowed { router, token } => write!(f, "router {router} follows {token}"),
            Self::Intended {
                intent,
                change,
                author,
            } => {
                write!(f, "intent {change:?}: {intent}{author}")
            }
            Self::Made {
                cell,
                assignment,
                start,
            } => {
                write!(f, "cell {cell} made {} start {start}", short(assignment.0))
            }
            Self::Armed {
                cell,
                assignment,
                start,
            } => {
                write!(f, "cell {cell} armed {} start {start}", short(assignment.0))
            }
            Self::Listening {
                cell,
                assignment,
                listening,
            } => {
                let word = if *listening {
                    "listens"
                } else {
                    "listens no more"
                };
                write!(f, "cell {cell}: {} {word}", short(assignment.0))
            }
            Self::Crashed { cell, report, ran } => {
                let (name, count) = (short(report.assignment.0), report.crashes);
                write!(
                    f,
                    "cell {cell}: {name} crashed, {} (crash {count}, ran {ran:?})",
                    report.reason
                )
            }
            Self::Stopping {
                cell,
                assignment,
                serves,
                ..
            } => {
                let serves = if *serves { ", which serves" } else { "" };
                write!(f, "cell {cell} stops {}{serves}", short(assignment.0))
            }
            Self::Delivered {
                router,
                endpoint,
                to,
            } => {
                let to = to.map_or_else(|| "nobody".to_owned(), |to| short(to.assignment.0));
                let (meant, address) = (short(endpoint.instance.0), endpoint.address);
                write!(
                    f,
                    "router {router}: a request for {meant} at {address} reaches {to}"
                )
            }
            Self::Interrupted { router, assignment } => {
                write!(
                    f,
                    "a request of router {router} is interrupted in {}",
                    short(assignment.0)
                )
            }
            Self::Jumped { cell, .. } => write!(f, "the wall clock of cell {cell} jumps"),
            Self::RouterTrouble { router } => write!(f, "router {router} is in trouble until now"),
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => Ok(()),
            Self::User => f.write_str(", by a user"),
            Self::Earlier => f.write_str(", before the controller ended"),
        }
    }
}

impl fmt::Display for IntentFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (process, name) = (short(self.work.0), short(self.assignment.0));
        let Self {
            index,
            version,
            cell,
            ..
        } = self;
        write!(
            f,
            "{name} on cell {cell} ({process} index {index} version {version})"
        )
    }
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
        let line = format!("{:>10.3}  {fact}", at.as_secs_f64());
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
