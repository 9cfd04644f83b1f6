//! The launcher, put where containers can mount it.

use std::path::{Path, PathBuf};

use crate::carried::LAUNCHER;

/// Writes the launcher into `directory` unless it is there.
pub fn install(directory: &Path) -> std::io::Result<PathBuf> {
    LAUNCHER.install(directory)
}
