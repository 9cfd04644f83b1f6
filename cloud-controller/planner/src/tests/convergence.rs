use std::time::Duration;

use super::world::*;
use crate::convergence::{CELL_FORGOTTEN, IN_FLIGHT_GRACE};
use crate::plan::{Abandoned, Action, EndReason};
use crate::snapshot::{Phase, Rollout, Seen, Snapshot};
use crate::{plan, task};

/// The actions in words, without placements' choices.
fn words(world: &Snapshot, now: Duration) -> Vec<String> {
    let actions = plan(world, now, 0).actions.into_iter();
    let words = actions.map(|action| match action {
        Action::Place(it) => format!("place {}", it.index),
        Action::Unroute(it) => format!("unroute: {}", it.reason),
        Action::Stop(it) => format!("stop: {}", it.reason),
        Action::Forget(it) => format!("forget: {}", it.reason),
        Action::Abandon { why, .. } => format!("abandon: {why}"),
    });
    words.collect()
}

fn with_phase(phase: Phase, seen: Seen) -> Snapshot {
    let mut process = process(1, 0);
    process.intents = vec![intent(1, 0, 1, seen)];
    process.intents[0].phase = phase;
    snapshot([cell(1, "z1")], vec![process])
}

#[test]
fn an_instance_is_stopped_only_after_routers_let_go_and_requests_had_their_time() {
    let unroute = |withdrawn| Phase::Unroute { withdrawn };
    let just = Some(NOW.saturating_sub(IN_FLIGHT_GRACE) + Duration::from_millis(1));
    let over = Some(NOW.saturating_sub(IN_FLIGHT_GRACE));
    for (withdrawn, seen, stopped) in [
        (None, Seen::Routable, false),
        (just, Seen::Routable, false),
        (just, Seen::Unready, false),
        (over, Seen::Routable, true),
        (None, Seen::Starting, false),
        (just, Seen::Starting, false),
        (just, Seen::Unknown, false),
        (over, Seen::Starting, true),
        (over, Seen::Crashed, true),
    ] {
        let words = words(&with_phase(unroute(withdrawn), seen), NOW);
        assert_eq!(
            words.len(),
            usize::from(stopped),
            "{withdrawn:?} {seen:?}: {words:?}"
        );
    }
}

#[test]
fn what_no_cell_has_told_of_yet_may_serve_and_is_not_ended_for_a_successor() {
    let (mut old, mut new) = (
        intent(1, 0, 1, Seen::Unknown),
        intent(2, 0, 2, Seen::Unknown),
    );
    (old.version, new.version) = (1, 2);
    let mut process = process(1, 1);
    process.version = 2;
    process.rollout = Rollout::Rolling { max_in_flight: 1 };
    process.intents = vec![old, new];
    let mut world = snapshot([cell(1, "z1"), cell(2, "z1")], vec![process]);
    assert_eq!(words(&world, NOW), [""; 0]);
    world.processes[0].intents[0].version = 2;
    assert_eq!(
        words(&world, NOW),
        [""; 0],
        "nor of two with the same index"
    );
    world.processes[0].intents[1].seen = Seen::Routable;
    assert_eq!(words(&world, NOW).len(), 1);
}

#[test]
fn of_two_older_instances_of_an_index_one_makes_room_for_the_successor() {
    let (mut first, mut second) = (
        intent(1, 0, 1, Seen::Routable),
        intent(2, 0, 2, Seen::Routable),
    );
    (first.version, second.version) = (1, 1);
    let mut process = process(1, 1);
    process.version = 2;
    process.shape = shape(3_000);
    process.rollout = Rollout::Rolling { max_in_flight: 1 };
    (first.size, second.size) = (process.shape.size, process.shape.size);
    process.intents = vec![first, second];
    let world = snapshot([cell(1, "z1"), cell(2, "z1")], vec![process]);
    let words = words(&world, NOW);
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(words[0].contains("serves in its place"), "{words:?}");
}

#[test]
fn an_intent_goes_when_its_cell_has_nothing_left_or_is_forgotten() {
    let stopped = with_phase(Phase::Stop, Seen::Routable);
    assert_eq!(words(&stopped, NOW), [""; 0]);
    assert_eq!(words(&stopped, NOW + CELL_FORGOTTEN).len(), 1);
    let gone = with_phase(Phase::Stop, Seen::Gone);
    assert_eq!(words(&gone, NOW), [format!("forget: {}", EndReason::Gone)]);
}

#[test]
fn cells_that_never_registered_are_waited_for_before_they_count_as_lost() {
    let mut process = process(1, 1);
    process.intents = vec![intent(1, 0, 77, Seen::Unknown)];
    let mut world = snapshot([cell(1, "z1")], vec![process]);
    world.listening_since = NOW;
    assert_eq!(words(&world, NOW + Duration::from_secs(2)), [""; 0]);
    let cell = world.cells.get_mut(&cell_guid(1)).expect("cell 1");
    cell.heard = NOW + Duration::from_secs(5);
    assert_eq!(words(&world, NOW + Duration::from_secs(5)), ["place 0"]);
}

#[test]
fn a_suspect_cell_keeps_its_instances_and_gets_no_new_ones() {
    let mut process = process(1, 2);
    process.intents = vec![intent(1, 0, 1, Seen::Routable)];
    let mut world = snapshot([cell(1, "z1")], vec![process]);
    let later = NOW + Duration::from_secs(4);
    assert_eq!(words(&world, later), [""; 0]);
    world.cells.extend([cell(2, "z1")]);
    world.cells.get_mut(&cell_guid(2)).expect("cell 2").heard = later;
    assert_eq!(words(&world, later), ["place 1"]);
}

#[test]
fn a_rolling_update_holds_back_successors_but_not_what_is_missing() {
    let mut process = process(1, 4);
    process.version = 2;
    process.rollout = Rollout::Rolling { max_in_flight: 2 };
    // Index 3 has nothing at all.
    process.intents = (0..3)
        .map(|i| intent(u128::from(i) + 1, i, 1, Seen::Routable))
        .collect();
    let mut world = snapshot([cell(1, "z1")], vec![process]);
    let mut placed = words(&world, NOW);
    placed.sort();
    assert_eq!(placed, ["place 0", "place 1", "place 3"]);
    // A successor that crashes does not cost the instance that serves.
    let mut crashed = intent(9, 0, 1, Seen::Crashed);
    crashed.version = 2;
    world.processes[0].intents.push(crashed);
    world.processes[0].instances = 3;
    assert_eq!(words(&world, NOW), ["place 1"]);
}

#[test]
fn an_update_that_is_cancelled_goes_back_to_the_instances_that_are_left() {
    let mut process = process(1, 2);
    process.rollout = Rollout::Rolling { max_in_flight: 1 };
    let mut successor = intent(2, 0, 1, Seen::Routable);
    successor.version = 2;
    process.intents = vec![successor, intent(1, 1, 1, Seen::Routable)];
    let world = snapshot([cell(1, "z1")], vec![process]);
    assert_eq!(words(&world, NOW), ["place 0"]);
}

#[test]
fn a_work_that_runs_once_is_never_started_twice() {
    let mut world = snapshot([cell(1, "z1"), cell(2, "z1")], Vec::new());
    let mut run = staging(1);
    run.intent = Some(intent(1, 0, 1, Seen::Starting));
    world.runs = vec![run];
    let lost = NOW + Duration::from_secs(20);
    assert_eq!(
        words(&world, lost),
        [""; 0],
        "it may come back with the result"
    );
    let why = Abandoned::CellLost("cell-1".into());
    assert_eq!(
        words(&world, NOW + task::LOST_WAIT_MAX),
        [format!("abandon: {why}")]
    );
}

#[test]
fn a_work_that_is_over_stops_at_once_and_is_forgotten_when_gone() {
    let mut world = snapshot([cell(1, "z1")], Vec::new());
    let mut run = staging(1);
    run.wanted = false;
    run.intent = Some(intent(1, 0, 1, Seen::Starting));
    world.runs = vec![run];
    assert_eq!(
        words(&world, NOW),
        [format!("stop: {}", EndReason::WorkOver)]
    );
    let intent = world.runs[0].intent.as_mut().expect("its intent");
    (intent.phase, intent.seen) = (Phase::Stop, Seen::Gone);
    assert_eq!(words(&world, NOW), [format!("forget: {}", EndReason::Gone)]);
}

#[test]
fn a_staging_that_no_cell_can_take_is_given_up_after_a_while() {
    let mut world = snapshot([], Vec::new());
    world.runs = vec![staging(1)];
    assert_eq!(words(&world, NOW), [""; 0]);
    world.runs[0].age = task::STAGING_WAIT_MAX;
    assert_eq!(
        words(&world, NOW),
        ["abandon: no cell could take it for 60 s"]
    );
}
