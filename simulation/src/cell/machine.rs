//! A cell's machine: containers, their apps and their addresses. It outlives the agent; a loss of
//! the host ends everything on it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cfx_cell_agent::network::AddressPool;
use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid, ProcessGuid};

use super::CellEvent;
use super::agent::Order;
use crate::around::Around;
use crate::mutant::Mutant;
use crate::scenario::AppShape;
use crate::trace::Fact;
use crate::world::Event;

/// How long a freed address rests: the agent's own constant.
const ADDRESS_REST: Duration = Duration::from_secs(30);
const PORT: u16 = 8_080;

/// One start of one assignment.
#[derive(Debug, Clone)]
pub struct Container {
    pub assignment: AssignmentGuid,
    pub start: u32,
    pub address: Address,
    pub phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The launcher waits for its command.
    Waiting,
    Booting,
    Listening,
    /// It was asked to end.
    Leaving,
    Ended {
        status: i32,
    },
}

/// What the app itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEvent {
    Boots,
    /// It ends where it should not.
    Crashes,
    Exits(i32),
}

#[derive(Debug)]
pub struct Machine {
    cell: usize,
    pub containers: BTreeMap<InstanceGuid, Container>,
    apps: BTreeMap<ProcessGuid, AppShape>,
    pool: AddressPool,
    leases: BTreeMap<AssignmentGuid, Address>,
}

impl Machine {
    #[must_use]
    pub fn new(cell: usize, apps: BTreeMap<ProcessGuid, AppShape>) -> Self {
        Self {
            cell,
            containers: BTreeMap::new(),
            apps,
            pool: pool(cell),
            leases: BTreeMap::new(),
        }
    }

    /// A new agent knows no leases; it takes over those of what runs.
    pub fn forget_leases(&mut self) {
        self.pool = pool(self.cell);
        self.leases.clear();
    }

    pub fn lose_everything(&mut self, around: &mut Around) {
        for guid in self.containers.keys().copied().collect::<Vec<_>>() {
            self.remove(guid, around);
        }
        self.forget_leases();
    }

    pub fn lease(
        &mut self,
        guid: AssignmentGuid,
        known: Option<Address>,
        around: &Around,
    ) -> Option<Address> {
        if let Some(address) = self.leases.get(&guid) {
            return Some(*address);
        }
        let ip = match known.map(|address| address.internal_ip) {
            Some(IpAddr::V4(ip)) if self.pool.claim(ip) => ip,
            _ if around.has(Mutant::ReuseAddresses) => self.lowest_free()?,
            _ => self.pool.lease(around.now)?,
        };
        let address = Address {
            host: ip.into(),
            port: PORT,
            internal_ip: ip.into(),
        };
        self.leases.insert(guid, address);
        Some(address)
    }

    /// Planted bug: an address is free as soon as no container has it, and the most used is first.
    fn lowest_free(&mut self) -> Option<Ipv4Addr> {
        let present = self.containers.values();
        let taken: Vec<_> = present.map(|it| it.address.internal_ip).collect();
        let number = u8::try_from(self.cell).unwrap_or_default();
        let all = (2..255).map(|low| Ipv4Addr::new(100, 64, number, low));
        all.into_iter().find(|ip| !taken.contains(&IpAddr::V4(*ip)))
    }

    pub fn free(&mut self, guid: AssignmentGuid, around: &Around) {
        if let Some(IpAddr::V4(ip)) = self.leases.remove(&guid).map(|lease| lease.internal_ip) {
            self.pool.release(ip, around.now);
        }
    }

    pub fn make(
        &mut self,
        assignment: AssignmentGuid,
        start: u32,
        address: Address,
        around: &mut Around,
    ) {
        let container = Container {
            assignment,
            start,
            address,
            phase: Phase::Waiting,
        };
        self.containers
            .insert(assignment.instance(start), container);
        around.tell(Fact::Made {
            cell: self.cell,
            assignment,
            start,
        });
    }

    /// Give the app its command. False: its container is gone.
    pub fn arm(&mut self, order: &Order, around: &mut Around) -> bool {
        let (cell, guid) = (self.cell, order.name());
        let Some(container) = self.containers.get_mut(&guid) else {
            return false;
        };
        container.phase = Phase::Booting;
        let (assignment, start) = (container.assignment, container.start);
        around.tell(Fact::Armed {
            cell,
            assignment,
            start,
        });
        let script = match self.apps.get(&order.process) {
            Some(app) => script_of(app, around),
            None => {
                let status = i32::from(around.dice.chance(30));
                vec![(around.dice.ms(1, 6_000), AppEvent::Exits(status))]
            }
        };
        for (after, event) in script {
            around.after(
                after,
                Event::Cell(
                    cell,
                    CellEvent::App {
                        instance: guid,
                        event,
                    },
                ),
            );
        }
        true
    }

    /// The app does something by itself. True: the agent, if there is one, takes notice.
    pub fn app_does(&mut self, guid: InstanceGuid, event: AppEvent, around: &mut Around) -> bool {
        let calm = !around.temper.apps_misbehave;
        let Some(container) = self.containers.get_mut(&guid) else {
            return false;
        };
        match (event, container.phase) {
            (AppEvent::Boots, Phase::Booting) => self.set(guid, Phase::Listening, around),
            // What was going to crash thinks better of it once the faults have stopped.
            (AppEvent::Crashes, _) if calm => return false,
            (AppEvent::Crashes, Phase::Booting | Phase::Listening) => {
                self.set(guid, Phase::Ended { status: 1 }, around);
            }
            (AppEvent::Exits(status), Phase::Booting | Phase::Listening | Phase::Leaving) => {
                self.set(guid, Phase::Ended { status }, around);
            }
            _ => return false,
        }
        true
    }

    /// TERM: answers how long the app takes, at most until KILL.
    pub fn terminate(
        &mut self,
        guid: InstanceGuid,
        farewell: Duration,
        around: &mut Around,
    ) -> bool {
        let runs = self
            .phase(guid)
            .is_some_and(|phase| matches!(phase, Phase::Booting | Phase::Listening));
        if runs {
            self.set(guid, Phase::Leaving, around);
            let event = CellEvent::App {
                instance: guid,
                event: AppEvent::Exits(0),
            };
            around.after(farewell, Event::Cell(self.cell, event));
        }
        runs
    }

    pub fn remove(&mut self, guid: InstanceGuid, around: &mut Around) {
        if self.containers.contains_key(&guid) {
            self.set(guid, Phase::Ended { status: 137 }, around);
            self.containers.remove(&guid);
        }
    }

    #[must_use]
    pub fn phase(&self, guid: InstanceGuid) -> Option<Phase> {
        self.containers.get(&guid).map(|container| container.phase)
    }

    /// Who answers at an address.
    #[must_use]
    pub fn who_listens(&self, ip: IpAddr) -> Option<&Container> {
        let mut here = self
            .containers
            .values()
            .filter(|it| it.address.internal_ip == ip);
        here.find(|it| it.phase == Phase::Listening)
    }

    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    fn set(&mut self, guid: InstanceGuid, phase: Phase, around: &mut Around) {
        let Some(container) = self.containers.get_mut(&guid) else {
            return;
        };
        let before = std::mem::replace(&mut container.phase, phase);
        let (assignment, listening) = (container.assignment, phase == Phase::Listening);
        if listening != (before == Phase::Listening) {
            around.tell(Fact::Listening {
                cell: self.cell,
                assignment,
                listening,
            });
        }
    }
}

/// What one start of an app does, and when.
fn script_of(app: &AppShape, around: &mut Around) -> Vec<(Duration, AppEvent)> {
    let misbehaves = around.temper.apps_misbehave;
    let mut script = Vec::new();
    if !(misbehaves && around.dice.chance(app.mute_percent)) {
        script.push((
            around.dice.ms(app.boot_ms.0, app.boot_ms.1),
            AppEvent::Boots,
        ));
    }
    if misbehaves && around.dice.chance(app.crash_percent) {
        script.push((around.dice.ms(0, 15_000), AppEvent::Crashes));
    }
    script
}

fn pool(cell: usize) -> AddressPool {
    let range = format!("100.64.{cell}.0/24");
    AddressPool::new(range.parse().expect("a range of a cell"), ADDRESS_REST)
}
