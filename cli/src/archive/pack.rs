//! Writes the package: what the platform does not have yet, with modes and links kept.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::zipped::{self, Archive};
use super::{ArchiveError, Entry, EntryKind, PACKAGE_MAX_BYTES, Place, Source};

/// A package on disk; removed when dropped.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) file: NamedTempFile,
    pub(crate) bytes: u64,
    pub(crate) files: usize,
}

/// Pack everything but files whose digests are in `known`; none when nothing is left to send.
pub(crate) fn pack(
    source: &Source,
    known: &HashSet<String>,
) -> Result<Option<Packed>, ArchiveError> {
    let file = tempfile::Builder::new()
        .prefix("cfx-package-")
        .suffix(".zip")
        .tempfile()
        .map_err(unwritable)?;
    let mut archive = source.archive.as_deref().map(zipped::open).transpose()?;
    let mut zip = ZipWriter::new(BufWriter::new(file.reopen().map_err(unwritable)?));
    let mut files = 0;
    for entry in &source.entries {
        if is_known(entry, known) {
            continue;
        }
        add(&mut zip, archive.as_mut(), entry)?;
        files += 1;
    }
    let mut written = zip.finish().map_err(unwritable)?;
    let bytes = written.stream_position().map_err(unwritable)?;
    written.flush().map_err(unwritable)?;
    if bytes > PACKAGE_MAX_BYTES {
        return Err(ArchiveError::PackageTooLarge);
    }
    Ok((files > 0).then_some(Packed { file, bytes, files }))
}

fn is_known(entry: &Entry, known: &HashSet<String>) -> bool {
    matches!(&entry.kind, EntryKind::File { sha1: Some(digest), .. } if known.contains(digest))
}

type Writer = ZipWriter<BufWriter<File>>;

fn add(zip: &mut Writer, archive: Option<&mut Archive>, entry: &Entry) -> Result<(), ArchiveError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(entry.mode);
    match &entry.kind {
        EntryKind::Folder => zip
            .add_directory(entry.path.as_str(), options)
            .map_err(unwritable),
        EntryKind::Link { target } => zip
            .add_symlink(entry.path.as_str(), target.as_str(), options)
            .map_err(unwritable),
        EntryKind::File { place, .. } => {
            zip.start_file(entry.path.as_str(), options)
                .map_err(unwritable)?;
            copy(zip, archive, place)
        }
    }
}

fn copy(
    zip: &mut Writer,
    archive: Option<&mut Archive>,
    place: &Place,
) -> Result<(), ArchiveError> {
    match (place, archive) {
        (Place::OnDisk(path), _) => {
            let mut file = File::open(path).map_err(|source| ArchiveError::Unreadable {
                path: path.clone(),
                source,
            })?;
            io::copy(&mut file, zip).map_err(unwritable)?;
        }
        (Place::InArchive(position), Some(archive)) => {
            let file = archive.by_index(*position).map_err(unwritable)?;
            // The claimed size was counted; no more than that is unpacked.
            let size = file.size();
            io::copy(&mut io::Read::take(file, size), zip).map_err(unwritable)?;
        }
        (Place::InArchive(_), None) => return Err(unwritable("the source has no archive")),
    }
    Ok(())
}

fn unwritable(error: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Unwritable {
        detail: error.to_string(),
    }
}
