//! Containers without an engine: namespaces, control groups, seccomp. The only crate of ours that
//! may be `unsafe`.

pub mod loop_device;
