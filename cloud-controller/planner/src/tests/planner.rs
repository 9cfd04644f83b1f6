//! The planner that follows changes against the one that looks at everything: whatever happens and
//! in whatever order, both say the same.

use std::time::Duration;

use cfx_protocol::id::CellGuid;
use proptest::prelude::*;

use super::properties::{cells, processes, worlds};
use super::world::*;
use crate::snapshot::*;
use crate::{Mode, Planner, plan};

/// What happens to the world between two passes.
#[derive(Debug, Clone)]
enum Change {
    /// Plans are carried out, and cells do what they are told.
    CarryOut,
    /// Only some of what was planned is.
    Half,
    Time(u64),
    Hear(u8),
    Cells(Vec<(CellGuid, Cell)>),
    Processes(Vec<Process>),
    Scale(u8, u32),
    Deploy(u8),
    Remove(u8),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let one = prop_oneof![
        4 => Just(Change::CarryOut),
        1 => Just(Change::Half),
        2 => (0_u64..4_000).prop_map(Change::Time),
        2 => any::<u8>().prop_map(Change::Hear),
        1 => cells().prop_map(Change::Cells),
        1 => processes().prop_map(Change::Processes),
        2 => (any::<u8>(), 0_u32..9).prop_map(|(which, to)| Change::Scale(which, to)),
        1 => any::<u8>().prop_map(Change::Deploy),
        1 => any::<u8>().prop_map(Change::Remove),
    ];
    proptest::collection::vec(one, 1..25)
}

fn apply(change: Change, world: &mut Snapshot, now: &mut Duration, last: &crate::Plan) {
    let nth = |which: u8, of: usize| usize::from(which) % of.max(1);
    let count = world.processes.len();
    match change {
        Change::CarryOut => {
            carry_out(world, last);
            let cells = world.cells.clone();
            for process in &mut world.processes {
                process.intents.retain(|it| cells.contains_key(&it.cell));
            }
            time_passes(world, *now);
        }
        Change::Half => {
            let mut half = last.clone();
            half.actions.truncate(half.actions.len() / 2);
            carry_out(world, &half);
        }
        Change::Time(ms) => *now += Duration::from_millis(ms),
        Change::Hear(which) => {
            let every = usize::from(which % 3) + 1;
            world
                .cells
                .values_mut()
                .step_by(every)
                .for_each(|it| it.heard = *now);
        }
        Change::Cells(cells) => world.cells = cells.into_iter().collect(),
        Change::Processes(processes) => world.processes = processes,
        Change::Scale(which, to) if count > 0 => world.processes[nth(which, count)].instances = to,
        Change::Deploy(which) if count > 0 => {
            let process = &mut world.processes[nth(which, count)];
            process.version += 1;
            process.rollout = Rollout::Rolling { max_in_flight: 2 };
        }
        Change::Remove(which) if count > 0 => drop(world.processes.remove(nth(which, count))),
        Change::Scale(..) | Change::Deploy(_) | Change::Remove(_) => {}
    }
}

/// Tells the planner what differs, as a shell would.
fn tell(planner: &mut Planner, before: &Snapshot, after: &Snapshot) {
    for guid in before.cells.keys() {
        if !after.cells.contains_key(guid) {
            planner.remove_cell(*guid);
        }
    }
    for (guid, cell) in &after.cells {
        let unheard = |cell: &Cell| Cell {
            heard: NOW,
            ..cell.clone()
        };
        match before.cells.get(guid) {
            Some(old) if unheard(old) == unheard(cell) => planner.hear(*guid, cell.heard),
            _ => planner.set_cell(*guid, cell.clone()),
        }
    }
    for old in &before.processes {
        if !after.processes.iter().any(|it| it.guid == old.guid) {
            planner.remove(Work::Process(old.guid));
        }
    }
    for process in &after.processes {
        if !before.processes.contains(process) {
            planner.set_process(process.clone());
        }
    }
    for run in &after.runs {
        if !before.runs.contains(run) {
            planner.set_run(run.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_says_what_a_fresh_look_at_everything_says(mut world in worlds(), changes in changes()) {
        world.runs = vec![staging(77)];
        let mut now = NOW;
        let mut planner = Planner::new(world.listening_since);
        tell(&mut planner, &Snapshot::default(), &world);
        for (seed, change) in (0..).zip(changes) {
            let fresh = plan(&world, now, seed);
            prop_assert_eq!(&planner.plan(now, seed), &fresh);
            let before = world.clone();
            apply(change, &mut world, &mut now, &fresh);
            tell(&mut planner, &before, &world);
            prop_assert_eq!(planner.sweep(world.clone()), 0, "nothing was missed");
        }
    }

    #[test]
    fn a_sweep_repairs_what_was_missed(before in worlds(), after in worlds()) {
        let mut planner = Planner::new(before.listening_since);
        tell(&mut planner, &Snapshot::default(), &before);
        drop(planner.plan(NOW, 1));
        planner.sweep(after.clone());
        prop_assert_eq!(planner.plan(NOW, 2), plan(&after, NOW, 2));
        prop_assert_eq!(planner.sweep(after), 0);
    }
}

#[test]
fn a_world_at_rest_keeps_nothing_busy() {
    let mut world = snapshot(
        (0..9).map(|n| cell(n, "z1")),
        vec![process(1, 6), process(2, 3)],
    );
    let mut planner = Planner::new(Duration::ZERO);
    tell(&mut planner, &Snapshot::default(), &world);
    for seed in 0..3 {
        let before = world.clone();
        let plan = planner.plan(NOW, seed);
        carry_out(&mut world, &plan);
        time_passes(&mut world, NOW);
        tell(&mut planner, &before, &world);
    }
    assert_eq!(planner.plan(NOW, 9).actions, []);
    assert_eq!(planner.busy(), 0);
    // A cell that is lost makes its works busy, and only them.
    let on_it = planner.works_on(cell_guid(0)).count();
    for (guid, cell) in &mut world.cells {
        if *guid != cell_guid(0) {
            cell.heard = NOW + Duration::from_secs(6);
            planner.hear(*guid, cell.heard);
        }
    }
    let plan = planner.plan(NOW + Duration::from_secs(6), 10);
    assert_eq!((plan.mode, planner.busy()), (Mode::Normal, on_it));
}
