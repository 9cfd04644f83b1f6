//! The world: a whole platform in one thread and in virtual time, made from one seed.
//!
//! What decides is real: the controller's reconcilers with their planner and their state, the
//! agents' plan, the routers' table, and all that they say to each other. What they stand on is
//! scripted by the seed: time, disks, networks, machines, runtimes, apps, users and faults.
//!
//! ```text
//!   queue --event--> controller | cell | router | users | faults
//!     ^                  |  facts
//!     +---- Around <-----+---------> trace --> checkers::safety, after every event
//!                                              checkers::settled, once the faults have stopped
//! ```
//! Nothing here reads a clock, draws from another source than `Dice`, or waits: the same seed gives
//! the same trace, to the last line.

use std::sync::Arc;
use std::time::Duration;

use cfx_cloud_controller::state::State;
use cfx_protocol::id::CellGuid;

use crate::around::Around;
use crate::cell::{Cell, CellEvent};
use crate::checkers::{self, History, View, Violation};
use crate::controller::Controller;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::intents::Intents;
use crate::mutant::Mutant;
use crate::network::{Message, Network, Peer, Up};
use crate::old_controller::OldController;
use crate::requests::{Request, Requests};
use crate::router::{Router, RouterEvent};
use crate::scenario::Scenario;
use crate::time::Watch;
use crate::trace::{Author, Fact};
use crate::users::Users;

/// What can happen.
#[derive(Debug)]
pub enum Event {
    Arrives {
        peer: Peer,
        message: Box<Message>,
    },
    /// A pass of the controller's convergence, and of its route table.
    Pass {
        life: u64,
    },
    Publish {
        life: u64,
    },
    ControllerStarts,
    ControllerDies,
    OldControllerAwakes,
    /// The controller has waited for a silent peer for as long as it does.
    GivesUpOn(Peer),
    Cell(usize, CellEvent),
    Router(usize, RouterEvent),
    Begins(usize),
    Ends(usize),
    UserAsks,
    Request(Request),
    /// The faults have stopped.
    Calm,
    Look,
}

/// Between two looks whether everything has settled.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Everything is as wanted at this many looks in a row.
const LOOKS_SETTLED: u32 = 4;
/// Time to settle once the faults have stopped and no instance waits for its back-off.
const SETTLE_MAX: Duration = Duration::from_secs(90);
/// No back-off ends later than this, even after a clock that jumped back.
const BACK_OFF_END: Duration = Duration::from_secs(1_500);

#[derive(Debug)]
pub struct World {
    pub scenario: Scenario,
    pub around: Around,
    pub controller: Controller,
    pub(crate) old: Option<OldController>,
    pub cells: Vec<Cell>,
    pub routers: Vec<Router>,
    pub users: Users,
    requests: Requests,
    intents: Intents,
    guids: Vec<CellGuid>,
    /// The durable state when it was looked at last: epoch, revision.
    seen: (u64, u64),
    /// When the controller, in its present life, heard each cell last.
    heard: Vec<Option<Duration>>,
    history: History,
    settled_looks: u32,
    settle_from: Duration,
    state: Arc<State>,
}

/// How a world ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seed: u64,
    pub hash: u64,
    pub events: u64,
    pub requests: u64,
    pub commands: u64,
    /// From the end of the faults until all was as wanted.
    pub settled_after: Duration,
    pub violation: Option<Violation>,
    pub last_lines: Vec<String>,
}

impl World {
    #[must_use]
    pub fn new(scenario: Scenario, mutant: Option<Mutant>) -> Self {
        let mut dice = Dice::new(scenario.seed ^ 0x5eed);
        let network = Network::new(scenario.weather, dice.fork());
        let mut around = Around::new(dice.fork(), network, scenario.temper, mutant);
        let guids: Vec<CellGuid> = scenario.cells.iter().map(|_| dice.guid()).collect();
        let routers: Vec<_> = (0..scenario.routers)
            .map(|number| Router::new(number, dice.guid()))
            .collect();
        let disk = Disk::new(dice.guid(), mutant == Some(Mutant::LoseIntents));
        let router_guids = routers.iter().map(|router| router.guid).collect();
        let watch = around.watch.elsewhere();
        let mut controller = Controller::new(disk, watch, &mut dice, (guids.clone(), router_guids));
        controller.start(&mut around);
        let mut users = Users::default();
        let shapes = users.begin(&mut controller, &scenario.apps, &mut around);
        let cell = |(number, guid): (usize, &CellGuid)| {
            let watch = Watch::elsewhere(&around.watch);
            Cell::new(number, *guid, &scenario, shapes.clone(), watch)
        };
        Self {
            cells: guids.iter().enumerate().map(cell).collect(),
            heard: vec![None; guids.len()],
            history: History::new(&scenario),
            requests: Requests::new(scenario.request_every_ms),
            intents: Intents::default(),
            seen: (0, 0),
            settled_looks: 0,
            settle_from: scenario.calm_at,
            old: None,
            state: Arc::default(),
            scenario,
            around,
            controller,
            routers,
            users,
            guids,
        }
    }

    /// Let it run to its end.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        self.begin();
        let mut events = 0;
        let ended = loop {
            let Some((at, event)) = self.around.queue.take() else {
                break Ok(());
            };
            events += 1;
            self.around.now = at;
            self.around.watch.set(at);
            let has_ended = self.happens(event);
            let judged = self.observe(Author::Platform).and(has_ended);
            match judged {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(violation) => break Err(violation),
            }
        };
        Outcome {
            seed: self.scenario.seed,
            hash: self.around.trace.hash(),
            events,
            requests: self.routers.iter().map(|router| router.requests).sum(),
            commands: self.users.commands,
            settled_after: self.around.now.saturating_sub(self.scenario.calm_at),
            violation: ended.err(),
            last_lines: self.around.trace.last_lines(),
        }
    }

    fn begin(&mut self) {
        let around = &mut self.around;
        for cell in 0..self.cells.len() {
            let soon = around.dice.ms(0, 500);
            around.after(soon, Event::Cell(cell, CellEvent::AgentStarts));
        }
        for router in 0..self.routers.len() {
            let soon = around.dice.ms(0, 500);
            around.after(soon, Event::Router(router, RouterEvent::Starts));
            around.after(soon, Event::Request(Request::Comes { router }));
        }
        for (number, planned) in self.scenario.faults.iter().enumerate() {
            around.after(planned.at, Event::Begins(number));
            let end = (planned.at + planned.lasts).min(self.scenario.calm_at);
            around.after(end, Event::Ends(number));
        }
        around.after(Duration::from_secs(2), Event::UserAsks);
        around.after(self.scenario.calm_at, Event::Calm);
    }

    /// True: the world has come to its end.
    fn happens(&mut self, event: Event) -> Result<bool, Violation> {
        let Self {
            around,
            controller,
            cells,
            routers,
            old,
            ..
        } = self;
        let mut old = old.as_mut().map(|old| &mut old.controller);
        match event {
            Event::Arrives { peer, message } => self.arrives(peer, *message),
            Event::Pass { life } => {
                controller.pass(life, around);
                old.iter_mut().for_each(|old| old.pass(life, around));
            }
            Event::Publish { life } => {
                controller.publish(life, around);
                old.iter_mut().for_each(|old| old.publish(life, around));
            }
            Event::ControllerStarts => self.start_controller(),
            Event::ControllerDies => controller.kill(around),
            Event::OldControllerAwakes => self.old_controller_awakes(),
            Event::GivesUpOn(peer) => self.give_up_on(peer),
            Event::Cell(cell, event) => cells[cell].on(event, around),
            Event::Router(router, event) => routers[router].on(event, around),
            Event::Begins(number) => self.fault_begins(self.scenario.faults[number].fault),
            Event::Ends(number) => self.fault_ends(self.scenario.faults[number].fault),
            Event::UserAsks => return self.user_asks().map(|()| false),
            Event::Request(request) => self.requests.on(request, routers, cells, around),
            Event::Calm => self.calm(),
            Event::Look => return self.look(),
        }
        Ok(false)
    }

    fn arrives(&mut self, peer: Peer, message: Message) {
        match (peer, message) {
            (peer, Message::Up(message)) => {
                let is_call = matches!(message, Up::Register { .. } | Up::Report { .. });
                let controller = match &mut self.old {
                    Some(old) if old.reached_by.contains(&peer) => &mut old.controller,
                    _ => {
                        if let (Peer::Cell(cell), true) =
                            (peer, is_call && self.controller.is_running())
                        {
                            self.heard[cell] = Some(self.around.now);
                        }
                        &mut self.controller
                    }
                };
                controller.hear(peer, message, &mut self.around);
            }
            (Peer::Cell(cell), Message::Down(message)) => {
                self.cells[cell].receive(message, &mut self.around)
            }
            (Peer::Router(router), Message::Down(message)) => {
                self.routers[router].receive(message, &mut self.around)
            }
        }
    }

    pub(crate) fn start_controller(&mut self) {
        if !self.controller.is_running() {
            self.heard.fill(None);
        }
        self.controller.start(&mut self.around);
    }

    fn user_asks(&mut self) -> Result<(), Violation> {
        if self.around.now >= self.scenario.calm_at {
            return Ok(());
        }
        // What the platform did before is not the user's doing.
        self.observe(Author::Platform)?;
        self.users.ask(&mut self.controller, &mut self.around);
        let pause = self.around.dice.ms(200, self.scenario.command_every_ms);
        self.around.after(pause, Event::UserAsks);
        self.observe(Author::User)
    }

    /// From now on everything heals.
    fn calm(&mut self) {
        self.around
            .tell(Fact::Note("calm: nothing goes wrong any more".to_owned()));
        self.around.network.calm();
        let temper = &mut self.around.temper;
        (
            temper.fail_percent,
            temper.hang_percent,
            temper.apps_misbehave,
        ) = (0, 0, false);
        self.around.after(LOOK_EVERY, Event::Look);
    }

    fn look(&mut self) -> Result<bool, Violation> {
        let settled = checkers::settled(&self.view());
        self.settled_looks = if settled.is_ok() {
            self.settled_looks + 1
        } else {
            0
        };
        if self.settled_looks >= LOOKS_SETTLED {
            return Ok(true);
        }
        if checkers::waits_for_back_off(&self.view()) && self.around.now < BACK_OFF_END {
            self.settle_from = self.around.now;
        }
        if let Err(why) = settled
            && self.around.now > self.settle_from + SETTLE_MAX
        {
            return Err(why);
        }
        self.around.after(LOOK_EVERY, Event::Look);
        Ok(false)
    }

    /// Look at what has changed, and have it judged.
    fn observe(&mut self, author: Author) -> Result<(), Violation> {
        if let Some(steps) = self.controller.steps() {
            if steps.sweep_repairs() > 0 {
                return Err(Violation {
                    rule: "L7",
                    at: self.around.now,
                    why: format!("a sweep found {} things missed", steps.sweep_repairs()),
                });
            }
            let token = steps.state().token();
            if self.seen != (token.epoch, token.revision) {
                let author = if token.epoch > self.seen.0 {
                    Author::Earlier
                } else {
                    author
                };
                self.seen = (token.epoch, token.revision);
                self.state = steps.state().read();
                for fact in self.intents.follow(&self.state, &self.guids, author) {
                    self.around.tell(fact);
                }
            }
        }
        for fact in self.around.trace.fresh() {
            checkers::safety(&self.view(), &fact)?;
            self.history.note(self.around.now, &fact);
            match fact {
                Fact::Stopping { assignment, .. } => {
                    self.requests.interrupted(assignment, &mut self.around);
                }
                Fact::Listening {
                    assignment,
                    listening: false,
                    ..
                } => self.requests.ended(assignment),
                _ => {}
            }
        }
        for fact in self.around.trace.fresh() {
            checkers::safety(&self.view(), &fact)?;
        }
        Ok(())
    }

    fn view(&self) -> View<'_> {
        View {
            now: self.around.now,
            scenario: &self.scenario,
            cells: &self.cells,
            routers: &self.routers,
            state: &self.state,
            controller: &self.controller,
            intents: &self.intents,
            promised: &self.users.promised,
            heard: &self.heard,
            history: &self.history,
        }
    }

    fn give_up_on(&mut self, peer: Peer) {
        let is_parted = [crate::network::Way::Up, crate::network::Way::Down]
            .into_iter()
            .any(|way| self.around.network.is_parted(peer, way));
        let is_lost = matches!(peer, Peer::Cell(cell) if self.cells[cell].is_lost);
        if is_parted || is_lost {
            self.controller.give_up_on(peer, &mut self.around);
        }
    }
}

impl Fault {
    /// For the world's own file of faults.
    pub(crate) fn is_momentary(self) -> bool {
        matches!(self, Self::ClockJumps(..) | Self::ContainersVanish(_))
    }
}
