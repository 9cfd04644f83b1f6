//! The cells of one zone that are alike but for their load, in a tree that finds the least loaded
//! one with room.
//!
//! The leaves lie in the order of the ring (see `score::ring`), so of cells with equal loads the
//! first one behind the app's place is the one with the lowest tie. Each node knows the lowest load
//! and the most room below it: a search goes down the cheaper side and leaves out what cannot win.

use std::cmp::Ordering;

use cfx_protocol::id::CellGuid;

use crate::constraint::Free;
use crate::score::{Weights, ring};
use crate::snapshot::{Cell, Size};

/// A cell's number in the ledger; half a word, because there are very many.
pub(crate) type Number = u32;

/// What one leaf, or the best of all leaves below a node, has to give. Small, because a search is
/// as fast as the cache is large.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    load: u64,
    memory_mb: u32,
    disk_mb: u32,
    /// The leaf with that load, if it is the only one.
    least: u32,
}

/// Several leaves have the lowest load.
const SEVERAL: u32 = u32::MAX;

impl Node {
    /// A cell that takes nothing now.
    pub(crate) const SHUT: Self = Self {
        load: u64::MAX,
        memory_mb: 0,
        disk_mb: 0,
        least: SEVERAL,
    };

    pub(crate) fn new(load: u64, free: Free) -> Self {
        // No instance is larger than this.
        let clip = |mb| u32::try_from(mb).unwrap_or(u32::MAX);
        match free.slots {
            0 => Self::SHUT,
            _ => Self {
                load,
                memory_mb: clip(free.memory_mb),
                disk_mb: clip(free.disk_mb),
                least: SEVERAL,
            },
        }
    }

    fn takes(&self, size: Size) -> bool {
        self.memory_mb >= size.memory_mb && self.disk_mb >= size.disk_mb
    }

    fn at(self, leaf: usize) -> Self {
        let least = u32::try_from(leaf).unwrap_or(SEVERAL);
        Self { least, ..self }
    }

    fn over(pair: &[Self]) -> Self {
        let (left, right) = (pair[0], pair[1]);
        Self {
            least: match left.load.cmp(&right.load) {
                Ordering::Less => left.least,
                Ordering::Equal => SEVERAL,
                Ordering::Greater => right.least,
            },
            load: left.load.min(right.load),
            memory_mb: left.memory_mb.max(right.memory_mb),
            disk_mb: left.disk_mb.max(right.disk_mb),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// All are like this one in zone, offers and capacity.
    pub(crate) like: Cell,
    pub(crate) zone: usize,
    pub(crate) weights: Weights,
    cells: Vec<(u64, CellGuid, Number)>,
    /// Node 1 is the root, those below `n` are `2n` and `2n + 1`, and the leaves are the last half.
    /// Empty when cells came or went since it was built.
    tree: Vec<Node>,
}

impl Pool {
    pub(crate) fn new(like: Cell, zone: usize) -> Self {
        Self {
            weights: Weights::of(Free::whole(&like.capacity)),
            like,
            zone,
            cells: Vec::new(),
            tree: Vec::new(),
        }
    }

    /// Would this cell be one of them?
    pub(crate) fn is_like(&self, cell: &Cell) -> bool {
        let essence = |it: &Cell| (it.zone.clone(), it.capacity, it.images);
        essence(&self.like) == essence(cell)
            && self.like.stacks == cell.stacks
            && self.like.tags == cell.tags
    }

    pub(crate) fn add(&mut self, guid: CellGuid, number: Number) {
        let entry = (ring(guid.0), guid, number);
        let at = self.cells.partition_point(|other| *other < entry);
        self.cells.insert(at, entry);
        self.tree.clear();
    }

    pub(crate) fn remove(&mut self, guid: CellGuid) {
        self.cells.retain(|(_, other, _)| *other != guid);
        self.tree.clear();
    }

    /// Its tree is to be built before the next search.
    pub(crate) fn outdate(&mut self) {
        self.tree.clear();
    }

    pub(crate) fn is_built(&self) -> bool {
        !self.tree.is_empty()
    }

    /// `leaf` answers what a cell has to give, and is told where it lies.
    pub(crate) fn build(&mut self, mut leaf: impl FnMut(Number, usize) -> Node) {
        let width = self.cells.len().next_power_of_two();
        self.tree = vec![Node::SHUT; 2 * width];
        for (at, (_, _, number)) in self.cells.iter().enumerate() {
            self.tree[width + at] = leaf(*number, at).at(at);
        }
        for node in (1..width).rev() {
            self.tree[node] = Node::over(&self.tree[2 * node..2 * node + 2]);
        }
    }

    /// A cell has more or less to give than before.
    pub(crate) fn set(&mut self, leaf: usize, node: Node) {
        if !self.is_built() {
            return;
        }
        let mut at = self.tree.len() / 2 + leaf;
        self.tree[at] = node.at(leaf);
        while at > 1 {
            at /= 2;
            self.tree[at] = Node::over(&self.tree[2 * at..2 * at + 2]);
        }
    }

    /// The first leaf at or behind a place on the ring.
    pub(crate) fn start(&self, place: u64) -> usize {
        self.cells.partition_point(|(ring, _, _)| *ring < place)
    }

    /// Of the cells with room that are allowed, the least loaded, after its load; of equals, the
    /// first one on the ring from `start` on. None has a load over `load_max`, which is less than
    /// that of a shut cell.
    pub(crate) fn least(
        &self,
        start: usize,
        size: Size,
        load_max: u64,
        allows: impl Fn(Number) -> bool,
    ) -> Option<(u64, Number)> {
        let mut search = Search {
            pool: self,
            start,
            size,
            allows,
            load_max,
            best: None,
        };
        search.visit(1, 0, self.tree.len() / 2);
        search.best.map(|(load, _, number)| (load, number))
    }
}

struct Search<'a, F> {
    pool: &'a Pool,
    start: usize,
    size: Size,
    allows: F,
    load_max: u64,
    /// Load, place from `start` on, and number.
    best: Option<(u64, usize, Number)>,
}

impl<F: Fn(Number) -> bool> Search<'_, F> {
    fn visit(&mut self, node: usize, first: usize, width: usize) {
        let here = self.pool.tree[node];
        if here.load > self.load_max || !here.takes(self.size) {
            return;
        }
        if let Some((load, best, _)) = self.best
            && (load < here.load || load == here.load && best < self.place(first, width))
        {
            return;
        }
        if here.least != SEVERAL && self.try_leaf(here.least as usize) || width == 1 {
            return;
        }
        let half = width / 2;
        let (left, right) = (2 * node, 2 * node + 1);
        let loads = [self.pool.tree[left].load, self.pool.tree[right].load];
        let is_left_first = match loads[0].cmp(&loads[1]) {
            Ordering::Less => true,
            Ordering::Equal => self.place(first, half) < self.place(first + half, half),
            Ordering::Greater => false,
        };
        if is_left_first {
            self.visit(left, first, half);
            self.visit(right, first + half, half);
        } else {
            self.visit(right, first + half, half);
            self.visit(left, first, half);
        }
    }

    /// The least loaded leaf of a node is the best of the node, if it has room and is allowed.
    fn try_leaf(&mut self, leaf: usize) -> bool {
        let node = self.pool.tree[self.pool.tree.len() / 2 + leaf];
        let (_, _, number) = self.pool.cells[leaf];
        let is_it = node.takes(self.size) && (self.allows)(number);
        let place = self.place(leaf, 1);
        if is_it
            && self
                .best
                .is_none_or(|(load, best, _)| (node.load, place) < (load, best))
        {
            self.best = Some((node.load, place, number));
        }
        is_it
    }

    /// How soon the ring, followed from `start`, comes by one of these leaves.
    fn place(&self, first: usize, width: usize) -> usize {
        if first >= self.start {
            first
        } else if first + width > self.start {
            self.start
        } else {
            // Behind all that come before the ring begins anew.
            first + self.pool.tree.len()
        }
    }
}
