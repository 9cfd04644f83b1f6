//! What agent and keeper say to each other, one JSON text a message.
//!
//! The agent asks and numbers what it asks; the keeper answers with the number, in any order, and
//! tells ends unasked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Refusal;
use crate::spec::{Sandbox, Spec};

/// Longest message, bytes: labels and targets of one sandbox, or a page of a list.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Files beside one message at most; the kernel allows 253.
pub const FILES_MAX: usize = 64;
/// Sandboxes in one answer.
pub(crate) const PAGE: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub number: u64,
    pub request: Request,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Does it work?
    Ping,
    /// A root for sandboxes. Beside it: the mount that is the root, then one for each target.
    /// Defining the same name anew is for what starts afterwards.
    Define {
        name: String,
        targets: Vec<PathBuf>,
    },
    /// Starting what is there answers with what is there.
    Start(Box<Spec>),
    Signal {
        name: String,
        signal: i32,
    },
    Look {
        name: String,
    },
    /// The next page in the order of names.
    List {
        after: Option<String>,
    },
    /// Hold every process of it where it is, or let them go on.
    Freeze {
        name: String,
        frozen: bool,
    },
    /// End it and leave nothing. Releasing what is not there succeeds.
    Release {
        name: String,
    },
    /// End the keeper; what it started runs on. For an agent that brings another version.
    Leave,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// The first word on every connection.
    Hello {
        version: String,
    },
    Answer {
        number: u64,
        answer: Result<Answer, Refusal>,
    },
    Ended {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Sandbox(Sandbox),
    Page(Vec<Sandbox>),
}
