//! What can go wrong, on both sides of the keeper's socket.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The keeper's own troubles, and those of whoever speaks with it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        source: io::Error,
    },
    #[error("cannot {action} {path}")]
    Path {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
    #[error("the keeper ended with `{0}` before it could work")]
    NoKeeper(String),
    #[error("the other side of the socket is not root, or not of this platform")]
    Stranger,
    #[error("a message is not what the other side should say: {0}")]
    Malformed(String),
    #[error("a message of {0} bytes is longer than allowed")]
    TooLong(usize),
}

pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> SandboxError {
    move |source| SandboxError::Io { action, source }
}

pub(crate) fn errno(action: &'static str) -> impl FnOnce(nix::errno::Errno) -> SandboxError {
    move |error| SandboxError::Io {
        action,
        source: error.into(),
    }
}

/// Why the keeper did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("there is no sandbox {0}")]
    NoSandbox(String),
    #[error("the stack {0} was not defined")]
    NoStack(String),
    #[error("`{0}` cannot name a sandbox or a stack")]
    Name(String),
    #[error("cannot {step}: {detail}")]
    Failed { step: String, detail: String },
}

impl Refusal {
    pub(crate) fn failed(step: &str, error: &dyn std::error::Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            cause = error.source();
        }
        Self::Failed {
            step: step.to_owned(),
            detail,
        }
    }
}
