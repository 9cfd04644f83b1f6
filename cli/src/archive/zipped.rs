//! Files of a zip that the user made. Its names and sizes are claims, and are checked.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};

use zip::ZipArchive;

use super::collect::IGNORE_MAX_BYTES;
use super::ignore::Ignore;
use super::{
    ArchiveError, Budget, Entry, EntryKind, Place, RESOURCE_MIN_BYTES, Source, sha1_of,
    stays_inside,
};

/// Longest target of a link, bytes (PATH_MAX).
const LINK_MAX_BYTES: u64 = 4_096;
/// Where the zip says nothing about permissions.
const MODE_DEFAULT: u32 = 0o644;

pub(super) type Archive = ZipArchive<BufReader<File>>;

pub(super) fn open(path: &Path) -> Result<Archive, ArchiveError> {
    let file = File::open(path).map_err(|source| ArchiveError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| not_zip(path, error.to_string()))
}

pub(super) fn archive(path: &Path) -> Result<Source, ArchiveError> {
    let mut archive = open(path)?;
    let ignore = Ignore::new(&ignore_text(path, &mut archive)?);
    let mut budget = Budget::default();
    let mut entries = Vec::new();
    for position in 0..archive.len() {
        if let Some(entry) = entry(path, &mut archive, position, &ignore, &mut budget)? {
            entries.push(entry);
        }
    }
    Ok(Source {
        entries,
        archive: Some(path.to_owned()),
        skipped: Vec::new(),
    })
}

fn ignore_text(path: &Path, archive: &mut Archive) -> Result<String, ArchiveError> {
    let Ok(file) = archive.by_name(".cfignore") else {
        return Ok(String::new());
    };
    let mut text = String::new();
    file.take(IGNORE_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| not_zip(path, format!(".cfignore: {error}")))?;
    Ok(text)
}

fn entry(
    path: &Path,
    archive: &mut Archive,
    position: usize,
    ignore: &Ignore,
    budget: &mut Budget,
) -> Result<Option<Entry>, ArchiveError> {
    let damaged = |error: zip::result::ZipError| not_zip(path, error.to_string());
    let file = archive.by_index(position).map_err(damaged)?;
    let claimed = file.name().map_err(damaged)?.into_owned();
    let name = clean_name(&claimed).ok_or_else(|| {
        let claimed: String = claimed.chars().take(200).collect();
        not_zip(path, format!("the name {claimed:?} leads out of it"))
    })?;
    if name.is_empty() || ignore.covers(&name, file.is_dir()) {
        return Ok(None);
    }
    budget.take(file.size())?;
    let mode = file.unix_mode().map_or(MODE_DEFAULT, |mode| mode & 0o777);
    let kind = if file.is_dir() {
        EntryKind::Folder
    } else if file.is_symlink() {
        let mut target = String::new();
        file.take(LINK_MAX_BYTES)
            .read_to_string(&mut target)
            .map_err(|error| not_zip(path, format!("{name}: {error}")))?;
        if !stays_inside(&name, &target) {
            return Err(ArchiveError::LinkLeaves { path: name, target });
        }
        EntryKind::Link { target }
    } else {
        let size = file.size();
        let sha1 = if size >= RESOURCE_MIN_BYTES {
            // One byte more than claimed is enough to see the lie.
            let digest = sha1_of(file.take(size + 1));
            Some(digest.map_err(|error| not_zip(path, format!("{name}: {error}")))?)
        } else {
            None
        };
        EntryKind::File {
            size,
            sha1,
            place: Place::InArchive(position),
        }
    };
    Ok(Some(Entry {
        path: name,
        mode,
        kind,
    }))
}

/// The name as a relative path; none when it is absolute or climbs.
fn clean_name(name: &str) -> Option<String> {
    if name.contains('\0') || name.contains('\\') {
        return None;
    }
    let mut parts = Vec::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    Some(parts.join("/"))
}

fn not_zip(path: &Path, detail: String) -> ArchiveError {
    ArchiveError::NotZip {
        path: path.to_owned(),
        detail,
    }
}
