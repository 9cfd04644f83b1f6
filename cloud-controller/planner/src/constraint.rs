//! What a cell must satisfy to take an instance at all. Each cell is ruled out by the first
//! constraint it fails; the counts are what `cfx why` shows.

use std::fmt;
use std::sync::Arc;

use cfx_protocol::cell::Capacity;

use crate::snapshot::{Cell, Liveness, Root, Shape, Size};

/// In the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    Lost,
    Suspect,
    Unhealthy,
    Draining,
    Stack,
    Image,
    Tag,
    Memory,
    Disk,
    Slots,
}

impl Constraint {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Suspect => "suspect",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Stack => "stack",
            Self::Image => "image",
            Self::Tag => "tag",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Slots => "slots",
        }
    }
}

/// How many cells one constraint ruled out, and the sentence that says what was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOut {
    pub constraint: Constraint,
    pub cells: u32,
    pub detail: String,
}

/// Room on a cell: what is left of it, or what is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Free {
    pub memory_mb: u64,
    pub disk_mb: u64,
    pub slots: u32,
}

impl Free {
    /// All that a cell has.
    #[must_use]
    pub fn whole(capacity: &Capacity) -> Self {
        Self {
            memory_mb: capacity.memory_mb,
            disk_mb: capacity.disk_mb,
            slots: capacity.slots,
        }
    }

    /// What one instance takes.
    #[must_use]
    pub fn of_one(size: Size) -> Self {
        Self {
            memory_mb: u64::from(size.memory_mb),
            disk_mb: u64::from(size.disk_mb),
            slots: 1,
        }
    }
}

/// The first constraint that keeps `shape` off a cell; none: it fits.
#[must_use]
pub fn ruled_out_by(
    cell: &Cell,
    liveness: Liveness,
    free: Free,
    shape: &Shape,
) -> Option<Constraint> {
    shut_by(cell, liveness)
        .or_else(|| unfit_by(cell, shape))
        .or_else(|| full_by(free, shape.size))
}

/// Why a cell takes nothing at all at the moment.
#[must_use]
pub fn shut_by(cell: &Cell, liveness: Liveness) -> Option<Constraint> {
    first([
        (liveness == Liveness::Lost, Constraint::Lost),
        (liveness == Liveness::Suspect, Constraint::Suspect),
        (!cell.healthy, Constraint::Unhealthy),
        (cell.draining, Constraint::Draining),
    ])
}

/// What a cell does not offer, however empty it is.
#[must_use]
pub fn unfit_by(cell: &Cell, shape: &Shape) -> Option<Constraint> {
    first([
        (lacks_stack(cell, &shape.root), Constraint::Stack),
        (shape.root == Root::Image && !cell.images, Constraint::Image),
        (
            !tags_agree(cell, shape.isolation.as_deref()),
            Constraint::Tag,
        ),
    ])
}

/// What there is too little of.
#[must_use]
pub fn full_by(free: Free, size: Size) -> Option<Constraint> {
    first([
        (
            u64::from(size.memory_mb) > free.memory_mb,
            Constraint::Memory,
        ),
        (u64::from(size.disk_mb) > free.disk_mb, Constraint::Disk),
        (free.slots == 0, Constraint::Slots),
    ])
}

fn first<const N: usize>(failed: [(bool, Constraint); N]) -> Option<Constraint> {
    let mut failed = failed.into_iter();
    failed.find_map(|(failed, constraint)| failed.then_some(constraint))
}

fn lacks_stack(cell: &Cell, root: &Root) -> bool {
    match root {
        Root::Stack(stack) => !cell.stacks.contains(&**stack),
        Root::Image => false,
    }
}

/// Isolation works both ways: a tagged cell takes only works that ask for its tag.
fn tags_agree(cell: &Cell, isolation: Option<&str>) -> bool {
    match isolation {
        Some(wanted) => cell.tags.contains(wanted),
        None => cell.tags.is_empty(),
    }
}

/// Counts cells under the constraint that ruled them out.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: std::collections::BTreeMap<Constraint, (u32, Free)>,
}

impl Histogram {
    pub fn add(&mut self, constraint: Constraint, free: Free) {
        let (cells, most) = self.counts.entry(constraint).or_default();
        *cells += 1;
        most.memory_mb = most.memory_mb.max(free.memory_mb);
        most.disk_mb = most.disk_mb.max(free.disk_mb);
    }

    #[must_use]
    pub fn finish(self, shape: &Shape) -> Arc<[RuledOut]> {
        let ruled_out = self.counts.into_iter().map(|(constraint, (cells, most))| {
            let detail = Detail {
                constraint,
                most,
                shape,
            };
            RuledOut {
                constraint,
                cells,
                detail: detail.to_string(),
            }
        });
        ruled_out.collect()
    }
}

struct Detail<'a> {
    constraint: Constraint,
    most: Free,
    shape: &'a Shape,
}

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            constraint,
            most,
            shape,
        } = self;
        match constraint {
            Constraint::Lost => f.write_str("does not answer"),
            Constraint::Suspect => f.write_str("was silent for a moment"),
            Constraint::Unhealthy => f.write_str("its runtime does not answer"),
            Constraint::Draining => f.write_str("is being drained"),
            Constraint::Stack => match &shape.root {
                Root::Stack(stack) => write!(f, "does not have the stack {stack}"),
                Root::Image => f.write_str("does not have the stack"),
            },
            Constraint::Image => f.write_str("cannot run docker images"),
            Constraint::Tag => match &shape.isolation {
                Some(tag) => write!(f, "does not carry the tag {tag}"),
                None => f.write_str("is kept for works that ask for its tag"),
            },
            Constraint::Memory => write!(
                f,
                "needs {}M, most free is {}M",
                shape.size.memory_mb, most.memory_mb
            ),
            Constraint::Disk => write!(
                f,
                "needs {}M, most free is {}M",
                shape.size.disk_mb, most.disk_mb
            ),
            Constraint::Slots => f.write_str("has as many instances as it may"),
        }
    }
}
