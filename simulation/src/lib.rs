//! A seeded simulator of the whole platform, and the checkers of its promises.
//!
//! Open `world` first. `cargo sim` runs many seeds; one that fails names itself and is replayed by
//! `cargo sim --seed N`.

pub mod world;

pub mod around;
pub mod cell;
pub mod checkers;
pub mod controller;
pub mod dice;
pub mod disk;
pub mod fault;
mod faults;
pub mod intents;
pub mod mutant;
pub mod network;
mod old_controller;
pub mod queue;
pub mod requests;
pub mod router;
pub mod scenario;
pub mod shrink;
pub mod time;
pub mod trace;
pub mod users;

use mutant::Mutant;
use scenario::Scenario;
use world::{Outcome, World};

/// The world of one seed, from its beginning to its end.
#[must_use]
pub fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    World::new(Scenario::draw(seed, mutant), mutant).run()
}
