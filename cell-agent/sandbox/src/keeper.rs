//! The keeper: a process of one thread that clones sandboxes for an agent and tells their ends.
//!
//! ```text
//! agent --reach--> is one there?  --no--> start one; it detaches and lives on by itself
//!                  of this version? --no--> tell it to leave, start one
//! ```
//! It dies without harm: sandboxes do not depend on it, records are on disk, and the next one takes
//! over by process id and start time. It ends by itself when nothing runs and nobody asks.

mod daemon;
mod ground;
mod record;
mod requests;
mod serve;
mod start;
mod take_over;

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::channel::Channel;
use crate::error::{Refusal, SandboxError, errno, io};
use crate::floor;
use crate::message::{Answer, Asked, Request, Told};
use crate::spec::Sandbox;

/// First words of the binary's command line.
pub(crate) const SERVE: &str = "serve";
pub(crate) const FLOOR: &str = "floor";

/// How long a keeper may take to greet: it may be in the middle of many starts.
const HELLO_MS: u16 = 5_000;
/// How long one answer may take: that of a release waits for the last process.
const ANSWER_MS: u16 = 30_000;
/// Pause between two attempts to reach one, while another is leaving or coming.
const PAUSE_MS: u16 = 10;
/// Attempts until it is given up: 5 s.
const ATTEMPTS_MAX: u32 = 500;

/// Where a cell's keeper lives, and which.
#[derive(Debug, Clone)]
pub struct Home {
    /// Of this keeper alone; only root may enter it.
    pub folder: PathBuf,
    /// The keeper's own binary.
    pub program: PathBuf,
    /// Names the cell's control groups.
    pub cell: String,
    /// A keeper of any other version is replaced.
    pub version: String,
}

/// Reach the keeper of a home, and start it if there is none. Blocks for some milliseconds, or for
/// seconds when the machine is overrun.
pub fn reach(home: &Home) -> Result<Channel, SandboxError> {
    let mut last = SandboxError::NoKeeper(String::new());
    for _ in 0..ATTEMPTS_MAX {
        match Channel::connect(&home.folder) {
            Ok(channel) => match greet(&channel) {
                Ok(version) if version == home.version => return Ok(channel),
                Ok(_) => dismiss(&channel)?,
                Err(error) => last = error,
            },
            Err(SandboxError::Stranger) => return Err(SandboxError::Stranger),
            Err(_) => start(home)?,
        }
        pause();
    }
    Err(last)
}

/// The version of the keeper at the other end.
fn greet(channel: &Channel) -> Result<String, SandboxError> {
    let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(HELLO_MS)).map_err(errno("wait for the keeper"))?;
    match channel.receive()? {
        Some((Told::Hello { version }, _)) => Ok(version),
        Some((other, _)) => Err(SandboxError::Malformed(format!("{other:?}"))),
        None => Err(SandboxError::NoKeeper("it hung up".to_owned())),
    }
}

/// End all sandboxes of a home, and its keeper. Blocks until they are gone.
pub fn clear_away(home: &Home) -> Result<(), SandboxError> {
    let channel = reach(home)?;
    loop {
        let page = match ask(&channel, Request::List { after: None })? {
            Ok(Answer::Page(page)) if !page.is_empty() => page,
            _ => return dismiss(&channel),
        };
        for Sandbox { name, .. } in page {
            ask(&channel, Request::Release { name })?
                .map_err(|refusal| SandboxError::Malformed(refusal.to_string()))?;
        }
    }
}

/// One question at a time, for whoever has nothing else to do.
fn ask(channel: &Channel, request: Request) -> Result<Result<Answer, Refusal>, SandboxError> {
    channel.send(&Asked { number: 0, request }, &[])?;
    loop {
        let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(ANSWER_MS)).map_err(errno("wait for the keeper"))?;
        match channel.receive()? {
            Some((Told::Answer { answer, .. }, _)) => return Ok(answer),
            Some(_) => {}
            None => return Err(SandboxError::NoKeeper("it hung up".to_owned())),
        }
    }
}

fn dismiss(channel: &Channel) -> Result<(), SandboxError> {
    let leave = Asked {
        number: 0,
        request: Request::Leave,
    };
    channel.send(&leave, &[])
}

/// Returns once it listens, or another one does.
fn start(home: &Home) -> Result<(), SandboxError> {
    std::fs::create_dir_all(&home.folder).map_err(io("make the keeper's folder"))?;
    let output = Command::new(&home.program)
        .arg(SERVE)
        .arg(&home.folder)
        .args([&home.cell, &home.version])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(io("start the keeper"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(SandboxError::NoKeeper(told.trim().to_owned()))
}

fn pause() {
    // An interrupted pause is shorter.
    poll(&mut [], PollTimeout::from(PAUSE_MS)).unwrap_or(0);
}

/// The binary.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let text = |number: usize| arguments.get(number).and_then(|word| word.to_str());
    let done = match (text(1), arguments.get(2), text(3), text(4)) {
        (Some(SERVE), Some(folder), Some(cell), Some(version)) => {
            daemon::run(Path::new(folder), cell, version)
        }
        (Some(FLOOR), Some(program), Some(count), Some(network)) => {
            floor::run(Path::new(program), count, network)
        }
        _ => Err(SandboxError::Malformed(
            "this is a part of cfx and not for people".to_owned(),
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// One line with all causes. At first whoever started the keeper reads it, later it is its log.
pub(crate) fn complain(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    // Nobody is left to tell when this fails.
    drop(writeln!(std::io::stderr(), "{text}"));
}
