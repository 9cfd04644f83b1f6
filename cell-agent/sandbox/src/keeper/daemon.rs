//! How the keeper comes to live by itself: one for each folder, in its own session, with nothing of
//! the process that started it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::exit;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, pipe, setsid};

use super::serve::Keeper;
use super::{complain, ground};
use crate::channel::Listener;
use crate::error::{SandboxError, errno, io};
use crate::syscall::{self, Cloned};

const LOCK: &str = "keeper.lock";
const LOG: &str = "keeper.log";
/// The kernel's out-of-memory killer takes it last, with the rest of the platform.
const OOM_SCORE_ADJ: &str = "-999";
/// Three for each of the most sandboxes that a cell may have, and room.
const FILES_MAX: u64 = 65_536;

/// Returns in the process that was started, once the keeper listens or another one holds the place.
pub(super) fn run(folder: &Path, cell: &str, version: &str) -> Result<(), SandboxError> {
    let Some(lock) = lock(folder)? else {
        return Ok(());
    };
    let (listens, ready) = pipe().map_err(errno("make a pipe"))?;
    // SAFETY: the binary's main has started no thread.
    match unsafe { syscall::clone(0, None) }.map_err(io("detach"))? {
        Cloned::Parent { .. } => {
            drop(ready);
            let mut byte = [0];
            let read = File::from(listens).read(&mut byte);
            match read.map_err(io("wait for the keeper"))? {
                0 => Err(SandboxError::NoKeeper("it could not begin".to_owned())),
                _ => Ok(()),
            }
        }
        Cloned::Child => {
            drop(listens);
            match begin(folder, cell, version) {
                Ok(keeper) => exit(live(folder, keeper, File::from(ready), lock)),
                Err(error) => {
                    complain(&error);
                    exit(1)
                }
            }
        }
    }
}

/// None: another keeper holds it.
fn lock(folder: &Path) -> Result<Option<Flock<File>>, SandboxError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(io("open the keeper's lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(errno("take the keeper's lock")(error)),
    }
}

fn begin(folder: &Path, cell: &str, version: &str) -> Result<Keeper, SandboxError> {
    setsid().map_err(errno("begin a session"))?;
    std::env::set_current_dir("/").map_err(io("leave the folder"))?;
    // Some machines let not even root: then it is killed like anybody, and its successor takes over.
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ).unwrap_or_default();
    raise_file_limit()?;
    let listener = Listener::bind(folder)?;
    ground::settle(folder)?;
    Keeper::new(cell, version, listener)
}

fn raise_file_limit() -> Result<(), SandboxError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(errno("read limits"))?;
    let more = hard.max(FILES_MAX);
    setrlimit(Resource::RLIMIT_NOFILE, more, more)
        .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard))
        .map_err(errno("raise the limit of files"))
}

/// The exit status, at the end of its days.
fn live(_: &Path, mut keeper: Keeper, mut ready: File, _lock: Flock<File>) -> i32 {
    let detached =
        detach().and_then(|()| ready.write_all(b"!").map_err(io("say that it is ready")));
    drop(ready);
    match detached.and_then(|()| keeper.serve()) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            1
        }
    }
}

/// From now on what it has to say goes to its log.
fn detach() -> Result<(), SandboxError> {
    let null = File::open("/proc/self/fd/0").map_err(io("keep the empty input"))?;
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(Path::new(ground::DATA).join(LOG))
        .map_err(io("open the keeper's log"))?;
    dup2_stdin(&null).map_err(errno("close the input"))?;
    dup2_stdout(&log).map_err(errno("close the output"))?;
    dup2_stderr(&log).map_err(errno("close the errors"))
}
