//! The last steps before the app, taken in the app's own process: own session, no blocked signal,
//! working directory, exec.
//!
//! `std` can do none of the first two between fork and exec without unsafe code, so the launcher
//! starts itself once more and execs from there.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;

use nix::sys::signal::SigSet;

/// Exit statuses as a shell gives them.
const STATUS_CANNOT_EXECUTE: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;

/// `arguments`: the working directory, the program, its arguments. Returns only on failure.
pub(crate) fn run(arguments: &[OsString]) -> u8 {
    let [directory, program, rest @ ..] = arguments else {
        complain("launcher: no program to run");
        return STATUS_CANNOT_EXECUTE;
    };
    if let Err(error) = nix::unistd::setsid().and_then(|_| SigSet::empty().thread_set_mask()) {
        complain(&format!("launcher: cannot prepare the process: {error}"));
        return STATUS_CANNOT_EXECUTE;
    }
    if let Err(error) = std::env::set_current_dir(directory) {
        complain(&format!("cannot enter {}: {error}", directory.display()));
        return STATUS_CANNOT_EXECUTE;
    }
    let error = std::process::Command::new(program).args(rest).exec();
    complain(&format!("cannot run {}: {error}", program.display()));
    match error.kind() {
        ErrorKind::NotFound => STATUS_NOT_FOUND,
        _ => STATUS_CANNOT_EXECUTE,
    }
}

/// One line to standard error, which is the app's log.
pub(crate) fn complain(message: &str) {
    // Nobody is left to tell when this fails.
    drop(writeln!(std::io::stderr(), "{message}"));
}
