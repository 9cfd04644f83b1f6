//! What must hold, whatever goes wrong: pure functions of what the world shows and of what has
//! just happened. `safety` is asked after every event, `settled` once the faults have stopped.

mod history;
mod liveness;
mod safety;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cfx_cloud_controller::state::State;
use cfx_protocol::id::AppGuid;

use crate::cell::Cell;
use crate::controller::Controller;
use crate::intents::Intents;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::users::Wanted;

pub use history::History;
pub use liveness::{settled, waits_for_back_off};
pub use safety::safety;

/// The world as checkers see it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub now: Duration,
    pub scenario: &'a Scenario,
    pub cells: &'a [Cell],
    pub routers: &'a [Router],
    /// The durable state as it was read last; it outlives the controller.
    pub state: &'a State,
    pub controller: &'a Controller,
    pub intents: &'a Intents,
    pub promised: &'a BTreeMap<AppGuid, Vec<Wanted>>,
    pub heard: &'a [Option<Duration>],
    pub history: &'a History,
}

/// A promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// As in ARCHITECTURE.md and the tests: `I4`, `L1`, ...
    pub rule: &'static str,
    pub at: Duration,
    pub why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {:.3} s: {}",
            self.rule,
            self.at.as_secs_f64(),
            self.why
        )
    }
}
