//! A cell: a machine, the agent that runs on it while it does, and the agent's link.

pub mod agent;
pub mod link;
pub mod machine;
pub mod state;
mod steps;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cfx_cell_agent::plan::BackOff;
use cfx_protocol::cell::{Capacity, CellRegistration};
use cfx_protocol::id::{AssignmentGuid, CellGuid, InstanceGuid, ProcessGuid};

use crate::around::Around;
use crate::mutant::Mutant;
use crate::network::{Call, Down, Peer};
use crate::scenario::{AppShape, CellShape, Scenario};
use crate::time::Watch;
use crate::world::Event;
use agent::{Agent, News, SLEEP_MAX};
use link::{Link, LinkEvent};
use machine::{AppEvent, Machine, Phase};
use state::Saved;
use steps::Doing;

/// Something on a cell is due.
#[derive(Debug, Clone)]
pub enum CellEvent {
    AgentStarts,
    AgentDies,
    Turn {
        life: u64,
    },
    /// A step has been carried out.
    Done {
        life: u64,
        doing: Box<Doing>,
    },
    Told {
        life: u64,
        assignment: AssignmentGuid,
        start: u32,
        news: News,
    },
    App {
        instance: InstanceGuid,
        event: AppEvent,
    },
    Link {
        life: u64,
        event: LinkEvent,
    },
}

#[derive(Debug)]
pub struct Cell {
    pub number: usize,
    pub guid: CellGuid,
    pub shape: CellShape,
    pub machine: Machine,
    pub watch: Watch,
    saved: Saved,
    running: Option<(Agent, Link)>,
    preparing: BTreeMap<AssignmentGuid, Call>,
    /// What the world knows of starts, whatever becomes of the agent.
    healthy_since: BTreeMap<InstanceGuid, Duration>,
    back_off: BackOff,
    farewell_max_ms: u64,
    lives: u64,
    pub is_lost: bool,
    pub is_draining: bool,
    pub runtime_answers: bool,
    /// The agent is killed when it gives an app its command next.
    pub dies_arming: bool,
}

impl Cell {
    #[must_use]
    pub fn new(
        number: usize,
        guid: CellGuid,
        scenario: &Scenario,
        apps: BTreeMap<ProcessGuid, AppShape>,
        watch: Watch,
    ) -> Self {
        Self {
            number,
            guid,
            shape: scenario.cells[number].clone(),
            machine: Machine::new(number, apps),
            watch,
            saved: Saved::default(),
            running: None,
            preparing: BTreeMap::new(),
            healthy_since: BTreeMap::new(),
            back_off: scenario.back_off,
            farewell_max_ms: scenario.farewell_max_ms,
            lives: 0,
            is_lost: false,
            is_draining: false,
            runtime_answers: true,
            dies_arming: false,
        }
    }

    #[must_use]
    pub fn agent(&self) -> Option<&Agent> {
        self.running.as_ref().map(|(agent, _)| agent)
    }

    pub fn start_agent(&mut self, around: &mut Around) {
        if self.running.is_some() || self.is_lost {
            return;
        }
        self.lives += 1;
        self.preparing.clear();
        self.machine.forget_leases();
        if around.has(Mutant::ForgetOnRestart) {
            self.saved = Saved::default();
        }
        let mut agent = Agent::new(
            self.number,
            self.lives,
            self.watch.clone(),
            self.back_off,
            &self.saved,
        );
        agent.healthy_since = std::mem::take(&mut self.healthy_since);
        agent.adopt(&mut self.machine, around);
        agent.desired.draining = self.is_draining;
        let link = Link::open(self.number, self.lives, self.registration(around), around);
        self.running = Some((agent, link));
        self.turn(around);
    }

    /// The agent is killed; what runs goes on.
    pub fn kill_agent(&mut self, around: &mut Around) {
        if let Some((agent, mut link)) = self.running.take() {
            self.healthy_since = agent.healthy_since;
            link.leave(around);
        }
    }

    /// The machine is gone without a word.
    pub fn lose_host(&mut self, around: &mut Around) {
        if let Some((agent, _)) = self.running.take() {
            self.healthy_since = agent.healthy_since;
        }
        self.is_lost = true;
        self.machine.lose_everything(around);
    }

    pub fn set_draining(&mut self, draining: bool, around: &mut Around) {
        self.is_draining = draining;
        if let Some((agent, _)) = &mut self.running {
            agent.desired.draining = draining;
            agent.changes += 1;
            self.turn(around);
        }
    }

    /// The wall clock was set: the agent looks at it within one turn of its loop.
    pub fn look_at_clock(&self, around: &mut Around) {
        if let Some(agent) = self.agent() {
            let soon = around.dice.ms(0, 250).min(SLEEP_MAX);
            let turn = CellEvent::Turn { life: agent.life };
            around.after(soon, Event::Cell(self.number, turn));
        }
    }

    fn registration(&self, around: &Around) -> CellRegistration {
        let overcommit = if around.has(Mutant::Overcommit) { 8 } else { 1 };
        CellRegistration {
            guid: self.guid,
            name: format!("cell-{}", self.number),
            zone: self.shape.zone.to_owned(),
            runtime: "docker".to_owned(),
            version: "0".to_owned(),
            stacks: if self.shape.has_stack {
                vec!["host".to_owned()]
            } else {
                Vec::new()
            },
            tags: if self.shape.is_tagged {
                vec!["tag".to_owned()]
            } else {
                Vec::new()
            },
            capacity: Capacity {
                memory_mb: self.shape.memory_mb * overcommit,
                disk_mb: 1 << 20,
                slots: self.shape.slots,
                cpu_millicores: 4_000,
                starts: self.shape.starts,
            },
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            gateway: None,
        }
    }

    pub fn on(&mut self, event: CellEvent, around: &mut Around) {
        match event {
            CellEvent::AgentStarts => return self.start_agent(around),
            CellEvent::AgentDies => return self.kill_agent(around),
            CellEvent::App { instance, event } => self.app_does(instance, event, around),
            CellEvent::Turn { life } if self.lives(life) => {}
            CellEvent::Told {
                life,
                assignment,
                start,
                news,
            } if self.lives(life) => {
                self.hear(assignment, start, news, around);
            }
            CellEvent::Done { life, doing } if self.lives(life) => self.done(life, doing, around),
            CellEvent::Link { life, event } if self.lives(life) => self.on_link(event, around),
            _ => return,
        }
        self.turn(around);
    }

    fn lives(&self, life: u64) -> bool {
        self.agent().is_some_and(|agent| agent.life == life)
    }

    fn on_link(&mut self, event: LinkEvent, around: &mut Around) {
        let Some((agent, link)) = &mut self.running else {
            return;
        };
        match event {
            LinkEvent::Dial => link.dial(around),
            LinkEvent::Late(call) => link.late(call, around),
            LinkEvent::Silence(stream) => link.silence(stream, around),
            LinkEvent::Report if link.wants_to_report(around) => {
                link.report(agent.picture(self.runtime_answers, around), around);
            }
            LinkEvent::Report => {}
            LinkEvent::ReportLate(call) => drop(link.reported(call, None, around)),
        }
    }

    /// A message of the controller.
    pub fn receive(&mut self, message: Down, around: &mut Around) {
        let Some((agent, link)) = &mut self.running else {
            // The machine, if it is there, closes connections that no process has.
            if let (Down::Desired { stream, .. }, false) = (message, self.is_lost) {
                around.send_up(Peer::Cell(self.number), crate::network::Up::Left { stream });
            }
            return;
        };
        match message {
            Down::Registered { call } => link.registered(call, around),
            Down::Reported { call, reply } => {
                if let Some(last) = link.reported(call, Some(reply), around) {
                    agent.crashes_taken(last);
                }
            }
            Down::Desired { stream, frame } => {
                if link.hears(stream, around) {
                    let followed = agent.follow(*frame, around);
                    link.followed(followed, around);
                }
            }
            Down::Refused { call } => link.refused(call, around),
            Down::Routes { .. } => {}
        }
        self.turn(around);
    }

    fn app_does(&mut self, instance: InstanceGuid, event: AppEvent, around: &mut Around) {
        if !self.machine.app_does(instance, event, around) {
            return;
        }
        let container = self.machine.containers.get(&instance);
        let Some((assignment, start, phase)) =
            container.map(|it| (it.assignment, it.start, it.phase))
        else {
            return;
        };
        let news = match phase {
            Phase::Listening => News::Healthy,
            Phase::Ended { status } => News::Ended {
                status,
                lost: false,
            },
            _ => return,
        };
        self.notice(assignment, start, news, around);
    }

    /// The agent, if it runs, notices something a moment later.
    fn notice(&mut self, assignment: AssignmentGuid, start: u32, news: News, around: &mut Around) {
        if let Some(agent) = self.agent() {
            let told = CellEvent::Told {
                life: agent.life,
                assignment,
                start,
                news,
            };
            let soon = around.dice.ms(1, 8);
            around.after(soon, Event::Cell(self.number, told));
        }
    }

    /// Containers vanish behind the agent's back.
    pub fn vanish(&mut self, around: &mut Around) {
        let all: Vec<_> = self
            .machine
            .containers
            .iter()
            .map(|(guid, it)| (*guid, it.clone()))
            .collect();
        for (guid, container) in all {
            if around.dice.chance(60) {
                self.machine.remove(guid, around);
                let news = News::Ended {
                    status: -1,
                    lost: true,
                };
                self.notice(container.assignment, container.start, news, around);
            }
        }
    }

    fn hear(&mut self, assignment: AssignmentGuid, start: u32, news: News, around: &mut Around) {
        if let Some((agent, _)) = &mut self.running {
            agent.hear(assignment, start, news, around);
        }
    }

    fn turn(&mut self, around: &mut Around) {
        let Some((agent, link)) = &mut self.running else {
            return;
        };
        let orders = agent.turn(&mut self.saved, around);
        link.noticed(agent.changes, around);
        let life = agent.life;
        for order in orders {
            self.begin(life, order, around);
        }
    }
}
