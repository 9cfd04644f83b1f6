//! One empty file system for each size, made once and copied for each volume.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{VolumeError, io};

/// The least that holds a file system with something in it, bytes.
pub const SIZE_MIN_BYTES: u64 = 1 << 20;

const BLOCK_BYTES: u64 = 4096;
/// Bytes of volume for each file it can hold: node_modules are full of small files.
const BYTES_PER_FILE: u64 = 8192;
/// No journal: after a power failure volumes are made anew. No reserve for root: the limit is the
/// app's. Unwritten tables are holes of the sparse file, hence zero, hence nothing to initialise.
const FEATURES: &str = "^has_journal,^resize_inode,uninit_bg,sparse_super2";
const EXTENDED: &str = "lazy_itable_init=1,nodiscard,num_backup_sb=0";

/// The template for volumes in which an app can write `size_bytes`.
pub(super) fn ensure(directory: &Path, size_bytes: u64) -> Result<PathBuf, VolumeError> {
    if size_bytes < SIZE_MIN_BYTES {
        return Err(VolumeError::TooSmall { asked: size_bytes });
    }
    let wanted = size_bytes.div_ceil(BLOCK_BYTES);
    let path = directory.join(format!("{wanted}x{BLOCK_BYTES}.ext4"));
    if path.exists() {
        return Ok(path);
    }
    let draft = tempfile::Builder::new()
        .prefix("draft-")
        .tempfile_in(directory)
        .map_err(io("make a template in", directory))?
        .into_temp_path();
    // The file system keeps tables for itself; how much is known once it is made.
    format(&draft, wanted)?;
    let tables = wanted.saturating_sub(free_blocks(&draft)?);
    let blocks = wanted + tables + tables.div_ceil(32);
    format(&draft, blocks + kernel_reserve(blocks))?;
    draft
        .persist(&path)
        .map_err(|error| io("keep", &path)(error.error))?;
    Ok(path)
}

/// What ext4 holds back from everybody for its own delayed writes, whatever the reserve for root:
/// a fiftieth, 4,096 blocks at most.
fn kernel_reserve(blocks: u64) -> u64 {
    (blocks / 50).min(4096)
}

fn format(path: &Path, blocks: u64) -> Result<(), VolumeError> {
    let file = std::fs::File::create(path).map_err(io("empty", path))?;
    file.set_len(blocks * BLOCK_BYTES)
        .map_err(io("stretch", path))?;
    let mut program = Command::new("mkfs.ext4");
    program
        .args(["-q", "-F", "-m", "0", "-I", "256"])
        .args(["-b", &BLOCK_BYTES.to_string()])
        .args(["-i", &BYTES_PER_FILE.to_string()])
        .args(["-O", FEATURES, "-E", EXTENDED])
        .arg(path);
    run("mkfs.ext4", &mut program).map(drop)
}

fn free_blocks(path: &Path) -> Result<u64, VolumeError> {
    let mut program = Command::new("dumpe2fs");
    let text = run("dumpe2fs", program.arg("-h").arg(path))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Free blocks:")?.trim().parse().ok())
        .ok_or_else(|| VolumeError::Program {
            program: "dumpe2fs",
            detail: "it does not tell the free blocks".to_owned(),
        })
}

fn run(program: &'static str, command: &mut Command) -> Result<String, VolumeError> {
    let output = command.output().map_err(|error| VolumeError::Program {
        program,
        detail: error.to_string(),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(VolumeError::Program {
        program,
        detail: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
