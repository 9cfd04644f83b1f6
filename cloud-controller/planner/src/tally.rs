//! Where the instances of one app, or of one droplet, are.

use crate::pool::Number;

/// Instances of an app by cell and by zone.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    pub(crate) on_cell: Tally,
    /// By the number of the zone; zones after the last have none.
    in_zone: Vec<u32>,
}

impl Spread {
    pub(crate) fn in_zone(&self, zone: usize) -> u32 {
        self.in_zone.get(zone).copied().unwrap_or(0)
    }

    pub(crate) fn zone_mut(&mut self, zone: usize) -> &mut u32 {
        if self.in_zone.len() <= zone {
            self.in_zone.resize(zone + 1, 0);
        }
        &mut self.in_zone[zone]
    }
}

/// How many are on each cell, sorted by cell: most have few entries, and they are read far more
/// often than changed.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<(u32, u32)>);

impl Tally {
    pub(crate) fn get(&self, cell: Number) -> u32 {
        self.find(cell).map_or(0, |at| self.0[at].1)
    }

    pub(crate) fn add(&mut self, cell: Number) {
        match self.find(cell) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (cell, 1)),
        }
    }

    pub(crate) fn subtract(&mut self, cell: Number) {
        let Ok(at) = self.find(cell) else { return };
        self.0[at].1 -= 1;
        if self.0[at].1 == 0 {
            self.0.remove(at);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = Number> {
        self.0.iter().map(|(cell, _)| *cell)
    }

    fn find(&self, cell: Number) -> Result<usize, usize> {
        self.0.binary_search_by_key(&cell, |(cell, _)| *cell)
    }
}
