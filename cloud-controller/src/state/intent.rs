//! Where instances are meant to run: durable before any cell hears of it.
//!
//! Intents of a process are kept in chunks of `CHUNK_SIZE` instance indices, one value each, so
//! that a scale to thousands is one commit.

use std::fmt;

use cfx_protocol::id::{AssignmentGuid, CellGuid, ProcessGuid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;

/// Instance indices in one chunk. An intent takes 130 bytes of JSON, one that is being ended 170, and
/// each index may have one of each while it is replaced: 30 KB of the 32 KiB a value may have.
pub const CHUNK_SIZE: u32 = 100;

/// One instance on one cell. Field names are short because there are very many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    #[serde(rename = "a")]
    pub assignment: AssignmentGuid,
    #[serde(rename = "i")]
    pub index: u32,
    /// The process's version this instance belongs to.
    #[serde(rename = "v")]
    pub version: u64,
    #[serde(rename = "c")]
    pub cell: CellGuid,
    /// What it reserves on the cell until it is gone.
    #[serde(rename = "m")]
    pub memory_mb: u32,
    #[serde(rename = "d")]
    pub disk_mb: u32,
    #[serde(rename = "p")]
    pub phase: IntentPhase,
}

/// How far the end of an instance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntentPhase {
    /// It is to run.
    #[serde(rename = "r")]
    Run,
    /// It is taken out of the routes; its cell is told to stop it once every router has
    /// acknowledged that and requests in flight had their time.
    #[serde(rename = "u")]
    Unroute {
        #[serde(rename = "s")]
        since: Timestamp,
    },
    /// Its cell is told to stop it; the intent goes when the cell reports it gone.
    #[serde(rename = "s")]
    Stop,
}

/// The intents of up to `CHUNK_SIZE` neighbouring indices of one process. An index may occur more
/// than once while one instance replaces another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentChunk {
    pub process: ProcessGuid,
    pub chunk: u32,
    pub intents: Vec<Intent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntentChunkKey {
    pub process: ProcessGuid,
    pub chunk: u32,
}

impl IntentChunkKey {
    #[must_use]
    pub fn of(process: ProcessGuid, index: u32) -> Self {
        Self {
            process,
            chunk: index / CHUNK_SIZE,
        }
    }
}

impl fmt::Display for IntentChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08}", self.process, self.chunk)
    }
}

impl Record for IntentChunk {
    type Key = IntentChunkKey;
    const KIND: &'static str = "intent";

    fn key(&self) -> IntentChunkKey {
        IntentChunkKey {
            process: self.process,
            chunk: self.chunk,
        }
    }

    fn owned(&self) -> Option<(IntentChunkKey, &[Intent])> {
        Some((self.key(), &self.intents))
    }
}

impl super::State {
    /// All intents of a process, by index.
    pub fn intents_of(&self, process: ProcessGuid) -> impl Iterator<Item = &Intent> {
        let first = IntentChunkKey { process, chunk: 0 };
        let last = IntentChunkKey {
            process,
            chunk: u32::MAX,
        };
        let chunks = self.intents.range(first..=last);
        chunks.flat_map(|(_, chunk)| chunk.intents.iter())
    }
}
