//! Files of a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::ignore::Ignore;
use super::{
    ArchiveError, Budget, Entry, EntryKind, FOLDERS_DEEP_MAX, Place, RESOURCE_MIN_BYTES, Source,
    sha1_of, stays_inside,
};

/// Largest `.cfignore`, bytes.
pub(super) const IGNORE_MAX_BYTES: u64 = 1024 * 1024;

struct Walk {
    ignore: Ignore,
    /// The folder, without any link in its path.
    root: std::path::PathBuf,
    budget: Budget,
    entries: Vec<Entry>,
    skipped: Vec<String>,
}

pub(super) fn folder(path: &Path) -> Result<Source, ArchiveError> {
    let root = fs::canonicalize(path).map_err(|source| unreadable(path, source))?;
    let mut walk = Walk {
        ignore: Ignore::new(&ignore_text(&root.join(".cfignore"))?),
        root: root.clone(),
        budget: Budget::default(),
        entries: Vec::new(),
        skipped: Vec::new(),
    };
    walk.folder(&root, "", 0)?;
    Ok(Source {
        entries: walk.entries,
        archive: None,
        skipped: walk.skipped,
    })
}

fn ignore_text(path: &Path) -> Result<String, ArchiveError> {
    match fs::metadata(path) {
        Err(_) => Ok(String::new()),
        Ok(metadata) if metadata.len() > IGNORE_MAX_BYTES => Err(unreadable(
            path,
            std::io::Error::other(format!("it has more than {IGNORE_MAX_BYTES} bytes")),
        )),
        Ok(_) => fs::read_to_string(path).map_err(|source| unreadable(path, source)),
    }
}

impl Walk {
    /// In the order of names, so that the same folder gives the same package.
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), ArchiveError> {
        if depth > FOLDERS_DEEP_MAX {
            return Err(ArchiveError::TooDeep {
                path: prefix.to_owned(),
            });
        }
        let listing = fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
        let mut names = Vec::new();
        for item in listing {
            let item = item.map_err(|source| unreadable(folder, source))?;
            let name = item.file_name();
            let name = name.into_string().map_err(|name| ArchiveError::Name {
                name: folder.join(name),
            })?;
            names.push(name);
            if names.len() > super::ENTRIES_MAX {
                return Err(ArchiveError::TooManyEntries);
            }
        }
        names.sort_unstable();
        for name in names {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            self.item(&folder.join(&name), path, depth)?;
        }
        Ok(())
    }

    fn item(&mut self, disk: &Path, path: String, depth: usize) -> Result<(), ArchiveError> {
        let metadata = fs::symlink_metadata(disk).map_err(|source| unreadable(disk, source))?;
        if self.ignore.matches(&path, metadata.is_dir()) {
            return Ok(());
        }
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            self.budget.take(0)?;
            self.push(&path, mode, EntryKind::Folder);
            return self.folder(disk, &path, depth + 1);
        }
        if metadata.is_symlink() {
            self.budget.take(0)?;
            let target = self.link_target(disk, &path)?;
            self.push(&path, mode, EntryKind::Link { target });
        } else if metadata.is_file() {
            self.budget.take(metadata.len())?;
            let kind = file(disk, metadata.len())?;
            self.push(&path, mode, kind);
        } else {
            self.skipped.push(path);
        }
        Ok(())
    }

    fn push(&mut self, path: &str, mode: u32, kind: EntryKind) {
        self.entries.push(Entry {
            path: path.to_owned(),
            mode,
            kind,
        });
    }

    fn link_target(&self, disk: &Path, path: &str) -> Result<String, ArchiveError> {
        let target = fs::read_link(disk).map_err(|source| unreadable(disk, source))?;
        let leaves = || ArchiveError::LinkLeaves {
            path: path.to_owned(),
            target: target.display().to_string(),
        };
        let words = target.to_str().ok_or_else(|| ArchiveError::Name {
            name: target.clone(),
        })?;
        if !stays_inside(path, words) {
            return Err(leaves());
        }
        // Its words stay inside, but they may lead through another link.
        match fs::canonicalize(disk) {
            Ok(real) if !real.starts_with(&self.root) => Err(leaves()),
            _ => Ok(words.to_owned()),
        }
    }
}

fn file(disk: &Path, size: u64) -> Result<EntryKind, ArchiveError> {
    let open = || fs::File::open(disk).map_err(|source| unreadable(disk, source));
    let sha1 = if size >= RESOURCE_MIN_BYTES {
        Some(sha1_of(open()?).map_err(|source| unreadable(disk, source))?)
    } else {
        None
    };
    Ok(EntryKind::File {
        size,
        sha1,
        place: Place::OnDisk(disk.to_owned()),
    })
}

fn unreadable(path: &Path, source: std::io::Error) -> ArchiveError {
    ArchiveError::Unreadable {
        path: path.to_owned(),
        source,
    }
}
