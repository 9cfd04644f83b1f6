//! The last steps before the app, taken in the app's own process: own session, no blocked signal,
//! working directory, exec.
//!
//! `std` can do none of the first two between fork and exec without unsafe code, so the launcher
//! starts itself once more and execs from there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::SigSet;
use nix::unistd::setsid;

/// Exit statuses as a shell gives them.
const STATUS_CANNOT_EXECUTE: u8 = 126;
const STATUS_NOT_FOUND: u8 = 127;

/// `arguments`: the working directory, the program, its arguments. Returns only on failure.
pub(crate) fn run(arguments: &[OsString]) -> u8 {
    let [directory, program, rest @ ..] = arguments else {
        return malformed();
    };
    match prepare(directory) {
        Ok(()) => exec(program, rest),
        Err(status) => status,
    }
}

/// Returns only on failure.
fn exec(program: &OsStr, arguments: &[OsString]) -> u8 {
    let error = Command::new(program).args(arguments).exec();
    complain(&format!("cannot run {}: {error}", program.display()));
    match error.kind() {
        ErrorKind::NotFound => STATUS_NOT_FOUND,
        _ => STATUS_CANNOT_EXECUTE,
    }
}

/// `arguments`: the working directory, a line, and its words. What cannot be run by itself, as a
/// script that does not say by what, is left to bash, and so is the complaint.
pub(crate) fn run_plain(arguments: &[OsString]) -> u8 {
    let [directory, line, program, rest @ ..] = arguments else {
        return malformed();
    };
    if let Err(status) = prepare(directory) {
        return status;
    }
    if is_program(Path::new(program)) {
        let _not_run = Command::new(program).args(rest).exec();
    }
    exec(OsStr::new("bash"), &["-c".into(), line.clone()])
}

/// Does the file say by what it is run? `exec` would look for another shell for one that does not.
fn is_program(path: &Path) -> bool {
    let mut first = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && (first == *b"\x7fELF" || first.starts_with(b"#!"))
}

fn prepare(directory: &OsStr) -> Result<(), u8> {
    if let Err(error) = setsid().and_then(|_| SigSet::empty().thread_set_mask()) {
        complain(&format!("launcher: cannot prepare the process: {error}"));
        return Err(STATUS_CANNOT_EXECUTE);
    }
    if let Err(error) = std::env::set_current_dir(directory) {
        complain(&format!("cannot enter {}: {error}", directory.display()));
        return Err(STATUS_CANNOT_EXECUTE);
    }
    Ok(())
}

fn malformed() -> u8 {
    complain("launcher: no program to run");
    STATUS_CANNOT_EXECUTE
}

/// One line to standard error, which is the app's log.
pub(crate) fn complain(message: &str) {
    // Nobody is left to tell when this fails.
    drop(writeln!(std::io::stderr(), "{message}"));
}
