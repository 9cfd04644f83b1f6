//! Colour, used sparingly: names and states only, and only when it was asked for.

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    enabled: bool,
}

const RESET: &str = "\x1b[0m";

impl Style {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    pub(crate) fn strong(&self, text: &str) -> String {
        self.paint("\x1b[1m", text)
    }

    /// Names of things.
    pub(crate) fn name(&self, text: &str) -> String {
        self.paint("\x1b[36;1m", text)
    }

    pub(crate) fn good(&self, text: &str) -> String {
        self.paint("\x1b[32;1m", text)
    }

    pub(crate) fn warning(&self, text: &str) -> String {
        self.paint("\x1b[33m", text)
    }

    pub(crate) fn bad(&self, text: &str) -> String {
        self.paint("\x1b[31;1m", text)
    }

    pub(crate) fn faint(&self, text: &str) -> String {
        self.paint("\x1b[2m", text)
    }

    /// An instance's, an app's or a cell's state.
    pub(crate) fn state(&self, state: &str) -> String {
        match state {
            "running" | "ready" | "started" => self.good(state),
            "starting" | "stopping" | "suspect" | "draining" => self.warning(state),
            "crashed" | "down" | "lost" | "unhealthy" => self.bad(state),
            other => other.to_owned(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.enabled && !text.is_empty() {
            format!("{code}{text}{RESET}")
        } else {
            text.to_owned()
        }
    }
}
