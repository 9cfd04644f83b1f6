//! Chooses a cell for each request.
//!
//! The order decides who gets scarce room: first one instance of every process that has none,
//! then works that run once, then the rest; larger ones first, because they fit in fewer places;
//! and organisations take turns, so that nobody's thousand keep another's one waiting (I14).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::{AppGuid, AssignmentGuid, CellGuid, OrgGuid};
use uuid::Uuid;

use crate::constraint::{Free, Histogram, RuledOut, ruled_out_by};
use crate::convergence::Request;
use crate::plan::{Choice, Placement, Unplaced};
use crate::score::{Cost, FULL, LOAD_STEP, load_after, tie};
use crate::snapshot::{Cell, Intent, Liveness, Seen, Shape, Size, Snapshot, Work};

/// What is reserved where: every intent holds its size until its cell reports it gone, and each
/// placement of this pass is entered at once, so that capacity is never given twice (I7).
#[derive(Debug)]
pub struct Ledger<'a> {
    seats: BTreeMap<CellGuid, Seat<'a>>,
    /// Instances of each app, by cell and by zone; only where there are any.
    on_cell: BTreeMap<(AppGuid, CellGuid), u32>,
    in_zone: BTreeMap<(AppGuid, &'a str), u32>,
}

#[derive(Debug)]
struct Seat<'a> {
    cell: &'a Cell,
    liveness: Liveness,
    free: Free,
    starting: u32,
}

impl<'a> Ledger<'a> {
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, now: Duration) -> Self {
        let seat = |(guid, cell): (&CellGuid, &'a Cell)| {
            let seat = Seat {
                cell,
                liveness: Liveness::after(snapshot.silence(*guid, now)),
                free: Free {
                    memory_mb: cell.capacity.memory_mb,
                    disk_mb: cell.capacity.disk_mb,
                    slots: cell.capacity.slots,
                },
                starting: 0,
            };
            (*guid, seat)
        };
        let mut ledger = Self {
            seats: snapshot.cells.iter().map(seat).collect(),
            on_cell: BTreeMap::new(),
            in_zone: BTreeMap::new(),
        };
        for (app, intent) in snapshot.intents() {
            ledger.enter_intent(app, intent);
        }
        ledger
    }

    fn enter_intent(&mut self, app: AppGuid, intent: &Intent) {
        if intent.seen == Seen::Gone {
            return;
        }
        let starting = intent.runs() && matches!(intent.seen, Seen::Unknown | Seen::Starting);
        self.reserve(intent.cell, intent.size, starting);
        if intent.runs() {
            self.count(app, intent.cell);
        }
    }

    fn reserve(&mut self, cell: CellGuid, size: Size, starting: bool) {
        let Some(seat) = self.seats.get_mut(&cell) else {
            return;
        };
        let free = &mut seat.free;
        free.memory_mb = free.memory_mb.saturating_sub(u64::from(size.memory_mb));
        free.disk_mb = free.disk_mb.saturating_sub(u64::from(size.disk_mb));
        free.slots = free.slots.saturating_sub(1);
        seat.starting += u32::from(starting);
    }

    fn count(&mut self, app: AppGuid, cell: CellGuid) {
        *self.on_cell.entry((app, cell)).or_default() += 1;
        if let Some(seat) = self.seats.get(&cell) {
            *self.in_zone.entry((app, &seat.cell.zone)).or_default() += 1;
        }
    }

    /// The cheapest cell that fits, or what ruled all of them out.
    pub fn choose(
        &self,
        app: AppGuid,
        shape: &Shape,
    ) -> Result<(CellGuid, Choice), Arc<[RuledOut]>> {
        let mut histogram = Histogram::default();
        let mut fitting = 0;
        let mut best: Option<(Cost, CellGuid)> = None;
        for (guid, seat) in &self.seats {
            if let Some(constraint) = ruled_out_by(seat.cell, seat.liveness, seat.free, shape) {
                histogram.add(constraint, seat.free);
                continue;
            }
            fitting += 1;
            let candidate = (self.cost(*guid, seat, app, shape), *guid);
            if best.as_ref().is_none_or(|best| candidate < *best) {
                best = Some(candidate);
            }
        }
        match best {
            Some((cost, cell)) => Ok((cell, self.choice(cell, &cost, fitting))),
            None => Err(histogram.finish(shape)),
        }
    }

    fn cost(&self, guid: CellGuid, seat: &Seat<'_>, app: AppGuid, shape: &Shape) -> Cost {
        let load = load_after(&seat.cell.capacity, seat.free, shape.size, seat.starting);
        let droplet = shape.droplet.as_ref();
        Cost {
            in_zone: self
                .in_zone
                .get(&(app, &*seat.cell.zone))
                .copied()
                .unwrap_or(0),
            on_cell: self.on_cell.get(&(app, guid)).copied().unwrap_or(0),
            load_steps: load / LOAD_STEP,
            droplet_missing: droplet.is_some_and(|it| !seat.cell.cached.contains(it)),
            load,
            tie: tie(guid, app),
        }
    }

    fn choice(&self, cell: CellGuid, cost: &Cost, fitting: u32) -> Choice {
        let seat = &self.seats[&cell];
        Choice {
            cell: seat.cell.name.clone(),
            zone: seat.cell.zone.clone(),
            in_zone: cost.in_zone,
            on_cell: cost.on_cell,
            load_percent: cost.load * 100 / FULL,
            fitting,
            cells: self.cells(),
        }
    }

    fn cells(&self) -> u32 {
        u32::try_from(self.seats.len()).unwrap_or(u32::MAX)
    }
}

/// Place what can be placed, in order.
#[must_use]
pub fn place(
    ledger: &mut Ledger<'_>,
    requests: Vec<Request<'_>>,
    seed: u64,
) -> (Vec<Placement>, Vec<Unplaced>) {
    let (mut placements, mut unplaced) = (Vec::new(), Vec::new());
    // Room only shrinks during a pass: what did not fit once is not tried again.
    let mut hopeless: BTreeMap<&Shape, Arc<[RuledOut]>> = BTreeMap::new();
    for request in in_order(requests) {
        let tried = match hopeless.get(request.shape) {
            Some(known) => Err(known.clone()),
            None => ledger.choose(request.app, request.shape),
        };
        match tried {
            Ok((cell, choice)) => {
                ledger.reserve(cell, request.shape.size, true);
                ledger.count(request.app, cell);
                placements.push(Placement {
                    work: request.work,
                    index: request.index,
                    version: request.version,
                    cell,
                    assignment: assignment(request.work, request.index, seed),
                    size: request.shape.size,
                    cause: request.cause,
                    choice,
                });
            }
            Err(ruled_out) => {
                hopeless.insert(request.shape, ruled_out.clone());
                unplaced.push(Unplaced {
                    work: request.work,
                    index: request.index,
                    cells: ledger.cells(),
                    ruled_out,
                });
            }
        }
    }
    (placements, unplaced)
}

/// Who is placed before whom: see the head of this file.
fn in_order(requests: Vec<Request<'_>>) -> impl Iterator<Item = Request<'_>> {
    type Queue<'a> = Vec<Request<'a>>;
    let mut groups: BTreeMap<u8, BTreeMap<OrgGuid, Queue<'_>>> = BTreeMap::new();
    for request in requests {
        let group = match request.work {
            Work::Process(_) if request.first => 0,
            Work::Task(_) | Work::Staging(_) => 1,
            Work::Process(_) => 2,
        };
        let orgs = groups.entry(group).or_default();
        orgs.entry(request.org).or_default().push(request);
    }
    groups.into_values().flat_map(|orgs| {
        let queues = orgs.into_values().map(|mut queue| {
            queue.sort_by_key(|it| (std::cmp::Reverse(it.shape.size), it.work, it.index));
            VecDeque::from(queue)
        });
        take_turns(queues.collect())
    })
}

/// One of each queue, then the next of each, until all are empty.
fn take_turns<T>(mut queues: VecDeque<VecDeque<T>>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        let mut queue = queues.pop_front()?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            queues.push_back(queue);
        }
        next
    })
}

/// A new guid for each pass, and the same one when the pass is repeated.
fn assignment(work: Work, index: u32, seed: u64) -> AssignmentGuid {
    let owner = match work {
        Work::Process(guid) => guid.0,
        Work::Task(guid) => guid.0,
        Work::Staging(guid) => guid.0,
    };
    let mut name = seed.to_be_bytes().to_vec();
    name.extend(index.to_be_bytes());
    AssignmentGuid(Uuid::new_v5(&owner, &name))
}
