//! The system calls that nobody wraps. Each is one call, and says what it needs.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_int, c_long, c_uint, c_ulong};

/// libc's constant of this name is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// As the kernel declares it, up to the field that Linux 5.7 brought.
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which side of a clone this is.
#[derive(Debug)]
pub(crate) enum Cloned {
    Child,
    Parent { pid: u32, pidfd: OwnedFd },
}

/// A copy of this process in new namespaces, and where the kernel can, at once in a group.
///
/// # Safety
/// Only for a process of one thread: in a copy of a threaded one every lock that another thread
/// held is held forever.
pub(crate) unsafe fn clone(namespaces: c_int, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut flags = u64::from(namespaces.cast_unsigned()) | libc::CLONE_PIDFD as u64;
    if group.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let arguments = CloneArguments {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArguments::default()
    };
    // SAFETY: the arguments live through the call, and without a stack of its own the child goes on
    // here in a copy of this memory, as after fork.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<CloneArguments>(),
        )
    };
    match checked(pid)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: u32::try_from(pid).map_err(io::Error::other)?,
            // SAFETY: the kernel has just made it, as asked by CLONE_PIDFD.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// A process that is not necessarily a child, to be watched and signalled without a doubt.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0 as c_uint) };
    owned(fd)
}

pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: numbers, and a pointer that may be null.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            nothing,
            0 as c_uint,
        )
    };
    checked(sent).map(drop)
}

/// A copy of what is mounted at a path, which is mounted nowhere yet.
pub(crate) fn open_tree(path: &Path, is_recursive: bool) -> io::Result<OwnedFd> {
    let path = text(path)?;
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    if is_recursive {
        flags |= libc::AT_RECURSIVE.cast_unsigned();
    }
    // SAFETY: the path ends with NUL and lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    owned(fd)
}

/// Mount what `open_tree` gave at a path.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let target = text(target)?;
    // SAFETY: both paths end with NUL and live through the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    checked(moved).map(drop)
}

/// As the kernel declares it.
#[repr(C)]
#[derive(Debug, Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Add attributes (`MOUNT_ATTR_*`) to a mount and, if wanted, all below it.
pub(crate) fn restrict_mount(
    tree: BorrowedFd<'_>,
    attributes: u64,
    is_recursive: bool,
) -> io::Result<()> {
    let arguments = MountAttributes {
        set: attributes,
        propagation: libc::MS_PRIVATE,
        ..MountAttributes::default()
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if is_recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: path and arguments live through the call, and the size is theirs.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const arguments,
            size_of::<MountAttributes>(),
        )
    };
    checked(set).map(drop)
}

/// Every open file but the first three closes at exec.
pub(crate) fn close_on_exec() -> io::Result<()> {
    let first: c_uint = 3;
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: three numbers.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, flags) }).map(drop)
}

/// Changing the user will not change the capabilities.
pub(crate) fn keep_capabilities() -> io::Result<()> {
    const NO_SETUID_FIXUP: c_ulong = 1 << 2;
    prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0)
}

/// No program may ever get any capability back.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    /// More than any kernel has.
    const CAPABILITIES_MAX: c_ulong = 64;
    for capability in 0..CAPABILITIES_MAX {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(()) => {}
            // The first that this kernel does not have.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && capability > 0 => break,
            Err(error) => return Err(error),
        }
    }
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong,
        0,
    )
}

/// Let go of the capabilities held now: effective, permitted and inheritable.
pub(crate) fn clear_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let nothing = [0_u32; 6];
    // SAFETY: version 3 has a header of two words and two sets of three, which live through the
    // call.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), nothing.as_ptr()) };
    checked(set).map(drop)
}

fn prctl(option: c_int, two: c_ulong, three: c_ulong) -> io::Result<()> {
    // SAFETY: numbers only; no option used here takes a pointer.
    let done = unsafe { libc::prctl(option, two, three, 0 as c_ulong, 0 as c_ulong) };
    checked(c_long::from(done)).map(drop)
}

/// Signals that this process ignores are not ignored by what it starts.
pub(crate) fn heed_broken_pipes() {
    // SAFETY: the default action runs no code of ours.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// `IFF_UP`, as wide as requests have it.
const UP: libc::c_short = 1;

/// Bring up the loopback device of a fresh network namespace.
pub(crate) fn raise_loopback(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all zeros is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = UP;
    // SAFETY: the request lives through the call and is of the kind that the call takes.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    checked(c_long::from(set)).map(drop)
}

pub(crate) fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Replace this process. Returns only on failure.
pub(crate) fn exec(program: &CStr, arguments: &[CString]) -> io::Error {
    match nix::unistd::execve::<_, &CStr>(program, arguments, &[]) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}

fn owned(fd: c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(checked(fd)?).map_err(io::Error::other)?;
    // SAFETY: every caller passes a descriptor that the kernel has just made for it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
