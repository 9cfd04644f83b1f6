//! What people and scripts see. The only place of the CLI that writes to the terminal.
//!
//! Answers go to stdout, remarks and errors to stderr; with `--json` stdout holds JSON and nothing
//! else. Colour is used only on a terminal, and never when `NO_COLOR` is set.

mod progress;
mod style;
mod table;
mod time;

use std::io::{self, IsTerminal, Write};

use parking_lot::Mutex;
use serde::Serialize;

pub(crate) use progress::Progress;
pub(crate) use style::Style;
pub(crate) use table::{Fields, Table};
pub(crate) use time::{local_time, log_time, seconds};

use crate::environment::Environment;
use crate::failure::Failure;

/// A place to write to; tests read what was written.
type Sink = Mutex<Box<dyn Write + Send>>;

/// The user's terminal, or what stands in for it.
pub(crate) struct Terminal {
    out: Sink,
    err: Sink,
    style: Style,
    /// stdout and stderr are terminals: progress may redraw lines.
    live: bool,
    /// stdin is a terminal: questions may be asked.
    interactive: bool,
    verbose: bool,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal {
    pub(crate) fn new(environment: &Environment, verbose: bool) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        Self {
            out: Mutex::new(Box::new(io::stdout())),
            err: Mutex::new(Box::new(io::stderr())),
            style: Style::new(out_is_terminal && !environment.no_color),
            live: out_is_terminal && io::stderr().is_terminal() && !environment.dumb_terminal,
            interactive: io::stdin().is_terminal(),
            verbose,
        }
    }

    /// One that nobody sees.
    pub(crate) fn silent() -> Self {
        Self::writing_to(Box::new(io::sink()), Box::new(io::sink()))
    }

    /// One that writes elsewhere.
    pub(crate) fn writing_to(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            out: Mutex::new(out),
            err: Mutex::new(err),
            style: Style::new(false),
            live: false,
            interactive: false,
            verbose: false,
        }
    }

    pub(crate) fn style(&self) -> &Style {
        &self.style
    }

    pub(crate) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// An answer.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        write_line(&self.out, line.as_ref());
    }

    /// An empty line between parts of an answer.
    pub(crate) fn blank(&self) {
        write_line(&self.out, "");
    }

    pub(crate) fn ok(&self) {
        self.say(self.style.good("OK"));
    }

    /// A remark that is not part of the answer.
    pub(crate) fn note(&self, line: impl AsRef<str>) {
        write_line(&self.err, line.as_ref());
    }

    /// Something is not as it should be, but the command goes on.
    pub(crate) fn warn(&self, line: impl AsRef<str>) {
        self.note(format!(
            "{} {}",
            self.style.warning("Warning:"),
            line.as_ref()
        ));
    }

    /// Shown with `--verbose` only.
    pub(crate) fn trace(&self, line: impl AsRef<str>) {
        if self.verbose {
            self.note(self.style.faint(line.as_ref()));
        }
    }

    pub(crate) fn table(&self, table: &Table) {
        for line in table.lines(&self.style) {
            self.say(line);
        }
    }

    pub(crate) fn fields(&self, fields: &Fields) {
        for line in fields.lines(&self.style) {
            self.say(line);
        }
    }

    /// The whole answer, for scripts.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(format!("cannot print JSON: {error}")))?;
        self.say(text);
        Ok(())
    }

    /// Bytes as they are: what `curl` received.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut out = self.out.lock();
        // A reader that went away (`| head`) is not an error of ours.
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// The end of a command that did not succeed.
    pub(crate) fn failed(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        let label = self.style.bad("Error:");
        self.note(format!("{label} {}", failure.message()));
        if let Some(next) = failure.next_step() {
            self.note(format!("{} {next}", self.style.strong("Next:")));
        }
    }

    pub(crate) fn progress(&self, what: &str) -> Progress {
        Progress::start(what, self.live)
    }

    /// A yes-or-no question; without a terminal the answer is no.
    pub(crate) fn confirm(&self, question: &str) -> bool {
        self.interactive
            && self
                .ask(&format!("{question} [yN]"))
                .is_some_and(|answer| matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// A line of text from the user; none at the end of input.
    pub(crate) fn ask(&self, question: &str) -> Option<String> {
        self.prompt(question);
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim().to_owned()),
        }
    }

    /// A secret from the user, not echoed.
    pub(crate) fn ask_secret(&self, question: &str) -> Option<String> {
        if !self.interactive {
            return None;
        }
        rpassword::prompt_password(format!("{question}: ")).ok()
    }

    fn prompt(&self, question: &str) {
        let mut err = self.err.lock();
        drop(write!(err, "{question}: ").and_then(|()| err.flush()));
    }
}

fn write_line(sink: &Sink, line: &str) {
    let mut sink = sink.lock();
    // A reader that went away (`| head`) is not an error of ours.
    drop(
        sink.write_all(line.as_bytes())
            .and_then(|()| sink.write_all(b"\n"))
            .and_then(|()| sink.flush()),
    );
}
