//! `cfx`: the whole platform and the CLI to use it, in one binary.
//!
//! This file is the only one that starts a runtime and ends the process. It must stay a table of
//! contents: words become `args`, `commands` do the work, `output` tells the user.

mod archive;
mod args;
mod bench;
mod client;
mod commands;
mod context;
mod environment;
mod failure;
mod load;
mod manifest;
mod output;
mod platform;
mod rehearse;
mod session;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::args::Args;
use crate::context::Context;
use crate::environment::Environment;
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Terminal;

// Measured faster on the router's path than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse_from(args::normalise(std::env::args_os().collect())) {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let environment = Environment::read();
    let terminal = Arc::new(Terminal::new(&environment, args.verbose));
    let context = Context::new(environment, Arc::clone(&terminal), args.verbose);
    let outcome = runtime(&args)
        .and_then(|runtime| runtime.block_on(Box::pin(commands::run(args.command, &context))));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.failed(&failure);
            ExitCode::from(failure.exit())
        }
    }
}

/// A command needs one thread; a platform needs all of the machine's.
fn runtime(args: &Args) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = if commands::is_threaded(&args.command) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}

/// Help and version go to stdout and are a success; anything else is an error with exit code 1,
/// as in the cf CLI.
fn usage(error: &clap::Error) -> ExitCode {
    // The terminal is gone if this cannot be printed.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(EXIT_FAILED)
    } else {
        ExitCode::SUCCESS
    }
}
