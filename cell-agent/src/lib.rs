//! The cell: runs what the controller assigned to this machine.

pub mod network;
pub mod runtime;
pub mod slot;
pub mod volume;
