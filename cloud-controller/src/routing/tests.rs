use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::actual::{Address, InstanceReport};
use cfx_protocol::generation::Token;
use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{
    AppGuid, AssignmentGuid, CellGuid, ClusterGuid, DestinationGuid, DomainGuid, ProcessGuid,
    RouteGuid, RouterGuid, SpaceGuid,
};
use cfx_protocol::instance::InstanceState;
use cfx_protocol::route::{EndpointProtocol, Route as TableRoute, RouteOptions};
use jiff::Timestamp;
use uuid::Uuid;

use super::Routers;
use super::routers::ABSENCE_MAX;
use super::table::{Table, build};
use crate::cells::observed::Instances;
use crate::state::Draft;
use crate::state::app::{App, DesiredState, Lifecycle};
use crate::state::domain::Domain;
use crate::state::intent::{Intent, IntentChunk, IntentPhase};
use crate::state::meta::Meta;
use crate::state::process::Process;
use crate::state::route::{Destination, Route};

const APP: AppGuid = AppGuid(Uuid::from_u128(1));
const PROCESS: ProcessGuid = ProcessGuid(Uuid::from_u128(2));
const DOMAIN: DomainGuid = DomainGuid(Uuid::from_u128(3));
const CELL: CellGuid = CellGuid(Uuid::from_u128(4));
const SPACE: SpaceGuid = SpaceGuid(Uuid::from_u128(5));

fn meta() -> Meta {
    Meta::new(Timestamp::UNIX_EPOCH)
}

fn destination(port: Option<u16>) -> Destination {
    Destination {
        guid: DestinationGuid(Uuid::from_u128(6)),
        app: APP,
        process_type: "web".into(),
        port,
        protocol: EndpointProtocol::Http1,
    }
}

fn route(n: u128, host: &str, path: &str, destinations: Vec<Destination>) -> Route {
    Route {
        guid: RouteGuid(Uuid::from_u128(n)),
        host: host.into(),
        path: path.into(),
        domain: DOMAIN,
        space: SPACE,
        destinations,
        options: RouteOptions::default(),
        meta: meta(),
    }
}

/// A started app with a web process under `Example.com`, and no instance.
fn platform() -> Draft {
    let mut draft = Draft::empty();
    draft.put(Domain {
        guid: DOMAIN,
        name: "Example.com".into(),
        internal: false,
        default: true,
        organization: None,
        meta: meta(),
    });
    draft.put(App {
        guid: APP,
        name: "app".into(),
        space: SPACE,
        desired_state: DesiredState::Started,
        lifecycle: Lifecycle::Docker,
        current_droplet: None,
        environment: BTreeMap::new(),
        features: BTreeMap::new(),
        build_caches: BTreeMap::new(),
        meta: meta(),
    });
    draft.put(Process {
        guid: PROCESS,
        app: APP,
        process_type: "web".into(),
        command: None,
        instances: 1,
        memory_mb: 64,
        disk_mb: 64,
        log_rate_bytes: None,
        health: HealthCheck::default(),
        readiness: ReadinessCheck::default(),
        version: 1,
        version_max: 1,
        running: None,
        meta: meta(),
    });
    draft
}

fn intent(n: u128, phase: IntentPhase) -> Intent {
    Intent {
        assignment: AssignmentGuid(Uuid::from_u128(n)),
        index: 0,
        version: 1,
        cell: CELL,
        memory_mb: 64,
        disk_mb: 64,
        phase,
    }
}

fn place(draft: &mut Draft, intents: Vec<Intent>) {
    draft.put(IntentChunk {
        process: PROCESS,
        chunk: 0,
        intents,
    });
}

fn running(n: u128, ready: bool) -> InstanceReport {
    let assignment = AssignmentGuid(Uuid::from_u128(n));
    InstanceReport {
        assignment,
        instance: assignment.instance(0),
        starts: 0,
        state: InstanceState::Running {
            since: Timestamp::UNIX_EPOCH,
            ready,
        },
        crashes: 0,
        address: Some(Address {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 40_001,
            internal_ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        }),
        usage: None,
        outcome: None,
    }
}

fn seen(cell: CellGuid, reports: impl IntoIterator<Item = InstanceReport>) -> Instances {
    let entry = |report: InstanceReport| (report.assignment, (cell, Arc::new(report)));
    reports.into_iter().map(entry).collect()
}

fn table(draft: &Draft, instances: &Instances) -> Table {
    build(draft, instances, &Table::new())
}

fn only(table: &Table) -> &TableRoute {
    assert_eq!(table.len(), 1);
    table.values().next().expect("one")
}

#[test]
fn hosts_and_paths_are_written_as_routers_match_them() {
    for (host, path, expected) in [
        ("shop", "", ("shop.example.com", "")),
        ("", "/v1", ("example.com", "/v1")),
        ("*", "/v1/", ("*.example.com", "/v1")),
        ("Shop", "/", ("shop.example.com", "")),
    ] {
        let mut draft = platform();
        draft.put(route(7, host, path, vec![destination(None)]));
        let table = table(&draft, &Instances::new());
        let route = only(&table);
        assert_eq!((route.host.as_str(), route.path.as_str()), expected);
    }
}

#[test]
fn a_route_that_leads_to_no_started_process_is_not_in_the_table() {
    let none = Instances::new();
    let mut draft = platform();
    draft.put(route(7, "shop", "", Vec::new()));
    assert!(table(&draft, &none).is_empty(), "no destination");
    let mut unknown = destination(None);
    unknown.process_type = "worker".into();
    draft.put(route(7, "shop", "", vec![unknown]));
    assert!(table(&draft, &none).is_empty(), "no such process");
    draft.put(route(7, "shop", "", vec![destination(None)]));
    assert_eq!(
        only(&table(&draft, &none)).endpoints.len(),
        0,
        "started, nowhere"
    );
    draft.update::<App>(&APP, |app| app.desired_state = DesiredState::Stopped);
    assert!(table(&draft, &none).is_empty(), "stopped");
}

#[test]
fn only_a_ready_instance_that_is_to_run_and_is_reported_by_its_own_cell_is_an_endpoint() {
    let mut draft = platform();
    draft.put(route(7, "shop", "", vec![destination(None)]));
    let since = Timestamp::UNIX_EPOCH;
    let other = CellGuid(Uuid::from_u128(99));
    for (phase, cell, ready, endpoints) in [
        (IntentPhase::Run, CELL, true, 1),
        (IntentPhase::Run, CELL, false, 0),
        (IntentPhase::Run, other, true, 0),
        (IntentPhase::Unroute { since }, CELL, true, 0),
        (IntentPhase::Stop, CELL, true, 0),
    ] {
        place(&mut draft, vec![intent(8, phase)]);
        let table = table(&draft, &seen(cell, [running(8, ready)]));
        assert_eq!(
            only(&table).endpoints.len(),
            endpoints,
            "{phase:?} {cell} {ready}"
        );
    }
}

#[test]
fn other_ports_are_reached_only_at_an_address_of_the_instances_own() {
    let mut draft = platform();
    place(&mut draft, vec![intent(8, IntentPhase::Run)]);
    let forwarded = running(8, true);
    let mut routed = forwarded.clone();
    if let Some(address) = &mut routed.address {
        address.host = address.internal_ip;
    }
    for (report, port, expected) in [
        (&forwarded, None, Some("127.0.0.1:40001")),
        (&forwarded, Some(8_080), Some("127.0.0.1:40001")),
        (&forwarded, Some(9_000), None),
        (&routed, Some(9_000), Some("10.0.0.1:9000")),
    ] {
        draft.put(route(7, "shop", "", vec![destination(port)]));
        let table = table(&draft, &seen(CELL, [report.clone()]));
        let endpoint = only(&table).endpoints.first();
        let address = endpoint.map(|it| it.address.to_string());
        assert_eq!(address.as_deref(), expected, "{port:?}");
    }
}

#[test]
fn a_table_that_did_not_change_is_the_same_one() {
    let mut draft = platform();
    draft.put(route(7, "shop", "", vec![destination(None)]));
    let none = Instances::new();
    let before = table(&draft, &none);
    assert!(build(&draft, &none, &before).ptr_eq(&before));
    draft.delete::<Route>(&RouteGuid(Uuid::from_u128(7)));
    assert!(build(&draft, &none, &before).is_empty());
}

fn token(epoch: u64, revision: u64) -> Token {
    Token {
        cluster: ClusterGuid::NIL,
        epoch,
        revision,
    }
}

const NOW: Duration = Duration::from_secs(100);

#[test]
fn a_revision_is_confirmed_when_every_router_that_is_there_serves_it() {
    let routers = Routers::default();
    assert_eq!(routers.confirmed(NOW), None, "there is no table");
    routers.table_covers(token(2, 1), 10);
    assert_eq!(
        routers.confirmed(NOW),
        Some(10),
        "there is nobody to wait for"
    );
    let [first, second] = [1, 2].map(|n| RouterGuid(Uuid::from_u128(n)));
    let listening = [first, second].map(|router| routers.connected(router, NOW));
    assert_eq!(routers.confirmed(NOW), None);
    routers.acknowledge(first, token(2, 1), NOW);
    routers.acknowledge(second, token(1, 7), NOW);
    assert_eq!(
        routers.confirmed(NOW),
        None,
        "the second serves an older epoch"
    );
    routers.acknowledge(second, token(2, 1), NOW);
    assert_eq!(routers.confirmed(NOW), Some(10));
    routers.table_covers(token(2, 1), 12);
    assert_eq!(
        routers.confirmed(NOW),
        Some(12),
        "the same table holds for longer"
    );
    routers.table_covers(token(2, 2), 15);
    routers.acknowledge(first, token(2, 2), NOW);
    assert_eq!(routers.confirmed(NOW), Some(12), "the second is behind");
    drop(listening);
    assert_eq!(routers.confirmed(NOW), Some(12), "it may come back at once");
    assert_eq!(routers.confirmed(NOW + ABSENCE_MAX), Some(15));
}
