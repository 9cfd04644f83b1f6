//! The agent's side of an instance's slot: the folder through which it and the launcher speak.
//!
//! The folder belongs to root and the app can only write into its files, but what is in them is
//! the app's word: nothing is followed, nothing is believed beyond the app's own exit. It should
//! lie on the instance's own volume, so that whatever is written there counts against its quota.

mod attach;
pub mod launcher;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cfx_launcher::exit::{ExitRecord, RECORD_BYTES, is_armed};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

pub use attach::{Attached, Lifeline};
pub use cfx_launcher::command::{Command, CommandError, Program};
pub use cfx_launcher::exit::ExitRecord as LauncherExit;

use crate::runtime::User;

/// How long a launcher may take to open its slot after its container was started. It needs
/// milliseconds; a machine under a start storm may take far longer.
pub const ARM_DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the command cannot be sent")]
    Command(#[source] CommandError),
    /// The launcher is not there: it never started, or it has ended.
    #[error("no launcher listens in {0}")]
    NoLauncher(PathBuf),
    #[error("the launcher did not take its command within {0:?}")]
    Deadline(Duration),
    #[error("{0} is not what the agent made: the app replaced it")]
    Foreign(PathBuf),
}

/// The slot of one instance, by its folder.
#[derive(Debug, Clone)]
pub struct Slot {
    directory: PathBuf,
}

impl Slot {
    /// Make the folder and its files, for the user that the instance runs as; none means that the
    /// user is not known (an image's own) and the folder above must keep others out. Repeatable.
    pub fn create(directory: PathBuf, owner: Option<User>) -> Result<Self, SlotError> {
        let slot = Self { directory };
        slot.make(owner)?;
        Ok(slot)
    }

    /// A slot made earlier, perhaps by an agent before this one.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn make(&self, owner: Option<User>) -> Result<(), SlotError> {
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source: std::io::Error| SlotError::Io {
                action,
                path,
                source,
            }
        };
        std::fs::create_dir_all(&self.directory).map_err(io("make", &self.directory))?;
        std::fs::set_permissions(&self.directory, Permissions::from_mode(0o755))
            .map_err(io("open up", &self.directory))?;
        for name in [
            cfx_launcher::COMMAND_FILE,
            cfx_launcher::STDOUT_FILE,
            cfx_launcher::STDERR_FILE,
        ] {
            let path = self.file(name);
            match nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(error) => return Err(io("make", &path)(error.into())),
            }
            give(&path, owner).map_err(io("hand over", &path))?;
        }
        let path = self.file(cfx_launcher::EXIT_FILE);
        // Written, not just sized: the record must find its block even on a full volume.
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => file
                .write_all(&[b' '; RECORD_BYTES])
                .map_err(io("fill", &path))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("make", &path)(error)),
        }
        give(&path, owner).map_err(io("hand over", &path))
    }

    /// What the launcher recorded; none while the app runs, or when the launcher was killed.
    pub fn exit_record(&self) -> Result<Option<ExitRecord>, SlotError> {
        Ok(self.line()?.parse().ok())
    }

    /// Has the launcher taken its command? An agent that died while sending it cannot know.
    pub fn is_armed(&self) -> Result<bool, SlotError> {
        Ok(is_armed(&self.line()?))
    }

    /// What is in the exit file; empty when that is gone or holds no text.
    fn line(&self) -> Result<String, SlotError> {
        let path = self.file(cfx_launcher::EXIT_FILE);
        let file = match open_plain(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
            Err(source) => {
                let action = "open";
                return Err(SlotError::Io {
                    action,
                    path,
                    source,
                });
            }
        };
        if !file.metadata().is_ok_and(|about| about.is_file()) {
            return Err(SlotError::Foreign(path));
        }
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        let read = file.take(RECORD_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(|source| SlotError::Io {
            action: "read",
            path,
            source,
        })?;
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }
}

/// Never through a link, and never waiting for a FIFO that was put in its place.
fn open_plain(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
}

fn give(path: &Path, owner: Option<User>) -> std::io::Result<()> {
    match owner {
        Some(user) => {
            chown(path, Some(user.uid), Some(user.gid))?;
            std::fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        None => std::fs::set_permissions(path, Permissions::from_mode(0o666)),
    }
}

#[cfg(test)]
mod tests;
