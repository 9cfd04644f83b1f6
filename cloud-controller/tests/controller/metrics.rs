//! Cells and routers tell their numbers over the internal link, each only its own.

use std::time::Duration;

use cfx_cloud_controller::metrics_history::Series;
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_protocol::id::{AssignmentGuid, CellGuid, InstanceGuid, RouterGuid};
use cfx_protocol::latency::Latencies;
use cfx_protocol::link::{PREFIX, Role};
use cfx_protocol::metrics::{
    CellMetrics, InstanceSample, InstanceTraffic, MetricsBatch, RouterMetrics,
};
use http::StatusCode;
use uuid::Uuid;

use crate::cell::ScriptedCell;
use crate::router::FakeRouter;
use crate::world::{World, route_guid, until};

const CELL: u128 = 1;
const ROUTER: u128 = 9;

async fn tell(client: &InternalClient, batch: MetricsBatch) -> Result<(), LinkError> {
    client
        .post::<_, ()>(&format!("{PREFIX}/metrics"), &batch)
        .await
}

fn refused(told: Result<(), LinkError>) -> Option<StatusCode> {
    match told {
        Err(LinkError::Refused { status, .. }) => Some(status),
        _ => None,
    }
}

fn used(cell: u128, at: i64, assignments: &[AssignmentGuid]) -> MetricsBatch {
    let sample = |assignment: &AssignmentGuid| InstanceSample {
        assignment: *assignment,
        start: 0,
        cpu_millipercent: Some(50_000),
        memory_bytes: 4_096,
        disk_bytes: 0,
        pids: 3,
        log_rate_bytes: 0,
    };
    MetricsBatch::Cell(CellMetrics {
        cell: CellGuid(Uuid::from_u128(cell)),
        at,
        samples: assignments.iter().map(sample).collect(),
    })
}

fn saw(sequence: u64, at: i64, instance: InstanceGuid) -> MetricsBatch {
    let traffic = |instance| InstanceTraffic {
        instance,
        requests: 3,
        errors: 1,
        in_flight: 2,
        latencies: Latencies(vec![(150, 3)]),
    };
    let nobody = InstanceGuid(Uuid::from_u128(404));
    MetricsBatch::Router(RouterMetrics {
        router: RouterGuid(Uuid::from_u128(ROUTER)),
        boot: Uuid::from_u128(1),
        sequence,
        at,
        instances: vec![traffic(instance), traffic(nobody)],
    })
}

/// `(index, value)` of each series at one second.
fn values(world: &World, series: Series, at: i64) -> Vec<(u32, f64)> {
    let mut room = usize::MAX;
    let wanted = |_: &_, one| one == series;
    let history = world.running.metrics();
    let found = history.select(None, wanted, (at - 1, at), &mut room);
    let mut values: Vec<_> = found
        .expect("room")
        .iter()
        .map(|it| (it.identity.index, it.samples[0].value()))
        .collect();
    values.sort_by_key(|(index, _)| *index);
    values
}

#[tokio::test]
async fn numbers_of_cells_and_routers_become_series_and_nobody_speaks_for_others() {
    let world = World::start().await;
    // From then on a router that speaks is all there is.
    world.time.advance(Duration::from_secs(6));
    let cell = ScriptedCell::start(&world, CELL);
    let router = FakeRouter::start(&world, ROUTER);
    world.push(1, 2).await;
    let routed = || router.endpoints(route_guid(1)) == Some(2);
    until("both are routed", routed).await;
    let now = world.clock.now().as_second();
    let of_cell = world.client(Role::Cell, CELL);
    let of_router = world.client(Role::Router, ROUTER);
    let assignments: Vec<_> = cell.script.lock().assignments.keys().copied().collect();
    let first = {
        let table = router.table.lock();
        let endpoints = table.routes.values().flat_map(|route| &route.endpoints);
        let mut first = endpoints.filter(|endpoint| endpoint.index == 0);
        first.next().expect("routed").instance
    };

    tell(&of_cell, used(CELL, now, &assignments))
        .await
        .expect("taken");
    assert_eq!(values(&world, Series::Cpu, now), [(0, 50.0), (1, 50.0)]);
    assert_eq!(values(&world, Series::Pids, now), [(0, 3.0), (1, 3.0)]);

    for _ in 0..2 {
        // The second time its fate was unknown to the router.
        tell(&of_router, saw(1, now, first)).await.expect("taken");
    }
    let requests = values(&world, Series::HttpRequests, now);
    assert_eq!(requests, [(0, 3.0), (1, 0.0)], "who is not asked has none");
    assert_eq!(
        values(&world, Series::HttpInFlight, now),
        [(0, 2.0), (1, 0.0)]
    );
    let latencies = values(&world, Series::HttpLatencyP99, now);
    assert_eq!(latencies.len(), 1, "nobody waited for the other");

    let forbidden = Some(StatusCode::FORBIDDEN);
    let for_another = tell(&of_cell, used(2, now, &assignments)).await;
    assert_eq!(refused(for_another), forbidden);
    let as_router = tell(&of_cell, saw(2, now, first)).await;
    assert_eq!(refused(as_router), forbidden);
    let as_cell = tell(&of_router, used(CELL, now, &assignments)).await;
    assert_eq!(refused(as_cell), forbidden);
    let autoscaler = world.client(Role::Autoscaler, 3);
    let stranger = tell(&autoscaler, saw(2, now, first)).await;
    assert_eq!(refused(stranger), forbidden);
    let skewed = tell(&of_cell, used(CELL, now + 60, &assignments)).await;
    assert_eq!(refused(skewed), Some(StatusCode::BAD_REQUEST));
    // What is not its own is passed over.
    let other = world.client(Role::Cell, 2);
    tell(&other, used(2, now - 1, &assignments))
        .await
        .expect("heard");
    assert_eq!(values(&world, Series::Cpu, now - 1), []);
}
