//! Unpacks droplets and build caches.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use tar::EntryType;

use super::tree::{Tree, UnpackError};

/// Everything of a gzipped tar into `tree`.
pub fn untar(archive: impl Read, tree: &mut Tree) -> Result<(), UnpackError> {
    let damaged = |error: std::io::Error| UnpackError::Damaged(error.to_string());
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let link = entry
            .link_name()
            .map_err(damaged)?
            .map(|link| link.into_owned());
        let mode = entry.header().mode().map_err(damaged)?;
        let modified_s = entry.header().mtime().ok();
        let link = || link.clone().ok_or_else(|| kind(&path));
        match entry.header().entry_type() {
            EntryType::Directory => tree.folder(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                tree.file(&path, mode, modified_s, &mut entry)?;
            }
            EntryType::Symlink => tree.link(&path, &link()?)?,
            EntryType::Link => tree.hard_link(&path, &link()?)?,
            EntryType::XGlobalHeader => {}
            _ => return Err(kind(&path)),
        }
    }
    Ok(())
}

fn kind(path: &Path) -> UnpackError {
    UnpackError::Kind(path.display().to_string())
}
