//! What the cells say: their registrations, their last reports, and whether they are alive.

pub mod changes;
pub mod observed;

pub use cfx_planner::Liveness;
pub use observed::{CellStatus, Observed};

#[cfg(test)]
mod tests;
