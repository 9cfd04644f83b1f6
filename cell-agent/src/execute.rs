//! Carries out the steps of a plan, each as a task of its own, and tells the agent how it went.
//!
//! The executor has no opinion: what is to be done comes from the plan, whatever fails goes back
//! as an event. It bounds how many starts run at once and keeps the live side of each instance
//! (its output, its end, its health) in `standing`.

mod fair_gate;
mod prepare;
mod standing;
mod stop;

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_protocol::actual::{Address, Outcome};
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use cfx_protocol::instance::InstanceState;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Timing;
use crate::events::Events;
use crate::health::Finding;
use crate::health::crowd::Crowd;
use crate::hooks::{self, Order, Tools};
use crate::logs::budget::Budget;
use crate::logs::{Outbox, Voice};
use crate::plan::Action;
use crate::staging;

pub use fair_gate::FairGate;
pub use standing::{Exit, Standing};

/// How one start fares.
#[derive(Debug)]
pub struct Told {
    pub assignment: AssignmentGuid,
    pub start: u32,
    pub news: News,
}

#[derive(Debug)]
pub enum News {
    Prepared(Result<Address, String>),
    /// The preparation was given up on demand.
    Abandoned,
    Armed(Result<(), String>),
    Found(Finding),
    Ended(Exit),
    Concluded(Outcome),
    Cleared,
    Stopped,
}

/// Shared by all steps; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tools: Tools,
    pub(crate) timing: Timing,
    pub(crate) cell_name: String,
    pub(crate) events: Events,
    pub(crate) outbox: Outbox,
    pub(crate) budget: Arc<Budget>,
    pub(crate) supervisor: Supervisor,
    pub(crate) starts: FairGate,
    /// All that were armed and are not healthy yet.
    pub(crate) crowd: Crowd,
    news: mpsc::UnboundedSender<Told>,
    standing: Mutex<BTreeMap<InstanceGuid, Arc<Standing>>>,
    preparing: Mutex<BTreeMap<AssignmentGuid, CancellationToken>>,
}

/// What an executor is made of.
#[derive(Debug)]
pub struct Parts {
    pub tools: Tools,
    pub timing: Timing,
    pub cell_name: String,
    pub events: Events,
    pub outbox: Outbox,
    pub budget: Arc<Budget>,
    pub supervisor: Supervisor,
}

impl Executor {
    /// News come out of the receiver. Their number is bounded by that of instances: each has one
    /// step under way, one end and one monitor.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (news, receiver) = mpsc::unbounded_channel();
        let starts = FairGate::new(parts.tools.capacity.starts as usize);
        let shared = Shared {
            tools: parts.tools,
            timing: parts.timing,
            cell_name: parts.cell_name,
            events: parts.events,
            outbox: parts.outbox,
            budget: parts.budget,
            supervisor: parts.supervisor,
            starts,
            crowd: Crowd::default(),
            news,
            standing: Mutex::default(),
            preparing: Mutex::default(),
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            receiver,
        )
    }

    /// Begin a step.
    pub fn begin(&self, action: Action, order: Order) {
        let shared = self.shared.clone();
        match action {
            Action::Prepare { .. } => {
                let token = CancellationToken::new();
                let guid = order.assignment.guid;
                self.shared.preparing.lock().insert(guid, token.clone());
                self.spawn("prepare", prepare::prepare(shared, order, token));
            }
            Action::Arm => self.spawn("arm", prepare::arm(shared, order)),
            Action::Conclude => self.spawn("conclude", conclude(shared, order)),
            Action::Stop => self.spawn("stop", stop::stop(shared, order)),
            Action::Clear => self.spawn("clear", stop::clear(shared, order)),
            Action::Abandon => {
                if let Some(token) = self.shared.preparing.lock().get(&order.assignment.guid) {
                    token.cancel();
                }
            }
            Action::Forget => {}
        }
    }

    /// The address that an assignment had under an earlier agent stays its own.
    pub async fn keep_address(&self, order: Order) {
        if let Err(error) = hooks::keep_address(&self.shared.tools, &order).await {
            let (name, told) = (order.name(), hooks::told(&error));
            self.shared
                .events
                .step_failed(name, "keep the address", &told);
        }
    }

    /// Take over a start of an earlier agent, and tell if it has ended meanwhile.
    pub async fn adopt(&self, order: Order, state: &InstanceState) {
        prepare::adopt(self.shared.clone(), order, state.clone()).await;
    }

    /// What all starts pass.
    #[must_use]
    pub fn gate(&self) -> FairGate {
        self.shared.starts.clone()
    }

    /// The live side of all instances.
    #[must_use]
    pub fn standing(&self) -> Vec<Arc<Standing>> {
        self.shared.standing.lock().values().cloned().collect()
    }

    /// A hint that this one may have ended.
    pub fn look_at(&self, name: InstanceGuid) {
        if let Some(standing) = self.shared.standing_of(name) {
            let shared = self.shared.clone();
            self.spawn(
                "look at an end",
                async move { standing.look(&shared).await },
            );
        }
    }

    /// The kernel killed a process of this one at its memory limit.
    pub fn out_of_memory(&self, name: InstanceGuid) {
        if let Some(standing) = self.shared.standing_of(name) {
            let shared = self.shared.clone();
            self.spawn("end for want of memory", async move {
                standing.run_out_of_memory(&shared).await;
            });
        }
    }

    #[must_use]
    pub fn voice(&self, order: &Order) -> Voice {
        self.shared.voice(order)
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.shared.spawn(name, task);
    }
}

impl Shared {
    /// A task that ends with the agent. Ending in the middle of a step is no different from a kill,
    /// which every step must bear anyway.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let shutdown = self.supervisor.shutdown().clone();
        let task = async move { shutdown.or(task).await.unwrap_or_default() };
        self.supervisor.spawn(name, OnEnd::Nothing, task);
    }

    pub(crate) fn tell(&self, assignment: AssignmentGuid, start: u32, news: News) {
        // Nobody listens once the agent stops.
        drop(self.news.send(Told {
            assignment,
            start,
            news,
        }));
    }

    pub(crate) fn voice(&self, order: &Order) -> Voice {
        let outbox = self.outbox.clone();
        Voice::new(outbox, &order.spec, order.assignment.index, order.name())
    }

    pub(crate) fn standing_of(&self, name: InstanceGuid) -> Option<Arc<Standing>> {
        self.standing.lock().get(&name).cloned()
    }

    pub(crate) fn stand(&self, name: InstanceGuid, standing: Arc<Standing>) {
        self.standing.lock().insert(name, standing);
    }

    /// Ends the live side of a start.
    pub(crate) fn fall(&self, name: InstanceGuid) {
        if let Some(standing) = self.standing.lock().remove(&name) {
            standing.end_watching();
        }
    }
}

/// How a run-once work ended. For a staging this makes and uploads the droplet.
async fn conclude(shared: Arc<Shared>, order: Order) {
    let name = order.name();
    let exit = shared
        .standing_of(name)
        .and_then(|standing| standing.exit());
    let exit = exit.unwrap_or(Exit::LOST);
    let outcome = staging::conclude(&shared.tools, &order, exit, &shared.voice(&order)).await;
    shared.tell(order.assignment.guid, order.start, News::Concluded(outcome));
}
