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
//! ```
//! use cfx_rules::{Policy, State, Window, ast::Metric, decide, explain, window::Running};
//!
//! let policy = Policy::parse("scale 40% if CPU >90% for 10s; between 2 and 300 instances")?;
//! let mut window = Window::new(&policy);
//! window.roster(10, &(0..10).map(|index| Running { index, since: 0 }).collect::<Vec<_>>());
//! for second in 1_000..=1_010 {
//!     for index in 0..10 {
//!         // Thousandths: 93 % of the CPU entitlement.
//!         window.push(index, &Metric::Cpu, second, 93_000)?;
//!     }
//! }
//! let (decision, next) = decide(&State::default(), &window, &policy, 1_010);
//! assert_eq!((decision.from, decision.to), (10, 14));
//! assert_eq!(
//!     explain(&decision).lines().next(),
//!     Some("Scaled out from 10 to 14: rule 1 holds (`scale 40% if CPU >90% for 10s`).")
//! );
//! // Once the app has been scaled, `next` is the state to keep.
//! # let _: State = next;
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
