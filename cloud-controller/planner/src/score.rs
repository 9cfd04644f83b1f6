//! Which of the cells that fit is best: a lexicographic cost, so that no weight can trade one
//! concern for another. Lower wins.
//!
//! Loads add up: what an instance adds to a cell depends on the cell's capacity and the instance's
//! size alone. So cells of one capacity keep their order whatever is to be placed, and the index in
//! `pool` is exact.

use cfx_protocol::id::CellGuid;
use uuid::Uuid;

use crate::constraint::Free;
use crate::snapshot::Size;

/// One resource of a cell, used up. A power of two far above any count of MB, so that rounding one
/// unit's share of it is of no account.
const SHARE: u64 = 1 << 40;
/// Memory, disk and slots used up: a full cell.
pub const FULL: u64 = 3 * SHARE;
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
    /// How far the cell lies behind the app on the ring: it differs from app to app. The guid makes
    /// the order total.
    pub tie: u64,
    pub cell: CellGuid,
}

/// What one unit of each resource adds to the load of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    memory_mb: u64,
    disk_mb: u64,
    slot: u64,
}

impl Weights {
    #[must_use]
    pub fn of(capacity: Free) -> Self {
        Self {
            memory_mb: SHARE / capacity.memory_mb.max(1),
            disk_mb: SHARE / capacity.disk_mb.max(1),
            slot: SHARE / u64::from(capacity.slots.max(1)),
        }
    }

    /// The load of a cell that has this much in use.
    #[must_use]
    pub fn load(&self, used: Free, starting: u32) -> u64 {
        let shares = [
            used.memory_mb.saturating_mul(self.memory_mb),
            used.disk_mb.saturating_mul(self.disk_mb),
            u64::from(used.slots).saturating_mul(self.slot),
            u64::from(starting).saturating_mul(STARTING_LOAD),
        ];
        shares.into_iter().fold(0, u64::saturating_add)
    }

    /// What one instance adds.
    #[must_use]
    pub fn added_by(&self, size: Size) -> u64 {
        self.load(Free::of_one(size), 0)
    }
}

/// A guid's place on a ring of all guids (FNV-1a, and a finish that carries the last bytes upwards).
/// The cells have one order on it, and each app begins at a place of its own: of equal cells, the
/// next one behind the app's place is taken.
#[must_use]
pub fn ring(guid: Uuid) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = guid.as_bytes().iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
