//! The threads of a router: listeners, connections and what one thread owns.
//!
//! Nothing in here is shared between threads on a request's path; `core` is the state of one
//! thread and never leaves it.

pub(crate) mod connection;
pub(crate) mod core;
pub(crate) mod head_scan;
pub(crate) mod listen;
pub(crate) mod thread;
pub(crate) mod watchdog;
