//! How a command ends when it does not succeed: what went wrong, what to do next, the exit code.

/// Exit code of everything but success, as in the cf CLI.
pub(crate) const EXIT_FAILED: u8 = 1;
/// Exit code of a load or a rehearsal that went well but in which something did not hold.
pub(crate) const EXIT_NOT_HELD: u8 = 3;
/// Exit code of a load or a rehearsal that says nothing: the generator itself was in the way.
pub(crate) const EXIT_VOID: u8 = 4;
/// Exit code of `curl --fail` for an HTTP error, as in curl.
pub(crate) const EXIT_HTTP_ERROR: u8 = 22;

/// A message for people. Its causes are in the message already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    message: String,
    next: Option<String>,
    exit: u8,
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            next: None,
            exit: EXIT_FAILED,
        }
    }

    /// The command said all there is to say; only the exit code is left.
    pub(crate) fn silent(exit: u8) -> Self {
        Self {
            message: String::new(),
            next: None,
            exit,
        }
    }

    /// What to do about it: a sentence, or a command to type.
    #[must_use]
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }

    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}
