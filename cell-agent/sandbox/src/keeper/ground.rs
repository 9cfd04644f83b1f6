//! The keeper's own view of the machine: a few mounts, whatever the machine has. A clone copies
//! them all, so each one here is paid at every start, and none of the machine's must be.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

use crate::error::{SandboxError, errno, io};
use crate::stack::bind;

/// The keeper's folder, as it sees it.
pub(super) const DATA: &str = "/data";
/// Where stacks are mounted.
pub(super) const STACKS: &str = "/stacks";
/// In the keeper's folder: what its root is mounted on.
const ROOT: &str = "root";
const FOLDERS: [&str; 4] = ["data", "proc", "sys", "stacks"];
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
    chdir(&root).map_err(errno("enter its root"))?;
    pivot_root(".", ".").map_err(errno("change its root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(errno("leave the machine's mounts"))?;
    chdir("/").map_err(errno("enter its root"))
}
