//! The bits of an app: which files go to the platform, and the zip they travel in.
//!
//! ```text
//! folder --collect--> Vec<Entry> --digest--> resource matching --pack--> package.zip
//! zip    --zipped---> the same
//! ```
//! `.cfignore` is honoured, symlinks that leave the folder are refused, everything is bounded.

mod collect;
mod ignore;
mod pack;
mod zipped;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use pack::{Packed, pack};

use crate::failure::Failure;

/// Most files, folders and links of one app.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// Most bytes of one app before compression: what a cell's disk quota could hold.
pub(crate) const SOURCE_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Largest package, bytes (Cloud Foundry's default).
pub(crate) const PACKAGE_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Files from this size on are looked up on the platform before they are sent, bytes: below it
/// asking costs more than sending (Cloud Foundry's default).
pub(crate) const RESOURCE_MIN_BYTES: u64 = 64 * 1024;
/// Deepest folder.
pub(crate) const FOLDERS_DEEP_MAX: usize = 100;

/// What is to be pushed.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) entries: Vec<Entry>,
    /// The zip the entries are in; none when they lie in a folder.
    pub(crate) archive: Option<PathBuf>,
    /// Sockets, pipes and devices that were left out.
    pub(crate) skipped: Vec<String>,
}

/// A file, folder or link of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative, with `/` between its parts.
    pub(crate) path: String,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) kind: EntryKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Folder,
    File {
        size: u64,
        /// Of files that resource matching is asked about.
        sha1: Option<String>,
        place: Place,
    },
    Link {
        target: String,
    },
}

/// Where the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    OnDisk(PathBuf),
    /// Position in the source's archive.
    InArchive(usize),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("there is no file or folder {}", path.display())]
    Missing { path: PathBuf },
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("there is nothing to push in {}", path.display())]
    Empty { path: PathBuf },
    #[error("the link {path} leads out of the app's folder, to {target}")]
    LinkLeaves { path: String, target: String },
    #[error("the name {name:?} is not UTF-8")]
    Name { name: PathBuf },
    #[error("the app has more than {ENTRIES_MAX} files")]
    TooManyEntries,
    #[error("the app has more than {} of files", in_gib(SOURCE_MAX_BYTES))]
    TooLarge,
    #[error("the package has more than {}", in_gib(PACKAGE_MAX_BYTES))]
    PackageTooLarge,
    #[error("{path} is nested deeper than {FOLDERS_DEEP_MAX} folders")]
    TooDeep { path: String },
    #[error("{} is not a zip file that can be pushed: {detail}", path.display())]
    NotZip { path: PathBuf, detail: String },
    #[error("the package cannot be written: {detail}")]
    Unwritable { detail: String },
}

fn in_gib(bytes: u64) -> String {
    format!("{} GiB", bytes / (1024 * 1024 * 1024))
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        use ArchiveError as E;
        let next = match &error {
            E::Missing { .. } => "give the app's folder or zip file with -p PATH",
            E::Unreadable { .. } => "check its permissions, or leave it out by .cfignore",
            E::Empty { .. } => "push the folder that holds the app (-p PATH), and check .cfignore",
            E::LinkLeaves { .. } => {
                "copy what it points at into the folder, or leave the link out by .cfignore"
            }
            E::Name { .. } => "rename it, or leave it out by .cfignore",
            E::TooManyEntries | E::TooLarge | E::PackageTooLarge | E::TooDeep { .. } => {
                "leave out what the app does not need by .cfignore"
            }
            E::NotZip { .. } => "push the unpacked folder instead: -p FOLDER",
            E::Unwritable { .. } => "make room in the folder for temporary files ($TMPDIR)",
        };
        Failure::new(error.to_string()).next(next)
    }
}

/// Everything to be pushed from a folder or a zip file, with digests where matching wants them.
pub(crate) fn gather(path: &Path) -> Result<Source, ArchiveError> {
    let missing = || ArchiveError::Missing {
        path: path.to_owned(),
    };
    let metadata = std::fs::metadata(path).map_err(|_| missing())?;
    let source = if metadata.is_dir() {
        collect::folder(path)?
    } else {
        zipped::archive(path)?
    };
    let is_content = |entry: &Entry| entry.kind != EntryKind::Folder;
    if !source.entries.iter().any(is_content) {
        return Err(ArchiveError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(source)
}

/// Counts entries and bytes against the limits.
#[derive(Debug, Default)]
struct Budget {
    entries: usize,
    bytes: u64,
}

impl Budget {
    fn take(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        if self.bytes > SOURCE_MAX_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        Ok(())
    }
}

/// Does a link at `path` to `target` stay inside, as far as its words go?
fn stays_inside(path: &str, target: &str) -> bool {
    if target.starts_with('/') || target.is_empty() {
        return false;
    }
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// Hexadecimal SHA-1 of what `reader` gives.
fn sha1_of(mut reader: impl io::Read) -> io::Result<String> {
    use sha1::{Digest, Sha1};
    let mut hasher = Sha1::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests;
