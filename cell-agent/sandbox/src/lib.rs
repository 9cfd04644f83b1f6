//! Containers without an engine: namespaces, control groups, seccomp. The only crate of ours that
//! may be `unsafe`, and nearly all of that is in `syscall`, `channel` and `loop_device`.
//!
//! ```text
//! agent (many threads)              keeper (one thread, one per cell, outlives the agent)
//!   opens mounts and network  --->    clones, writes the record, lets the child go
//!   over a socket, as files           child: its list of steps is in `inside`, then exec
//!                             <---    tells the end, clears away
//! ```
//! A process of many threads must not fork, and a large one is slow to: so a small static program,
//! the keeper, does it for the agent. Nothing depends on its life: what it started runs on without
//! it, and its successor finds everything by the records on disk.

#![allow(
    unsafe_code,
    reason = "clone3, mounts by file descriptor and capabilities have no safe wrapper anywhere"
)]

pub mod cgroup;
pub mod channel;
mod error;
pub mod floor;
mod inside;
pub mod keeper;
pub mod loop_device;
pub mod message;
pub mod mounts;
mod privileges;
pub mod requirements;
pub mod seccomp;
pub mod spec;
mod stack;
mod syscall;

pub use error::{Refusal, SandboxError};
pub use spec::{Ended, Sandbox, Spec};
