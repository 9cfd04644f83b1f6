//! The disk space guard: sled that meets a full disk stops for good, so a write that might fill it
//! is refused before sled sees it.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::io_error;
use crate::store::StoreError;

/// The part of the disk that is never used up.
const RESERVE_DIVISOR: u64 = 20;
/// sled writes whole segments, and may rewrite one to reclaim another.
const SEGMENTS_BYTES: u64 = 2 * 4 * 1024 * 1024;
/// A write is stored once, and once more when its page is rewritten.
const WRITE_FACTOR: u64 = 2;

/// What of the disk a write must leave alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserve {
    /// Nothing is checked.
    None,
    /// What sled itself may need.
    ForSled,
    /// 5 % of the disk too, but no more than this.
    Keep { bytes_max: u64 },
}

/// Is there room for a write of so many bytes?
pub(super) fn check(store: &Path, reserve: Reserve, bytes: u64) -> Result<(), StoreError> {
    let reserve_bytes_max = match reserve {
        Reserve::None => return Ok(()),
        Reserve::ForSled => 0,
        Reserve::Keep { bytes_max } => bytes_max,
    };
    let disk =
        statvfs(store).map_err(|errno| io_error("ask for the space of", store)(errno.into()))?;
    let unit = disk.fragment_size();
    let total = disk.blocks().saturating_mul(unit);
    let available = disk.blocks_available().saturating_mul(unit);
    let reserve = (total / RESERVE_DIVISOR).min(reserve_bytes_max);
    let wanted = reserve + SEGMENTS_BYTES + bytes.saturating_mul(WRITE_FACTOR);
    if available < wanted {
        return Err(StoreError::NoSpace {
            detail: format!(
                "{} has {} MiB free, and {} MiB are needed",
                store.display(),
                available >> 20,
                wanted.div_ceil(1 << 20),
            ),
        });
    }
    Ok(())
}
