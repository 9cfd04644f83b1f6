//! Scaling rules: what they say, and what follows from them. Pure: time and samples are arguments,
//! so one function serves live evaluation, explanation, dry run, simulation and backtest.
//!
//! ```text
//!  text --parse--> Document --check--> Policy ---+
//!  app-autoscaler JSON --import-----^            |
//!                                                v
//!  samples --push--> Window ------------------> decide ---> Decision --explain--> sentences
//!                                                ^  |
//!                                       State ---+  +---> State, to be kept
//! ```
//!
//! All arithmetic that leads to a count is on whole numbers. Every structure is bounded.

mod arithmetic;
pub mod ast;
pub mod backtest;
pub mod check;
mod cooldown;
pub mod decide;
pub mod decision;
mod digest;
pub mod draw;
mod evaluate;
pub mod explain;
pub mod grammar;
pub mod import;
pub mod parse;
pub mod policy;
mod print;
mod projection;
pub mod schedule;
pub mod shape;
pub mod simulate;
mod stage;
pub mod state;
pub mod timeline;
pub mod units;
pub mod window;

pub use decide::decide;
pub use decision::Decision;
pub use explain::explain;
pub use policy::{Policy, PolicyError};
pub use state::State;
pub use window::Window;
