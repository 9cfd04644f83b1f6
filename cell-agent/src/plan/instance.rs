//! One assignment as it stands on this cell, and what may happen to it.

use std::sync::Arc;

use cfx_protocol::actual::{Address, CrashReport, InstanceReport, Outcome, StagingFailure, Usage};
use cfx_protocol::desired::{Assignment, InstanceSpec, Work as Purpose};
use cfx_protocol::id::{InstanceGuid, ProcessGuid};
use cfx_protocol::instance::{CrashReason, Illegal, InstanceEvent, InstanceState};
use jiff::{SignedDuration, Timestamp};

use super::back_off::BackOff;

/// What is being done about an instance at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Preparing,
    Arming,
    Concluding,
    Stopping,
    Clearing,
}

#[derive(Debug, Clone)]
pub struct Instance {
    pub assignment: Assignment,
    /// What the present start runs; it may be older than what is desired.
    pub spec: Arc<InstanceSpec>,
    /// Number of the present start.
    pub start: u32,
    pub state: InstanceState,
    /// Crashes in a row.
    pub crashes: u32,
    /// Something of this or an earlier start may be on the machine.
    pub remains: bool,
    pub under_way: Option<Work>,
    /// The present start may have got its command.
    pub armed: bool,
    /// The process of a run-once work has ended; its outcome is not known yet.
    pub ended: bool,
    pub address: Option<Address>,
    pub usage: Option<Usage>,
    pub outcome: Option<Outcome>,
}

impl Instance {
    #[must_use]
    pub fn new(assignment: Assignment, spec: Arc<InstanceSpec>, start: u32) -> Self {
        Self {
            assignment,
            spec,
            start,
            state: InstanceState::Preparing,
            crashes: 0,
            remains: false,
            under_way: None,
            armed: false,
            ended: false,
            address: None,
            usage: None,
            outcome: None,
        }
    }

    #[must_use]
    pub fn guid(&self) -> InstanceGuid {
        self.assignment.guid.instance(self.start)
    }

    /// Runs once: a task or a staging.
    #[must_use]
    pub fn is_run_once(&self) -> bool {
        !matches!(self.spec.work, Purpose::Process { .. })
    }

    pub fn apply(&mut self, event: InstanceEvent, now: Timestamp) -> Result<(), Box<Illegal>> {
        self.state = self.state.apply(event, now).map_err(Box::new)?;
        Ok(())
    }

    /// Counts a crash and settles when the next start is due. A start that is due at once is not
    /// shown as a crash: the instance goes straight back to preparing.
    pub fn crash(
        &mut self,
        reason: CrashReason,
        rule: &BackOff,
        now: Timestamp,
    ) -> Result<CrashReport, Box<Illegal>> {
        let instance = self.guid();
        let crashes = rule
            .crashes(self.crashes, self.running_since(), now)
            .saturating_add(1);
        let next_retry_at = rule.retry_at(crashes, now);
        self.apply(
            InstanceEvent::Crashed {
                reason: reason.clone(),
                next_retry_at,
            },
            now,
        )?;
        self.crashes = crashes;
        self.remains = true;
        self.usage = None;
        if next_retry_at == Some(now) {
            self.apply(InstanceEvent::RetryDue, now)?;
            self.begin(self.start + 1);
        }
        Ok(CrashReport {
            assignment: self.assignment.guid,
            instance,
            process: self.process(),
            index: self.assignment.index,
            at: now,
            reason,
            crashes,
            next_retry_at,
        })
    }

    /// Begins start number `start`, from whatever ended state it is in.
    pub fn begin(&mut self, start: u32) {
        self.start = start;
        self.state = InstanceState::Preparing;
        self.armed = false;
        self.ended = false;
        self.usage = None;
    }

    /// A run-once work is over; what is left of it is cleared away next.
    pub fn conclude(&mut self, outcome: Outcome, now: Timestamp) -> Result<(), Box<Illegal>> {
        self.outcome = Some(outcome);
        self.apply(InstanceEvent::StopRequested, now)
    }

    /// Nothing of it is left. A run-once work that was stopped on the way has failed, so that it is
    /// not run a second time should it be wanted after all.
    pub fn stopped(&mut self, now: Timestamp) -> Result<(), Box<Illegal>> {
        self.remains = false;
        self.address = None;
        self.usage = None;
        if self.outcome.is_none() {
            self.outcome = self.failure("It was stopped".to_owned());
        }
        self.apply(InstanceEvent::Gone, now)
    }

    /// How a run-once work that never came to its end is told; none for a process.
    #[must_use]
    pub fn failure(&self, detail: String) -> Option<Outcome> {
        match &self.spec.work {
            Purpose::Process { .. } => None,
            Purpose::Task { task, .. } => Some(Outcome::Task {
                task: *task,
                failure: Some(detail),
            }),
            Purpose::Staging(work) => Some(Outcome::Staging {
                build: work.build,
                result: Err(StagingFailure {
                    id: "StagingError".to_owned(),
                    message: detail,
                }),
            }),
        }
    }

    /// The wall clock was set by so much: what was waited for before is waited for as long after.
    pub fn shift_times(&mut self, by: SignedDuration) {
        let shift = |time: &mut Timestamp| *time = time.saturating_add(by).unwrap_or(*time);
        match &mut self.state {
            InstanceState::Starting { since }
            | InstanceState::Running { since, .. }
            | InstanceState::Stopping { since } => shift(since),
            InstanceState::Crashed {
                since,
                next_retry_at,
                ..
            } => {
                shift(since);
                next_retry_at.iter_mut().for_each(shift);
            }
            InstanceState::Preparing | InstanceState::Ready | InstanceState::Gone => {}
        }
    }

    #[must_use]
    pub fn report(&self, rule: &BackOff, now: Timestamp) -> InstanceReport {
        InstanceReport {
            assignment: self.assignment.guid,
            instance: self.guid(),
            starts: self.start,
            state: self.state.clone(),
            crashes: rule.crashes(self.crashes, self.running_since(), now),
            address: self.address,
            usage: self.usage,
            outcome: self.outcome.clone(),
        }
    }

    #[must_use]
    pub fn running_since(&self) -> Option<Timestamp> {
        match self.state {
            InstanceState::Running { since, .. } => Some(since),
            _ => None,
        }
    }

    fn process(&self) -> ProcessGuid {
        match &self.spec.work {
            Purpose::Process { process, .. } => *process,
            Purpose::Task { .. } | Purpose::Staging(_) => ProcessGuid::NIL,
        }
    }
}
