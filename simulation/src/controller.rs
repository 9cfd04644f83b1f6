//! The controller's machine: the real reconcilers on a disk that outlives them, woken by messages
//! and by time. What it has observed dies with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfx_cloud_controller::actions::{Act, Refused, act};
use cfx_cloud_controller::state::{Draft, State, WriteError};
use cfx_cloud_controller::steps::{DesiredSteps, RouteSteps, Steps};
use cfx_process::clock::{Clock, Time};
use cfx_process::entropy::IdSource;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{CellGuid, RouterGuid};

use crate::around::Around;
use crate::dice::Dice;
use crate::disk::{Disk, Mood, at_once};
use crate::network::{Call, Down, Peer, Up};
use crate::time::Watch;
use crate::trace::Fact;
use crate::world::Event;

/// Lives of different controllers have different numbers.
const LIVES_APART: u64 = 1_000_000;
/// Before the route table is looked at again though nothing has changed.
const PUBLISH_IDLE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Controller {
    pub disk: Arc<Disk>,
    pub watch: Watch,
    ids: IdSource,
    cells: Vec<CellGuid>,
    routers: Vec<RouterGuid>,
    running: Option<Life>,
    lives: u64,
}

/// From one start to one end.
#[derive(Debug)]
struct Life {
    number: u64,
    steps: Steps,
    streams: BTreeMap<Call, (Peer, Stream)>,
    next_pass: Duration,
    next_publish: Duration,
}

#[derive(Debug)]
enum Stream {
    Desired(DesiredSteps),
    Routes(RouteSteps),
}

/// What became of a user's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    Done(T),
    Refused,
    /// Nobody knows whether it was done.
    Lost,
    /// It was not done.
    Failed,
}

impl Controller {
    #[must_use]
    pub fn new(
        disk: Arc<Disk>,
        watch: Watch,
        dice: &mut Dice,
        guids: (Vec<CellGuid>, Vec<RouterGuid>),
    ) -> Self {
        let (cells, routers) = guids;
        Self {
            disk,
            watch,
            ids: IdSource::seeded(dice.roll()),
            cells,
            routers,
            running: None,
            lives: 0,
        }
    }

    /// The same controller on another disk, not yet started.
    #[must_use]
    pub fn on(&self, disk: Arc<Disk>) -> Self {
        Self {
            disk,
            watch: self.watch.clone(),
            ids: self.ids.clone(),
            cells: self.cells.clone(),
            routers: self.routers.clone(),
            running: None,
            lives: self.lives + LIVES_APART,
        }
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    #[must_use]
    pub fn steps(&self) -> Option<&Steps> {
        self.running.as_ref().map(|life| &life.steps)
    }

    #[must_use]
    pub fn state(&self) -> Option<Arc<State>> {
        self.steps().map(|steps| steps.state().read())
    }

    #[must_use]
    pub fn state_token(&self) -> Option<Token> {
        self.steps().map(|steps| steps.state().token())
    }

    /// Begin from what is on the disk.
    pub fn start(&mut self, around: &mut Around) {
        if self.is_running() {
            return;
        }
        let clock = Clock::of(self.watch.clone());
        let opened = at_once(Steps::open(self.disk.open(), clock, self.ids.clone()));
        let Ok(steps) = opened else {
            around.tell(Fact::Note("the controller cannot read its disk".to_owned()));
            return;
        };
        self.lives += 1;
        around.tell(Fact::Note(format!(
            "controller starts, life {}",
            self.lives
        )));
        self.running = Some(Life {
            number: self.lives,
            steps,
            streams: BTreeMap::new(),
            next_pass: around.now,
            next_publish: around.now,
        });
        around.after(Duration::ZERO, Event::Pass { life: self.lives });
        around.after(Duration::ZERO, Event::Publish { life: self.lives });
    }

    /// Its peers' connections break at once: their machines tell them.
    pub fn kill(&mut self, around: &mut Around) {
        let Some(life) = self.running.take() else {
            return;
        };
        around.tell(Fact::Note("controller is killed".to_owned()));
        for (stream, (peer, _)) in life.streams {
            around.send_down(peer, Down::Refused { call: stream });
        }
    }

    pub fn pass(&mut self, number: u64, around: &mut Around) {
        let Some(life) = self
            .running
            .as_mut()
            .filter(|life| life.is_due(number, life.next_pass, around))
        else {
            return;
        };
        let (wait, passed) = at_once(life.steps.pass());
        if let Err(error) = passed {
            around.tell(Fact::Note(format!("a pass failed: {error}")));
        }
        life.next_pass = around.now + wait;
        around.after(wait, Event::Pass { life: number });
        self.settle(around);
    }

    pub fn publish(&mut self, number: u64, around: &mut Around) {
        let Some(life) = self
            .running
            .as_mut()
            .filter(|life| life.is_due(number, life.next_publish, around))
        else {
            return;
        };
        life.steps.publish();
        life.next_publish = around.now + PUBLISH_IDLE;
        around.after(PUBLISH_IDLE, Event::Publish { life: number });
        self.settle(around);
    }

    pub fn hear(&mut self, peer: Peer, message: Up, around: &mut Around) {
        let (cells, routers) = (&self.cells, &self.routers);
        let Some(life) = self.running.as_mut() else {
            // Nobody listens: the machine says so at once.
            match message {
                Up::Register { call, .. }
                | Up::Report { call, .. }
                | Up::Follow { stream: call } => {
                    around.send_down(peer, Down::Refused { call });
                }
                Up::Ack(_) | Up::Left { .. } => {}
            }
            return;
        };
        match message {
            Up::Register { call, registration } => {
                life.steps.register(*registration);
                around.send_down(peer, Down::Registered { call });
            }
            Up::Report { call, report } => {
                let taken = at_once(life.steps.report(*report));
                let answer = taken.map_or(Down::Refused { call }, |reply| Down::Reported {
                    call,
                    reply,
                });
                around.send_down(peer, answer);
            }
            Up::Follow { stream } => {
                let opened = match peer {
                    Peer::Cell(number) => life
                        .steps
                        .follow_desired(cells[number])
                        .map(Stream::Desired),
                    Peer::Router(number) => {
                        Some(Stream::Routes(life.steps.follow_routes(routers[number])))
                    }
                };
                match opened {
                    Some(opened) => drop(life.streams.insert(stream, (peer, opened))),
                    None => around.send_down(peer, Down::Refused { call: stream }),
                }
            }
            Up::Ack(ack) => life.steps.acknowledge(&ack),
            Up::Left { stream } => drop(life.streams.remove(&stream)),
        }
        self.settle(around);
    }

    /// The connections of a peer break.
    pub fn cut_off(&mut self, peer: Peer, around: &mut Around) {
        if let Some(life) = self.running.as_mut() {
            let streams = life.streams.extract_if(.., |_, (of, _)| *of == peer);
            for (stream, _) in streams {
                around.send_down(peer, Down::Refused { call: stream });
            }
        }
    }

    /// Its peer has been gone for so long that its connections are given up.
    pub fn give_up_on(&mut self, peer: Peer, around: &mut Around) {
        if let Some(life) = self.running.as_mut() {
            life.streams.retain(|_, (of, _)| *of != peer);
            self.settle(around);
        }
    }

    /// Run a user's command.
    pub fn command<T>(
        &mut self,
        around: &mut Around,
        action: impl FnOnce(&mut Draft, &Act<'_>) -> Result<T, Refused>,
    ) -> Answer<T> {
        let act = Act {
            now: self.watch.now(),
            ids: &self.ids,
            actor: act::platform(),
        };
        let Some(life) = self.running.as_mut() else {
            return Answer::Failed;
        };
        let written = at_once(life.steps.state().write(|draft| action(draft, &act)));
        let answer = match written {
            Ok(value) => Answer::Done(value),
            Err(WriteError::Action(_)) => Answer::Refused,
            Err(_) if self.disk.mood() == Mood::Stopped => Answer::Lost,
            Err(_) => Answer::Failed,
        };
        self.settle(around);
        answer
    }

    /// Everything that follows at once from what has happened.
    fn settle(&mut self, around: &mut Around) {
        if self.disk.mood() == Mood::Stopped {
            around.after(Duration::ZERO, Event::ControllerDies);
        }
        let Some(life) = self.running.as_mut() else {
            return;
        };
        life.steps.follow_state();
        life.speak(around);
        if let Some(wait) = life.steps.wants_pass()
            && around.now + wait < life.next_pass
        {
            life.next_pass = around.now + wait;
            around.after(wait, Event::Pass { life: life.number });
        }
        if let Some(wait) = life.steps.wants_publish()
            && around.now + wait < life.next_publish
        {
            life.next_publish = around.now + wait;
            around.after(wait, Event::Publish { life: life.number });
        }
    }
}

impl Life {
    fn is_due(&self, number: u64, due: Duration, around: &Around) -> bool {
        self.number == number && around.now >= due
    }

    /// What the streams have to say now.
    fn speak(&mut self, around: &mut Around) {
        for (stream, (peer, steps)) in &mut self.streams {
            let (stream, peer) = (*stream, *peer);
            match steps {
                Stream::Desired(steps) => {
                    while let Some(frame) = steps.ready() {
                        around.send_down(
                            peer,
                            Down::Desired {
                                stream,
                                frame: Box::new(frame),
                            },
                        );
                    }
                }
                Stream::Routes(steps) => {
                    while let Some(frame) = steps.ready() {
                        around.send_down(
                            peer,
                            Down::Routes {
                                stream,
                                frame: Box::new(frame),
                            },
                        );
                    }
                }
            }
        }
    }
}
