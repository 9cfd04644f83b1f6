//! Unpacks what users and buildpack authors zipped.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::droplet_cache::tree::{Tree, UnpackError};

/// Longest target of a link, bytes: the kernel's limit.
const LINK_MAX_BYTES: u64 = 4_096;
/// A file without a recorded mode.
const MODE_DEFAULT: u32 = 0o644;

/// Everything of the zip at `archive` into `tree`.
pub(super) fn unzip(archive: &Path, tree: &mut Tree) -> Result<(), UnpackError> {
    let damaged = |error: &dyn std::fmt::Display| UnpackError::Damaged(error.to_string());
    let file = File::open(archive).map_err(|error| damaged(&error))?;
    let mut zip = ZipArchive::new(io::BufReader::new(file)).map_err(|error| damaged(&error))?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(|error| damaged(&error))?;
        // Zips of Windows tools separate names by backslashes.
        let name = entry
            .name()
            .map_err(|error| damaged(&error))?
            .replace('\\', "/");
        let path = Path::new(&name);
        let mode = entry.unix_mode().unwrap_or(MODE_DEFAULT);
        if entry.is_dir() {
            tree.folder(path)?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            let mut content = (&mut entry).take(LINK_MAX_BYTES);
            content
                .read_to_string(&mut target)
                .map_err(|error| damaged(&error))?;
            tree.link(path, Path::new(&target))?;
        } else {
            tree.file(path, mode, None, &mut entry)?;
        }
    }
    Ok(())
}
