//! The brake: when many cells fall silent at once it is more likely that we cannot hear than that
//! they are gone, and replacing them all would bury the cells that are left.

use std::time::Duration;

use cfx_protocol::id::CellGuid;

use crate::plan::Mode;
use crate::snapshot::{Liveness, Snapshot};

/// Fewer silent cells than this never brake: small platforms must heal.
pub const SILENT_CELLS_MIN: usize = 3;
/// The brake holds when more than one in this many cells fell silent at once.
pub const SILENT_SHARE: usize = 5;
/// Cells that fell silent within this time fell silent at once.
pub const AT_ONCE: Duration = Duration::from_secs(30);

/// Stateless on purpose: cells that fell silent together stay a crowd until they return or are
/// removed, so the brake neither flickers nor has to be remembered.
#[must_use]
pub fn mode(snapshot: &Snapshot, now: Duration) -> Mode {
    let silent = largest_crowd(&fallen_silent(snapshot, now));
    let of = all_cells(snapshot).len();
    if silent >= SILENT_CELLS_MIN && silent * SILENT_SHARE > of {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        return Mode::Static {
            silent: count(silent),
            of: count(of),
        };
    }
    Mode::Normal
}

/// When each lost cell was heard last, in order.
fn fallen_silent(snapshot: &Snapshot, now: Duration) -> Vec<Duration> {
    let silences = all_cells(snapshot)
        .into_iter()
        .map(|cell| snapshot.silence(cell, now));
    let mut heard: Vec<_> = silences
        .filter(|silence| Liveness::after(*silence) == Liveness::Lost)
        .map(|silence| now.saturating_sub(silence))
        .collect();
    heard.sort_unstable();
    heard
}

/// Cells that registered, and cells that only intents still name.
fn all_cells(snapshot: &Snapshot) -> std::collections::BTreeSet<CellGuid> {
    let named = snapshot.intents().map(|(_, intent)| intent.cell);
    snapshot.cells.keys().copied().chain(named).collect()
}

/// The most moments of a sorted list that lie within `AT_ONCE`.
fn largest_crowd(heard: &[Duration]) -> usize {
    let crowd = |first: usize| {
        let end = heard[first] + AT_ONCE;
        heard[first..].partition_point(|moment| *moment <= end)
    };
    (0..heard.len()).map(crowd).max().unwrap_or(0)
}
