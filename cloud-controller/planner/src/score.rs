//! Which of the cells that fit is best: a lexicographic cost, so that no weight can trade one
//! concern for another. Lower wins.

use cfx_protocol::cell::Capacity;
use cfx_protocol::id::{AppGuid, CellGuid};

use crate::constraint::Free;
use crate::snapshot::Size;

/// Load is measured in these: 1,000,000 is a full cell.
pub const FULL: u64 = 1_000_000;
/// What one instance that is starting adds to the load of its cell: a quarter of a full cell, so
/// that a wave of starts spreads over cells that are otherwise alike.
pub const STARTING_LOAD: u64 = FULL / 4;
/// Cells whose loads differ by less are alike, and the one that has the droplet wins.
pub const LOAD_STEP: u64 = FULL / 20;

/// Fields in order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Instances of the app in the zone, then on the cell: what one failure may take away.
    pub in_zone: u32,
    pub on_cell: u32,
    pub load_steps: u64,
    pub droplet_missing: bool,
    pub load: u64,
    /// Makes the order total, and differs from app to app.
    pub tie: u64,
}

/// The cell's load if it took an instance of `size`: the mean of its used shares, plus starts.
#[must_use]
pub fn load_after(capacity: &Capacity, free: Free, size: Size, starting: u32) -> u64 {
    let share = |total: u64, free: u64, more: u64| {
        let used = total.saturating_sub(free).saturating_add(more);
        used.saturating_mul(FULL) / total.max(1)
    };
    let memory = share(
        capacity.memory_mb,
        free.memory_mb,
        u64::from(size.memory_mb),
    );
    let disk = share(capacity.disk_mb, free.disk_mb, u64::from(size.disk_mb));
    let slots = share(u64::from(capacity.slots), u64::from(free.slots), 1);
    (memory + disk + slots) / 3 + u64::from(starting) * STARTING_LOAD
}

/// A fixed order of cells for each app (FNV-1a over both guids).
#[must_use]
pub fn tie(cell: CellGuid, app: AppGuid) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = cell.0.as_bytes().iter().chain(app.0.as_bytes());
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}
