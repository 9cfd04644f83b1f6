use std::time::Duration;

use super::world::*;
use crate::plan::{Action, Cause, Mode};
use crate::snapshot::{Seen, Snapshot};
use crate::{brake, plan};

/// `of` cells, the first `silent` of which were heard `ago` each.
fn world(of: u32, silent: u32, ago: impl Fn(u32) -> Duration) -> Snapshot {
    let mut world = snapshot((0..of).map(|n| cell(u128::from(n), "z1")), Vec::new());
    for n in 0..silent {
        let cell = world.cells.get_mut(&cell_guid(u128::from(n)));
        cell.expect("a cell").heard = NOW.saturating_sub(ago(n));
    }
    world
}

#[test]
fn the_brake_holds_only_for_many_cells_at_once() {
    let minute = |_| Duration::from_secs(60);
    for (of, silent, braked) in [
        (4, 2, false),
        (4, 3, true),
        (15, 3, false),
        (14, 3, true),
        (100, 20, false),
        (100, 21, true),
    ] {
        let mode = brake::mode(world(of, silent, minute).heard(), NOW);
        assert_eq!(mode != Mode::Normal, braked, "{silent} of {of}");
    }
}

#[test]
fn cells_that_fell_silent_one_by_one_do_not_brake() {
    let one_by_one = |n| Duration::from_secs(60 + 31 * u64::from(n));
    assert_eq!(
        brake::mode(world(6, 5, one_by_one).heard(), NOW),
        Mode::Normal
    );
}

#[test]
fn while_braked_only_a_process_that_serves_nowhere_gets_one_replacement() {
    let mut world = world(6, 4, |_| Duration::from_secs(60));
    let mut served = process(1, 2);
    served.intents = vec![
        intent(1, 0, 0, Seen::Routable),
        intent(2, 1, 5, Seen::Routable),
    ];
    let mut dark = process(2, 2);
    dark.intents = vec![
        intent(3, 0, 0, Seen::Routable),
        intent(4, 1, 1, Seen::Routable),
    ];
    world.processes = vec![served, dark];
    let plan = plan(&world, NOW, 1);
    assert_eq!(plan.mode, Mode::Static { silent: 4, of: 6 });
    let placed: Vec<_> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Place(it) => (it.work, it.index, it.cause.clone()),
            other => panic!("nothing may end: {other:?}"),
        })
        .collect();
    let dark = crate::snapshot::Work::Process(process_guid(2));
    assert_eq!(placed, [(dark, 0, Cause::CellLost("cell-0".into()))]);
}
