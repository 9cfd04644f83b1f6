//! The agent's loop: hear what happened, plan, remember, do, show.
//!
//! One task owns the desired set and the instances; everything else speaks to it by messages. The
//! order inside a turn matters: what is about to be done is on disk before it is done, so that an
//! agent killed at any moment finds out what it was doing.

pub mod adopt;
mod news;
pub mod picture;
pub mod sweep;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::actual::{CrashReport, Usage};
use cfx_protocol::desired::{Assignment, DesiredFrame};
use cfx_protocol::generation::Refused;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use cfx_protocol::instance::InstanceEvent;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::events::Events;
use crate::execute::{Executor, Told};
use crate::hooks::Order;
use crate::plan::{
    Action, BackOff, Desired, Followed, Instance, Plan, Step, Wish, Work, halt, plan,
};
use crate::state_file::StateFile;
use adopt::Judge;
use picture::Picture;

/// Longest sleep of the loop, so that a jump of the wall clock is noticed soon.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// Wall and monotonic time may drift apart by less than this between two turns.
const JUMP_MIN: Duration = Duration::from_millis(500);
/// Pause before the next attempt when the state could not be saved.
const SAVE_RETRY: Duration = Duration::from_secs(1);
/// Crash reports kept until a controller takes them; the oldest go first.
const CRASHES_KEPT: usize = 1_000;

/// What others tell the agent.
#[derive(Debug)]
pub enum Message {
    Frame {
        frame: Box<DesiredFrame>,
        reply: oneshot::Sender<Result<Followed, Refused>>,
    },
    /// What instances used, with the start that was measured.
    Sampled(Vec<(AssignmentGuid, u32, Usage)>),
    /// The controller has crash reports up to this number.
    CrashesTaken(u64),
    Drain(bool),
    /// End everything that runs and remember it; nothing is started any more.
    Halt,
    RuntimeAnswers(bool),
}

/// A container of an assignment that this agent knows nothing of.
#[derive(Debug, Clone)]
pub struct Stray {
    pub assignment: Assignment,
    pub start: u32,
    /// Snapshots that did not name it.
    pub unnamed: u32,
}

#[derive(Debug)]
pub struct Agent {
    pub(crate) desired: Desired,
    pub(crate) instances: BTreeMap<AssignmentGuid, Instance>,
    /// Numbered, oldest first.
    crashes: VecDeque<(u64, CrashReport)>,
    crashes_seen: u64,
    pub(crate) strays: BTreeMap<InstanceGuid, Stray>,
    state: Arc<Mutex<StateFile>>,
    /// Something may differ from what is on disk.
    unsaved: bool,
    /// Counts changes that the controller should hear of at once.
    changes: u64,
    runtime_answers: bool,
    pub(crate) halting: bool,
    /// Wall and monotonic time of the last turn.
    last_look: (Timestamp, Duration),
    pub(crate) executor: Executor,
    pub(crate) rule: BackOff,
    pub(crate) cell_name: String,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    picture: watch::Sender<Arc<Picture>>,
}

/// What an agent is made of.
#[derive(Debug)]
pub struct Parts {
    pub desired: Desired,
    pub instances: Vec<Instance>,
    pub state: StateFile,
    pub executor: Executor,
    pub rule: BackOff,
    pub cell_name: String,
    pub clock: Clock,
    pub events: Events,
    pub picture: watch::Sender<Arc<Picture>>,
}

impl Agent {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let by_guid = |one: Instance| (one.assignment.guid, one);
        Self {
            desired: parts.desired,
            instances: parts.instances.into_iter().map(by_guid).collect(),
            crashes: VecDeque::new(),
            crashes_seen: 0,
            strays: BTreeMap::new(),
            state: Arc::new(Mutex::new(parts.state)),
            unsaved: true,
            changes: 0,
            runtime_answers: true,
            halting: false,
            last_look: (parts.clock.now(), parts.clock.monotonic()),
            executor: parts.executor,
            rule: parts.rule,
            cell_name: parts.cell_name,
            clock: parts.clock,
            events: parts.events,
            picture: parts.picture,
        }
    }

    /// Until the shutdown. What runs goes on running.
    pub async fn run(
        mut self,
        mut news: mpsc::UnboundedReceiver<Told>,
        mut messages: mpsc::Receiver<Message>,
        shutdown: Shutdown,
    ) {
        loop {
            let sleep = self.turn().await;
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.clock.sleep(sleep) => {}
                Some(told) = news.recv() => self.hear(told),
                Some(message) = messages.recv() => self.take(message).await,
            }
            // Whatever else has happened is part of the same turn.
            while let Ok(told) = news.try_recv() {
                self.hear(told);
            }
        }
    }

    /// One turn of the loop; tells how long to sleep if nothing happens.
    async fn turn(&mut self) -> Duration {
        let now = self.clock.now();
        self.notice_jump(now);
        let Plan { steps, wake_at } = if self.halting {
            halt(&self.instances)
        } else {
            plan(&self.desired, &self.instances, now)
        };
        let orders: Vec<_> = steps.iter().filter_map(|step| self.mark(step)).collect();
        let saved = self.save().await;
        self.show();
        if !saved {
            // Nothing is begun that would not be remembered.
            for (_, order) in &orders {
                if let Some(instance) = self.instances.get_mut(&order.assignment.guid) {
                    instance.under_way = None;
                }
            }
            return SAVE_RETRY;
        }
        for (action, order) in orders {
            self.executor.begin(action, order);
        }
        let until = wake_at.map(|due| due.duration_since(now).unsigned_abs());
        until.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    /// Due times are wall time, because people read them and they outlive the agent. When the wall
    /// clock is set they move with it, so that every wait stays as long as it was.
    fn notice_jump(&mut self, wall: Timestamp) {
        let (wall_before, monotonic_before) = self.last_look;
        let monotonic = self.clock.monotonic();
        self.last_look = (wall, monotonic);
        let passed = SignedDuration::try_from(monotonic.saturating_sub(monotonic_before));
        let jump = wall.duration_since(wall_before) - passed.unwrap_or(SignedDuration::ZERO);
        if jump.unsigned_abs() < JUMP_MIN {
            return;
        }
        self.events.clock_was_set(jump);
        for instance in self.instances.values_mut() {
            instance.shift_times(jump);
        }
        self.changed();
    }

    /// Note that a step is under way, and make its order.
    fn mark(&mut self, step: &Step) -> Option<(Action, Order)> {
        tracing::debug!(assignment = %step.assignment, action = ?step.action, reason = step.reason, "step");
        if step.action == Action::Forget {
            self.instances.remove(&step.assignment);
            self.desired.forget(step.assignment);
            self.changed();
            return None;
        }
        if let Action::Prepare { start } = step.action {
            return self
                .mark_prepare(step.assignment, start)
                .map(|order| (step.action, order));
        }
        let now = self.clock.now();
        let instance = self.instances.get_mut(&step.assignment)?;
        let mut order = order(instance);
        // Before a controller removes an instance it has taken it out of its routes, and waited for
        // requests in flight. A change of spec is the cell's own affair.
        let is_changed = self.desired.wish(&instance.assignment) == Wish::Changed;
        order.is_routed = is_changed && instance.state.is_routable();
        instance.under_way = match step.action {
            Action::Arm => {
                instance.armed = true;
                Some(Work::Arming)
            }
            Action::Conclude => Some(Work::Concluding),
            Action::Clear => Some(Work::Clearing),
            Action::Stop => Some(Work::Stopping),
            Action::Abandon | Action::Forget | Action::Prepare { .. } => instance.under_way,
        };
        if step.action == Action::Stop {
            self.apply(step.assignment, InstanceEvent::StopRequested, now);
        }
        if step.action != Action::Abandon {
            self.changed();
        }
        Some((step.action, order))
    }

    fn mark_prepare(&mut self, guid: AssignmentGuid, start: u32) -> Option<Order> {
        let (assignment, spec) = self.desired.get(guid)?;
        let instance = self
            .instances
            .entry(guid)
            .or_insert_with(|| Instance::new(assignment.clone(), spec.clone(), start));
        instance.assignment = assignment.clone();
        instance.spec = spec.clone();
        if instance.start != start
            || instance.state != cfx_protocol::instance::InstanceState::Preparing
        {
            instance.begin(start);
        }
        let order = order(instance);
        instance.under_way = Some(Work::Preparing);
        instance.remains = true;
        self.changed();
        Some(order)
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Frame { frame, reply } => {
                let followed = self.follow(*frame).await;
                if reply.send(followed).is_err() {
                    tracing::debug!("the link went away while its frame was followed");
                }
            }
            Message::Sampled(samples) => {
                for (guid, start, usage) in samples {
                    let instance = self.instances.get_mut(&guid);
                    if let Some(instance) = instance.filter(|one| one.start == start) {
                        instance.usage = Some(usage);
                    }
                }
            }
            Message::CrashesTaken(last) => self.crashes.retain(|(number, _)| *number > last),
            Message::Drain(draining) => {
                self.desired.draining = draining;
                self.changed();
            }
            Message::Halt => {
                self.halting = true;
                self.changed();
            }
            Message::RuntimeAnswers(answers) => {
                if self.runtime_answers != answers {
                    self.runtime_answers = answers;
                    self.changed();
                }
            }
        }
    }

    async fn follow(&mut self, frame: DesiredFrame) -> Result<Followed, Refused> {
        let is_snapshot = matches!(frame, DesiredFrame::Snapshot { .. });
        let followed = self.desired.follow(frame, &self.instances)?;
        if followed != Followed::Unchanged {
            self.changed();
        }
        if is_snapshot && self.judge_strays(Judge::ByFreshSnapshot).await {
            return Ok(Followed::Doubts);
        }
        Ok(followed)
    }

    /// Write what has changed; false when that failed.
    async fn save(&mut self) -> bool {
        if !self.unsaved {
            return true;
        }
        let (state, desired) = (self.state.clone(), self.desired.clone());
        let instances: Vec<Instance> = self.instances.values().cloned().collect();
        let write = move || state.lock().save(&desired, instances.iter());
        let written = match tokio::task::spawn_blocking(write).await {
            Ok(written) => written.map_err(|error| crate::hooks::told(&error)),
            Err(error) => Err(error.to_string()),
        };
        match written {
            Ok(()) => self.unsaved = false,
            Err(error) => self.events.state_not_saved(&error),
        }
        !self.unsaved
    }

    /// Something changed that is to be saved and reported.
    pub(crate) fn changed(&mut self) {
        self.unsaved = true;
        self.changes += 1;
    }

    pub(crate) fn apply(&mut self, guid: AssignmentGuid, event: InstanceEvent, now: Timestamp) {
        if let Some(instance) = self.instances.get_mut(&guid)
            && let Err(illegal) = instance.apply(event, now)
        {
            self.events.illegal(&illegal);
        }
    }

    pub(crate) fn keep_crash(&mut self, report: CrashReport) {
        self.crashes_seen += 1;
        self.crashes.push_back((self.crashes_seen, report));
        if self.crashes.len() > CRASHES_KEPT {
            self.crashes.pop_front();
        }
    }

    fn show(&self) {
        let picture = Picture::of(self);
        self.events
            .counted(picture.reports.len(), picture.running, picture.cpu_cores);
        // Nobody looks once the reporter has stopped.
        drop(self.picture.send(Arc::new(picture)));
    }
}

/// The order for whatever is done next about an instance.
pub(crate) fn order(instance: &Instance) -> Order {
    Order {
        assignment: instance.assignment.clone(),
        spec: instance.spec.clone(),
        start: instance.start,
        address: instance.address,
        remains: instance.remains,
        is_routed: false,
    }
}
