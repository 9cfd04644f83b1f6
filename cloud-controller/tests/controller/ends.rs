//! What is not wanted any more ends without losing a request.

use std::time::Duration;

use cfx_cloud_controller::state::app::App;
use cfx_cloud_controller::state::intent::IntentPhase;
use cfx_cloud_controller::state::process::Process;

use crate::cell::ScriptedCell;
use crate::router::FakeRouter;
use crate::world::{World, app_guid, route_guid, until};

#[tokio::test]
async fn an_instance_is_stopped_only_after_every_router_let_go_and_a_grace() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let (quick, slow) = (FakeRouter::start(&world, 8), FakeRouter::start(&world, 9));
    let process = world.push(1, 2).await;
    until("both run", || slow.endpoints(route_guid(1)) == Some(2)).await;
    slow.table.lock().mute = true;
    world.scale(process, 1).await;
    until("one is unrouted", || {
        quick.endpoints(route_guid(1)) == Some(1)
    })
    .await;
    world.time.advance(Duration::from_secs(10));
    // The slow router has confirmed nothing, however late it is.
    let unrouted = |world: &World| {
        let intents = world.intents(process);
        let phases = intents.iter().filter(|it| it.index == 1).map(|it| it.phase);
        phases
            .into_iter()
            .all(|it| matches!(it, IntentPhase::Unroute { .. }))
    };
    let frames = slow.table.lock().frames;
    until("time has passed", || slow.table.lock().frames > frames).await;
    assert!(unrouted(&world));
    assert_eq!(cell.indices(), [0, 1]);
    slow.table.lock().mute = false;
    until("the driver knows", || {
        world.running.state().read().intents_of(process).count() == 2
    })
    .await;
    world.time.advance(Duration::from_millis(1_900));
    assert_eq!(cell.indices(), [0, 1], "requests in flight have their time");
    until("it is stopped", || {
        world.time.advance(Duration::from_millis(100));
        cell.indices() == [0]
    })
    .await;
    until("its intent is gone", || world.intents(process).len() == 1).await;
}

#[tokio::test]
async fn a_stopped_app_leaves_the_table_at_once_and_its_cells_soon() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    let process = world.push(1, 2).await;
    until("both run", || router.endpoints(route_guid(1)) == Some(2)).await;
    world.stop(1).await;
    until("the route is gone", || {
        router.endpoints(route_guid(1)).is_none()
    })
    .await;
    until("nothing is left", || {
        world.time.advance(Duration::from_millis(100));
        cell.indices().is_empty() && world.intents(process).is_empty()
    })
    .await;
}

#[tokio::test]
async fn instances_of_a_deleted_app_are_stopped_gently_too() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    let process = world.push(1, 1).await;
    until("it runs", || router.endpoints(route_guid(1)) == Some(1)).await;
    router.table.lock().mute = true;
    world
        .change(|draft| {
            draft.delete::<Process>(&process);
            draft.delete::<App>(&app_guid(1));
        })
        .await;
    until("the route is gone", || {
        router.endpoints(route_guid(1)).is_none()
    })
    .await;
    assert_eq!(cell.indices(), [0], "routers may still send requests");
    router.table.lock().mute = false;
    until("nothing is left", || {
        world.time.advance(Duration::from_millis(100));
        cell.indices().is_empty() && world.intents(process).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_cell_that_drains_is_emptied_after_its_replacements_serve() {
    let world = World::start().await;
    let first = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    world.push(1, 3).await;
    until("all run", || router.endpoints(route_guid(1)) == Some(3)).await;
    router.table.lock().fewest.clear();
    let second = ScriptedCell::start(&world, 2);
    first.script.lock().draining = true;
    until("the first is empty", || {
        world.time.advance(Duration::from_millis(100));
        first.indices().is_empty()
    })
    .await;
    assert_eq!(second.indices(), [0, 1, 2]);
    assert_eq!(
        router.table.lock().fewest[&route_guid(1)],
        3,
        "never fewer than wanted"
    );
}
