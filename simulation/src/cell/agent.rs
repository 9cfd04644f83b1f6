//! One run of a cell's agent: the real desired set, instances, back-off and `plan`, in the loop of
//! the real agent, around a machine that follows the script of the seed.
//!
//! Each turn: plan, note what is begun, remember it on disk, begin it. What was begun and not
//! remembered would be a bug; what is remembered and was not begun is begun again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cfx_cell_agent::agent::picture::Picture;
use cfx_cell_agent::plan::{Action, BackOff, Desired, Followed, Instance, Step, Work, plan};
use cfx_process::clock::Time;
use cfx_protocol::actual::{Address, CrashReport, Outcome};
use cfx_protocol::desired::{DesiredFrame, Work as Purpose};
use cfx_protocol::generation::Refused;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid, ProcessGuid};
use cfx_protocol::instance::{CrashReason, InstanceEvent, InstanceState};
use jiff::{SignedDuration, Timestamp};

use super::CellEvent;
use super::machine::{Machine, Phase};
use super::state::Saved;
use crate::around::Around;
use crate::mutant::Mutant;
use crate::time::Watch;
use crate::trace::Fact;
use crate::world::Event;

/// The agent's own constants: smaller jumps of the clock are none, and the loop sleeps no longer.
const JUMP_MIN: Duration = Duration::from_millis(500);
pub const SLEEP_MAX: Duration = Duration::from_millis(250);

/// How a step went, or what was noticed.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Prepared(Result<Address, &'static str>),
    Abandoned,
    Armed(Result<(), &'static str>),
    Healthy,
    NeverHealthy,
    Ended { status: i32, lost: bool },
    Concluded(Outcome),
    Cleared,
    Stopped,
}

#[derive(Debug)]
pub struct Agent {
    pub life: u64,
    cell: usize,
    watch: Watch,
    rule: BackOff,
    pub desired: Desired,
    pub instances: BTreeMap<AssignmentGuid, Instance>,
    crashes: VecDeque<(u64, CrashReport)>,
    crashes_seen: u64,
    /// When each present start was healthy first, by the clock that never jumps.
    pub healthy_since: BTreeMap<InstanceGuid, Duration>,
    pub changes: u64,
    next_turn: Duration,
    /// Wall time and true time when the clock was looked at last.
    last_look: (Timestamp, Duration),
}

/// A step that is to be carried out.
#[derive(Debug, Clone)]
pub struct Order {
    pub action: Action,
    pub assignment: AssignmentGuid,
    pub start: u32,
    pub address: Option<Address>,
    pub process: ProcessGuid,
    pub timeout_s: u32,
    pub runs_once: bool,
    /// How a task ends that is told to have failed.
    pub failure: Option<Outcome>,
}

impl Agent {
    /// Begin from what the agent before left on disk.
    #[must_use]
    pub fn new(cell: usize, life: u64, watch: Watch, rule: BackOff, saved: &Saved) -> Self {
        let (desired, instances) = saved.restore();
        let last_look = (watch.now(), watch.monotonic());
        Self {
            last_look,
            life,
            cell,
            watch,
            rule,
            desired,
            instances,
            crashes: VecDeque::new(),
            crashes_seen: 0,
            healthy_since: BTreeMap::new(),
            changes: 1,
            next_turn: Duration::ZERO,
        }
    }

    /// Take over what runs, as `adopt` does: nothing is restarted, nothing is stopped.
    pub fn adopt(&mut self, machine: &mut Machine, around: &mut Around) {
        use InstanceState as S;
        let (now, mut watched) = (self.watch.now(), Vec::new());
        for instance in self.instances.values().filter(|one| one.address.is_some()) {
            machine.lease(instance.assignment.guid, instance.address, around);
        }
        for instance in self.instances.values_mut() {
            match instance.state {
                S::Starting { .. } | S::Running { .. } => {
                    watched.push(order(instance, Action::Arm))
                }
                S::Stopping { .. } if instance.armed => watched.push(order(instance, Action::Arm)),
                S::Preparing | S::Ready => {
                    begin_again(instance, now, around);
                    instance.remains = true;
                }
                S::Stopping { .. } | S::Crashed { .. } | S::Gone => {}
            }
        }
        for order in watched {
            self.watch_over(&order, machine.phase(order.name()), around);
        }
        self.changes += 1;
    }

    /// Look at an app again; tell what has become of it.
    fn watch_over(&self, order: &Order, phase: Option<Phase>, around: &mut Around) {
        let news = match phase {
            Some(Phase::Listening) => News::Healthy,
            Some(Phase::Ended { status }) => News::Ended {
                status,
                lost: false,
            },
            None => News::Ended {
                status: -1,
                lost: true,
            },
            Some(_) if order.runs_once => return,
            Some(Phase::Booting | Phase::Leaving | Phase::Waiting) => {
                let timeout = Duration::from_secs(order.timeout_s.into());
                return around.after(timeout, self.told(order, News::NeverHealthy));
            }
        };
        let soon = around.dice.ms(1, 10);
        around.after(soon, self.told(order, news));
    }

    fn told(&self, order: &Order, news: News) -> Event {
        let (assignment, start) = (order.assignment, order.start);
        Event::Cell(
            self.cell,
            CellEvent::Told {
                life: self.life,
                assignment,
                start,
                news,
            },
        )
    }

    /// One turn of the loop: what is to be begun, remembered in `saved`.
    pub fn turn(&mut self, saved: &mut Saved, around: &mut Around) -> Vec<Order> {
        let now = self.watch.now();
        self.notice_jump(now);
        let planned = plan(&self.desired, &self.instances, now);
        let marked = planned.steps.iter().filter_map(|step| self.mark(step, now));
        let orders = marked.collect();
        saved.save(&self.desired, self.instances.values());
        if let Some(due) = planned.wake_at() {
            let wait = due.duration_since(now).unsigned_abs().min(SLEEP_MAX);
            if self.next_turn <= around.now || self.next_turn > around.now + wait {
                self.next_turn = around.now + wait;
                around.after(
                    wait,
                    Event::Cell(self.cell, CellEvent::Turn { life: self.life }),
                );
            }
        }
        orders
    }

    /// When the wall clock is set, what is waited for moves with it.
    fn notice_jump(&mut self, wall: Timestamp) {
        let (wall_before, before) = self.last_look;
        let monotonic = self.watch.monotonic();
        self.last_look = (wall, monotonic);
        let passed = SignedDuration::try_from(monotonic.saturating_sub(before));
        let jump = wall.duration_since(wall_before) - passed.unwrap_or_default();
        if jump.unsigned_abs() >= JUMP_MIN {
            self.instances
                .values_mut()
                .for_each(|instance| instance.shift_times(jump));
            self.changes += 1;
        }
    }

    fn mark(&mut self, step: &Step, now: Timestamp) -> Option<Order> {
        self.changes += 1;
        if step.action == Action::Forget {
            self.instances.remove(&step.assignment);
            self.desired.forget(step.assignment);
            return None;
        }
        if let Action::Prepare { start } = step.action {
            return self.mark_prepare(step.assignment, start, step.action);
        }
        let instance = self.instances.get_mut(&step.assignment)?;
        let order = order(instance, step.action);
        instance.under_way = match step.action {
            Action::Arm => {
                instance.armed = true;
                Some(Work::Arming)
            }
            Action::Conclude => Some(Work::Concluding),
            Action::Clear => Some(Work::Clearing),
            Action::Stop => Some(Work::Stopping),
            _ => instance.under_way,
        };
        if step.action == Action::Stop {
            self.apply(step.assignment, InstanceEvent::StopRequested, now);
        }
        Some(order)
    }

    fn mark_prepare(&mut self, guid: AssignmentGuid, start: u32, action: Action) -> Option<Order> {
        let (assignment, spec) = self.desired.get(guid)?;
        let entry = self.instances.entry(guid);
        let instance =
            entry.or_insert_with(|| Instance::new(assignment.clone(), spec.clone(), start));
        instance.assignment = assignment.clone();
        instance.spec = spec.clone();
        if instance.start != start || instance.state != InstanceState::Preparing {
            instance.begin(start);
        }
        let order = order(instance, action);
        instance.under_way = Some(Work::Preparing);
        instance.remains = true;
        Some(order)
    }

    pub fn hear(&mut self, guid: AssignmentGuid, start: u32, news: News, around: &mut Around) {
        let Some(instance) = self.instances.get_mut(&guid) else {
            return;
        };
        let is_step = !matches!(
            news,
            News::Healthy | News::NeverHealthy | News::Ended { .. }
        );
        if is_step {
            instance.under_way = None;
        }
        if instance.start != start {
            return;
        }
        self.changes += 1;
        let now = self.watch.now();
        match news {
            News::Prepared(Ok(address)) => {
                instance.address = Some(address);
                self.apply(guid, InstanceEvent::Prepared, now);
            }
            News::Prepared(Err(detail)) | News::Armed(Err(detail)) => {
                let detail = detail.to_owned();
                match instance.failure(detail.clone()) {
                    Some(outcome) => conclude(instance, outcome, now),
                    None => self.crash(guid, CrashReason::StartFailed { detail }, around),
                }
            }
            News::Abandoned => {}
            News::Armed(Ok(())) => self.apply(guid, InstanceEvent::Launched, now),
            News::Healthy => self.healthy(guid, now, around),
            News::NeverHealthy => {
                if matches!(instance.state, InstanceState::Starting { .. }) {
                    let detail = "nobody answers".to_owned();
                    self.crash(
                        guid,
                        CrashReason::NeverHealthy { after_s: 0, detail },
                        around,
                    );
                }
            }
            News::Ended { status, lost } => self.ended(guid, status, lost, around),
            News::Concluded(outcome) => conclude(instance, outcome, now),
            News::Cleared => instance.remains = false,
            News::Stopped => {
                instance.remains = false;
                instance.address = None;
                self.apply(guid, InstanceEvent::Gone, now);
            }
        }
    }

    fn healthy(&mut self, guid: AssignmentGuid, now: Timestamp, around: &Around) {
        let Some(instance) = self.instances.get(&guid) else {
            return;
        };
        self.healthy_since
            .entry(instance.guid())
            .or_insert(around.now);
        if matches!(instance.state, InstanceState::Starting { .. }) {
            self.apply(guid, InstanceEvent::Healthy, now);
        }
    }

    fn ended(&mut self, guid: AssignmentGuid, status: i32, lost: bool, around: &mut Around) {
        use InstanceState as S;
        let Some(instance) = self.instances.get_mut(&guid) else {
            return;
        };
        if !matches!(
            instance.state,
            S::Ready | S::Starting { .. } | S::Running { .. }
        ) {
            return;
        }
        if instance.is_run_once() {
            instance.ended = true;
            return;
        }
        let reason = if lost {
            CrashReason::Lost
        } else {
            CrashReason::Exited { status }
        };
        self.crash(guid, reason, around);
    }

    fn crash(&mut self, guid: AssignmentGuid, reason: CrashReason, around: &mut Around) {
        let now = self.watch.now();
        let Some(instance) = self.instances.get_mut(&guid) else {
            return;
        };
        let ran = self
            .healthy_since
            .remove(&instance.guid())
            .map(|since| around.now - since);
        if around.has(Mutant::NoBackOff) {
            instance.crashes = instance.crashes.min(1);
        }
        let Ok(report) = instance.crash(reason, &self.rule, now) else {
            return;
        };
        self.crashes_seen += 1;
        self.crashes.push_back((self.crashes_seen, report.clone()));
        around.tell(Fact::Crashed {
            cell: self.cell,
            report: Box::new(report),
            ran,
        });
    }

    fn apply(&mut self, guid: AssignmentGuid, event: InstanceEvent, now: Timestamp) {
        if let Some(instance) = self.instances.get_mut(&guid) {
            // What may not happen does not; the agent logs it and goes on.
            let _illegal = instance.apply(event, now);
        }
    }

    pub fn follow(
        &mut self,
        frame: DesiredFrame,
        around: &mut Around,
    ) -> Result<Followed, Refused> {
        if around.has(Mutant::IgnoreTokens) && matches!(frame, DesiredFrame::Snapshot { .. }) {
            self.desired.token = None;
        }
        let token = frame.token();
        let followed = self.desired.follow(frame, &self.instances)?;
        if followed != Followed::Unchanged && self.desired.token == Some(token) {
            self.changes += 1;
            around.tell(Fact::CellFollowed {
                cell: self.cell,
                token,
            });
        }
        Ok(followed)
    }

    pub fn crashes_taken(&mut self, last: u64) {
        self.crashes.retain(|(number, _)| *number > last);
    }

    /// What the agent shows of itself.
    #[must_use]
    pub fn picture(&self, runtime_answers: bool, around: &Around) -> Picture {
        let now = self.watch.now();
        let reports = self.instances.values().map(|instance| {
            let mut report = instance.report(&self.rule, now);
            match report.state {
                InstanceState::Starting { since } if around.has(Mutant::TrustStarting) => {
                    report.state = InstanceState::Running { since, ready: true };
                }
                _ => {}
            }
            report
        });
        let says_gone = around.has(Mutant::ReportGoneEarly);
        Picture {
            changes: self.changes,
            applied: self.desired.token,
            reports: reports
                .filter(|it| !(says_gone && matches!(it.state, InstanceState::Stopping { .. })))
                .collect(),
            crashes: self.crashes.iter().cloned().collect(),
            draining: self.desired.draining,
            runtime_answers,
            ..Picture::default()
        }
    }
}

impl Order {
    #[must_use]
    pub fn name(&self) -> InstanceGuid {
        self.assignment.instance(self.start)
    }

    /// This start and the one before it.
    pub fn names(&self) -> impl Iterator<Item = InstanceGuid> {
        let (assignment, before) = (self.assignment, self.start.checked_sub(1));
        let starts = before.into_iter().chain([self.start]);
        starts.map(move |start| assignment.instance(start))
    }
}

/// Its agent was killed before or while it got its command. A task must not run twice; a process
/// begins anew under another name.
fn begin_again(instance: &mut Instance, now: Timestamp, around: &Around) {
    let detail = "the agent was restarted at the moment of its start".to_owned();
    match instance.failure(detail).filter(|_| instance.armed) {
        Some(outcome) if !around.has(Mutant::RestartTasks) => conclude(instance, outcome, now),
        _ => instance.begin(instance.start + u32::from(instance.armed)),
    }
}

fn conclude(instance: &mut Instance, outcome: Outcome, now: Timestamp) {
    // What may not happen does not; the agent logs it and goes on.
    let _illegal = instance.conclude(outcome, now);
}

fn order(instance: &Instance, action: Action) -> Order {
    let (process, timeout_s) = match &instance.spec.work {
        Purpose::Process {
            process, health, ..
        } => (*process, health.start_timeout_s),
        Purpose::Task { .. } | Purpose::Staging(_) => (ProcessGuid::NIL, 0),
    };
    Order {
        action,
        assignment: instance.assignment.guid,
        start: instance.start,
        address: instance.address,
        process,
        timeout_s,
        runs_once: instance.is_run_once(),
        failure: instance.failure("it exited with another status than 0".to_owned()),
    }
}
