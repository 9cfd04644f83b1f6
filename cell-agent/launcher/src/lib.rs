//! What the agent and the launcher must agree on: the files of a slot, the command and the exit
//! record. The binary beside this library is the first process of every instance.
//!
//! Nothing here does I/O, and nothing here may depend on more than the standard library: the
//! launcher is mapped into every instance.

pub mod command;
pub mod exit;
pub mod plain;

/// Where the slot is inside an instance.
pub const SLOT: &str = "/.cfx/slot";
/// Where the launcher is inside an instance.
pub const LAUNCHER: &str = "/.cfx/launcher";

/// FIFO, agent to launcher: one command, and after it the lifeline. Each side keeps its end open
/// for as long as it lives, so each sees at once, without any timer, when the other is gone.
pub const COMMAND_FILE: &str = "command";
/// FIFO of the app's standard output.
pub const STDOUT_FILE: &str = "stdout";
/// FIFO of the app's standard error.
pub const STDERR_FILE: &str = "stderr";
/// The exit record. Its block is allocated before the app starts, so that a full disk cannot
/// swallow the record.
pub const EXIT_FILE: &str = "exit";
