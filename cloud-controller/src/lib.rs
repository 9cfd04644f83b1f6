//! The cloud controller: the platform's API, its state, and the loop that makes it true.
//!
//! Arrows inside: `api -> actions -> state -> store`; `convergence -> planner, actions, state,
//! cells, routing`; `routing -> state, cells`; `metrics_history -> routing, cells, state`; `promql`
//! knows none of them; only `start` imports `api`.

pub mod actions;
pub mod admin;
pub mod api;
pub mod auth;
pub mod blobs;
pub mod bootstrap;
pub mod cells;
pub mod config;
pub mod convergence;
pub mod events;
pub mod housekeeping;
pub mod internal;
pub mod janitor;
pub mod log_cache;
pub mod metrics;
pub mod metrics_history;
pub mod promql;
pub mod routing;
pub mod staging;
pub mod start;
pub mod state;
pub mod steps;

pub use config::Config;
pub use start::{Addresses, Edges, Error, Running, start};
