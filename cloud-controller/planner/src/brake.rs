//! The brake: when many cells fall silent at once it is more likely that we cannot hear than that
//! they are gone, and replacing them all would bury the cells that are left.

use std::time::Duration;

use crate::plan::Mode;
use crate::snapshot::Liveness;

/// Fewer silent cells than this never brake: small platforms must heal.
pub const SILENT_CELLS_MIN: usize = 3;
/// The brake holds when more than one in this many cells fell silent at once.
pub const SILENT_SHARE: usize = 5;
/// Cells that fell silent within this time fell silent at once.
pub const AT_ONCE: Duration = Duration::from_secs(30);

/// Stateless on purpose: cells that fell silent together stay a crowd until they return or are
/// removed, so the brake neither flickers nor has to be remembered. `heard` tells when each cell
/// was heard last, those included that only intents name.
#[must_use]
pub fn mode(heard: impl IntoIterator<Item = Duration>, now: Duration) -> Mode {
    let (mut of, mut lost) = (0, Vec::new());
    for moment in heard {
        of += 1;
        if Liveness::after(now.saturating_sub(moment)) == Liveness::Lost {
            lost.push(moment);
        }
    }
    lost.sort_unstable();
    let silent = largest_crowd(&lost);
    if silent >= SILENT_CELLS_MIN && silent * SILENT_SHARE > of {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        return Mode::Static {
            silent: count(silent),
            of: count(of),
        };
    }
    Mode::Normal
}

/// The most moments of a sorted list that lie within `AT_ONCE`.
fn largest_crowd(heard: &[Duration]) -> usize {
    let crowd = |first: usize| {
        let end = heard[first] + AT_ONCE;
        heard[first..].partition_point(|moment| *moment <= end)
    };
    (0..heard.len()).map(crowd).max().unwrap_or(0)
}
