//! What can be wrong with a manifest; each error says where and what to do.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("there is no manifest at {}", path.display())]
    Missing { path: PathBuf },
    #[error("cannot read {}: {detail}", path.display())]
    Unreadable { path: PathBuf, detail: String },
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        path: PathBuf,
        line: usize,
        message: String,
        next: Option<String>,
    },
    #[error("no value is given for {}", names.join(", "))]
    VariablesMissing { names: Vec<String> },
    #[error("`{text}` is not a variable: write NAME=VALUE")]
    Assignment { text: String },
    #[error("{message}")]
    Flags { message: String, next: String },
}

/// A fault at a line of some text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) message: String,
    pub(crate) next: Option<String>,
    /// Not at a line: these variables have no value.
    pub(crate) missing: Vec<String>,
}

impl Fault {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
            next: None,
            missing: Vec::new(),
        }
    }

    pub(crate) fn missing(names: Vec<String>) -> Self {
        Self {
            missing: names,
            ..Self::new(0, "")
        }
    }

    #[must_use]
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    pub(crate) fn in_file(self, path: &Path) -> ManifestError {
        if !self.missing.is_empty() {
            return ManifestError::VariablesMissing {
                names: self.missing,
            };
        }
        ManifestError::Invalid {
            path: path.to_owned(),
            line: self.line,
            message: self.message,
            next: self.next,
        }
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        let message = error.to_string();
        let next = match error {
            ManifestError::Missing { .. } => {
                Some("give the manifest with -f FILE, or push without one: --no-manifest".into())
            }
            ManifestError::Unreadable { .. } => {
                Some("give another manifest with -f FILE, or none: --no-manifest".into())
            }
            ManifestError::Invalid { next, path, .. } => {
                next.or_else(|| Some(format!("correct {} and push again", path.display())))
            }
            ManifestError::VariablesMissing { names } => {
                let example = names.first().map_or("NAME", String::as_str);
                Some(format!(
                    "give the values: --var {example}=VALUE, or --vars-file FILE"
                ))
            }
            ManifestError::Assignment { .. } => Some("for example: --var host=shop".into()),
            ManifestError::Flags { next, .. } => Some(next),
        };
        match next {
            Some(step) => Failure::new(message).next(step),
            None => Failure::new(message),
        }
    }
}
