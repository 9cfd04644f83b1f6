//! What surrounds every node of the world: time, chance, the future, the network and the record of
//! what happens. Nodes reach each other only through it.

use std::time::Duration;

use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::network::{Call, Down, Message, Network, Peer, Up};
use crate::queue::Queue;
use crate::scenario::Temper;
use crate::time::Watch;
use crate::trace::{Fact, Trace};
use crate::world::Event;

#[derive(Debug)]
pub struct Around {
    pub now: Duration,
    pub watch: Watch,
    pub dice: Dice,
    pub queue: Queue<Event>,
    pub network: Network,
    pub trace: Trace,
    pub mutant: Option<Mutant>,
    /// How runtimes and apps behave; gentle once the faults have stopped.
    pub temper: Temper,
    calls: Call,
}

impl Around {
    #[must_use]
    pub fn new(dice: Dice, network: Network, temper: Temper, mutant: Option<Mutant>) -> Self {
        Self {
            now: Duration::ZERO,
            watch: Watch::default(),
            dice,
            queue: Queue::default(),
            network,
            trace: Trace::default(),
            mutant,
            temper,
            calls: 0,
        }
    }

    pub fn after(&mut self, delay: Duration, event: Event) {
        self.queue.put(self.now + delay, event);
    }

    /// A name for one call or stream.
    pub fn call(&mut self) -> Call {
        self.calls += 1;
        self.calls
    }

    pub fn send_up(&mut self, from: Peer, message: Up) {
        self.send(from, Message::Up(message));
    }

    pub fn send_down(&mut self, to: Peer, message: Down) {
        self.send(to, Message::Down(message));
    }

    fn send(&mut self, peer: Peer, message: Message) {
        for arrival in self.network.carry(self.now, peer, &message) {
            let message = Box::new(message.clone());
            self.queue.put(arrival, Event::Arrives { peer, message });
        }
    }

    pub fn heal(&mut self, peer: Peer, ways: &[crate::network::Way]) {
        for (arrival, peer, message) in self.network.heal(self.now, peer, ways) {
            let message = Box::new(message);
            self.queue.put(arrival, Event::Arrives { peer, message });
        }
    }

    pub fn tell(&mut self, fact: Fact) {
        self.trace.tell(self.now, fact);
    }

    #[must_use]
    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}
