//! What is wanted runs, and routers know where.

use std::collections::BTreeMap;
use std::time::Duration;

use cfx_protocol::desired::{InstanceSpec, Root, Work};
use cfx_protocol::instance::InstanceState;
use serde_json::Value;

use crate::cell::{ScriptedCell, running};
use crate::router::FakeRouter;
use crate::world::{World, route_guid, until};

#[tokio::test]
async fn an_app_is_placed_on_all_cells_and_routed_where_it_runs() {
    let world = World::start().await;
    let cells = [
        ScriptedCell::start(&world, 1),
        ScriptedCell::start(&world, 2),
    ];
    let router = FakeRouter::start(&world, 9);
    assert!(world.running.cells_ready(2, Duration::from_secs(10)).await);
    world.push(1, 4).await;
    until("four endpoints", || {
        router.endpoints(route_guid(1)) == Some(4)
    })
    .await;
    assert_eq!(cells.each_ref().map(|cell| cell.indices().len()), [2, 2]);
    let table = router.table.lock();
    let route = &table.routes[&route_guid(1)];
    assert_eq!(route.host, "app-1.routes.example.com");
    let mut indices: Vec<_> = route.endpoints.iter().map(|it| it.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_instance_is_routed_only_while_it_is_ready() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    cell.script.lock().slow = true;
    let router = FakeRouter::start(&world, 9);
    world.push(1, 1).await;
    until("a route without endpoints", || {
        router.endpoints(route_guid(1)) == Some(0)
    })
    .await;
    until("it is assigned", || cell.indices() == [0]).await;
    cell.set(0, |report| report.state = running());
    until("an endpoint", || router.endpoints(route_guid(1)) == Some(1)).await;
    cell.set(0, |report| {
        if let InstanceState::Running { ready, .. } = &mut report.state {
            *ready = false;
        }
    });
    until("none again", || router.endpoints(route_guid(1)) == Some(0)).await;
}

#[tokio::test]
async fn a_cell_learns_everything_an_instance_is_made_of() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    world.push(1, 2).await;
    until("it is assigned", || cell.indices() == [0, 1]).await;
    let specs = cell.script.lock().specs.clone();
    assert_eq!(specs.len(), 1, "instances of a version share their spec");
    let spec: &InstanceSpec = specs.values().next().expect("one");
    assert_eq!(spec.ports, [8_080]);
    assert_eq!((spec.limits.memory_mb, spec.limits.disk_mb), (256, 512));
    assert_eq!(
        (spec.owner.app_name.as_str(), spec.owner.org_name.as_str()),
        ("app-1", "org")
    );
    let Work::Process {
        command,
        process_type,
        ..
    } = &spec.work
    else {
        panic!("not a process: {:?}", spec.work);
    };
    assert_eq!(
        (command.as_deref(), process_type.as_str()),
        (Some("./run"), "web")
    );
    assert!(matches!(&spec.root, Root::Stack { name, droplet: Some(_) } if name == "host"));
    check_environment(
        &spec.env,
        &format!("http://{}", world.running.addresses().api),
    );
}

fn check_environment(env: &BTreeMap<String, String>, cf_api: &str) {
    assert_eq!(env["COLOUR"], "blue");
    assert_eq!(env["VCAP_SERVICES"], "{}");
    let application: Value = serde_json::from_str(&env["VCAP_APPLICATION"]).expect("JSON");
    assert_eq!(application["cf_api"], cf_api);
    assert_eq!(application["uris"][0], "app-1.routes.example.com");
    assert_eq!(application["limits"]["mem"], 256);
    for key in [
        "application_id",
        "application_name",
        "application_uris",
        "application_version",
        "name",
        "organization_id",
        "organization_name",
        "process_id",
        "process_type",
        "space_id",
        "space_name",
        "version",
    ] {
        assert!(!application[key].is_null(), "{key}");
    }
}

#[tokio::test]
async fn a_lost_cell_is_replaced_and_cleaned_when_it_returns() {
    let world = World::start().await;
    let first = ScriptedCell::start(&world, 1);
    let router = FakeRouter::start(&world, 9);
    let process = world.push(1, 1).await;
    until("it runs", || router.endpoints(route_guid(1)) == Some(1)).await;
    let second = ScriptedCell::start(&world, 2);
    assert!(world.running.cells_ready(2, Duration::from_secs(10)).await);
    first.fall_silent();
    world.time.advance(Duration::from_secs(6));
    until("the replacement runs", || second.indices() == [0]).await;
    until("only it is routed", || {
        let table = router.table.lock();
        let endpoints = &table.routes[&route_guid(1)].endpoints;
        let on_second = second.script.lock().reports.keys().next().copied();
        endpoints.len() == 1 && on_second.map(|it| it.instance(0)) == Some(endpoints[0].instance)
    })
    .await;
    assert_eq!(
        world.intents(process).len(),
        2,
        "the lost one is remembered"
    );
    let returned = ScriptedCell::resume(&world, 1, first.script.clone());
    until("the first is stopped", || {
        world.time.advance(Duration::from_millis(100));
        returned.indices().is_empty()
    })
    .await;
    until("and forgotten", || world.intents(process).len() == 1).await;
    assert_eq!(
        router.table.lock().fewest[&route_guid(1)],
        0,
        "before the first start only"
    );
}
