//! Taking over from an earlier agent: nothing that runs is restarted or stopped.
//!
//! Three sources agree in the good case: the state file, the runtime's containers, and the slots.
//! A container that the state file does not know (it was damaged, or lost) is a stray: it runs on
//! until the controller names it, and is ended only after two snapshots that do not.

use std::collections::BTreeMap;

use cfx_protocol::id::InstanceGuid;
use cfx_protocol::instance::InstanceState;

use super::{Agent, Stray, order};
use crate::hooks::identify;
use crate::plan::Instance;
use crate::runtime::Container;

/// Snapshots that must not name a stray before it is ended.
const UNNAMED_MAX: u32 = 2;

/// What strays are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// The desired set of the state file, which may be old.
    ByMemory,
    ByFreshSnapshot,
}

/// What becomes of an instance whose agent has ended.
#[derive(Debug, PartialEq, Eq)]
enum Take {
    /// Watch it again; it may have ended.
    Over,
    /// Nothing runs.
    Nothing,
}

impl Agent {
    /// Take over what the state file remembers and the runtime holds.
    pub async fn adopt(&mut self, containers: Vec<Container>) {
        let now = self.clock.now();
        let mut containers: BTreeMap<InstanceGuid, Container> =
            containers.into_iter().map(|one| (one.name, one)).collect();
        let (mut running, mut ended) = (0, 0);
        // Before anybody new can get one: routers may still know whose they are.
        for instance in self.instances.values().filter(|one| one.address.is_some()) {
            self.executor.keep_address(order(instance)).await;
        }
        for instance in self.instances.values_mut() {
            let found = containers.remove(&instance.guid());
            if take(instance, now) == Take::Over {
                let runs = found.is_some_and(|container| container.pid.is_some());
                *(if runs { &mut running } else { &mut ended }) += 1;
                self.executor.adopt(order(instance), &instance.state).await;
            }
        }
        for container in containers.into_values() {
            self.note_stray(&container);
        }
        // Those that the remembered desired set names need not wait for the controller.
        self.judge_strays(Judge::ByMemory).await;
        self.touch_all();
        self.events.adopted(running, ended);
    }

    fn note_stray(&mut self, container: &Container) {
        let Some((assignment, start)) = identify(container) else {
            return;
        };
        // Of a known assignment only the present start counts; others are leftovers.
        if container.pid.is_some() && !self.instances.contains_key(&assignment.guid) {
            let stray = Stray {
                assignment,
                start,
                unnamed: 0,
            };
            self.strays.insert(container.name, stray);
        }
    }

    /// Strays that the desired set names become instances; by a fresh snapshot the others are
    /// counted against. Tells whether another snapshot is needed.
    pub(super) async fn judge_strays(&mut self, by: Judge) -> bool {
        let mut undecided = false;
        for (name, mut stray) in std::mem::take(&mut self.strays) {
            if let Some(instance) = self.instance_of(&stray) {
                if instance.armed {
                    self.executor.adopt(order(&instance), &instance.state).await;
                }
                self.touch(instance.assignment.guid);
                self.instances.insert(instance.assignment.guid, instance);
                continue;
            }
            stray.unnamed += u32::from(by == Judge::ByFreshSnapshot);
            if stray.unnamed < UNNAMED_MAX {
                undecided = true;
                self.strays.insert(name, stray);
            }
            // Else it is nobody's now, and the next sweep ends it.
        }
        undecided
    }

    /// The instance that a stray is, if its assignment is wanted.
    fn instance_of(&self, stray: &Stray) -> Option<Instance> {
        let (wanted, spec) = self.desired.get(stray.assignment.guid)?;
        let mut instance = Instance::new(wanted.clone(), spec.clone(), stray.start);
        instance.remains = true;
        if *wanted == stray.assignment {
            instance.state = InstanceState::Starting {
                since: self.clock.now(),
            };
            instance.armed = true;
        } else {
            // It runs something older: the next start clears it away.
            instance.begin(stray.start + 1);
        }
        Some(instance)
    }
}

fn take(instance: &mut Instance, now: jiff::Timestamp) -> Take {
    use InstanceState as S;
    match instance.state {
        S::Starting { .. } | S::Running { .. } => Take::Over,
        S::Stopping { .. } if instance.armed => Take::Over,
        // Whether its command went out is not known. A task must not run twice, and a process
        // begins anew under another name.
        S::Preparing | S::Ready if instance.armed => {
            let detail = "The cell's agent was restarted at the moment of its start".to_owned();
            match instance.failure(detail) {
                Some(outcome) => instance.conclude(outcome, now).unwrap_or_default(),
                None => instance.begin(instance.start + 1),
            }
            instance.remains = true;
            Take::Nothing
        }
        S::Preparing | S::Ready => {
            instance.begin(instance.start);
            instance.remains = true;
            Take::Nothing
        }
        S::Stopping { .. } | S::Crashed { .. } | S::Gone => Take::Nothing,
    }
}
