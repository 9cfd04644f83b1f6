//! What the news of the executor mean for an instance, and what its user reads about them.

use cfx_protocol::desired::Work as Purpose;
use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::{CrashReason, Illegal, InstanceEvent, InstanceState};

use super::{Agent, order};
use crate::execute::{Exit, News, Told};
use crate::health::Finding;

impl Agent {
    pub(super) fn hear(&mut self, told: Told) {
        let Told {
            assignment,
            start,
            news,
        } = told;
        let Some(instance) = self.instances.get_mut(&assignment) else {
            return;
        };
        if !matches!(news, News::Found(_) | News::Ended(_)) {
            // The one step that was under way is over.
            instance.under_way = None;
        }
        let is_current = instance.start == start;
        self.touch(assignment);
        if is_current {
            self.hear_of_current(assignment, news);
        }
    }

    fn hear_of_current(&mut self, guid: AssignmentGuid, news: News) {
        let now = self.clock.now();
        match news {
            News::Prepared(Ok(address)) => {
                if let Some(instance) = self.instances.get_mut(&guid) {
                    instance.address = Some(address);
                    self.events.start_step(&instance.assignment, "prepared");
                }
                self.apply(guid, InstanceEvent::Prepared, now);
            }
            News::Prepared(Err(detail)) | News::Armed(Err(detail)) => {
                self.start_failed(guid, detail)
            }
            News::Abandoned => {}
            News::Armed(Ok(())) => {
                if let Some(instance) = self.instances.get(&guid) {
                    self.events.start_step(&instance.assignment, "armed");
                }
                self.apply(guid, InstanceEvent::Launched, now);
            }
            News::Found(finding) => self.found(guid, finding),
            News::Ended(exit) => self.ended(guid, exit),
            News::Concluded(outcome) => {
                let concluded = self
                    .instances
                    .get_mut(&guid)
                    .map(|one| one.conclude(outcome, now));
                self.illegal_if(concluded);
            }
            News::Cleared => {
                if let Some(instance) = self.instances.get_mut(&guid) {
                    instance.remains = false;
                }
            }
            News::Stopped => {
                let stopped = self.instances.get_mut(&guid).map(|one| one.stopped(now));
                self.illegal_if(stopped);
            }
        }
    }

    fn illegal_if(&self, done: Option<Result<(), Box<Illegal>>>) {
        if let Some(Err(illegal)) = done {
            self.events.illegal(&illegal);
        }
    }

    fn found(&mut self, guid: AssignmentGuid, finding: Finding) {
        let now = self.clock.now();
        let Some(instance) = self.instances.get(&guid) else {
            return;
        };
        let voice = self.executor.voice(&order(instance));
        let is_process = !instance.is_run_once();
        match (finding, &instance.state) {
            (Finding::Healthy { ready }, InstanceState::Starting { .. }) => {
                if is_process {
                    voice.cell("Container became healthy");
                }
                self.events.start_step(&instance.assignment, "healthy");
                self.apply(guid, InstanceEvent::Healthy, now);
                if !ready {
                    self.apply(guid, InstanceEvent::ReadinessChanged { ready }, now);
                }
            }
            (Finding::ReadinessChanged { ready }, InstanceState::Running { .. }) => {
                let not = if ready { "" } else { "not " };
                voice.cell(&format!("Container became {not}ready"));
                self.apply(guid, InstanceEvent::ReadinessChanged { ready }, now);
            }
            (Finding::NeverHealthy { after_s, detail }, InstanceState::Starting { .. }) => {
                voice.health(&format!(
                    "Instance never healthy after {after_s}s: {detail}"
                ));
                self.crash(guid, CrashReason::NeverHealthy { after_s, detail });
            }
            (Finding::Unhealthy { detail }, InstanceState::Running { .. }) => {
                voice.health(&detail);
                voice.cell("Container became unhealthy");
                self.crash(guid, CrashReason::Unhealthy { detail });
            }
            // It is being stopped, or has crashed: nobody asks any more.
            _ => {}
        }
    }

    fn ended(&mut self, guid: AssignmentGuid, exit: Exit) {
        let Some(instance) = self.instances.get_mut(&guid) else {
            return;
        };
        let runs = matches!(
            instance.state,
            InstanceState::Ready | InstanceState::Starting { .. } | InstanceState::Running { .. }
        );
        if !runs {
            return;
        }
        let voice = self.executor.voice(&order(instance));
        let memory = if exit.out_of_memory {
            " (out of memory)"
        } else {
            ""
        };
        if !exit.lost {
            voice.aside(&format!("Exit status {}{memory}", exit.status));
        }
        if instance.is_run_once() {
            instance.ended = true;
            return;
        }
        if let Purpose::Process { process_type, .. } = &instance.spec.work {
            voice.aside(&format!(
                "Process has crashed with type: \"{process_type}\""
            ));
        }
        let limit_mb = instance.spec.limits.memory_mb;
        self.crash(guid, reason(exit, limit_mb));
    }

    fn start_failed(&mut self, guid: AssignmentGuid, detail: String) {
        let now = self.clock.now();
        let Some(instance) = self.instances.get_mut(&guid) else {
            return;
        };
        let order = order(instance);
        self.events.start_failed(order.name(), &detail);
        let voice = self.executor.voice(&order);
        let cell = &self.cell_name;
        voice.cell(&format!(
            "Cell {cell} failed to create container for instance {}: {detail}",
            order.name()
        ));
        match instance.failure(detail.clone()) {
            Some(outcome) => {
                let concluded = instance.conclude(outcome, now);
                self.illegal_if(Some(concluded));
            }
            None => self.crash(guid, CrashReason::StartFailed { detail }),
        }
    }

    pub(super) fn crash(&mut self, guid: AssignmentGuid, reason: CrashReason) {
        let now = self.clock.now();
        let Some(instance) = self.instances.get_mut(&guid) else {
            return;
        };
        let name = instance.guid();
        match instance.crash(reason, &self.rule, now) {
            Ok(report) => {
                self.events.crashed(name, &report.reason, report.crashes);
                self.keep_crash(report);
            }
            Err(illegal) => self.events.illegal(&illegal),
        }
    }
}

fn reason(exit: Exit, limit_mb: u32) -> CrashReason {
    if exit.lost {
        CrashReason::Lost
    } else if exit.out_of_memory {
        CrashReason::OutOfMemory { limit_mb }
    } else {
        CrashReason::Exited {
            status: exit.status,
        }
    }
}
