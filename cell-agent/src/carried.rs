//! The programs that the agent carries, and puts on the machine where it needs them.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Digits of a program's digest in its name.
const DIGEST_DIGITS: usize = 16;

/// A static program, built by `build.rs`.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    name: &'static str,
    bytes: &'static [u8],
}

/// The first process of every instance.
pub static LAUNCHER: Carried = Carried {
    name: "launcher",
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/cfx-launcher")),
};

/// Clones sandboxes.
pub static KEEPER: Carried = Carried {
    name: "keeper",
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/cfx-keeper")),
};

impl Carried {
    /// Tells this program from all others of its name.
    #[must_use]
    pub fn version(&self) -> String {
        let mut digest = hex::encode(Sha256::digest(self.bytes));
        digest.truncate(DIGEST_DIGITS);
        digest
    }

    /// Writes the program into `directory` unless it is there; its name carries its version, so
    /// that what runs keeps the one it was started with.
    pub fn install(&self, directory: &Path) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(directory)?;
        let directory = &directory.canonicalize()?;
        let path = directory.join(format!("{}-{}", self.name, self.version()));
        let is_whole =
            std::fs::metadata(&path).is_ok_and(|file| file.len() == self.bytes.len() as u64);
        if is_whole {
            return Ok(path);
        }
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(self.bytes)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(0o755))?;
        file.persist(&path)?;
        Ok(path)
    }
}
