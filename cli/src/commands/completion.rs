//! `completion`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Args, CompletionArgs, ShellFlag};
use crate::context::Context;
use crate::failure::Outcome;

pub(crate) fn completion(context: &Context, args: &CompletionArgs) -> Outcome {
    let shell = match args.shell {
        ShellFlag::Bash => Shell::Bash,
        ShellFlag::Zsh => Shell::Zsh,
        ShellFlag::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "cfx", &mut script);
    context.terminal.raw(&script);
    Ok(())
}
