//! Speaking with a launcher: the command, the app's output, the lifeline.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use cfx_process::clock::Clock;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::unix::pipe;

use super::{Command, Slot, SlotError};

/// Between two looks for a launcher that has not opened its slot yet: doubled from one to the
/// other, because it comes within milliseconds unless the machine is overrun.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(32);

/// An app's output and its launcher's sign of life. Dropping it is what a dead agent looks like:
/// the launcher then keeps the app writing.
#[derive(Debug)]
pub struct Attached {
    pub lifeline: Lifeline,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

/// The agent's end of the command FIFO.
#[derive(Debug)]
pub struct Lifeline {
    fifo: pipe::Sender,
}

impl Lifeline {
    /// Returns when the launcher is gone: the app has ended and its record, if any, is written.
    pub async fn ended(&self) {
        if self.has_ended() {
            return;
        }
        // A FIFO is in error for its writer when nobody reads it any more. A failing reactor is
        // shutting down: then nobody will be told anything.
        if let Err(error) = self.fifo.ready(Interest::ERROR).await {
            tracing::debug!(%error, "a lifeline cannot be watched any more");
        }
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.fifo.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok()
            && fds[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLERR))
    }

    async fn send(&mut self, slot: &Slot, message: &[u8]) -> Result<(), SlotError> {
        let path = slot.file(cfx_launcher::COMMAND_FILE);
        match self.fifo.write_all(message).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(SlotError::NoLauncher(path)),
            Err(error) => Err(io("write to", &path)(error)),
        }
    }
}

impl Slot {
    /// Wait for the launcher and give it its command. It can be given only once.
    pub async fn arm(&self, command: &Command, clock: &Clock) -> Result<Attached, SlotError> {
        let message = command.encode().map_err(SlotError::Command)?;
        let arming = self.arm_with(&message, clock);
        tokio::time::timeout(super::ARM_DEADLINE, arming)
            .await
            .map_err(|_| SlotError::Deadline(super::ARM_DEADLINE))?
    }

    async fn arm_with(&self, message: &[u8], clock: &Clock) -> Result<Attached, SlotError> {
        let mut pause = LOOK_FIRST;
        let mut attached = loop {
            match self.attach() {
                Err(SlotError::NoLauncher(_)) => clock.sleep(pause).await,
                other => break other?,
            }
            pause = (pause * 2).min(LOOK_LAST);
        };
        attached.lifeline.send(self, message).await?;
        Ok(attached)
    }

    /// Take over the output of an instance whose launcher runs, as after an agent's restart.
    pub fn attach(&self) -> Result<Attached, SlotError> {
        let command = self.file(cfx_launcher::COMMAND_FILE);
        // First the lifeline: once it can be opened the launcher holds the others.
        let lifeline = open_fifo(&command, OpenOptions::new().write(true))?;
        let lifeline = Lifeline {
            fifo: pipe::Sender::from_file(lifeline).map_err(io("watch", &command))?,
        };
        Ok(Attached {
            lifeline,
            stdout: self.outlet(cfx_launcher::STDOUT_FILE)?,
            stderr: self.outlet(cfx_launcher::STDERR_FILE)?,
        })
    }

    fn outlet(&self, name: &str) -> Result<pipe::Receiver, SlotError> {
        let path = self.file(name);
        let file = open_fifo(&path, OpenOptions::new().read(true))?;
        pipe::Receiver::from_file(file).map_err(io("read", &path))
    }
}

fn open_fifo(path: &Path, options: &mut OpenOptions) -> Result<File, SlotError> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let file = match options.custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
            return Err(SlotError::NoLauncher(path.to_path_buf()));
        }
        Err(error) => return Err(io("open", path)(error)),
    };
    let is_fifo = file
        .metadata()
        .is_ok_and(|about| about.file_type().is_fifo());
    if is_fifo {
        Ok(file)
    } else {
        Err(SlotError::Foreign(path.to_path_buf()))
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SlotError {
    let path = path.to_path_buf();
    move |source| SlotError::Io {
        action,
        path,
        source,
    }
}
