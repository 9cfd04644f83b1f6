//! What the cells say: their registrations, their last reports, and whether they are alive.

pub mod observed;

pub use observed::{CellStatus, Liveness, Observed};
