//! A controller that comes back changes nothing that runs.

use std::time::Duration;

use crate::cell::ScriptedCell;
use crate::router::FakeRouter;
use crate::world::{World, route_guid, until};

#[tokio::test]
async fn routers_get_no_table_before_the_cells_have_reported() {
    let mut world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    let process = world.push(1, 2).await;
    until("both run", || router.endpoints(route_guid(1)) == Some(2)).await;
    let before = world.intents(process);
    cell.fall_silent();
    drop(router);
    world.restart().await;
    let router = FakeRouter::start(&world, 9);
    // Longer than a tick, shorter than the controller waits for cells.
    world.clock.sleep(Duration::from_millis(300)).await;
    assert_eq!(router.table.lock().token, None, "the saved table is better");
    let cell = ScriptedCell::resume(&world, 1, cell.script.clone());
    until("the table is whole", || {
        router.endpoints(route_guid(1)) == Some(2)
    })
    .await;
    assert_eq!(router.table.lock().fewest[&route_guid(1)], 2);
    assert_eq!(world.intents(process), before);
    assert_eq!(cell.indices(), [0, 1]);
}

#[tokio::test]
async fn cells_that_do_not_come_back_are_replaced_after_their_time() {
    let mut world = World::start().await;
    let first = ScriptedCell::start(&world, 1);
    let process = world.push(1, 1).await;
    until("it is assigned", || first.indices() == [0]).await;
    first.fall_silent();
    world.restart().await;
    let second = ScriptedCell::start(&world, 2);
    assert!(world.running.cells_ready(1, Duration::from_secs(10)).await);
    assert_eq!(world.intents(process).len(), 1, "it is waited for");
    world.time.advance(Duration::from_secs(5));
    until("it is replaced", || second.indices() == [0]).await;
}
