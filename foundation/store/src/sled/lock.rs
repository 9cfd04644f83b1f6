//! One process at a time: a lock file beside the data, with the owner's pid for people to read.
//!
//! The kernel drops the lock when its process dies, so a stale file never blocks anybody. A child
//! that another thread is just forking holds it a moment longer, so a taken lock is tried again.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::io_error;
use crate::store::StoreError;

const PID_BYTES_MAX: u64 = 32;
/// How often a taken lock is tried, and how long between: half a second for the user who starts a
/// second platform, hundreds of times what a fork takes.
const TRIES: u32 = 25;
const TRY_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct LockFile {
    _held: Flock<File>,
}

impl LockFile {
    pub(super) fn acquire(store: &Path) -> Result<Self, StoreError> {
        let path = store.join("lock");
        let mut held = patiently(
            || try_lock(store, &path),
            |error| matches!(error, StoreError::InUse { .. }),
        )?;
        held.set_len(0)
            .and_then(|()| held.rewind())
            .and_then(|()| writeln!(held, "{}", std::process::id()))
            .map_err(io_error("write", &path))?;
        Ok(Self { _held: held })
    }
}

fn try_lock(store: &Path, path: &Path) -> Result<Flock<File>, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io_error("open", path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| match errno {
        Errno::EWOULDBLOCK => StoreError::InUse {
            path: store.to_owned(),
            pid: owner(file),
        },
        errno => io_error("lock", path)(errno.into()),
    })
}

/// Tries until it succeeds, fails for good, or has been tried often enough.
pub(super) fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_passing: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if is_passing(&error) => std::thread::park_timeout(TRY_EVERY),
            settled => return settled,
        }
    }
    attempt()
}

/// Who holds the lock; it may be about to write its pid.
fn owner(file: File) -> String {
    let mut pid = String::new();
    match file.take(PID_BYTES_MAX).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => pid.trim().to_owned(),
        _ => "(unknown)".to_owned(),
    }
}
