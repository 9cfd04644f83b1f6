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

impl Fault {
    pub fn draw(dice: &mut Dice, cells: usize, routers: usize) -> Self {
        let cell = dice.index(cells);
        let router = dice.index(routers);
        let any = if dice.chance(70) {
            Peer::Cell(cell)
        } else {
            Peer::Router(router)
        };
        match dice.between(0, 16) {
            0 | 1 => Self::ControllerKilled,
            2 => Self::ControllerStopsWriting {
                after: dice.count(0, 6),
                written: dice.chance(50),
            },
            3 => Self::DiskFull,
            4 | 5 => Self::AgentKilled(cell),
            6 | 7 => Self::HostLost(cell),
            8 => Self::RouterKilled(router),
            9 | 10 => Self::LinkParted(any, BOTH),
            11 => Self::LinkParted(
                any,
                if dice.chance(50) {
                    &[Way::Up]
                } else {
                    &[Way::Down]
                },
            ),
            12 => Self::ControllerAlone,
            13 => {
                let seconds = *dice.pick(&[-600, -20, -2, 2, 20, 600]);
                Self::ClockJumps(dice.chance(70).then_some(cell), seconds)
            }
            14 => Self::CellDrains(cell),
            15 => Self::OldController,
            _ if dice.chance(50) => Self::RuntimeSilent(cell),
            _ => Self::ContainersVanish(cell),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
