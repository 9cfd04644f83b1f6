//! Staging: which buildpacks a build asks, and the order that a cell follows. What becomes of a
//! build is in `actions/build.rs`; where it is staged is the convergence's decision.

mod order;

pub use order::order;

/// Longest time that staging may take, seconds (Cloud Foundry's default).
pub const TIMEOUT_S: u32 = 900;
