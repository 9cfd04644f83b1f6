//! The index against the scan: in crowded worlds of many kinds of cells, whatever is placed and
//! taken back, both name the same cell at the same cost, or none.

use std::collections::BTreeSet;
use std::time::Duration;

use cfx_protocol::id::{AppGuid, CellGuid};
use proptest::prelude::*;
use uuid::Uuid;

use super::world::*;
use crate::ledger::Ledger;
use crate::snapshot::*;

/// Memory, zone, and flags: silent, draining, tagged, of another stack.
type DrawnCell = (u64, u8, [bool; 4]);

fn drawn_cells() -> impl Strategy<Value = Vec<DrawnCell>> {
    let memory = prop_oneof![Just(1_024_u64), Just(2_048), 512_u64..4_096];
    let rarely = || prop::bool::weighted(0.1);
    let flags = [rarely(), rarely(), rarely(), rarely()];
    proptest::collection::vec((memory, 0_u8..3, flags), 1..60)
}

fn build((n, (memory_mb, zone, flags)): (u128, DrawnCell)) -> (CellGuid, Cell) {
    let (guid, mut cell) = cell(n, &format!("z{zone}"));
    cell.capacity.memory_mb = memory_mb;
    cell.capacity.slots = 12;
    let [silent, draining, tagged, other] = flags;
    if silent {
        cell.heard = NOW.saturating_sub(Duration::from_secs(4));
    }
    cell.draining = draining;
    if tagged {
        cell.tags = BTreeSet::from(["pci".to_owned()]);
    }
    if other {
        cell.stacks = BTreeSet::from(["other".to_owned()]);
    }
    (guid, cell)
}

/// Something that happens: who asks for how much, on what, and whether it stays or a cell changes.
type Step = (u128, u32, u8, u8);

fn wanted((_, memory_mb, kind, _): Step) -> Shape {
    let mut shape = shape(memory_mb);
    if kind.is_multiple_of(8) {
        shape.isolation = Some("pci".into());
    }
    if kind % 8 == 1 {
        shape.root = Root::Stack("other".into());
    }
    if kind.is_multiple_of(2) {
        shape.droplet = Some(droplet(u128::from(kind % 3)));
    }
    shape
}

fn entry(n: u128, app: u128, cell: CellGuid, shape: &Shape, kind: u8) -> (AppGuid, Intent) {
    let seen = [Seen::Routable, Seen::Starting, Seen::Gone][usize::from(kind % 3)];
    let mut intent = intent(n, 0, 0, seen);
    intent.cell = cell;
    intent.size = shape.size;
    if kind.is_multiple_of(5) {
        intent.phase = Phase::Stop;
    }
    (AppGuid(Uuid::from_u128(app)), intent)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_scan_finds(
        cells in drawn_cells(),
        steps in proptest::collection::vec((1_u128..6, 32_u32..700, any::<u8>(), any::<u8>()), 1..120),
    ) {
        let mut cells: Vec<_> = (0..).zip(cells).map(build).collect();
        let mut ledger = Ledger::default();
        for (guid, cell) in &cells {
            ledger.set_cell(*guid, cell, Liveness::after(NOW.saturating_sub(cell.heard)));
        }
        let mut held: Vec<(AppGuid, Option<_>, Intent)> = Vec::new();
        for (n, step) in (0..).zip(steps) {
            let (app, _, kind, what) = step;
            let shape = wanted(step);
            let seeker = ledger.seek(AppGuid(Uuid::from_u128(app)), &shape);
            let chosen = ledger.choose(&seeker);
            prop_assert_eq!(chosen, ledger.scan(&seeker).ok());
            let at = usize::from(what) % cells.len();
            match what % 6 {
                0 if !held.is_empty() => {
                    let (app, droplet, intent) = held.swap_remove(at % held.len());
                    ledger.leave(app, droplet, &intent);
                }
                1 => {
                    let (guid, cell) = &mut cells[at];
                    cell.draining = !cell.draining;
                    ledger.set_cell(*guid, cell, Liveness::Alive);
                }
                2 => {
                    let (guid, cell) = &mut cells[at];
                    cell.zone = format!("z{}", kind % 3).into();
                    ledger.set_cell(*guid, cell, Liveness::Alive);
                }
                3 => ledger.remove_cell(cells[at].0),
                _ => {
                    // Where it is best, or where nobody would put it.
                    let cell = chosen.map_or(cells[at].0, |(cost, _)| cost.cell);
                    let (app, intent) = entry(n, app, cell, &shape, kind);
                    ledger.enter(app, shape.droplet, &intent);
                    held.push((app, shape.droplet, intent));
                }
            }
        }
    }
}
