//! The network between the controller and everybody else: it delays, loses, repeats, and parts.
//!
//! What runs on one stream arrives in order, late at worst. Calls are lost, repeated, and overtake
//! each other. What was under way when a link parted may still arrive when it is whole again, as
//! TCP does it.

use std::collections::BTreeMap;
use std::time::Duration;

use cfx_protocol::actual::{CellReport, ReportReply};
use cfx_protocol::cell::CellRegistration;
use cfx_protocol::desired::DesiredFrame;
use cfx_protocol::route::{RouteFrame, TableAck};

use crate::dice::Dice;

/// A caller gives up after this time, and its machine with it.
const CALL_MAX: Duration = Duration::from_secs(3);
/// How much later something that was lost of a stream is sent again, milliseconds.
const RESENT_AFTER_MS: (u64, u64) = (200, 900);

/// The far end of a link of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Cell(usize),
    Router(usize),
}

/// Names one call or stream for ever.
pub type Call = u64;

/// To the controller.
#[derive(Debug, Clone)]
pub enum Up {
    Register {
        call: Call,
        registration: Box<CellRegistration>,
    },
    Report {
        call: Call,
        report: Box<CellReport>,
    },
    /// A cell asks for its desired set, a router for its table.
    Follow {
        stream: Call,
    },
    Ack(TableAck),
    /// The peer has let go of the stream.
    Left {
        stream: Call,
    },
}

/// From the controller.
#[derive(Debug, Clone)]
pub enum Down {
    Registered {
        call: Call,
    },
    Reported {
        call: Call,
        reply: ReportReply,
    },
    Desired {
        stream: Call,
        frame: Box<DesiredFrame>,
    },
    Routes {
        stream: Call,
        frame: Box<RouteFrame>,
    },
    /// The call failed, or the stream ended.
    Refused {
        call: Call,
    },
}

/// Something on its way.
#[derive(Debug, Clone)]
pub enum Message {
    Up(Up),
    Down(Down),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Up,
    Down,
}

/// How links are when they are whole.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub latency_ms: (u64, u64),
    pub loss_percent: u32,
    pub duplicate_percent: u32,
}

#[derive(Debug)]
pub struct Network {
    weather: Weather,
    dice: Dice,
    /// How many faults part a link in a direction.
    parted: BTreeMap<(Peer, Way), u32>,
    held: Vec<(Duration, Peer, Message)>,
    /// When the last message of a stream arrives.
    order: BTreeMap<Call, Duration>,
}

impl Message {
    fn way(&self) -> Way {
        match self {
            Self::Up(_) => Way::Up,
            Self::Down(_) => Way::Down,
        }
    }

    fn stream(&self) -> Option<Call> {
        match self {
            Self::Up(Up::Follow { stream } | Up::Left { stream })
            | Self::Down(Down::Desired { stream, .. } | Down::Routes { stream, .. }) => {
                Some(*stream)
            }
            _ => None,
        }
    }
}

impl Network {
    #[must_use]
    pub fn new(weather: Weather, dice: Dice) -> Self {
        Self {
            weather,
            dice,
            parted: BTreeMap::new(),
            held: Vec::new(),
            order: BTreeMap::new(),
        }
    }

    /// When copies of the message arrive: never, once, or twice.
    pub fn carry(&mut self, now: Duration, peer: Peer, message: &Message) -> Vec<Duration> {
        if self.is_parted(peer, message.way()) {
            // A call may be given up before the link is whole; a stream is buffered.
            if message.stream().is_some() || self.dice.chance(30) {
                self.held.push((now, peer, message.clone()));
            }
            return Vec::new();
        }
        if let Some(stream) = message.stream() {
            return vec![self.arrival_in_order(now, stream)];
        }
        if self.dice.chance(self.weather.loss_percent) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.dice.chance(self.weather.duplicate_percent));
        (0..copies).map(|_| now + self.latency()).collect()
    }

    fn latency(&mut self) -> Duration {
        let (low, high) = self.weather.latency_ms;
        self.dice.ms(low, high)
    }

    /// What is lost of a stream is sent again, and what follows waits for it.
    fn arrival_in_order(&mut self, now: Duration, stream: Call) -> Duration {
        let mut arrival = now + self.latency();
        while self.dice.chance(self.weather.loss_percent) {
            arrival += self.dice.ms(RESENT_AFTER_MS.0, RESENT_AFTER_MS.1);
        }
        let last = self.order.entry(stream).or_default();
        *last = arrival.max(*last);
        *last
    }

    pub fn part(&mut self, peer: Peer, ways: &[Way]) {
        for way in ways {
            *self.parted.entry((peer, *way)).or_default() += 1;
        }
    }

    /// Undo one `part`. Answers what was held up and arrives now.
    pub fn heal(
        &mut self,
        now: Duration,
        peer: Peer,
        ways: &[Way],
    ) -> Vec<(Duration, Peer, Message)> {
        for way in ways {
            let parted = self.parted.entry((peer, *way)).or_default();
            *parted = parted.saturating_sub(1);
        }
        let mut arriving = Vec::new();
        for (sent, to, message) in std::mem::take(&mut self.held) {
            if self.is_parted(to, message.way()) {
                self.held.push((sent, to, message));
                continue;
            }
            match message.stream() {
                Some(stream) => {
                    let arrival = self.arrival_in_order(now, stream);
                    arriving.push((arrival, to, message));
                }
                None if now < sent + CALL_MAX => arriving.push((now + self.latency(), to, message)),
                None => {}
            }
        }
        arriving
    }

    #[must_use]
    pub fn is_parted(&self, peer: Peer, way: Way) -> bool {
        self.parted
            .get(&(peer, way))
            .is_some_and(|faults| *faults > 0)
    }

    /// From now on links lose and repeat nothing.
    pub fn calm(&mut self) {
        self.weather.loss_percent = 0;
        self.weather.duplicate_percent = 0;
    }
}
