//! A second opinion on what was acknowledged: a tiny file that names the newest durable revision.
//!
//! sled drops a damaged tail on its own; without a witness that would look like an older but
//! healthy store. It is written after the data is durable and not synced itself, so it may lag
//! behind after a power loss, but can never claim what was not there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cfx_protocol::id::ClusterGuid;

use super::io_error;
use crate::store::{Revision, StoreError};

/// Two slots a sector apart are written in turn: a torn write spoils one of them at most.
const SLOT_BYTES: usize = 512;
const SLOTS: u64 = 2;

#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    file: File,
    cluster: ClusterGuid,
    writes: u64,
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Testimony {
    pub(super) cluster: ClusterGuid,
    pub(super) revision: Revision,
}

/// None when there is no file, or no slot of it is whole.
pub(super) fn read(store: &Path) -> Result<Option<Testimony>, StoreError> {
    let path = path(store);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes
            .chunks(SLOT_BYTES)
            .filter_map(parse)
            .max_by_key(|testimony| testimony.revision)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

impl Witness {
    /// Starts over: the store was verified and stands at this revision.
    pub(super) fn create(store: &Path, testimony: Testimony) -> Result<Self, StoreError> {
        let path = path(store);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        let mut witness = Self {
            path,
            file,
            cluster: testimony.cluster,
            writes: 0,
        };
        for _ in 0..SLOTS {
            witness.record(testimony.revision)?;
        }
        witness
            .file
            .sync_all()
            .map_err(io_error("sync", &witness.path))?;
        Ok(witness)
    }

    pub(super) fn record(&mut self, revision: Revision) -> Result<(), StoreError> {
        let slot = self.writes % SLOTS;
        self.writes += 1;
        self.file
            .write_all_at(&line(self.cluster, revision), slot * SLOT_BYTES as u64)
            .map_err(io_error("write", &self.path))
    }
}

fn path(store: &Path) -> PathBuf {
    store.join("witness")
}

fn line(cluster: ClusterGuid, revision: Revision) -> Vec<u8> {
    let text = format!("cfx-store {cluster} {revision:016x}");
    let sum = crc32c::crc32c(text.as_bytes());
    format!("{text} {sum:08x}\n").into_bytes()
}

fn parse(slot: &[u8]) -> Option<Testimony> {
    let text = std::str::from_utf8(slot.split(|byte| *byte == b'\n').next()?).ok()?;
    let (text, sum) = text.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
        return None;
    }
    let (cluster, revision) = text.strip_prefix("cfx-store ")?.split_once(' ')?;
    Some(Testimony {
        cluster: cluster.parse().ok()?,
        revision: Revision::from_str_radix(revision, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_other_one_to_speak() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let told = |revision| Testimony {
            cluster: ClusterGuid::NIL,
            revision,
        };
        assert_eq!(read(dir.path()).expect("readable"), None);
        let mut witness = Witness::create(dir.path(), told(7)).expect("created");
        witness.record(8).expect("recorded");
        assert_eq!(read(dir.path()).expect("readable"), Some(told(8)));
        witness.file.write_all_at(b"XXX", 50).expect("torn");
        assert_eq!(read(dir.path()).expect("readable"), Some(told(7)));
    }
}
