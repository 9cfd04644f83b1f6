//! The last good table on disk, so that a router serves before any controller answers.
//!
//! A file is written whole or not at all and carries a checksum; one that does not match is
//! reported and left alone, never half-believed.

use std::path::{Path, PathBuf};

use cfx_process::durable_file;
use cfx_protocol::generation::Token;
use cfx_protocol::route::{Route, RouteFrame};

use super::Table;

/// First word of the file; the number is the version of what follows.
const MAGIC: &str = "cfx-routes-1";

#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    #[error("cannot read or write the saved route table {path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the saved route table {path} is damaged: {detail}")]
    Damaged { path: PathBuf, detail: String },
}

/// Write `table`; none was ever published means nothing to write.
pub(crate) fn save(path: &Path, table: &Table) -> Result<(), SavedError> {
    let Some(token) = table.token() else {
        return Ok(());
    };
    let mut routes: Vec<Route> = table.routes().map(|entry| entry.to_route()).collect();
    routes.sort_by_key(|route| route.guid);
    let frame = RouteFrame::Snapshot { token, routes };
    let content = serde_json::to_vec(&frame).map_err(|error| damaged(path, &error))?;
    let mut file = format!("{MAGIC} {:08x}\n", crc32c::crc32c(&content)).into_bytes();
    file.extend_from_slice(&content);
    durable_file::write(path, &file, durable_file::MODE_SECRET)
        .map_err(|source| unusable(path, source))
}

/// The saved table; none when there is no file.
pub(crate) fn load(path: &Path) -> Result<Option<(Token, Vec<Route>)>, SavedError> {
    let Some(file) = durable_file::read(path).map_err(|source| unusable(path, source))? else {
        return Ok(None);
    };
    let end = memchr::memchr(b'\n', &file).ok_or_else(|| damaged(path, &"it has no first line"))?;
    let (head, content) = (String::from_utf8_lossy(&file[..end]), &file[end + 1..]);
    if head != format!("{MAGIC} {:08x}", crc32c::crc32c(content)) {
        return Err(damaged(path, &"its checksum or version does not match"));
    }
    match serde_json::from_slice(content).map_err(|error| damaged(path, &error))? {
        RouteFrame::Snapshot { token, routes } => Ok(Some((token, routes))),
        _ => Err(damaged(path, &"it is not a whole table")),
    }
}

fn unusable(path: &Path, source: std::io::Error) -> SavedError {
    SavedError::File {
        path: path.to_owned(),
        source,
    }
}

fn damaged(path: &Path, detail: &dyn std::fmt::Display) -> SavedError {
    SavedError::Damaged {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}
