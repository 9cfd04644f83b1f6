//! The cell: runs what the controller assigned to this machine.

pub mod runtime;
pub mod slot;
pub mod volume;
