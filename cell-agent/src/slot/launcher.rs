//! The launcher that the agent carries and puts where containers can mount it.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The launcher's program, built static by `build.rs`.
pub static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cfx-launcher"));

/// Writes the launcher into `directory` unless it is there; its name carries its digest, so that
/// running instances keep the one they were started with.
pub fn install(directory: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let directory = &directory.canonicalize()?;
    let digest = hex::encode(Sha256::digest(PROGRAM));
    let short = digest.get(..16).unwrap_or(&digest);
    let path = directory.join(format!("launcher-{short}"));
    let is_whole = std::fs::metadata(&path).is_ok_and(|file| file.len() == PROGRAM.len() as u64);
    if is_whole {
        return Ok(path);
    }
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(PROGRAM)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o755))?;
    file.persist(&path)?;
    Ok(path)
}
