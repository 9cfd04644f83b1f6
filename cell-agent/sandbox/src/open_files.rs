//! The limit of open files of a process that runs already. What it starts afterwards inherits it.
#![allow(
    unsafe_code,
    reason = "only the process itself has a safe call for that"
)]

use std::io;

/// Set both limits, the soft and the hard one.
pub fn limit(pid: u32, count: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let limit = libc::rlimit64 {
        rlim_cur: count.into(),
        rlim_max: count.into(),
    };
    // SAFETY: the kernel reads one `rlimit64`, which lives through the call, and writes nothing.
    let done = unsafe {
        libc::prlimit64(
            pid,
            libc::RLIMIT_NOFILE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_running_process_gets_its_limit() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .expect("started");
        limit(child.id(), 77).expect("limited");
        let text = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let text = text.expect("readable");
        let line = text.lines().find(|line| line.starts_with("Max open files"));
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        assert_eq!(words[3..5], ["77", "77"]);
    }
}
