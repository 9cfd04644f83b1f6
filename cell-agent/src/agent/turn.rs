//! One turn of the agent's loop: plan, note, save, show, begin; each for what was touched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::AssignmentGuid;
use jiff::Timestamp;

use super::Agent;
use super::picture::{Picture, is_urgent};
use super::touched::Touched;
use crate::plan::{Action, Plan, halt, plan_of};
use crate::state_file::{Changes, Entry, Facts};

/// Longest sleep of the loop, so that a jump of the wall clock is noticed soon.
const SLEEP_MAX: Duration = Duration::from_millis(250);
/// Between two looks at everything, which find nothing unless there is a bug.
const LOOK_AT_ALL: Duration = Duration::from_secs(60);
/// Pause before the next attempt when the state could not be saved.
const SAVE_RETRY: Duration = Duration::from_secs(1);

impl Agent {
    /// One turn of the loop; tells how long to sleep if nothing happens.
    pub(super) async fn turn(&mut self) -> Duration {
        let now = self.clock.now();
        self.notice_jump(now);
        self.touch_what_is_due(now);
        self.look_at_all_if_due(now);
        let guids = self.touched_guids();
        let Plan { steps, waits } = self.plan(&guids, now);
        self.waits.extend(waits);
        let orders: Vec<_> = steps.iter().filter_map(|step| self.mark(step)).collect();
        let touched = std::mem::take(&mut self.touched);
        let saved = self.save(&touched, &guids).await;
        self.show(&guids);
        if !saved {
            // Nothing is begun that would not be remembered.
            for (_, order) in &orders {
                if let Some(instance) = self.instances.get_mut(&order.assignment.guid) {
                    instance.under_way = None;
                }
            }
            self.touched.add(touched);
            return SAVE_RETRY;
        }
        for (action, order) in orders {
            self.executor.begin(action, order);
        }
        let next = self.waits.first();
        let until = next.map(|(due, _)| due.duration_since(now).unsigned_abs());
        until.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    fn plan(&self, guids: &BTreeSet<AssignmentGuid>, now: Timestamp) -> Plan {
        if self.halting {
            return halt(guids.iter().filter_map(|guid| self.instances.get(guid)));
        }
        plan_of(guids.iter().copied(), &self.desired, &self.instances, now)
    }

    /// Everything that was touched, by name.
    fn touched_guids(&self) -> BTreeSet<AssignmentGuid> {
        let mut guids = self.touched.guids().clone();
        if self.touched.is_all() {
            guids.extend(self.instances.keys().chain(self.desired.assignments.keys()));
            guids.extend(self.shown.reports.iter().map(|report| report.assignment));
        }
        guids
    }

    fn touch_what_is_due(&mut self, now: Timestamp) {
        while let Some((due, guid)) = self.waits.first().copied()
            && due <= now
        {
            self.waits.pop_first();
            self.touched.insert(guid);
        }
    }

    /// The net under the rest: whatever has a step and was not touched was forgotten by a bug.
    fn look_at_all_if_due(&mut self, now: Timestamp) {
        let monotonic = self.clock.monotonic();
        if monotonic.saturating_sub(self.looked_at_all) < LOOK_AT_ALL {
            return;
        }
        self.looked_at_all = monotonic;
        let all: BTreeSet<_> = self.instances.keys().copied().collect();
        let all = &(&all | &self.desired.assignments.keys().copied().collect());
        for step in self.plan(&(all - self.touched.guids()), now).steps {
            // Giving something up is asked for until it is done.
            if !self.touched.is_all() && step.action != Action::Abandon {
                self.events.step_was_missed(step.assignment, step.reason);
            }
            self.touched.insert(step.assignment);
        }
    }

    /// Write what was touched; false when that failed.
    async fn save(&mut self, touched: &Touched, guids: &BTreeSet<AssignmentGuid>) -> bool {
        let changes = self.unsaved(touched.is_all(), guids);
        if changes.entries.is_empty() && !changes.whole && changes.token == self.saved_token {
            return true;
        }
        let (token, state) = (changes.token, self.state.clone());
        let write = move || state.lock().save(changes);
        let written = match tokio::task::spawn_blocking(write).await {
            Ok(written) => written.map_err(|error| crate::hooks::told(&error)),
            Err(error) => Err(error.to_string()),
        };
        match &written {
            Ok(()) => self.saved_token = token,
            Err(error) => self.events.state_not_saved(error),
        }
        written.is_ok()
    }

    fn unsaved(&self, whole: bool, guids: &BTreeSet<AssignmentGuid>) -> Changes {
        let mut changes = Changes {
            token: self.desired.token,
            whole,
            ..Changes::default()
        };
        for guid in guids {
            let (wanted, instance) = (self.desired.get(*guid), self.instances.get(guid));
            let named = wanted
                .into_iter()
                .chain(instance.map(|one| (&one.assignment, &one.spec)));
            for (assignment, spec) in named {
                if !changes.specs.contains_key(&assignment.spec) {
                    changes.specs.insert(assignment.spec.clone(), spec.clone());
                }
            }
            changes.entries.push(Entry {
                guid: *guid,
                wanted: self.desired.assignments.get(guid).cloned(),
                facts: instance.map(Facts::from),
            });
        }
        changes
    }

    fn show(&mut self, guids: &BTreeSet<AssignmentGuid>) {
        let now = self.clock.now();
        for guid in guids {
            let report = self
                .instances
                .get(guid)
                .map(|one| one.report(&self.rule, now));
            let reports = &mut self.shown.reports;
            let before = match &report {
                Some(report) => reports.insert(report.clone()),
                None => reports.remove(*guid),
            };
            self.urgent += u64::from(is_urgent(before.as_deref(), report.as_ref()));
        }
        let picture = Picture::of(self);
        self.events.counted(
            picture.reports.len(),
            picture.reports.running(),
            picture.cpu_cores,
        );
        // Nobody looks once the reporter has stopped.
        drop(self.picture.send(Arc::new(picture)));
    }
}
