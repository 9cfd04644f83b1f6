//! One file of lines, each with its own check: everything once, then what has changed since.
//!
//! ```text
//! 1f3c0a99 {"facts":{...}}      everything: appears as one whole file
//! 77aa01bc {"whole":1}
//! 09bc7e10 {"wanted":{...}}     appended: one write and one sync for each turn of the agent
//! ```
//! A turn costs the same however many instances the cell has. When what was appended outgrows what
//! is worth keeping, everything is written anew. A last line without its end is a write that a kill
//! cut short: nothing was begun on it, so it is dropped without a word. Any other line that does not
//! match its check is damage, and is told.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use cfx_process::durable_file::{self, MODE_SECRET};
use cfx_protocol::desired::Assignment;
use cfx_protocol::generation::Token;
use cfx_protocol::id::AssignmentGuid;
use serde::{Deserialize, Serialize};

use super::Facts;

/// Appended bytes that are never worth a rewrite: some hundred starts.
const APPENDED_MIN_BYTES: u64 = 1 << 20;
/// What was appended may be this many times what is worth keeping.
const APPENDED_FACTOR: u64 = 2;
/// Of the check before each line: hexadecimal digits of a CRC-32C.
const CHECK_CHARS: usize = 8;

/// What one line says. The last one about something is the one that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Wanted(Assignment),
    Unwanted(AssignmentGuid),
    Facts(Box<Facts>),
    /// Nothing is left of it.
    Gone(AssignmentGuid),
    /// The desired set has been followed up to here.
    Token(Token),
    /// The end of everything, with the number of lines before it.
    Whole(usize),
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None until something is appended.
    file: Option<File>,
    whole_bytes: u64,
    appended_bytes: u64,
    /// What is on disk cannot be appended to.
    broken: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) lines: Vec<Line>,
    pub(super) damage: Option<String>,
}

impl Journal {
    /// The file is written for the first time by `rewrite`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            whole_bytes: 0,
            appended_bytes: 0,
            broken: true,
        }
    }

    pub(super) fn read(&mut self) -> io::Result<Found> {
        let Some(text) = durable_file::read(&self.path)? else {
            return Ok(Found::default());
        };
        self.broken = false;
        let (mut found, mut bad, mut is_whole) = (Found::default(), 0_usize, false);
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = piece.strip_suffix(b"\n") else {
                // Cut short. The next write must not go on in the middle of it.
                self.broken = true;
                break;
            };
            match parse(line) {
                Some(Line::Whole(count)) => is_whole = count == found.lines.len() + bad,
                Some(line) => found.lines.push(line),
                None => bad += 1,
            }
        }
        if bad > 0 || !is_whole {
            let path = self.path.display();
            found.damage = Some(format!("{path} is damaged: {bad} lines cannot be read"));
            self.broken = true;
        }
        // How much of it was appended is not worth finding out: the next rewrite comes soon enough.
        self.whole_bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(found)
    }

    /// Is it time to write everything anew?
    pub(super) fn is_worn(&self) -> bool {
        let limit = self.whole_bytes.saturating_mul(APPENDED_FACTOR);
        self.broken || self.appended_bytes > limit.max(APPENDED_MIN_BYTES)
    }

    /// What is on disk may not be what its owner believes.
    pub(super) fn distrust(&mut self) {
        self.broken = true;
    }

    /// Add lines; they are on disk when this returns.
    pub(super) fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let text = encode(lines)?;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().append(true).open(&self.path)?;
                self.file.insert(file)
            }
        };
        file.write_all(&text)?;
        file.sync_data()?;
        self.appended_bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Begin anew with everything.
    pub(super) fn rewrite(&mut self, mut lines: Vec<Line>) -> io::Result<()> {
        lines.push(Line::Whole(lines.len()));
        let text = encode(&lines)?;
        self.file = None;
        durable_file::write(&self.path, &text, MODE_SECRET)?;
        self.whole_bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        (self.appended_bytes, self.broken) = (0, false);
        Ok(())
    }
}

fn encode(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        let json = serde_json::to_vec(line)?;
        write!(text, "{:08x} ", crc32c::crc32c(&json))?;
        text.extend_from_slice(&json);
        text.push(b'\n');
    }
    Ok(text)
}

fn parse(line: &[u8]) -> Option<Line> {
    let (check, rest) = line.split_at_checked(CHECK_CHARS)?;
    let json = rest.strip_prefix(b" ")?;
    let expected = format!("{:08x}", crc32c::crc32c(json));
    (check == expected.as_bytes()).then(|| serde_json::from_slice(json).ok())?
}
