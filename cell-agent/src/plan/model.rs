//! The plan under whatever may happen: a cell whose steps take time, fail and crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cfx_protocol::actual::Outcome;
use cfx_protocol::desired::Assignment;
use cfx_protocol::id::{AssignmentGuid, TaskGuid};
use cfx_protocol::instance::{CrashReason, InstanceEvent, InstanceState};
use jiff::Timestamp;
use proptest::prelude::*;

use super::tests::{assignment, delta, guid, now, snapshot};
use super::*;

/// A cell whose steps take time, fail and crash as a list of dice says.
#[derive(Default)]
struct World {
    desired: Desired,
    actual: BTreeMap<AssignmentGuid, Instance>,
    revision: u64,
    now: Timestamp,
    under_way: Vec<(AssignmentGuid, Action)>,
    armed: BTreeMap<(AssignmentGuid, u32), u32>,
    stopped_wanted: Vec<AssignmentGuid>,
    /// As the agent notes them: what to plan for next.
    touched: BTreeSet<AssignmentGuid>,
    waits: BTreeSet<(Timestamp, AssignmentGuid)>,
    /// A controller never assigns a guid again.
    forgotten: Vec<AssignmentGuid>,
}

impl World {
    fn follow(&mut self, upsert: Vec<Assignment>, remove: Vec<AssignmentGuid>) {
        self.revision += 1;
        self.touched.extend(upsert.iter().map(|one| one.guid));
        self.touched.extend(&remove);
        if self.revision == 1 {
            self.desired
                .follow(snapshot(1, upsert), &self.actual)
                .expect("followed");
        } else {
            let frame = delta(self.revision, upsert, remove);
            self.desired.follow(frame, &self.actual).expect("followed");
        }
    }

    /// Planning for what was touched, as the agent does, must miss nothing.
    fn plan_of_touched(&mut self) -> Plan {
        let mut touched = std::mem::take(&mut self.touched);
        while let Some((due, guid)) = self.waits.first().copied()
            && due <= self.now
        {
            self.waits.pop_first();
            touched.insert(guid);
        }
        let planned = plan_of(
            touched.iter().copied(),
            &self.desired,
            &self.actual,
            self.now,
        );
        let everything = plan(&self.desired, &self.actual, self.now);
        for step in &everything.steps {
            assert!(planned.steps.contains(step), "missed: {step:?}");
        }
        assert_eq!(planned.steps.len(), everything.steps.len());
        self.waits.extend(&planned.waits);
        planned
    }

    /// What the agent does with a plan, without any I/O.
    fn take_plan(&mut self) {
        for Step {
            assignment, action, ..
        } in self.plan_of_touched().steps
        {
            self.touched.insert(assignment);
            if let Action::Prepare { start } = action {
                let (wanted, spec) = self.desired.get(assignment).expect("wanted");
                let fresh = Instance::new(wanted.clone(), spec.clone(), start);
                let one = self.actual.entry(assignment).or_insert(fresh);
                assert!(start >= one.start, "a start was repeated");
                one.assignment = wanted.clone();
                one.begin(start);
                one.remains = true;
            }
            let now = self.now;
            let wish = self
                .actual
                .get(&assignment)
                .map(|one| self.desired.wish(&one.assignment));
            let Some(one) = self.actual.get_mut(&assignment) else {
                continue;
            };
            one.under_way = match action {
                Action::Prepare { .. } => Some(Work::Preparing),
                Action::Arm => {
                    *self.armed.entry((assignment, one.start)).or_default() += 1;
                    Some(Work::Arming)
                }
                Action::Conclude => Some(Work::Concluding),
                Action::Clear => Some(Work::Clearing),
                Action::Stop => {
                    let lives = matches!(
                        one.state,
                        InstanceState::Starting { .. } | InstanceState::Running { .. }
                    );
                    if lives && wish == Some(Wish::Wanted) {
                        self.stopped_wanted.push(assignment);
                    }
                    one.apply(InstanceEvent::StopRequested, now).expect("legal");
                    Some(Work::Stopping)
                }
                Action::Abandon => {
                    self.under_way.retain(|(guid, _)| *guid != assignment);
                    one.under_way = None;
                    continue;
                }
                Action::Forget => {
                    self.actual.remove(&assignment);
                    self.forgotten.push(assignment);
                    self.desired.forget(assignment);
                    continue;
                }
            };
            self.under_way.push((assignment, action));
        }
    }

    /// One step ends, well or not.
    fn end_step(&mut self, die: u8, well: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let (guid, action) = self
            .under_way
            .remove(usize::from(die) % self.under_way.len());
        self.touched.insert(guid);
        let (now, rule) = (self.now, BackOff::default());
        let one = self.actual.get_mut(&guid).expect("its step is under way");
        one.under_way = None;
        let failed = |one: &mut Instance| match one.failure("it failed".into()) {
            Some(outcome) => one.conclude(outcome, now).expect("legal"),
            None => drop(one.crash(CrashReason::Lost, &rule, now).expect("legal")),
        };
        match action {
            Action::Prepare { .. } if well => {
                one.apply(InstanceEvent::Prepared, now).expect("legal")
            }
            Action::Arm if well => {
                one.apply(InstanceEvent::Launched, now).expect("legal");
                one.apply(InstanceEvent::Healthy, now).expect("legal");
            }
            Action::Prepare { .. } | Action::Arm => failed(one),
            Action::Conclude => {
                let outcome = Outcome::Task {
                    task: TaskGuid::NIL,
                    failure: None,
                };
                one.conclude(outcome, now).expect("legal");
            }
            Action::Clear => one.remains = false,
            Action::Stop => one.stopped(now).expect("legal"),
            Action::Abandon | Action::Forget => {}
        }
    }

    /// Something that runs ends by itself.
    fn crash(&mut self, die: u8) {
        let (now, rule) = (self.now, BackOff::default());
        let alive = self.actual.values_mut().filter(|one| {
            matches!(one.state, InstanceState::Running { .. }) && one.under_way.is_none()
        });
        let mut alive: Vec<_> = alive.collect();
        if alive.is_empty() {
            return;
        }
        let victim = usize::from(die) % alive.len();
        let one = &mut alive[victim];
        self.touched.insert(one.assignment.guid);
        if one.is_run_once() {
            one.ended = true;
        } else {
            one.crash(CrashReason::Lost, &rule, now).expect("legal");
        }
    }

    fn act(&mut self, kind: u8, die: u8) {
        let number = u128::from(die % 4) + 1;
        let spec = if number == 4 {
            "task"
        } else {
            ["web", "new"][usize::from(die / 4 % 2)]
        };
        match kind % 8 {
            0 if self.forgotten.contains(&guid(number)) => {}
            0 => self.follow(vec![assignment(number, spec)], vec![]),
            1 => self.follow(vec![], vec![guid(number)]),
            2 => self.crash(die),
            3 => self.now += Duration::from_secs(u64::from(die)),
            4 => self.end_step(die, false),
            _ => self.end_step(die, true),
        }
        self.take_plan();
    }

    /// Nothing fails any more: the cell must come to rest, as desired.
    fn settle(&mut self) {
        for _ in 0..500 {
            self.take_plan();
            self.end_step(0, true);
            if self.under_way.is_empty() {
                let next = plan(&self.desired, &self.actual, self.now);
                match next.wake_at() {
                    Some(due) if next.steps.is_empty() => self.now = due,
                    None if next.steps.is_empty() => return,
                    _ => {}
                }
            }
        }
        panic!("it does not come to rest: {:?}", self.actual);
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_cell_comes_to_what_is_desired(acts in prop::collection::vec((0_u8..8, any::<u8>()), 0..120)) {
        let mut world = World { now: now(), ..World::default() };
        for (kind, die) in acts {
            world.act(kind, die);
        }
        world.settle();
        prop_assert!(world.stopped_wanted.is_empty(), "stopped what was wanted");
        let once = world.armed.values().all(|times| *times == 1);
        prop_assert!(once, "a start was armed twice");
        let task_starts = world.armed.keys().filter(|(guid, _)| *guid == self::guid(4)).count();
        prop_assert!(task_starts <= 1, "a task ran twice");
        for (guid, wanted) in &world.desired.assignments {
            let one = world.actual.get(guid).expect("something of it is there");
            prop_assert_eq!(&one.assignment, wanted);
            let rests = match one.state {
                InstanceState::Running { .. } => true,
                InstanceState::Crashed { next_retry_at, .. } => next_retry_at.is_none(),
                InstanceState::Gone => one.outcome.is_some(),
                _ => false,
            };
            prop_assert!(rests, "{:?}", one.state);
        }
        let extra = world.actual.keys().find(|guid| !world.desired.assignments.contains_key(guid));
        prop_assert_eq!(extra, None, "something is there that nobody wants");
    }
}
