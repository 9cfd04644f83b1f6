use std::net::SocketAddr;

use cfx_protocol::generation::Refused;
use cfx_protocol::id::{AppGuid, ClusterGuid, InstanceGuid, ProcessGuid};
use cfx_protocol::route::{EndpointProtocol, RouteFrame};
use proptest::prelude::*;
use uuid::Uuid;

use super::apply::{Applier, ApplyError};
use super::*;

fn token(epoch: u64, revision: u64) -> Token {
    Token {
        cluster: ClusterGuid(Uuid::from_u128(1)),
        epoch,
        revision,
    }
}

fn endpoint(number: u16) -> Endpoint {
    Endpoint {
        address: SocketAddr::from(([127, 0, 0, 1], number)),
        protocol: EndpointProtocol::Http1,
        app: AppGuid(Uuid::from_u128(u128::from(number))),
        process: ProcessGuid(Uuid::from_u128(u128::from(number))),
        instance: InstanceGuid(Uuid::from_u128(u128::from(number))),
        index: 0,
    }
}

fn route(guid: u128, host: &str, path: &str, internal: bool, endpoints: u16) -> Route {
    Route {
        guid: RouteGuid(Uuid::from_u128(guid)),
        host: host.to_owned(),
        path: path.to_owned(),
        internal,
        options: RouteOptions::default(),
        endpoints: (0..endpoints).map(|n| endpoint(1_000 + n)).collect(),
    }
}

fn table_of(routes: Vec<Route>) -> Arc<Table> {
    let snapshot = RouteFrame::Snapshot {
        token: token(1, 1),
        routes,
    };
    let applied = Applier::new(1).apply(snapshot).expect("admitted");
    applied.expect("a table")
}

fn found(table: &Table, host: &str, path: &str) -> Option<u128> {
    let entry = table.lookup(host, path, Reach::Public)?;
    Some(entry.guid.0.as_u128())
}

#[test]
fn the_most_specific_host_and_the_longest_path_win() {
    let table = table_of(vec![
        route(1, "app.example.com", "", false, 1),
        route(2, "app.example.com", "/api", false, 1),
        route(3, "app.example.com", "/api/v2", false, 1),
        route(4, "*.example.com", "", false, 1),
        route(5, "*.deep.example.com", "", false, 1),
    ]);
    for (host, path, expected) in [
        ("app.example.com", "/", Some(1)),
        ("app.example.com", "/apiary", Some(1)),
        ("app.example.com", "/api", Some(2)),
        ("app.example.com", "/API/v1", Some(2)),
        ("app.example.com", "/api/v2/", Some(3)),
        ("other.example.com", "/api", Some(4)),
        ("a.b.example.com", "/", Some(4)),
        ("a.deep.example.com", "/", Some(5)),
        ("a.b.deep.example.com", "/", Some(5)),
        ("example.com", "/", None),
        ("app.example.org", "/", None),
        ("", "/", None),
    ] {
        assert_eq!(found(&table, host, path), expected, "{host}{path}");
    }
}

#[test]
fn an_empty_route_is_found_only_when_no_shorter_path_has_instances() {
    let table = table_of(vec![
        route(1, "a.com", "", false, 1),
        route(2, "a.com", "/empty", false, 0),
        route(3, "b.com", "/empty", false, 0),
        route(4, "*.com", "", false, 1),
    ]);
    assert_eq!(found(&table, "a.com", "/empty/x"), Some(1));
    // As in gorouter, an exact host that is known is not passed over for a wildcard.
    assert_eq!(found(&table, "b.com", "/empty/x"), Some(3));
    assert_eq!(found(&table, "b.com", "/other"), Some(4));
}

#[test]
fn internal_routes_exist_only_for_instances() {
    let table = table_of(vec![route(1, "a.apps.internal", "", true, 1)]);
    let look = |reach| table.lookup("a.apps.internal", "/", reach).is_some();
    assert!(look(Reach::Instances));
    assert!(!look(Reach::Public));
}

#[test]
fn older_foreign_and_missed_frames_are_refused_and_change_nothing() {
    let mut applier = Applier::new(1);
    let snapshot = |token| RouteFrame::Snapshot {
        token,
        routes: vec![route(1, "a.com", "", false, 1)],
    };
    let delta = |previous, token| RouteFrame::Delta {
        token,
        previous,
        upsert: Vec::new(),
        remove: vec![RouteGuid(Uuid::from_u128(1))],
    };
    assert_eq!(
        applier
            .apply(delta(token(1, 1), token(1, 2)))
            .expect_err("too early"),
        ApplyError::NoSnapshot
    );
    applier.apply(snapshot(token(2, 5))).expect("the first");
    for old in [token(2, 4), token(1, 9)] {
        assert_eq!(
            applier.apply(snapshot(old)).expect_err("older"),
            ApplyError::Refused(Refused::Older)
        );
    }
    let foreign = Token {
        cluster: ClusterGuid(Uuid::from_u128(9)),
        ..token(3, 1)
    };
    assert!(matches!(
        applier.apply(snapshot(foreign)).expect_err("foreign"),
        ApplyError::Refused(Refused::OtherCluster { .. })
    ));
    assert!(matches!(
        applier
            .apply(delta(token(2, 6), token(2, 7)))
            .expect_err("a gap"),
        ApplyError::Missed { .. }
    ));
    let keepalive = RouteFrame::Keepalive { token: token(2, 6) };
    assert!(matches!(
        applier.apply(keepalive).expect_err("a gap"),
        ApplyError::Missed { .. }
    ));
    assert_eq!(applier.token(), Some(token(2, 5)));
    let emptied = applier
        .apply(delta(token(2, 5), token(2, 6)))
        .expect("in order");
    assert_eq!(emptied.expect("a table").counts(), Counts::default());
}

#[test]
fn an_instance_keeps_its_load_over_updates_and_routes() {
    let mut applier = Applier::new(2);
    let first = applier
        .apply(RouteFrame::Snapshot {
            token: token(1, 1),
            routes: vec![route(1, "a.com", "", false, 1)],
        })
        .expect("admitted")
        .expect("a table");
    let load = |table: &Table, host: &str| {
        let entry = table.lookup(host, "/", Reach::Public).expect("routed");
        entry.endpoints[0].load.clone()
    };
    let before = load(&first, "a.com");
    before.set_in_flight(1, 7);
    let second = applier
        .apply(RouteFrame::Delta {
            token: token(1, 2),
            previous: token(1, 1),
            upsert: vec![
                route(1, "a.com", "", false, 2),
                route(2, "b.com", "", false, 1),
            ],
            remove: Vec::new(),
        })
        .expect("admitted")
        .expect("a table");
    assert_eq!(load(&second, "a.com").in_flight(), 7);
    assert_eq!(load(&second, "b.com").in_flight(), 7);
}

#[test]
fn a_saved_table_comes_back_whole_and_a_damaged_one_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("routes");
    assert!(saved::load(&path).expect("no file is fine").is_none());
    let routes = vec![
        route(1, "a.com", "/x", false, 2),
        route(2, "*.a.com", "", true, 0),
    ];
    saved::save(&path, &table_of(routes.clone())).expect("saved");
    assert_eq!(
        saved::load(&path).expect("loads"),
        Some((token(1, 1), routes))
    );
    let mut content = std::fs::read(&path).expect("readable");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&path, &content).expect("writable");
    let error = saved::load(&path).expect_err("damaged");
    assert!(
        matches!(error, saved::SavedError::Damaged { .. }),
        "{error}"
    );
}

/// What a lookup means, by looking at every route.
fn naive(routes: &[Route], host: &str, path: &str, reach: Reach) -> Option<RouteGuid> {
    let allowed = |route: &&Route| !route.internal || reach == Reach::Instances;
    let on_path = |route: &&Route| {
        let (own, path) = (route.path.to_lowercase(), path.to_lowercase());
        own.is_empty() || path == own || path.starts_with(&format!("{own}/"))
    };
    let labels: Vec<&str> = host.split('.').collect();
    let wildcards = (1..labels.len()).map(|skip| format!("*.{}", labels[skip..].join(".")));
    for candidate in std::iter::once(host.to_owned()).chain(wildcards) {
        let mut fitting: Vec<&Route> = routes
            .iter()
            .filter(|route| route.host == candidate)
            .filter(allowed)
            .filter(on_path)
            .collect();
        fitting.sort_by_key(|route| (route.endpoints.is_empty(), usize::MAX - route.path.len()));
        if let Some(best) = fitting.first() {
            return Some(best.guid);
        }
    }
    None
}

fn any_host() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a.com",
        "b.com",
        "x.a.com",
        "y.x.a.com",
        "*.a.com",
        "*.x.a.com",
        "*.com",
    ])
    .prop_map(str::to_owned)
}

fn any_path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "/p", "/p/q", "/P/q/r", "/pq"]).prop_map(str::to_owned)
}

fn any_change() -> impl Strategy<Value = (u8, String, String, bool, u16)> {
    (0_u8..12, any_host(), any_path(), any::<bool>(), 0_u16..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However a table came about, by one snapshot or many deltas, it answers like a search
    /// through all routes.
    #[test]
    fn a_table_answers_as_a_search_through_all_routes_does(
        batches in prop::collection::vec(prop::collection::vec(any_change(), 0..6), 1..8),
        removals in prop::collection::vec(0_u8..12, 0..8),
    ) {
        let mut applier = Applier::new(1);
        let snapshot = RouteFrame::Snapshot { token: token(1, 0), routes: Vec::new() };
        let mut table = applier.apply(snapshot).expect("admitted").expect("a table");
        let mut truth: Vec<Route> = Vec::new();
        for (step, batch) in batches.into_iter().enumerate() {
            let mut upsert: Vec<Route> = Vec::new();
            for (guid, host, path, internal, endpoints) in batch {
                let new = route(u128::from(guid), &host, &path, internal, endpoints);
                // The controller never publishes two routes of one place.
                let taken = truth.iter().chain(&upsert).any(|other| {
                    other.guid == new.guid
                        || (other.host == new.host
                            && other.path.eq_ignore_ascii_case(&new.path))
                });
                if !taken || truth.iter().any(|o| o.guid == new.guid && o.host == new.host && o.path == new.path) {
                    upsert.retain(|other| other.guid != new.guid);
                    upsert.push(new);
                }
            }
            let remove: Vec<RouteGuid> = removals
                .get(step)
                .map(|guid| RouteGuid(Uuid::from_u128(u128::from(*guid))))
                .into_iter()
                .collect();
            truth.retain(|route| !remove.contains(&route.guid));
            truth.retain(|route| !upsert.iter().any(|new| new.guid == route.guid));
            truth.extend(upsert.clone());
            let step = step as u64;
            let delta = RouteFrame::Delta {
                token: token(1, step + 1),
                previous: token(1, step),
                upsert,
                remove,
            };
            table = applier.apply(delta).expect("admitted").expect("a table");
        }
        prop_assert_eq!(table.counts().routes, truth.len());
        for host in ["a.com", "b.com", "x.a.com", "y.x.a.com", "z.y.x.a.com", "q.com", "com"] {
            for path in ["/", "/p", "/p/", "/p/q", "/p/q/r/s", "/pq", "/P/Q"] {
                for reach in [Reach::Public, Reach::Instances] {
                    let entry = table.lookup(host, path, reach);
                    prop_assert_eq!(
                        entry.map(|entry| entry.guid),
                        naive(&truth, host, path, reach),
                        "{}{} {:?}", host, path, reach
                    );
                }
            }
        }
    }
}
