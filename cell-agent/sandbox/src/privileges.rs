//! From root to a user with no rights and no way to any.
//!
//! The user namespace is made last, so that it owns none of the others: even all capabilities in it
//! would be worth nothing for mounts, network or names. It has exactly one user, and no root: there
//! is nobody to become.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::spec::User;
use crate::syscall;

/// Become the user, alone in a user namespace.
///
/// A namespace's map of one line with the owner's own number may be written from inside, so nobody
/// has to be waited for. The capabilities are kept until then: machines may let only root make user
/// namespaces.
pub(crate) fn become_alone(user: User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    syscall::keep_capabilities()?;
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // A process that changed its user does not own its files in /proc otherwise.
    prctl::set_dumpable(true)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))
}

/// In the user namespace a process has all capabilities again: let go of them for good.
pub(crate) fn let_go() -> io::Result<()> {
    syscall::drop_bounding_set()?;
    syscall::clear_capabilities()?;
    Ok(prctl::set_no_new_privs()?)
}
