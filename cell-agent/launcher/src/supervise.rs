//! The launcher's life: wait for the command, then mind the app until it ends.
//!
//! ```text
//! waiting --command--> minding <--agent back / agent gone--> orphaned
//!    |                    |                                     |
//!    +---TERM--> end <----+-------------- app ended ------------+
//! ```
//! Waiting and minding sleep without a timer; only an orphan looks around from time to time.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use cfx_launcher::command::CommandError;
use cfx_launcher::exit::ExitRecord;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::slot::{Slot, hung_up};
use crate::{app, memory};

/// An orphan looks at its outlets this often while its app writes much, milliseconds: short enough
/// for the app to go on at some megabytes a second, long enough to cost no noticeable CPU.
const ORPHAN_BUSY_MS: u16 = 5;
/// ... and this often while its app is quiet: the longest an app's write waits.
const ORPHAN_IDLE_MS: u16 = 100;

/// Passed on to the app.
const PASSED: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

#[derive(Debug)]
pub(crate) enum Failure {
    System {
        action: &'static str,
        error: io::Error,
    },
    Command(CommandError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { action, error } => write!(f, "cannot {action}: {error}"),
            Self::Command(error) => error.fmt(f),
        }
    }
}

fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::System {
        action,
        error: error.into(),
    }
}

/// How the app, or the wait for it, ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Status(u8),
    Signal(u8),
}

/// Returns the status to exit with, after the record is written.
pub(crate) fn run(directory: &Path) -> Result<u8, Failure> {
    let signals = block_signals().map_err(system("take over signals"))?;
    // Outside a pid namespace (tests) orphans come here too; for pid 1 it changes nothing.
    nix::sys::prctl::set_child_subreaper(true).map_err(system("become the reaper"))?;
    let mut slot = Slot::open(directory).map_err(system("open the slot"))?;
    let kills_before = memory::oom_kills();
    let mut dropped = 0;
    let end = match wait_for_command(&mut slot, &signals)? {
        Waited::Command(command) => {
            slot.record_armed().map_err(system("write to the slot"))?;
            let stdout = slot.stdout.for_app().map_err(system("open stdout"))?;
            let stderr = slot.stderr.for_app().map_err(system("open stderr"))?;
            let pid = app::start(&command, stdout, stderr).map_err(system("start the app"))?;
            // The environment has gone to the app; this copy would live as long as the app.
            drop(command);
            let end = mind(&mut slot, &signals, pid, &mut dropped)?;
            end_group(pid);
            end
        }
        Waited::Signal(signal) => End::Signal(signal),
    };
    let record = record(end, memory::oom_kills() > kills_before, dropped);
    slot.record(record)
        .map_err(system("write the exit record"))?;
    Ok(record.status)
}

fn record(end: End, out_of_memory: bool, dropped_log_bytes: u64) -> ExitRecord {
    let (status, signal) = match end {
        End::Status(status) => (status, None),
        End::Signal(signal) => (signal.saturating_add(128), Some(signal)),
    };
    ExitRecord {
        status,
        signal,
        out_of_memory,
        dropped_log_bytes,
    }
}

fn block_signals() -> nix::Result<SignalFd> {
    let mut set: SigSet = PASSED.into_iter().collect();
    set.add(Signal::SIGCHLD);
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

enum Waited {
    Command(cfx_launcher::command::Command),
    Signal(u8),
}

fn wait_for_command(slot: &mut Slot, signals: &SignalFd) -> Result<Waited, Failure> {
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(slot.lifeline(), PollFlags::POLLIN),
        ];
        sleep(&mut fds, PollTimeout::NONE)?;
        let spoken_to = fds[1].any().unwrap_or(false);
        while let Some(signal) = next_signal(signals)? {
            if signal != Signal::SIGCHLD {
                return Ok(Waited::Signal(number(signal)));
            }
        }
        if spoken_to && let Some(command) = slot.receive().map_err(Failure::Command)? {
            return Ok(Waited::Command(command));
        }
    }
}

fn mind(slot: &mut Slot, signals: &SignalFd, app: Pid, dropped: &mut u64) -> Result<End, Failure> {
    let mut orphaned = false;
    let mut pause = PollTimeout::from(ORPHAN_IDLE_MS);
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            // No event asked for: a hang-up is told anyway.
            PollFd::new(slot.lifeline(), PollFlags::empty()),
        ];
        if orphaned {
            sleep(&mut fds[..1], pause)?;
        } else {
            sleep(&mut fds, PollTimeout::NONE)?;
            orphaned = hung_up(&fds[1]);
        }
        while let Some(signal) = next_signal(signals)? {
            if signal != Signal::SIGCHLD {
                pass_on(app, signal);
            }
        }
        if let Some(end) = reap(app)? {
            return Ok(end);
        }
        if orphaned {
            orphaned = !slot.is_read().map_err(system("look for an agent"))?;
        }
        if orphaned {
            let thrown_away = make_room(slot)?;
            *dropped = dropped.saturating_add(thrown_away);
            let busy = thrown_away > 0;
            pause = PollTimeout::from(if busy { ORPHAN_BUSY_MS } else { ORPHAN_IDLE_MS });
        }
    }
}

fn make_room(slot: &mut Slot) -> Result<u64, Failure> {
    let stdout = slot.stdout.make_room();
    let stderr = slot.stderr.make_room();
    let bytes = stdout.and_then(|stdout| Ok(stdout + stderr?));
    bytes
        .map(|bytes| bytes as u64)
        .map_err(system("make room for output"))
}

/// Collects every child that ended; tells when the app is among them.
fn reap(app: Pid) -> Result<Option<End>, Failure> {
    let mut end = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == app => {
                end = Some(End::Status(u8::try_from(status & 0xff).unwrap_or(u8::MAX)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == app => {
                end = Some(End::Signal(number(signal)));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(end),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(system("wait for the app")(error)),
        }
    }
}

fn pass_on(app: Pid, signal: Signal) {
    // Until it has its own session the app is no group leader yet: then the signal goes to the
    // process alone. If it has ended meanwhile there is nobody to tell.
    if killpg(app, signal).is_err() {
        nix::sys::signal::kill(app, signal).unwrap_or(());
    }
}

/// In a pid namespace the kernel ends whoever is left; elsewhere this does, for the app's group.
fn end_group(app: Pid) {
    killpg(app, Signal::SIGKILL).unwrap_or(());
}

fn next_signal(signals: &SignalFd) -> Result<Option<Signal>, Failure> {
    let info = signals.read_signal().map_err(system("read signals"))?;
    Ok(info.and_then(|info| {
        let number = i32::try_from(info.ssi_signo).ok()?;
        Signal::try_from(number).ok()
    }))
}

fn number(signal: Signal) -> u8 {
    u8::try_from(signal as i32).unwrap_or(u8::MAX)
}

fn sleep(fds: &mut [PollFd<'_>], timeout: PollTimeout) -> Result<(), Failure> {
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(system("wait")(error)),
    }
}
