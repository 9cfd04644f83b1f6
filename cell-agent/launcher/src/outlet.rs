//! One of the app's two output FIFOs, held open for as long as the instance lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes thrown away at once when nobody reads: half of a default pipe, so that the app can go on
/// and the newer half of what it said is still there for the next reader.
const DRAIN_BYTES: usize = 32 * 1024;

#[derive(Debug)]
pub(crate) struct Outlet {
    path: PathBuf,
    /// Open for reading and writing: the pipe lives, and has a reader, whatever the agent does.
    held: File,
}

impl Outlet {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let held = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)?;
        Ok(Self { path, held })
    }

    /// A blocking end for the app: a description of its own, or the app would inherit non-blocking
    /// output.
    pub(crate) fn for_app(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(&self.path)
    }

    /// When the app would have to wait, throws the older half away. Tells how much that was.
    pub(crate) fn make_room(&mut self) -> io::Result<usize> {
        if self.has_room()? {
            return Ok(0);
        }
        let mut dropped = 0;
        let mut buffer = [0; 8 * 1024];
        while dropped < DRAIN_BYTES {
            match self.held.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => dropped += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    fn has_room(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.held.as_fd(), PollFlags::POLLOUT)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }
}
