//! Versions replace one another.

use std::time::Duration;

use cfx_cloud_controller::state::deployment::{Deployment, DeploymentStatus, Strategy};
use cfx_cloud_controller::state::meta::Meta;
use cfx_cloud_controller::state::process::Process;
use cfx_protocol::id::{DeploymentGuid, ProcessGuid};
use jiff::Timestamp;
use uuid::Uuid;

use crate::cell::ScriptedCell;
use crate::router::FakeRouter;
use crate::world::{World, app_guid, droplet_guid, route_guid, running, until};

fn second_version(process: &mut Process) {
    process.version = 2;
    process.version_max = 2;
    process.running = Some(running(1, 2));
}

fn versions(world: &World, process: ProcessGuid) -> Vec<u64> {
    world.intents(process).iter().map(|it| it.version).collect()
}

#[tokio::test]
async fn a_rolling_update_never_serves_with_fewer_instances_and_reports_its_end() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    let process = world.push(1, 3).await;
    until("all run", || router.endpoints(route_guid(1)) == Some(3)).await;
    router.table.lock().fewest.clear();
    let guid = DeploymentGuid(Uuid::from_u128(5));
    world
        .change(|draft| {
            let previous = draft
                .get::<Process>(&process)
                .and_then(|it| it.running.clone());
            draft.update(&process, second_version);
            draft.put(Deployment {
                guid,
                app: app_guid(1),
                process,
                strategy: Strategy::Rolling,
                status: DeploymentStatus::Deploying,
                droplet: Some(droplet_guid(1)),
                previous_droplet: Some(droplet_guid(1)),
                previous,
                max_in_flight: 1,
                last_status_change: Timestamp::UNIX_EPOCH,
                last_healthy_at: None,
                meta: Meta::new(Timestamp::UNIX_EPOCH),
            });
        })
        .await;
    until("the deployment is done", || {
        world.time.advance(Duration::from_millis(100));
        let state = world.state();
        let deployment = state.get::<Deployment>(&guid).expect("it is there");
        deployment.status == DeploymentStatus::Deployed
    })
    .await;
    assert_eq!(versions(&world, process), [2, 2, 2]);
    assert_eq!(cell.indices(), [0, 1, 2]);
    assert_eq!(router.table.lock().fewest[&route_guid(1)], 3);
}

#[tokio::test]
async fn a_restart_ends_all_instances_and_starts_new_ones() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    let process = world.push(1, 2).await;
    until("both run", || router.endpoints(route_guid(1)) == Some(2)).await;
    let before = world.intents(process);
    world
        .change(|draft| draft.update(&process, second_version))
        .await;
    until("only the second version is left", || {
        world.time.advance(Duration::from_millis(100));
        versions(&world, process) == [2, 2] && cell.indices() == [0, 1]
    })
    .await;
    let known = |guid| before.iter().any(|old| old.assignment == guid);
    assert!(
        !world
            .intents(process)
            .iter()
            .any(|new| known(new.assignment))
    );
}
