//! One process at a time: a lock file beside the data, with the owner's pid for people to read.
//!
//! The kernel drops the lock when its process dies, so a stale file never blocks anybody.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::io_error;
use crate::store::StoreError;

const PID_BYTES_MAX: u64 = 32;

#[derive(Debug)]
pub(super) struct LockFile {
    _held: Flock<File>,
}

impl LockFile {
    pub(super) fn acquire(store: &Path) -> Result<Self, StoreError> {
        let path = store.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        let mut held = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => held,
            Err((file, Errno::EWOULDBLOCK)) => {
                return Err(StoreError::InUse {
                    path: store.to_owned(),
                    pid: owner(file),
                });
            }
            Err((_, errno)) => return Err(io_error("lock", &path)(errno.into())),
        };
        held.set_len(0)
            .and_then(|()| held.rewind())
            .and_then(|()| writeln!(held, "{}", std::process::id()))
            .map_err(io_error("write", &path))?;
        Ok(Self { _held: held })
    }
}

/// Who holds the lock; it may be about to write its pid.
fn owner(file: File) -> String {
    let mut pid = String::new();
    match file.take(PID_BYTES_MAX).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => pid.trim().to_owned(),
        _ => "(unknown)".to_owned(),
    }
}
