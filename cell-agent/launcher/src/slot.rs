//! The launcher's side of the slot.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cfx_launcher::command::{BODY_BYTES_MAX, Command, CommandError, HEADER_BYTES};
use cfx_launcher::exit::{ARMED, ExitRecord, padded};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::outlet::Outlet;

#[derive(Debug)]
pub(crate) struct Slot {
    command_path: PathBuf,
    command: File,
    received: Vec<u8>,
    exit: File,
    pub(crate) stdout: Outlet,
    pub(crate) stderr: Outlet,
}

impl Slot {
    /// The outlets are opened before the command FIFO: an agent that can open that one knows that
    /// the others are held.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let stdout = Outlet::open(directory.join(cfx_launcher::STDOUT_FILE))?;
        let stderr = Outlet::open(directory.join(cfx_launcher::STDERR_FILE))?;
        let exit = OpenOptions::new()
            .write(true)
            .open(directory.join(cfx_launcher::EXIT_FILE))?;
        let command_path = directory.join(cfx_launcher::COMMAND_FILE);
        Ok(Self {
            command: open_command(&command_path)?,
            command_path,
            received: Vec::new(),
            exit,
            stdout,
            stderr,
        })
    }

    pub(crate) fn lifeline(&self) -> BorrowedFd<'_> {
        self.command.as_fd()
    }

    /// Takes in what the agent has sent; the command once it is complete.
    pub(crate) fn receive(&mut self) -> Result<Option<Command>, CommandError> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.command.read(&mut buffer) {
                Ok(0) => {
                    self.start_over();
                    return Ok(None);
                }
                Ok(count) => {
                    self.received.extend(buffer.iter().take(count));
                    if let Some(command) = Command::decode(&self.received)? {
                        self.received = Vec::new();
                        return Ok(Some(command));
                    }
                    if self.received.len() > HEADER_BYTES + BODY_BYTES_MAX {
                        return Err(CommandError::Malformed("it does not end"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // WouldBlock: the rest is still to come.
                Err(_) => return Ok(None),
            }
        }
    }

    /// The agent went away in the middle of its message: the next one begins at its beginning.
    /// Only a fresh description forgets that there was a writer.
    fn start_over(&mut self) {
        self.received = Vec::new();
        if let Ok(fresh) = open_command(&self.command_path) {
            self.command = fresh;
        }
    }

    /// Does an agent hold the other end of the lifeline?
    pub(crate) fn is_read(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.command.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO)?;
        Ok(!hung_up(&fds[0]))
    }

    pub(crate) fn record_armed(&self) -> io::Result<()> {
        self.exit.write_all_at(&padded(ARMED), 0)
    }

    pub(crate) fn record(&self, record: ExitRecord) -> io::Result<()> {
        self.exit.write_all_at(&record.to_bytes(), 0)
    }
}

/// Non-blocking, so that opening waits for nobody and `poll` decides.
fn open_command(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
}

pub(crate) fn hung_up(fd: &PollFd<'_>) -> bool {
    fd.revents()
        .is_some_and(|events| events.contains(PollFlags::POLLHUP))
}
