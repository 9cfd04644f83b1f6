use std::collections::BTreeSet;
use std::time::Duration;

use cfx_protocol::id::OrgGuid;
use uuid::Uuid;

use super::world::*;
use crate::plan::Action;
use crate::snapshot::{Phase, Root, Seen, Snapshot, Work};
use crate::{Plan, plan};

/// Cells by the order of the placements.
fn placed(plan: &Plan) -> Vec<(Work, u32, String)> {
    let places = plan.actions.iter().filter_map(|action| match action {
        Action::Place(it) => Some((it.work, it.index, cell_name(it.cell))),
        _ => None,
    });
    places.collect()
}

fn why_not(world: &Snapshot) -> Vec<(&'static str, u32, String)> {
    let plan = plan(world, NOW, 0);
    assert_eq!(placed(&plan), [], "nothing fits");
    let ruled_out = plan.unplaced[0].ruled_out.iter();
    ruled_out
        .map(|it| (it.constraint.as_str(), it.cells, it.detail.clone()))
        .collect()
}

#[test]
fn each_cell_that_cannot_take_it_is_counted_once_with_what_was_missing() {
    let mut cells: Vec<_> = (0..9).map(|n| cell(n, "z1")).collect();
    cells[0].1.heard = NOW.saturating_sub(Duration::from_secs(4));
    cells[1].1.heard = NOW.saturating_sub(Duration::from_secs(9));
    cells[2].1.healthy = false;
    cells[3].1.draining = true;
    cells[4].1.stacks = BTreeSet::from(["other".to_owned()]);
    cells[5].1.tags = BTreeSet::from(["pci".to_owned()]);
    cells[6].1.capacity.memory_mb = 512;
    cells[7].1.capacity.disk_mb = 100;
    cells[8].1.capacity.slots = 0;
    let mut wanted = process(1, 1);
    wanted.shape = shape(1_024);
    let counted = why_not(&snapshot(cells, vec![wanted]));
    let expected = [
        ("lost", 1, "does not answer"),
        ("suspect", 1, "was silent for a moment"),
        ("unhealthy", 1, "its runtime does not answer"),
        ("draining", 1, "is being drained"),
        ("stack", 1, "does not have the stack host"),
        ("tag", 1, "is kept for works that ask for its tag"),
        ("memory", 1, "needs 1024M, most free is 512M"),
        ("disk", 1, "needs 1024M, most free is 100M"),
        ("slots", 1, "has as many instances as it may"),
    ];
    assert_eq!(
        counted,
        expected.map(|(name, cells, text)| (name, cells, text.to_owned()))
    );
}

#[test]
fn isolation_and_images_find_their_cells_only() {
    let mut cells = [cell(1, "z1"), cell(2, "z1")];
    cells[1].1.tags = BTreeSet::from(["pci".to_owned()]);
    cells[1].1.images = false;
    let mut isolated = process(1, 1);
    isolated.shape.isolation = Some("pci".into());
    let mut image = process(2, 1);
    image.shape.root = Root::Image;
    let mut both = process(3, 1);
    both.shape = image.shape.clone();
    both.shape.isolation = Some("pci".into());
    let world = snapshot(cells, vec![isolated, image, both]);
    let plan = plan(&world, NOW, 0);
    let cells: Vec<_> = placed(&plan).into_iter().map(|(_, _, cell)| cell).collect();
    assert_eq!(cells, ["cell-2", "cell-1"]);
    let constraints = plan.unplaced[0].ruled_out.iter();
    let constraints: Vec<_> = constraints.map(|it| it.constraint.as_str()).collect();
    assert_eq!(constraints, ["image", "tag"]);
}

#[test]
fn first_instances_come_before_stagings_and_those_before_the_rest() {
    let mut world = snapshot([cell(1, "z1")], vec![process(1, 2), process(2, 1)]);
    world.runs = vec![staging(7)];
    let order: Vec<_> = placed(&plan(&world, NOW, 0))
        .into_iter()
        .map(|(work, index, _)| (work, index))
        .collect();
    let expected = [
        (Work::Process(process_guid(1)), 0),
        (Work::Process(process_guid(2)), 0),
        (world.runs[0].work, 0),
        (Work::Process(process_guid(1)), 1),
    ];
    assert_eq!(order, expected);
}

#[test]
fn organisations_take_turns_and_larger_instances_go_first() {
    let mut large = process(1, 3);
    large.shape = shape(512);
    let mut other = process(3, 2);
    other.org = OrgGuid(Uuid::from_u128(2));
    let mut processes = vec![process(2, 3), large, other];
    for (n, process) in processes.iter_mut().enumerate() {
        // All have their first instance already.
        let number = u128::try_from(n).expect("small") + 100;
        process.intents = vec![intent(number, 0, 1, Seen::Routable)];
    }
    let world = snapshot([cell(1, "z1")], processes);
    let order: Vec<_> = placed(&plan(&world, NOW, 0))
        .into_iter()
        .map(|(work, index, _)| (work, index))
        .collect();
    let [large, small, other] = [1, 2, 3].map(|n| Work::Process(process_guid(n)));
    let expected = [(large, 1), (other, 1), (large, 2), (small, 1), (small, 2)];
    assert_eq!(order, expected);
}

#[test]
fn among_cells_alike_the_one_with_the_droplet_wins_until_it_is_loaded() {
    let cells = [cell(1, "z1"), cell(2, "z1"), cell(3, "z1")];
    let mut wanted = process(1, 1);
    wanted.shape.droplet = Some(droplet(1));
    // One that has just ended there left it on disk.
    wanted.intents = vec![intent(7, 0, 2, Seen::Gone)];
    wanted.intents[0].phase = Phase::Stop;
    let mut world = snapshot(cells, vec![wanted]);
    assert_eq!(placed(&plan(&world, NOW, 0))[0].2, "cell-2");
    let mut busy = process(9, 1);
    busy.intents = vec![intent(1, 0, 2, Seen::Starting)];
    world.processes.push(busy);
    assert_ne!(placed(&plan(&world, NOW, 0))[0].2, "cell-2");
}

#[test]
fn instances_that_are_ending_hold_their_room_until_they_are_gone() {
    let mut old = process(1, 0);
    old.intents = vec![intent(1, 0, 1, Seen::Starting)];
    old.intents[0].size.memory_mb = 4_096;
    old.intents[0].phase = Phase::Stop;
    let mut world = snapshot([cell(1, "z1")], vec![old, process(2, 1)]);
    assert_eq!(plan(&world, NOW, 0).unplaced.len(), 1);
    world.processes[0].intents[0].seen = Seen::Gone;
    assert_eq!(placed(&plan(&world, NOW, 0)).len(), 1);
}
