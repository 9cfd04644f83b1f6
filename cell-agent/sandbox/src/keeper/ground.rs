//! The keeper's own view of the machine: a few mounts, whatever the machine has. It holds none of
//! the machine's, so that what the agent unmounts is free, and copies are cheap.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::error::{SandboxError, errno, io};
use crate::stack::{bind, change_root};

/// The keeper's folder, as it sees it.
pub(super) const DATA: &str = "/data";
/// An empty folder, on which each stack is mounted in its own namespace.
pub(super) const STACK: &str = "/stack";
/// In the keeper's folder: what its root is mounted on.
const ROOT: &str = "root";
const FOLDERS: [&str; 4] = ["data", "proc", "sys", "stack"];
/// Folders only.
const SMALL: &str = "mode=700,size=1m";

/// Leave the machine's mounts behind.
pub(super) fn settle(folder: &Path) -> Result<(), SandboxError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(errno("make a mount namespace"))?;
    let nothing = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, "/", nothing, private, nothing).map_err(errno("make mounts private"))?;
    let root = folder.join(ROOT);
    fs::create_dir_all(&root).map_err(io("make the keeper's root"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let tmpfs = Some("tmpfs");
    mount(tmpfs, &root, tmpfs, flags, Some(SMALL)).map_err(errno("mount the keeper's root"))?;
    for name in FOLDERS {
        fs::create_dir(root.join(name)).map_err(io("furnish the keeper's root"))?;
    }
    bind(folder, &root.join("data")).map_err(errno("keep its folder"))?;
    bind(Path::new("/proc"), &root.join("proc")).map_err(errno("keep /proc"))?;
    // With the control groups that are mounted in it.
    let recursive = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some("/sys"), &root.join("sys"), nothing, recursive, nothing)
        .map_err(errno("keep /sys"))?;
    change_root(&root).map_err(io("leave the machine's mounts"))
}
