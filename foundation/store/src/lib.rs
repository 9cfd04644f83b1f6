//! Durable state of a cfx component: load, atomic commit, watch, lease, with revisions as in etcd.
//!
//! One contract (`contract`), several backends: `memory` for tests and the simulator, `sled` for a
//! single controller. Nothing here knows what the keys mean, and nothing here decides anything.

pub mod store;

pub mod backup;
pub mod commit;
pub mod lease;
pub mod memory;
pub mod sled;
pub mod watch;

mod codec;
#[cfg(test)]
mod contract;
