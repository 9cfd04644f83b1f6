//! Stories told plan by plan until nothing is left to do.

use std::time::Duration;

use super::world::*;
use crate::snapshot::{Liveness, Rollout, Seen, Snapshot};
use crate::{Action, plan};

/// Plans, carries out, lets cells do their part, and writes down each step.
fn story(snapshot: &mut Snapshot, at: Duration) -> String {
    let mut told = String::new();
    for step in 0.. {
        assert!(step < 30, "it does not come to rest:\n{told}");
        let plan = plan(snapshot, at, step);
        if plan.actions.is_empty() && step > 0 {
            return told;
        }
        for action in &plan.actions {
            told += &match action {
                Action::Place(it) => {
                    format!(
                        "  place {} on {}: {}\n",
                        it.index,
                        cell_name(it.cell),
                        it.cause
                    )
                }
                Action::Unroute(it) => {
                    format!("  unroute {}: {}\n", number(it.assignment), it.reason)
                }
                Action::Stop(it) => format!("  stop {}: {}\n", number(it.assignment), it.reason),
                Action::Forget(it) => {
                    format!("  forget {}: {}\n", number(it.assignment), it.reason)
                }
                Action::Abandon { why, .. } => format!("  abandon: {why}\n"),
            };
        }
        carry_out(snapshot, &plan);
        told += &format!("{}\n", picture(snapshot));
        time_passes(snapshot, at);
    }
    told
}

/// Assignments of the test have small numbers; those of the planner do not matter.
fn number(assignment: cfx_protocol::id::AssignmentGuid) -> String {
    match assignment.0.as_u128() {
        small @ 0..1000 => format!("#{small}"),
        _ => "#new".to_owned(),
    }
}

#[test]
fn a_scale_up_spreads_over_zones_and_then_over_cells() {
    let cells = [cell(1, "z1"), cell(2, "z1"), cell(3, "z2")];
    let mut world = snapshot(cells, vec![process(1, 4)]);
    insta::assert_snapshot!(story(&mut world, NOW), @r"
      place 0 on cell-3: it was wanted and nowhere
      place 1 on cell-2: it was wanted and nowhere
      place 2 on cell-1: it was wanted and nowhere
      place 3 on cell-3: it was wanted and nowhere
    cell-1: 2(unknown), cell-2: 1(unknown), cell-3: 0(unknown) 3(unknown)
    ");
}

#[test]
fn a_scale_down_unroutes_the_highest_indices_then_stops_them() {
    let mut process = process(1, 1);
    process.intents = (0..3)
        .map(|i| intent(u128::from(i) + 1, i, 1, Seen::Routable))
        .collect();
    let mut world = snapshot([cell(1, "z1")], vec![process]);
    insta::assert_snapshot!(story(&mut world, NOW), @r"
      unroute #2: only 1 instances are wanted
      unroute #3: only 1 instances are wanted
    cell-1: 0 1(unroute) 2(unroute)
      stop #2: every router has let go of it
      stop #3: every router has let go of it
    cell-1: 0 1(stop) 2(stop)
      forget #2: its cell has nothing left of it
      forget #3: its cell has nothing left of it
    cell-1: 0
    ");
}

#[test]
fn a_restart_replaces_all_instances_at_once() {
    let mut process = process(1, 2);
    process.version = 2;
    process.intents = (0..2)
        .map(|i| intent(u128::from(i) + 1, i, 1, Seen::Routable))
        .collect();
    let mut world = snapshot([cell(1, "z1")], vec![process]);
    insta::assert_snapshot!(story(&mut world, NOW), @r"
      unroute #1: it is of version 1, wanted is 2
      unroute #2: it is of version 1, wanted is 2
      place 0 on cell-1: it takes over from version 1
      place 1 on cell-1: it takes over from version 1
    cell-1: 0(unroute) 1(unroute) v2:0(unknown) v2:1(unknown)
      stop #1: every router has let go of it
      stop #2: every router has let go of it
    cell-1: 0(stop) 1(stop) v2:0 v2:1
      forget #1: its cell has nothing left of it
      forget #2: its cell has nothing left of it
    cell-1: v2:0 v2:1
    ");
}

#[test]
fn a_rolling_update_ends_an_instance_only_when_its_successor_serves() {
    let mut process = process(1, 3);
    process.version = 2;
    process.rollout = Rollout::Rolling { max_in_flight: 1 };
    process.intents = (0..3)
        .map(|i| intent(u128::from(i) + 1, i, 1, Seen::Routable))
        .collect();
    let mut world = snapshot([cell(1, "z1")], vec![process]);
    insta::assert_snapshot!(story(&mut world, NOW), @r"
      place 0 on cell-1: it takes over from version 1
    cell-1: 0 1 2 v2:0(unknown)
      unroute #1: it is of version 1, wanted is 2
      place 1 on cell-1: it takes over from version 1
    cell-1: 0(unroute) 1 2 v2:0 v2:1(unknown)
      stop #1: every router has let go of it
      unroute #2: it is of version 1, wanted is 2
      place 2 on cell-1: it takes over from version 1
    cell-1: 0(stop) 1(unroute) 2 v2:0 v2:1 v2:2(unknown)
      forget #1: its cell has nothing left of it
      stop #2: every router has let go of it
      unroute #3: it is of version 1, wanted is 2
    cell-1: 1(stop) 2(unroute) v2:0 v2:1 v2:2
      forget #2: its cell has nothing left of it
      stop #3: every router has let go of it
    cell-1: 2(stop) v2:0 v2:1 v2:2
      forget #3: its cell has nothing left of it
    cell-1: v2:0 v2:1 v2:2
    ");
}

#[test]
fn a_drain_places_the_replacement_first() {
    let mut process = process(1, 2);
    process.intents = vec![
        intent(1, 0, 1, Seen::Routable),
        intent(2, 1, 2, Seen::Routable),
    ];
    let mut cells = [cell(1, "z1"), cell(2, "z1")];
    cells[0].1.draining = true;
    let mut world = snapshot(cells, vec![process]);
    insta::assert_snapshot!(story(&mut world, NOW), @r"
      place 0 on cell-2: cell-1, where it was, is being drained
    cell-1: 0, cell-2: 0(unknown) 1
      unroute #1: instance 93ab286b-900f-884c-bc46-30afef6a60b9 serves in its place
    cell-1: 0(unroute), cell-2: 0 1
      stop #1: every router has let go of it
    cell-1: 0(stop), cell-2: 0 1
      forget #1: its cell has nothing left of it
    cell-2: 0 1
    ");
}

#[test]
fn a_lost_cell_that_returns_after_the_replacement_serves_is_cleaned() {
    let mut process = process(1, 1);
    process.intents = vec![intent(1, 0, 1, Seen::Routable)];
    let mut world = snapshot([cell(1, "z1"), cell(2, "z1")], vec![process]);
    let lost_at = NOW + Duration::from_secs(6);
    world.cells.get_mut(&cell_guid(2)).expect("cell 2").heard = lost_at;
    assert_eq!(
        Liveness::after(world.silence(cell_guid(1), lost_at)),
        Liveness::Lost
    );
    insta::assert_snapshot!(story(&mut world, lost_at), @r"
      place 0 on cell-2: cell-1, where it was, does not answer
    cell-1: 0, cell-2: 0(unknown)
      unroute #1: instance 93ab286b-900f-884c-bc46-30afef6a60b9 serves in its place
    cell-1: 0(unroute), cell-2: 0
      stop #1: every router has let go of it
    cell-1: 0(stop), cell-2: 0
    ");
    world.cells.get_mut(&cell_guid(1)).expect("cell 1").heard = lost_at;
    time_passes(&mut world, lost_at);
    insta::assert_snapshot!(story(&mut world, lost_at), @r"
      forget #1: its cell has nothing left of it
    cell-2: 0
    ");
}

#[test]
fn a_lost_cell_that_returns_first_keeps_its_instance() {
    let mut process = process(1, 1);
    process.intents = vec![
        intent(1, 0, 1, Seen::Routable),
        intent(2, 0, 2, Seen::Starting),
    ];
    let mut world = snapshot([cell(1, "z1"), cell(2, "z1")], vec![process]);
    insta::assert_snapshot!(story(&mut world, NOW), @r"
      unroute #2: instance 00000000-0000-0000-0000-000000000001 serves in its place
    cell-1: 0, cell-2: 0(unroute)
      stop #2: every router has let go of it
    cell-1: 0, cell-2: 0(stop)
      forget #2: its cell has nothing left of it
    cell-1: 0
    ");
}
