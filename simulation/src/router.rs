//! A router: the real table behind a link, a table on disk to begin from, and clients' requests,
//! each given to one of the endpoints that its threads serve.

use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_process::retry::Backoff;
use cfx_protocol::generation::Token;
use cfx_protocol::id::RouterGuid;
use cfx_protocol::link::STREAM_SILENCE_MAX_MS;
use cfx_protocol::route::{Endpoint, Route, RouteFrame, TableAck};
use cfx_router::Replica;

use crate::around::Around;
use crate::mutant::Mutant;
use crate::network::{Call, Down, Peer, Up};
use crate::trace::Fact;
use crate::world::Event;

/// The router's own constants.
const REDIAL_FIRST: Duration = Duration::from_millis(50);
const REDIAL_MAX: Duration = Duration::from_secs(1);
const SAVE_PAUSE: Duration = Duration::from_secs(1);
const SILENCE_MAX: Duration = Duration::from_millis(STREAM_SILENCE_MAX_MS);

/// Something on a router is due.
#[derive(Debug, Clone)]
pub enum RouterEvent {
    Starts,
    Dial {
        life: u64,
    },
    Silence {
        life: u64,
        stream: Call,
    },
    /// Every thread serves the newest table from now on.
    PickedUp {
        life: u64,
        token: Token,
    },
    Save {
        life: u64,
    },
}

#[derive(Debug)]
pub struct Router {
    pub number: usize,
    pub guid: RouterGuid,
    /// What was saved last.
    saved: Option<RouteFrame>,
    running: Option<Life>,
    lives: u64,
    pub requests: u64,
}

#[derive(Debug)]
struct Life {
    number: u64,
    table: Replica,
    /// What the threads answer from.
    serving: Vec<Route>,
    stream: Option<(Call, Duration)>,
    save_at: Option<Duration>,
    backoff: Backoff,
    ids: IdSource,
}

impl Router {
    #[must_use]
    pub fn new(number: usize, guid: RouterGuid) -> Self {
        Self {
            number,
            guid,
            saved: None,
            running: None,
            lives: 0,
            requests: 0,
        }
    }

    fn peer(&self) -> Peer {
        Peer::Router(self.number)
    }

    /// Serve from the saved table before anybody is dialled.
    pub fn start(&mut self, around: &mut Around) {
        if self.running.is_some() {
            return;
        }
        self.lives += 1;
        let mut table = Replica::default();
        if let Some(saved) = self.saved.clone() {
            // A table that was followed once is followed again.
            let _restored = table.apply(saved);
        }
        self.running = Some(Life {
            number: self.lives,
            serving: table.routes(),
            table,
            stream: None,
            save_at: None,
            backoff: Backoff::new(REDIAL_FIRST, REDIAL_MAX),
            ids: IdSource::seeded(around.dice.roll()),
        });
        self.later(
            Duration::ZERO,
            RouterEvent::Dial { life: self.lives },
            around,
        );
    }

    pub fn kill(&mut self, around: &mut Around) {
        if let Some((stream, _)) = self.running.take().and_then(|life| life.stream) {
            around.send_up(self.peer(), Up::Left { stream });
        }
    }

    fn later(&self, delay: Duration, event: RouterEvent, around: &mut Around) {
        around.after(delay, Event::Router(self.number, event));
    }

    /// The newest table that it follows.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.running.as_ref().and_then(|life| life.table.token())
    }

    /// What its threads serve; none when it does not run.
    #[must_use]
    pub fn serving(&self) -> Option<&[Route]> {
        self.running.as_ref().map(|life| life.serving.as_slice())
    }

    pub fn on(&mut self, event: RouterEvent, around: &mut Around) {
        let is_of = |number: u64| {
            self.running
                .as_ref()
                .is_some_and(|life| life.number == number)
        };
        match event {
            RouterEvent::Starts => self.start(around),
            RouterEvent::Dial { life } if is_of(life) => self.dial(around),
            RouterEvent::Silence { life, stream } if is_of(life) => self.silence(stream, around),
            RouterEvent::PickedUp { life, token } if is_of(life) => self.picked_up(token, around),
            RouterEvent::Save { life } if is_of(life) => self.save(),
            _ => {}
        }
    }

    fn dial(&mut self, around: &mut Around) {
        let peer = self.peer();
        let Some(life) = self.running.as_mut().filter(|life| life.stream.is_none()) else {
            return;
        };
        let stream = around.call();
        life.stream = Some((stream, around.now));
        let event = RouterEvent::Silence {
            life: life.number,
            stream,
        };
        around.send_up(peer, Up::Follow { stream });
        self.later(SILENCE_MAX, event, around);
    }

    fn redial(&mut self, around: &mut Around) {
        let peer = self.peer();
        let Some(life) = self.running.as_mut() else {
            return;
        };
        if let Some((stream, _)) = life.stream.take() {
            around.send_up(peer, Up::Left { stream });
        }
        let pause = life.backoff.next(&life.ids);
        let event = RouterEvent::Dial { life: life.number };
        self.later(pause, event, around);
    }

    fn silence(&mut self, of: Call, around: &mut Around) {
        let Some((_, heard)) = self
            .running
            .as_ref()
            .and_then(|life| life.stream)
            .filter(|it| it.0 == of)
        else {
            return;
        };
        let left = (heard + SILENCE_MAX).saturating_sub(around.now);
        if left.is_zero() {
            self.redial(around);
        } else {
            self.later(
                left,
                RouterEvent::Silence {
                    life: self.lives,
                    stream: of,
                },
                around,
            );
        }
    }

    pub fn receive(&mut self, message: Down, around: &mut Around) {
        let own = self
            .running
            .as_ref()
            .and_then(|life| life.stream)
            .map(|(stream, _)| stream);
        match message {
            Down::Routes { stream, frame } if own == Some(stream) => self.follow(*frame, around),
            Down::Routes { stream, .. } => around.send_up(self.peer(), Up::Left { stream }),
            Down::Refused { call } if own == Some(call) => self.redial(around),
            _ => {}
        }
    }

    fn follow(&mut self, frame: RouteFrame, around: &mut Around) {
        let (router, guid, peer) = (self.number, self.guid, self.peer());
        let Some(life) = self.running.as_mut() else {
            return;
        };
        if around.has(Mutant::IgnoreTokens) && matches!(frame, RouteFrame::Snapshot { .. }) {
            life.table = Replica::default();
        }
        let token = frame.token();
        let Ok(changed) = life.table.apply(frame) else {
            return self.redial(around);
        };
        life.backoff.reset();
        life.stream = life.stream.map(|(stream, _)| (stream, around.now));
        if changed {
            around.tell(Fact::RouterFollowed { router, token });
        }
        let number = life.number;
        if changed && life.save_at.is_none() {
            life.save_at = Some(around.now + SAVE_PAUSE);
            self.later(SAVE_PAUSE, RouterEvent::Save { life: number }, around);
        }
        let mut soon = around.dice.ms(0, 15);
        if around.has(Mutant::AcknowledgeEarly) {
            around.send_up(
                peer,
                Up::Ack(TableAck {
                    router: guid,
                    token,
                }),
            );
            soon = around.dice.ms(2_000, 6_000);
        }
        self.later(
            soon,
            RouterEvent::PickedUp {
                life: number,
                token,
            },
            around,
        );
    }

    fn picked_up(&mut self, token: Token, around: &mut Around) {
        let (peer, router) = (self.peer(), self.guid);
        if let Some(life) = self.running.as_mut() {
            life.serving = life.table.routes();
            around.send_up(peer, Up::Ack(TableAck { router, token }));
        }
    }

    fn save(&mut self) {
        if let Some(life) = self.running.as_mut() {
            life.save_at = None;
            self.saved = life.table.saved();
        }
    }

    /// The endpoint that one client's request is given to, if a route has any.
    pub fn choose(&mut self, around: &mut Around) -> Option<Endpoint> {
        let routes = self.running.as_ref()?.serving.as_slice();
        let usable: Vec<_> = routes
            .iter()
            .filter(|route| !route.endpoints.is_empty())
            .collect();
        if usable.is_empty() {
            return None;
        }
        self.requests += 1;
        let route = around.dice.pick(&usable);
        Some(around.dice.pick(&route.endpoints).clone())
    }
}
