//! How faults begin and end. Each undoes exactly what it did, so that several may overlap.

use std::time::Duration;

use crate::cell::CellEvent;
use crate::disk::Mood;
use crate::fault::Fault;
use crate::network::{Peer, Way};
use crate::router::RouterEvent;
use crate::trace::Fact;
use crate::world::{Event, World};

const BOTH: &[Way] = &[Way::Up, Way::Down];

impl World {
    pub(crate) fn fault_begins(&mut self, fault: Fault) {
        self.around
            .tell(Fact::Note(format!("fault begins: {fault}")));
        self.note_router_trouble(fault);
        let around = &mut self.around;
        match fault {
            Fault::ControllerKilled => self.controller.kill(around),
            Fault::ControllerStopsWriting { after, written } => {
                self.controller
                    .disk
                    .set_mood(Mood::Stops { after, written });
            }
            Fault::DiskFull => self.controller.disk.set_mood(Mood::Full),
            Fault::AgentKilled(cell) => self.cells[cell].kill_agent(around),
            Fault::AgentKilledArming(cell) => self.cells[cell].dies_arming = true,
            Fault::HostLost(cell) => {
                self.cells[cell].lose_host(around);
                around.after(self.scenario.dead_peer, Event::GivesUpOn(Peer::Cell(cell)));
            }
            Fault::RouterKilled(router) => self.routers[router].kill(around),
            Fault::LinkParted(peer, ways) => self.part(peer, ways),
            Fault::ControllerAlone => {
                for peer in self.peers() {
                    self.part(peer, BOTH);
                }
            }
            Fault::ClockJumps(Some(cell), seconds) => {
                self.cells[cell].watch.jump(seconds * 1_000);
                let noticed = self.cells[cell].agent().is_some();
                around.tell(Fact::Jumped { cell, noticed });
                self.cells[cell].look_at_clock(around);
            }
            Fault::ClockJumps(None, seconds) => self.controller.watch.jump(seconds * 1_000),
            Fault::OldController => self.copy_controller(),
            Fault::CellDrains(cell) => self.cells[cell].set_draining(true, around),
            Fault::RuntimeSilent(cell) => self.cells[cell].runtime_answers = false,
            Fault::ContainersVanish(cell) => self.cells[cell].vanish(around),
        }
    }

    pub(crate) fn fault_ends(&mut self, fault: Fault) {
        if !fault.is_momentary() {
            self.around.tell(Fact::Note(format!("fault ends: {fault}")));
        }
        self.note_router_trouble(fault);
        let around = &mut self.around;
        match fault {
            Fault::ControllerKilled | Fault::ControllerStopsWriting { .. } => {
                if self.controller.disk.mood() != Mood::Full {
                    self.controller.disk.set_mood(Mood::Well);
                }
                around.after(Duration::ZERO, Event::ControllerStarts);
            }
            Fault::DiskFull => self.controller.disk.set_mood(Mood::Well),
            Fault::AgentKilled(cell) | Fault::AgentKilledArming(cell) => {
                self.cells[cell].dies_arming = false;
                around.after(Duration::ZERO, Event::Cell(cell, CellEvent::AgentStarts))
            }
            Fault::HostLost(cell) => {
                self.cells[cell].is_lost = false;
                around.after(Duration::ZERO, Event::Cell(cell, CellEvent::AgentStarts));
            }
            Fault::RouterKilled(router) => {
                around.after(Duration::ZERO, Event::Router(router, RouterEvent::Starts));
            }
            Fault::LinkParted(peer, ways) => around.heal(peer, ways),
            Fault::ControllerAlone => {
                for peer in self.peers() {
                    self.around.heal(peer, BOTH);
                }
            }
            Fault::OldController => self.old_controller_ends(),
            Fault::CellDrains(cell) => self.cells[cell].set_draining(false, around),
            Fault::RuntimeSilent(cell) => self.cells[cell].runtime_answers = true,
            Fault::ClockJumps(..) | Fault::ContainersVanish(_) => {}
        }
    }

    fn part(&mut self, peer: Peer, ways: &[Way]) {
        self.around.network.part(peer, ways);
        self.around
            .after(self.scenario.dead_peer, Event::GivesUpOn(peer));
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        let cells = (0..self.cells.len()).map(Peer::Cell);
        cells
            .chain((0..self.routers.len()).map(Peer::Router))
            .collect()
    }

    fn note_router_trouble(&mut self, fault: Fault) {
        let routers = match fault {
            Fault::RouterKilled(router) | Fault::LinkParted(Peer::Router(router), _) => {
                router..router + 1
            }
            Fault::ControllerAlone | Fault::OldController => 0..self.routers.len(),
            _ => return,
        };
        for router in routers {
            self.around.tell(Fact::RouterTrouble { router });
        }
    }
}
