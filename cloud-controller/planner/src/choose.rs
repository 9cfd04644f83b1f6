//! The best cell for one more instance.
//!
//! `choose` finds the cell of the lowest `Cost` without looking at all of them. `scan` looks at all
//! of them: it is the specification, and it counts the reasons when there is none. Debug builds
//! compare the two, and so do the tests.

use cfx_protocol::id::{AppGuid, CellGuid};

use crate::constraint::{Histogram, full_by, unfit_by};
use crate::ledger::Ledger;
use crate::plan::Choice;
use crate::pool::{Number, Pool};
use crate::score::{Cost, FULL, LOAD_STEP, ring};
use crate::snapshot::Shape;
use crate::tally::{Spread, Tally};

/// What is to be placed, resolved once for all instances of a work.
#[derive(Debug)]
pub struct Seeker<'a> {
    app: AppGuid,
    shape: &'a Shape,
    ring: u64,
    spread: usize,
    reaches: Vec<Reach>,
    /// Cells that have the droplet, in order.
    having: Vec<Number>,
    /// Those of them that had no instance of the app.
    near: Vec<Number>,
    offering: u32,
}

/// A pool whose cells offer what is needed.
#[derive(Debug, Clone, Copy)]
struct Reach {
    pool: usize,
    zone: usize,
    /// Where the app begins on the ring.
    start: usize,
    /// What one instance adds to the load.
    added: u64,
}

impl Ledger {
    #[must_use]
    pub fn seek<'a>(&mut self, app: AppGuid, shape: &'a Shape) -> Seeker<'a> {
        self.build_trees();
        let (spread, ring) = (self.spread(app), ring(app.0));
        let offers = |(number, pool): (usize, &Pool)| {
            unfit_by(&pool.like, shape).is_none().then(|| Reach {
                pool: number,
                zone: pool.zone,
                start: pool.start(ring),
                added: pool.weights.added_by(shape.size),
            })
        };
        let reaches: Vec<_> = self.pools.iter().enumerate().filter_map(offers).collect();
        let offering = reaches.iter().map(|reach| self.open[reach.pool]);
        let tally = shape
            .droplet
            .and_then(|droplet| self.droplets.get(&droplet));
        let having: Vec<_> = tally.into_iter().flat_map(Tally::cells).collect();
        let on_cell = &self.spreads[spread].on_cell;
        let is_new = |number: &Number| on_cell.get(*number) == 0;
        Seeker {
            app,
            shape,
            ring,
            spread,
            offering: offering.sum(),
            near: having.iter().copied().filter(is_new).collect(),
            reaches,
            having,
        }
    }

    /// The cheapest cell that fits.
    #[must_use]
    pub fn choose(&self, seeker: &Seeker<'_>) -> Option<(Cost, Number)> {
        let spread = &self.spreads[seeker.spread];
        let mut above = None;
        loop {
            // Zones with equally many instances of the app compete together, the emptiest first.
            let counts = seeker.reaches.iter().map(|it| spread.in_zone(it.zone));
            let in_zone = counts.filter(|it| Some(*it) > above).min()?;
            let best = self.on_new_cell(seeker, spread, in_zone);
            let best = best.or_else(|| self.on_shared_cell(seeker, spread, in_zone));
            if best.is_some() {
                return best;
            }
            above = Some(in_zone);
        }
    }

    /// The best cell without an instance of the app, in the zones that have `in_zone` of them.
    fn on_new_cell(
        &self,
        seeker: &Seeker<'_>,
        spread: &Spread,
        in_zone: u32,
    ) -> Option<(Cost, Number)> {
        let mut best: Option<(u64, Number, usize)> = None;
        let is_new = |number| spread.on_cell.get(number) == 0;
        let zones = |reach: &&Reach| spread.in_zone(reach.zone) == in_zone;
        for reach in seeker.reaches.iter().filter(zones) {
            let load_max = best.map_or(u64::MAX - 1, |(load, _, _)| load);
            let Some(load_max) = load_max.checked_sub(reach.added) else {
                continue;
            };
            let pool = &self.pools[reach.pool];
            let found = pool.least(reach.start, seeker.shape.size, load_max, is_new);
            let Some((load, number)) = found else {
                continue;
            };
            let load = load + reach.added;
            let is_better = best.is_none_or(|(least, other, _)| {
                load < least || self.rank(seeker, number) < self.rank(seeker, other)
            });
            if is_better {
                best = Some((load, number, reach.zone));
            }
        }
        let (_, number, zone) = best?;
        let best = (self.cost(seeker, number, zone), number);
        if !best.0.droplet_missing {
            return Some(best);
        }
        // Nothing is less loaded: only a cell of the same load step that has the droplet is better.
        let near = seeker.near.iter().filter(|it| is_new(**it));
        let near = near.filter_map(|number| self.fitting(seeker, *number, in_zone));
        near.chain([best]).min()
    }

    /// The best of the cells that have an instance of the app already.
    fn on_shared_cell(
        &self,
        seeker: &Seeker<'_>,
        spread: &Spread,
        in_zone: u32,
    ) -> Option<(Cost, Number)> {
        let cells = spread.on_cell.cells();
        cells
            .filter_map(|number| self.fitting(seeker, number, in_zone))
            .min()
    }

    /// A cell's cost, if it can take one and lies in a zone that has `in_zone` of the app.
    fn fitting(&self, seeker: &Seeker<'_>, number: Number, in_zone: u32) -> Option<(Cost, Number)> {
        let seat = self.seat(number);
        let pool = seat.pool?;
        let reach = seeker.reaches.iter().find(|reach| reach.pool == pool)?;
        let fits = self.spreads[seeker.spread].in_zone(reach.zone) == in_zone
            && seat.shut.is_none()
            && full_by(seat.free(), seeker.shape.size).is_none();
        fits.then(|| (self.cost(seeker, number, reach.zone), number))
    }

    /// The order of cells with equal loads.
    fn rank(&self, seeker: &Seeker<'_>, number: Number) -> (u64, CellGuid) {
        let seat = self.seat(number);
        (seat.ring.wrapping_sub(seeker.ring), seat.guid)
    }

    fn cost(&self, seeker: &Seeker<'_>, number: Number, zone: usize) -> Cost {
        let (seat, spread) = (self.seat(number), &self.spreads[seeker.spread]);
        let load = seat.load_with(seeker.shape.size);
        let (tie, cell) = self.rank(seeker, number);
        let has = seeker.having.binary_search(&number).is_ok();
        Cost {
            in_zone: spread.in_zone(zone),
            on_cell: spread.on_cell.get(number),
            load_steps: load / LOAD_STEP,
            droplet_missing: seeker.shape.droplet.is_some() && !has,
            load,
            tie,
            cell,
        }
    }

    /// The same as `choose` by looking at every cell, or what ruled all of them out.
    pub fn scan(&self, seeker: &Seeker<'_>) -> Result<(Cost, Number), Histogram> {
        let mut histogram = Histogram::default();
        let mut best = None;
        for (number, seat) in (0..).zip(&self.seats) {
            let Some(pool) = seat.pool.map(|pool| &self.pools[pool]) else {
                continue;
            };
            let failed = seat.shut.or_else(|| unfit_by(&pool.like, seeker.shape));
            let failed = failed.or_else(|| full_by(seat.free(), seeker.shape.size));
            match failed {
                Some(constraint) => histogram.add(constraint, seat.free()),
                None => {
                    let found = (self.cost(seeker, number, pool.zone), number);
                    best = best.into_iter().chain([found]).min();
                }
            }
        }
        best.ok_or(histogram)
    }

    /// A placement of this pass.
    pub fn place(&mut self, seeker: &Seeker<'_>, number: Number) {
        self.reserve(number, seeker.shape.size, true);
        self.count(seeker.spread, number);
    }

    /// Takes back what `place` did. The cell's leaf is brought in line by `settle`.
    pub fn take_back(&mut self, seeker: &Seeker<'_>, number: Number) {
        let size = seeker.shape.size;
        self.seat_mut(number).release(size, true);
        self.uncount(seeker.spread, number);
    }

    /// What the winner had over the others.
    #[must_use]
    pub fn choice(&self, seeker: &Seeker<'_>, cost: &Cost, number: Number) -> Choice {
        let seat = self.seat(number);
        let zone = seat.pool.map(|pool| self.pools[pool].like.zone.clone());
        Choice {
            zone: zone.unwrap_or_default(),
            in_zone: cost.in_zone,
            on_cell: cost.on_cell,
            load_percent: cost.load * 100 / FULL,
            offering: seeker.offering,
            cells: self.cells,
        }
    }
}

impl Seeker<'_> {
    #[must_use]
    pub fn app(&self) -> AppGuid {
        self.app
    }
}
