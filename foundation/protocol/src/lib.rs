//! What cfx processes say to each other, and the vocabulary they share.
//!
//! Pure types: no tokio, no I/O, no clock. A type belongs here when two or more components
//! speak it; policy (how to place, when to retry) never does.

pub mod actual;
pub mod cell;
pub mod desired;
pub mod generation;
pub mod health;
pub mod id;
pub mod instance;
pub mod latency;
pub mod link;
pub mod log_cache;
pub mod metrics;
pub mod quantity;
pub mod route;
pub mod telemetry;
pub mod uaa;
pub mod v3;
