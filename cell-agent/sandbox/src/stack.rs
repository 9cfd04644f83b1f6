//! A stack as the keeper holds it: a mount namespace whose root is the stack, with everything that
//! its sandboxes share, made once. Each sandbox enters it, makes a copy for itself and adds only
//! what is its own: so it neither copies nor leaves behind any mount of the machine or the keeper.
//!
//! ```text
//! /            the stack's own tree, read-only
//! /usr ...     what the agent mounted into it, read-only
//! /dev         null zero full random urandom tty, links, and room for shm and pts
//! /sys         which processors there are, and room for the control groups; nothing else
//! ```

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root};

use crate::error::Refusal;
use crate::spec::below_root;
use crate::syscall;

/// Character devices that every program may expect, by their numbers.
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// The calling process's mount namespace.
pub(crate) const NAMESPACE: &str = "/proc/self/ns/mnt";
/// Where the machine tells which processors it has.
const PROCESSORS: &str = "sys/devices/system/cpu";
/// Always empty: what lies under it is what a sandbox must not see.
pub(crate) const EMPTY: &str = "sys/firmware";
/// In /sys, and folders for the groups of version 1.
const SYS_FOLDERS: [&str; 7] = [
    EMPTY,
    PROCESSORS,
    "sys/fs/cgroup",
    "sys/fs/cgroup/memory",
    "sys/fs/cgroup/cpu",
    "sys/fs/cgroup/cpuacct",
    "sys/fs/cgroup/pids",
];
/// Room for folders, links and device nodes, which is all there is in them.
const SMALL: &str = "mode=755,size=64k";

#[derive(Debug)]
pub(crate) struct Stack {
    namespace: File,
}

impl Stack {
    /// Make it on an empty folder, `root`: the first file is the stack's own tree. The calling
    /// thread goes there and comes back to `home`, its own mount namespace.
    pub(crate) fn make(
        home: &File,
        root: &Path,
        targets: &[PathBuf],
        files: &[OwnedFd],
    ) -> Result<Self, Refusal> {
        let made = Self::make_there(root, targets, files);
        if let Err(error) = setns(home, CloneFlags::CLONE_NEWNS) {
            // In a stranger's namespace nothing it does would be right; the next keeper is.
            crate::keeper::complain(&error);
            std::process::exit(1);
        }
        made
    }

    fn make_there(root: &Path, targets: &[PathBuf], files: &[OwnedFd]) -> Result<Self, Refusal> {
        let failed = |step: &str| {
            let step = step.to_owned();
            move |error: io::Error| Refusal::failed(&step, &error)
        };
        let Some((tree, mounts)) = files.split_first() else {
            let nothing = io::Error::other("there is no root in it");
            return Err(failed("define the stack")(nothing));
        };
        let namespace = own_namespace().map_err(failed("make the stack's namespace"))?;
        syscall::move_mount(tree.as_fd(), root).map_err(failed("mount the stack's root"))?;
        for (target, tree) in targets.iter().zip(mounts) {
            let Some(below) = below_root(target) else {
                return Err(Refusal::Name(target.display().to_string()));
            };
            let mounted = syscall::move_mount(tree.as_fd(), &root.join(below));
            mounted.map_err(failed(&format!("mount {} of the stack", target.display())))?;
        }
        furnish_dev(root).map_err(failed("make the stack's /dev"))?;
        furnish_sys(root).map_err(failed("make the stack's /sys"))?;
        change_root(root).map_err(failed("make it the root"))?;
        Ok(Self { namespace })
    }

    /// A copy of it becomes the calling process's own.
    pub(crate) fn enter(&self) -> io::Result<()> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
        Ok(unshare(CloneFlags::CLONE_NEWNS)?)
    }
}

/// A copy of the present one; the file holds it.
fn own_namespace() -> io::Result<File> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    File::open(NAMESPACE)
}

/// The old root, with all of the keeper's, goes away altogether.
pub(crate) fn change_root(root: &Path) -> io::Result<()> {
    chdir(root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chdir("/")?)
}

fn furnish_dev(root: &Path) -> io::Result<()> {
    let dev = root.join("dev");
    small_tmpfs(&dev, MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC)?;
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor))?;
        // Whatever the mask took away.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    }
    for (name, target) in LINKS {
        symlink(target, dev.join(name))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name))?;
    }
    read_only(&dev, MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC)
}

fn furnish_sys(root: &Path) -> io::Result<()> {
    let sys = root.join("sys");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    small_tmpfs(&sys, flags)?;
    for folder in SYS_FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    let processors = root.join(PROCESSORS);
    bind(&Path::new("/").join(PROCESSORS), &processors)?;
    read_only(&processors, flags)?;
    read_only(&sys, flags)
}

fn small_tmpfs(target: &Path, flags: MsFlags) -> io::Result<()> {
    Ok(mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        Some(SMALL),
    )?)
}

/// Show a folder or file at another place, too.
pub(crate) fn bind(source: &Path, target: &Path) -> nix::Result<()> {
    let nothing = None::<&str>;
    mount(Some(source), target, nothing, MsFlags::MS_BIND, nothing)
}

/// The mount itself, whatever else shows the same files. `flags` are those that it has.
pub(crate) fn read_only(target: &Path, flags: MsFlags) -> io::Result<()> {
    let flags = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let nothing = None::<&str>;
    Ok(mount(nothing, target, nothing, flags, nothing)?)
}
