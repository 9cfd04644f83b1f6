//! What can go wrong with the machines and the links between them.

use std::fmt;

use crate::dice::Dice;
use crate::network::{Peer, Way};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The controller is killed; it comes back when the fault ends.
    ControllerKilled,
    /// It stops in the middle of a commit some commits from now.
    ControllerStopsWriting {
        after: u32,
        written: bool,
    },
    DiskFull,
    /// The agent is killed; what it runs goes on.
    AgentKilled(usize),
    /// The same at the moment it gives an app its command next.
    AgentKilledArming(usize),
    /// The machine is lost with all that runs on it, and comes back with its disk.
    HostLost(usize),
    RouterKilled(usize),
    /// Nothing goes through, in both directions or only in one.
    LinkParted(Peer, &'static [Way]),
    /// Every link of the controller is parted.
    ControllerAlone,
    /// The wall clock of a cell, or of the controller, jumps by this many seconds.
    ClockJumps(Option<usize>, i64),
    /// A copy of the controller's disk, from before its last start, is brought to life somewhere, and
    /// some of the peers reach that one instead.
    OldController,
    /// A cell is being emptied.
    CellDrains(usize),
    /// Its runtime does not answer.
    RuntimeSilent(usize),
    /// Some of its containers vanish.
    ContainersVanish(usize),
}

const BOTH: &[Way] = &[Way::Up, Way::Down];
/// Most partings are of both ways.
const PARTINGS: &[&[Way]] = &[BOTH, BOTH, &[Way::Up], &[Way::Down]];

/// What a fault strikes, without saying whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Controller,
    Disk,
    Agent,
    Host,
    Router,
    Link,
    Clock,
    Drain,
    OldController,
    Runtime,
}

const KINDS: &[Kind] = &[
    Kind::Controller,
    Kind::Disk,
    Kind::Agent,
    Kind::Host,
    Kind::Router,
    Kind::Link,
    Kind::Clock,
    Kind::Drain,
    Kind::OldController,
    Kind::Runtime,
];

/// The kinds that occur in one world. Few at a time meet more often than all do.
pub fn mix(dice: &mut Dice) -> Vec<Kind> {
    if dice.chance(30) {
        return KINDS.to_vec();
    }
    (0..dice.between(1, 4)).map(|_| *dice.pick(KINDS)).collect()
}

impl Fault {
    pub fn draw(dice: &mut Dice, mix: &[Kind], cells: usize, routers: usize) -> Self {
        let cell = dice.index(cells);
        let router = dice.index(routers);
        match dice.pick(mix) {
            Kind::Controller if dice.chance(60) => Self::ControllerKilled,
            Kind::Controller => Self::ControllerStopsWriting {
                after: dice.count(0, 6),
                written: dice.chance(50),
            },
            Kind::Disk => Self::DiskFull,
            Kind::Agent if dice.chance(45) => Self::AgentKilled(cell),
            Kind::Agent => Self::AgentKilledArming(cell),
            Kind::Host => Self::HostLost(cell),
            Kind::Router => Self::RouterKilled(router),
            Kind::Link if dice.chance(25) => Self::ControllerAlone,
            Kind::Link => {
                let peer = if dice.chance(50) {
                    Peer::Cell(cell)
                } else {
                    Peer::Router(router)
                };
                let ways: &&[Way] = dice.pick(PARTINGS);
                Self::LinkParted(peer, ways)
            }
            Kind::Clock => {
                let seconds = *dice.pick(&[-600, -20, -2, 2, 20, 600]);
                Self::ClockJumps(dice.chance(70).then_some(cell), seconds)
            }
            Kind::Drain => Self::CellDrains(cell),
            Kind::OldController => Self::OldController,
            Kind::Runtime if dice.chance(50) => Self::RuntimeSilent(cell),
            Kind::Runtime => Self::ContainersVanish(cell),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
