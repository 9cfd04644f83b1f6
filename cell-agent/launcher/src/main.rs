//! The first process of every instance, on every runtime.
//!
//! It waits for its command, starts the app as its child, passes signals on, reaps, and leaves the
//! exit record in the slot. It holds the app's output open, so that the app neither stops nor gets
//! SIGPIPE while an agent restarts. It has one thread, which sleeps in `poll` for as long as an
//! agent reads: it must never wake up by itself while one does, and never write the environment
//! anywhere.

mod app;
mod entry;
mod memory;
mod outlet;
mod slot;
mod supervise;

use std::path::Path;
use std::process::ExitCode;

/// Exit status when the launcher itself cannot work; docker uses the same for itself.
const STATUS_LAUNCHER_FAILED: u8 = 125;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let rest = arguments.get(2..).unwrap_or_default();
    match arguments.get(1).and_then(|first| first.to_str()) {
        Some(app::ENTRY_FLAG) => return ExitCode::from(entry::run(rest)),
        Some(app::PLAIN_FLAG) => return ExitCode::from(entry::run_plain(rest)),
        _ => {}
    }
    let directory = arguments
        .get(1)
        .map_or_else(|| Path::new(cfx_launcher::SLOT), Path::new);
    match supervise::run(directory) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            entry::complain(&format!("launcher: {error}"));
            ExitCode::from(STATUS_LAUNCHER_FAILED)
        }
    }
}
