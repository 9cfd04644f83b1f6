//! Mounts as open files: what an agent picks on its side to be mounted on the other.
//!
//! The keeper sees nothing of the machine's mounts, and every sandbox gets a copy of the keeper's:
//! so each start costs the same, however many volumes the machine has.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::syscall;

/// What a mount is not to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// One folder or file, without what is mounted below it, for one sandbox.
pub fn pick(path: &Path, access: Access) -> io::Result<OwnedFd> {
    take(path, access, false)
}

/// A folder with all that is mounted below it, for a stack.
pub fn pick_all(path: &Path, access: Access) -> io::Result<OwnedFd> {
    take(path, access, true)
}

fn take(path: &Path, access: Access, is_recursive: bool) -> io::Result<OwnedFd> {
    let tree = syscall::open_tree(path, is_recursive)?;
    let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if access == Access::ReadOnly {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    syscall::restrict_mount(tree.as_fd(), attributes, is_recursive)?;
    Ok(tree)
}
