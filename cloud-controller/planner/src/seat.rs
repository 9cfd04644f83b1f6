//! One cell's page in the ledger.

use cfx_protocol::id::CellGuid;

use crate::constraint::{Constraint, Free};
use crate::pool::Node;
use crate::score::{Weights, ring};
use crate::snapshot::{Cell, Size};

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) guid: CellGuid,
    pub(crate) ring: u64,
    /// None: it is not registered, and only intents name it.
    pub(crate) pool: Option<usize>,
    pub(crate) leaf: usize,
    /// Why it takes nothing now.
    pub(crate) shut: Option<Constraint>,
    /// Intents entered here, those that reserve nothing any more included.
    pub(crate) held: u32,
    capacity: Free,
    weights: Weights,
    used: Free,
    starting: u32,
}

impl Seat {
    pub(crate) fn new(guid: CellGuid) -> Self {
        let none = Free::default();
        Self {
            guid,
            ring: ring(guid.0),
            pool: None,
            leaf: 0,
            shut: None,
            held: 0,
            capacity: none,
            weights: Weights::of(none),
            used: none,
            starting: 0,
        }
    }

    pub(crate) fn equip(&mut self, cell: &Cell) {
        self.capacity = Free::whole(&cell.capacity);
        self.weights = Weights::of(self.capacity);
    }

    pub(crate) fn free(&self) -> Free {
        let (all, used) = (self.capacity, self.used);
        Free {
            memory_mb: all.memory_mb.saturating_sub(used.memory_mb),
            disk_mb: all.disk_mb.saturating_sub(used.disk_mb),
            slots: all.slots.saturating_sub(used.slots),
        }
    }

    /// Its load with one more instance.
    pub(crate) fn load_with(&self, size: Size) -> u64 {
        self.load().saturating_add(self.weights.added_by(size))
    }

    pub(crate) fn node(&self) -> Node {
        match self.shut {
            Some(_) => Node::SHUT,
            None => Node::new(self.load(), self.free()),
        }
    }

    pub(crate) fn reserve(&mut self, size: Size, starting: bool) {
        self.used.memory_mb += u64::from(size.memory_mb);
        self.used.disk_mb += u64::from(size.disk_mb);
        self.used.slots += 1;
        self.starting += u32::from(starting);
    }

    /// Takes back what `reserve` did.
    pub(crate) fn release(&mut self, size: Size, starting: bool) {
        self.used.memory_mb -= u64::from(size.memory_mb);
        self.used.disk_mb -= u64::from(size.disk_mb);
        self.used.slots -= 1;
        self.starting -= u32::from(starting);
    }

    fn load(&self) -> u64 {
        self.weights.load(self.used, self.starting)
    }
}
