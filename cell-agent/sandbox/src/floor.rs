//! What a sandbox costs at the very least: a bare clone into the same namespaces and an exec, again
//! and again. Whoever measures starts compares with this, on the same machine in the same minute.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sched::CloneFlags;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{dup2_stderr, dup2_stdout};
use serde::{Deserialize, Serialize};

use crate::error::{SandboxError, errno, io};
use crate::keeper::FLOOR;
use crate::syscall::{self, Cloned};

/// The namespaces of a sandbox, all at once.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWUSER
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWCGROUP);
/// Words for whether each start makes a network namespace, too.
const WITH_NETWORK: &str = "network";
const WITHOUT_NETWORK: &str = "no-network";

/// What the loop took, all starts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub starts: u32,
    /// CPU time of the loop and of everything it started, user and system.
    pub cpu: Duration,
    pub wall: Duration,
}

impl Floor {
    #[must_use]
    pub fn cpu_each(&self) -> Duration {
        self.cpu / self.starts.max(1)
    }
}

/// Start a static program `starts` times, each in fresh namespaces, one after the other, and wait
/// for its end. `program` should end at once by itself. With `network` each start makes a network
/// namespace, without it none: as when they come from a pool.
///
/// It runs in a process of its own, the keeper's binary: this one may have threads.
pub fn bare_start(
    keeper: &Path,
    program: &Path,
    starts: u32,
    network: bool,
) -> Result<Floor, SandboxError> {
    let network = if network {
        WITH_NETWORK
    } else {
        WITHOUT_NETWORK
    };
    let output = Command::new(keeper)
        .arg(FLOOR)
        .arg(program)
        .args([starts.to_string().as_str(), network])
        .env_clear()
        .output()
        .map_err(io("run the loop"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(SandboxError::NoKeeper(told.trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| SandboxError::Malformed(error.to_string()))
}

/// In the keeper's binary.
pub(crate) fn run(program: &Path, starts: &str, network: &str) -> Result<(), SandboxError> {
    let malformed = |text: &str| SandboxError::Malformed(text.to_owned());
    let starts: u32 = starts.parse().map_err(|_| malformed(starts))?;
    let mut namespaces = NAMESPACES;
    if network == WITH_NETWORK {
        namespaces |= CloneFlags::CLONE_NEWNET;
    }
    let program = syscall::text(program).map_err(io("name the program"))?;
    let arguments = [program.clone()];
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(io("open /dev/null"))?;
    let (cpu, wall) = (cpu()?, monotonic()?);
    for _ in 0..starts {
        start_one(namespaces, &program, &arguments, &null)?;
    }
    let floor = Floor {
        starts,
        cpu: self::cpu()?.saturating_sub(cpu),
        wall: monotonic()?.saturating_sub(wall),
    };
    let text = serde_json::to_string(&floor).map_err(|error| malformed(&error.to_string()))?;
    writeln!(std::io::stdout(), "{text}").map_err(io("tell the result"))
}

fn start_one(
    namespaces: CloneFlags,
    program: &CString,
    arguments: &[CString],
    null: &File,
) -> Result<(), SandboxError> {
    // SAFETY: the keeper's binary has one thread.
    match unsafe { syscall::clone(namespaces.bits(), None) }.map_err(io("clone"))? {
        Cloned::Child => {
            // What it says is not the result.
            dup2_stdout(null).map_err(errno("be quiet"))?;
            dup2_stderr(null).map_err(errno("be quiet"))?;
            syscall::exec(program, arguments);
            std::process::exit(1)
        }
        Cloned::Parent { pidfd, .. } => {
            waitid(
                Id::PIDFd(std::os::fd::AsFd::as_fd(&pidfd)),
                WaitPidFlag::WEXITED,
            )
            .map_err(errno("wait"))?;
            Ok(())
        }
    }
}

fn cpu() -> Result<Duration, SandboxError> {
    let mut micros = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).map_err(errno("read the CPU time"))?;
        micros += usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

fn monotonic() -> Result<Duration, SandboxError> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(errno("read the clock"))?;
    Ok(now.into())
}
