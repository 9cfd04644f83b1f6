//! The agent's loop: hear what happened, plan, remember, do, show.
//!
//! One task owns the desired set and the instances; everything else speaks to it by messages. The
//! order inside a turn matters: what is about to be done is on disk before it is done, so that an
//! agent killed at any moment finds out what it was doing.
//!
//! A turn plans, saves and shows what was touched since the last one, so that it costs the same on a
//! cell with thousands of instances. Now and then it looks at all of them, and must find nothing.

pub mod adopt;
mod mark;
mod news;
pub mod picture;
pub mod reports;
pub mod sweep;
mod touched;
mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::actual::{CrashReport, Usage};
use cfx_protocol::desired::{Assignment, DesiredFrame};
use cfx_protocol::generation::{Refused, Token};
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use cfx_protocol::instance::InstanceEvent;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::events::Events;
use crate::execute::{Executor, Told};
use crate::plan::{BackOff, Desired, Followed, Instance};
use crate::state_file::StateFile;
use adopt::Judge;
pub(crate) use mark::order;
use picture::Picture;
use reports::Reports;
use touched::Touched;

/// Wall and monotonic time may drift apart by less than this between two turns.
const JUMP_MIN: Duration = Duration::from_millis(500);
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
    /// What may need a step, differ from what is on disk, or from what is shown.
    touched: Touched,
    /// Back-offs, the next to end first. One that is over by then does no harm.
    waits: BTreeSet<(Timestamp, AssignmentGuid)>,
    /// What the controller should hear of soon, and of that, what it should hear of at once.
    changes: u64,
    urgent: u64,
    shown: Shown,
    /// As on disk.
    saved_token: Option<Token>,
    /// Monotonic time of the last look at everything.
    looked_at_all: Duration,
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

/// What of the picture is kept from one turn to the next.
#[derive(Debug, Default)]
struct Shown {
    reports: Reports,
    crashes: Arc<[(u64, CrashReport)]>,
    cpu_cores: f64,
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
            touched: Touched::all(),
            waits: BTreeSet::new(),
            changes: 1,
            urgent: 1,
            shown: Shown::default(),
            saved_token: None,
            looked_at_all: parts.clock.monotonic(),
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
        self.waits.clear();
        self.touch_all();
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Frame { frame, reply } => {
                let followed = self.follow(*frame).await;
                if reply.send(followed).is_err() {
                    tracing::debug!("the link went away while its frame was followed");
                }
            }
            Message::Sampled(samples) => self.sampled(samples),
            Message::CrashesTaken(last) => {
                self.crashes.retain(|(number, _)| *number > last);
                self.shown.crashes = self.crashes.iter().cloned().collect();
            }
            Message::Drain(draining) => {
                self.desired.draining = draining;
                self.touch_all();
                self.urgent += 1;
            }
            Message::Halt => {
                self.halting = true;
                self.touch_all();
            }
            Message::RuntimeAnswers(answers) => {
                if self.runtime_answers != answers {
                    self.runtime_answers = answers;
                    self.changes += 1;
                    self.urgent += 1;
                }
            }
        }
    }

    /// What an instance uses is no news: it changes all the time and travels by itself, see `metrics`.
    fn sampled(&mut self, samples: Vec<(AssignmentGuid, u32, Usage)>) {
        for (guid, start, usage) in samples {
            let instance = self.instances.get_mut(&guid);
            if let Some(instance) = instance.filter(|one| one.start == start) {
                instance.usage = Some(usage);
            }
        }
        let cores = self.instances.values().filter_map(|one| one.usage);
        // Floats that are none sum up to -0.0.
        self.shown.cpu_cores = cores.map(|usage| usage.cpu).sum::<f64>().abs();
    }

    async fn follow(&mut self, frame: DesiredFrame) -> Result<Followed, Refused> {
        let is_snapshot = matches!(frame, DesiredFrame::Snapshot { .. });
        let named: Vec<_> = match &frame {
            DesiredFrame::Delta { upsert, remove, .. } => {
                let upserted = upsert.iter().map(|assignment| assignment.guid);
                upserted.chain(remove.iter().copied()).collect()
            }
            DesiredFrame::Snapshot { .. } | DesiredFrame::Keepalive { .. } => Vec::new(),
        };
        let followed = self.desired.follow(frame, &self.instances)?;
        if is_snapshot {
            self.touch_all();
        } else if followed != Followed::Unchanged {
            named.into_iter().for_each(|guid| self.touch(guid));
            self.changes += 1;
        }
        if is_snapshot && self.judge_strays(Judge::ByFreshSnapshot).await {
            return Ok(Followed::Doubts);
        }
        Ok(followed)
    }

    /// Something about this one changed: it is planned, saved and reported.
    pub(crate) fn touch(&mut self, guid: AssignmentGuid) {
        self.touched.insert(guid);
        self.changes += 1;
    }

    /// The same for all of them.
    pub(crate) fn touch_all(&mut self) {
        self.touched = Touched::all();
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
        self.shown.crashes = self.crashes.iter().cloned().collect();
    }
}
