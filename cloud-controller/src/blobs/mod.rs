//! Blobs: packages, droplets, buildpacks and build caches, on disk beside the store.
//!
//! A blob is named by its SHA-256, so equal ones are kept once and a copy costs nothing. Records
//! name blobs; a blob that no record names goes after a grace period (`collect`). A blob is
//! acknowledged only when it and its folder are synced. Nothing here knows what a blob means;
//! `zip` judges packages before they become one.

pub mod collect;
pub mod droplet;
pub mod internal;
pub mod matching;
pub mod zip;

mod receive;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::state::package::BlobFacts;

pub use receive::{Arrived, ReceiveError, Receiving};

/// Largest package, droplet, buildpack or build cache, bytes.
pub const BLOB_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The blob store; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Blobs(Arc<Folders>);

#[derive(Debug)]
struct Folders {
    /// `<2 digits>/<sha256>`.
    kept: PathBuf,
    /// Files that are being received. What a crash left there is of no use.
    arriving: PathBuf,
    /// Files of packages, `<2 digits>/<sha1>`, so that they need not be uploaded again.
    matching: PathBuf,
}

impl Blobs {
    /// Open the store in `root`, or make it.
    pub fn open(root: &Path) -> io::Result<Self> {
        let folders = Folders {
            kept: root.join("kept"),
            arriving: root.join("arriving"),
            matching: root.join("matching"),
        };
        if folders.arriving.exists() {
            fs::remove_dir_all(&folders.arriving)?;
        }
        for folder in [&folders.kept, &folders.arriving, &folders.matching] {
            cfx_process::durable_file::create_private_folder(folder)?;
        }
        Ok(Self(Arc::new(folders)))
    }

    /// Where a blob lies, whether it is there or not. `sha256` is 64 hexadecimal digits.
    #[must_use]
    pub fn path(&self, sha256: &str) -> PathBuf {
        below(&self.0.kept, sha256)
    }

    #[must_use]
    pub fn contains(&self, facts: &BlobFacts) -> bool {
        fs::metadata(self.path(&facts.sha256)).is_ok_and(|file| file.len() == facts.size_bytes)
    }

    /// Keep a small blob that is at hand (a buildpack that comes with the platform).
    pub fn keep_bytes(&self, bytes: &[u8]) -> io::Result<BlobFacts> {
        use sha2::Digest;
        let facts = BlobFacts {
            sha256: hex::encode(sha2::Sha256::digest(bytes)),
            size_bytes: bytes.len() as u64,
        };
        if !self.contains(&facts) {
            let path = self.path(&facts.sha256);
            cfx_process::durable_file::write(&path, bytes, cfx_process::durable_file::MODE_SECRET)?;
        }
        Ok(facts)
    }

    /// Turn a file that has arrived whole into a blob: synced, then renamed into place.
    pub fn keep(&self, arrived: Arrived) -> io::Result<BlobFacts> {
        let (file, facts) = arrived.into_parts();
        file.as_file().sync_all()?;
        let path = self.path(&facts.sha256);
        let folder = path.parent().unwrap_or(&self.0.kept);
        fs::create_dir_all(folder)?;
        // An equal one that was there is replaced: its age begins anew, so it is not collected
        // before a record names it.
        file.persist(&path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()?;
        File::open(&self.0.kept)?.sync_all()?;
        Ok(facts)
    }

    /// A file to write something into that may become a blob.
    pub(crate) fn scratch(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .prefix("arriving-")
            .tempfile_in(&self.0.arriving)
    }
}

/// Spread over 256 folders. A digest that is none leads to a name that no blob has.
fn below(folder: &Path, digest: &str) -> PathBuf {
    let safe = digest.len() >= 2 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !safe {
        return folder.join("none").join("none");
    }
    folder.join(&digest[..2]).join(digest)
}

#[cfg(test)]
mod tests;
