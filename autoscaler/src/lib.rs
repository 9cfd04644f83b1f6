//! The autoscaler: an ordinary client of the public API and of log-cache that holds each app with
//! rules at the number of instances that its rules ask for.
//!
//! What follows from rules and samples is decided by the pure crate `cfx-rules`; here it is given
//! both, its decisions are carried out, and nothing of it is forgotten over a crash.

pub mod config;
pub mod edges;
pub mod running;

pub mod public_api;
pub mod source;
pub mod target;

mod evaluator;
mod inbox;
mod latest;
mod measure;
mod wording;

pub mod state;

#[cfg(test)]
mod scripted;

mod admin;
pub mod api;
mod events;

pub use config::Config;
pub use edges::Edges;
pub use public_api::{Credentials, PublicApi};
pub use running::{Addresses, Error, Running, start};
