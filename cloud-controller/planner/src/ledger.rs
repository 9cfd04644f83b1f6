//! What is reserved where: every intent holds its size until its cell reports it gone, and each
//! placement of a pass is entered at once, so that capacity is never given twice (I7).
//!
//! It can follow changes, or be filled once for a single pass. `choose` reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::{AppGuid, CellGuid, DropletGuid};

use crate::constraint::shut_by;
use crate::pool::{Number, Pool};
use crate::seat::Seat;
use crate::snapshot::{Cell, Intent, Liveness, Seen, Size, Snapshot};
use crate::tally::{Spread, Tally};

/// Building a tree costs as much for so many leaves as changing one of them.
const LEAVES_PER_CHANGE: usize = 8;

/// Cells, apps and zones have numbers here, so that the inner loops look nothing up.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(crate) seats: Vec<Seat>,
    pub(crate) pools: Vec<Pool>,
    /// Of each pool, the cells that are not shut.
    pub(crate) open: Vec<u32>,
    pub(crate) spreads: Vec<Spread>,
    /// Which cells hold instances of a droplet, and so have it on disk.
    pub(crate) droplets: BTreeMap<DropletGuid, Tally>,
    /// Registered cells.
    pub(crate) cells: u32,
    numbers: BTreeMap<CellGuid, Number>,
    apps: BTreeMap<AppGuid, usize>,
    zones: BTreeMap<Arc<str>, usize>,
    free_numbers: Vec<Number>,
    free_spreads: Vec<usize>,
}

impl Ledger {
    /// Filled from a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, now: std::time::Duration) -> Self {
        let mut ledger = Self::default();
        for (guid, cell) in &snapshot.cells {
            let liveness = Liveness::after(snapshot.silence(*guid, now));
            ledger.set_cell(*guid, cell, liveness);
        }
        for process in &snapshot.processes {
            for intent in &process.intents {
                ledger.enter(process.app, process.droplet_of(intent), intent);
            }
        }
        for run in &snapshot.runs {
            if let Some(intent) = &run.intent {
                ledger.enter(run.app, run.shape.droplet, intent);
            }
        }
        ledger
    }

    /// A cell registered, changed, fell silent or is heard again.
    pub fn set_cell(&mut self, guid: CellGuid, cell: &Cell, liveness: Liveness) {
        let number = self.number(guid);
        let pool = self.seat(number).pool;
        if pool.is_none_or(|pool| !self.pools[pool].is_like(cell)) {
            self.leave_pool(number);
            self.join_pool(number, cell);
        }
        let seat = &mut self.seats[number as usize];
        if let Some(pool) = seat.pool {
            self.open[pool] -= u32::from(seat.shut.is_none());
            seat.shut = shut_by(cell, liveness);
            self.open[pool] += u32::from(seat.shut.is_none());
        }
        self.refresh(number);
    }

    /// A cell is registered no more; intents may still name it.
    pub fn remove_cell(&mut self, guid: CellGuid) {
        let number = self.number(guid);
        self.leave_pool(number);
        self.forget_if_idle(number);
    }

    /// An instance is on a cell, as its intent says.
    pub fn enter(&mut self, app: AppGuid, droplet: Option<DropletGuid>, intent: &Intent) {
        let number = self.number(intent.cell);
        self.seat_mut(number).held += 1;
        if intent.seen != Seen::Gone {
            self.reserve(number, intent.size, is_starting(intent));
            if intent.runs() {
                let spread = self.spread(app);
                self.count(spread, number);
            }
        }
        if let Some(droplet) = droplet {
            self.droplets.entry(droplet).or_default().add(number);
        }
    }

    /// Takes back what `enter` did with the same arguments.
    pub fn leave(&mut self, app: AppGuid, droplet: Option<DropletGuid>, intent: &Intent) {
        let number = self.number(intent.cell);
        if intent.seen != Seen::Gone {
            self.release(number, intent.size, is_starting(intent));
            if intent.runs() {
                let spread = self.spread(app);
                self.uncount(spread, number);
                self.forget_app_if_idle(app);
            }
        }
        if let Some(droplet) = droplet
            && let Some(tally) = self.droplets.get_mut(&droplet)
        {
            tally.subtract(number);
            if tally.is_empty() {
                self.droplets.remove(&droplet);
            }
        }
        self.seat_mut(number).held -= 1;
        self.forget_if_idle(number);
    }

    pub(crate) fn seat(&self, number: Number) -> &Seat {
        &self.seats[number as usize]
    }

    /// The number under which an app's instances are counted.
    pub(crate) fn spread(&mut self, app: AppGuid) -> usize {
        *self.apps.entry(app).or_insert_with(|| {
            self.free_spreads.pop().unwrap_or_else(|| {
                self.spreads.push(Spread::default());
                self.spreads.len() - 1
            })
        })
    }

    pub(crate) fn forget_app_if_idle(&mut self, app: AppGuid) {
        let spread = self.spread(app);
        if self.spreads[spread].on_cell.is_empty() {
            self.apps.remove(&app);
            self.spreads[spread] = Spread::default();
            self.free_spreads.push(spread);
        }
    }

    pub(crate) fn reserve(&mut self, number: Number, size: Size, starting: bool) {
        self.seat_mut(number).reserve(size, starting);
        self.refresh(number);
    }

    pub(crate) fn release(&mut self, number: Number, size: Size, starting: bool) {
        self.seat_mut(number).release(size, starting);
        self.refresh(number);
    }

    pub(crate) fn count(&mut self, spread: usize, number: Number) {
        let zone = self.zone_of(number);
        let spread = &mut self.spreads[spread];
        spread.on_cell.add(number);
        if let Some(zone) = zone {
            *spread.zone_mut(zone) += 1;
        }
    }

    pub(crate) fn uncount(&mut self, spread: usize, number: Number) {
        let zone = self.zone_of(number);
        let spread = &mut self.spreads[spread];
        spread.on_cell.subtract(number);
        if let Some(zone) = zone {
            *spread.zone_mut(zone) -= 1;
        }
    }

    /// Bring the leaves in line with their seats: one by one, or all anew when that is cheaper.
    pub(crate) fn settle(&mut self, changed: impl ExactSizeIterator<Item = Number>) {
        if changed.len() > self.seats.len() / LEAVES_PER_CHANGE {
            self.pools.iter_mut().for_each(Pool::outdate);
        } else {
            changed.for_each(|number| self.refresh(number));
        }
    }

    /// Trees of pools whose cells have changed.
    pub(crate) fn build_trees(&mut self) {
        for pool in self.pools.iter_mut().filter(|pool| !pool.is_built()) {
            let seats = &mut self.seats;
            pool.build(|number, leaf| {
                let seat = &mut seats[number as usize];
                seat.leaf = leaf;
                seat.node()
            });
        }
    }

    fn number(&mut self, guid: CellGuid) -> Number {
        *self.numbers.entry(guid).or_insert_with(|| {
            let seat = Seat::new(guid);
            if let Some(number) = self.free_numbers.pop() {
                self.seats[number as usize] = seat;
                return number;
            }
            self.seats.push(seat);
            Number::try_from(self.seats.len() - 1).unwrap_or(Number::MAX)
        })
    }

    pub(crate) fn seat_mut(&mut self, number: Number) -> &mut Seat {
        &mut self.seats[number as usize]
    }

    fn zone_of(&self, number: Number) -> Option<usize> {
        let pool = self.seat(number).pool?;
        Some(self.pools[pool].zone)
    }

    fn join_pool(&mut self, number: Number, cell: &Cell) {
        let zones = self.zones.len();
        let zone = *self.zones.entry(cell.zone.clone()).or_insert(zones);
        let pool = self.pools.iter().position(|pool| pool.is_like(cell));
        let pool = pool.unwrap_or_else(|| {
            self.pools.push(Pool::new(cell.clone(), zone));
            self.open.push(0);
            self.pools.len() - 1
        });
        let seat = self.seat_mut(number);
        seat.pool = Some(pool);
        seat.equip(cell);
        let guid = seat.guid;
        self.open[pool] += u32::from(seat.shut.is_none());
        self.pools[pool].add(guid, number);
        self.cells += 1;
        self.recount(number, zone, |count, here| *count += here);
    }

    fn leave_pool(&mut self, number: Number) {
        let seat = self.seat_mut(number);
        let (pool, guid, open) = (seat.pool.take(), seat.guid, seat.shut.is_none());
        let Some(pool) = pool else { return };
        self.open[pool] -= u32::from(open);
        self.pools[pool].remove(guid);
        self.cells -= 1;
        let zone = self.pools[pool].zone;
        self.recount(number, zone, |count, here| *count -= here);
    }

    /// A cell came into a zone, or left it, with all the instances that it has.
    fn recount(&mut self, number: Number, zone: usize, change: impl Fn(&mut u32, u32)) {
        if self.seat(number).held == 0 {
            return;
        }
        for spread in &mut self.spreads {
            let here = spread.on_cell.get(number);
            if here > 0 {
                change(spread.zone_mut(zone), here);
            }
        }
    }

    fn forget_if_idle(&mut self, number: Number) {
        let seat = &self.seats[number as usize];
        if seat.held == 0 && seat.pool.is_none() {
            self.numbers.remove(&seat.guid);
            self.free_numbers.push(number);
        }
    }

    /// Bring a cell's leaf in line with its seat.
    fn refresh(&mut self, number: Number) {
        let seat = &self.seats[number as usize];
        if let Some(pool) = seat.pool {
            self.pools[pool].set(seat.leaf, seat.node());
        }
    }
}

fn is_starting(intent: &Intent) -> bool {
    intent.runs() && matches!(intent.seen, Seen::Unknown | Seen::Starting)
}
