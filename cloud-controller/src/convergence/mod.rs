//! The loop that makes the platform what it is meant to be.
//!
//! ```text
//!   State ----+                       +-- commit --> State -- board --> dispatch --> cells
//!             +- mirror --> Planner --+
//!   Observed -+                       +-- insight --> `cfx why`
//! ```
//! One reconciler: it takes no input, follows what changed, and doing it twice changes nothing. A
//! slow sweep compares what it followed with everything. Cells hear only what is durable.

pub mod board;
pub mod dispatch;
pub mod driver;
pub mod spec;

mod commit;
mod environment;
mod insight;
mod mirror;
mod outcome;
mod progress;
mod snapshot;
pub mod status;

pub use board::Board;
pub use dispatch::Dispatch;
pub use driver::Driver;
pub use insight::Insight;
pub use outcome::record_crashes;

#[cfg(test)]
mod tests;
