//! A subject: this binary, in a process of its own, and what the kernel says it costs.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::failure::{Failure, Outcome};

/// Longest that a subject may take to say its first line.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest that a subject may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(120);

/// A running subject. Killed when dropped.
#[derive(Debug)]
pub(super) struct Subject {
    child: Child,
    pid: i32,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) resident_mib: f64,
    /// Shared pages divided among their users.
    pub(super) proportional_mib: f64,
}

impl Subject {
    /// Start this binary with `arguments`; the first line it says.
    pub(super) async fn start(
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Outcome<(Self, String)> {
        let failed =
            |what: String| Failure::new(format!("cannot start `{}`: {what}", arguments.join(" ")));
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // An interrupt at the terminal is for the bench, which ends its subjects in order.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| failed("it ended at once".to_owned()))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed("it says nothing".to_owned()))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        let line = match line {
            Ok(Ok(Some(line))) => line,
            Ok(_) => return Err(failed("it ended".to_owned())),
            Err(_) => return Err(failed(format!("it said nothing within {START_TIMEOUT:?}"))),
        };
        // Kept open: a subject that prints more must not meet a closed pipe.
        child.stdout = Some(lines.into_inner().into_inner());
        Ok((Self { child, pid }, line))
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// CPU time so far, user and system, seconds.
    pub(super) fn cpu_seconds(&self) -> Outcome<f64> {
        cpu_seconds(&format!("/proc/{}/stat", self.pid))
    }

    pub(super) fn memory(&self) -> Outcome<Memory> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = read(&path)?;
        let kib = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        match (kib("Rss:"), kib("Pss:")) {
            (Some(resident), Some(proportional)) => Ok(Memory {
                resident_mib: resident / 1024.0,
                proportional_mib: proportional / 1024.0,
            }),
            _ => Err(Failure::new(format!("{path} does not tell the memory"))),
        }
    }

    /// Ask it to end, and wait.
    pub(super) async fn end(mut self) -> Outcome {
        let pid = nix::unistd::Pid::from_raw(self.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)
            .map_err(|error| Failure::new(format!("cannot end the subject: {error}")))?;
        let ended = tokio::time::timeout(END_TIMEOUT, self.child.wait()).await;
        ended
            .map(drop)
            .map_err(|_| Failure::new(format!("the subject did not end within {END_TIMEOUT:?}")))
    }
}

/// CPU time of this process so far, seconds.
pub(super) fn own_cpu_seconds() -> Outcome<f64> {
    cpu_seconds("/proc/self/stat")
}

/// What the work comes to, and the CPU time of this thread that it took, seconds.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> Outcome<(T, f64)> {
    let began = thread_cpu_seconds()?;
    let made = std::hint::black_box(work());
    Ok((made, thread_cpu_seconds()? - began))
}

/// CPU time of this thread so far, seconds, to the nanosecond.
fn thread_cpu_seconds() -> Outcome<f64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    let time = time.map_err(|error| Failure::new(format!("no CPU time: {error}")))?;
    Ok(std::time::Duration::from(time).as_secs_f64())
}

/// Memory of this process that is in RAM.
pub(super) fn own_resident_mib() -> Outcome<f64> {
    let path = "/proc/self/smaps_rollup";
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| Failure::new(format!("{path} does not tell the memory")))
}

fn cpu_seconds(path: &str) -> Outcome<f64> {
    let text = read(path)?;
    // The name in parentheses may hold spaces; fields are counted after it.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten();
    match (ticks.as_slice(), per_second) {
        #[allow(clippy::cast_precision_loss, reason = "it is 100")]
        ([user, system], Some(per_second)) => Ok((user + system) / per_second as f64),
        _ => Err(Failure::new(format!("{path} does not tell the CPU time"))),
    }
}

fn read(path: &str) -> Outcome<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {path}: {error}")))
}
