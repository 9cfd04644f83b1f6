//! The table: how it comes, what is refused, what survives.

use cfx_protocol::generation::Token;
use cfx_protocol::id::{ClusterGuid, RouterGuid};
use cfx_protocol::route::{RouteFrame, TableAck};
use http::StatusCode;
use uuid::Uuid;

use crate::support::{Instance, Router, Setup, endpoint, eventually, get, route, token};

const HOST: &str = "app.example.com";

fn ack(token: Token) -> TableAck {
    TableAck {
        router: RouterGuid(Uuid::from_u128(5)),
        token,
    }
}

#[tokio::test]
async fn changes_are_served_by_every_thread_before_they_are_acknowledged() {
    let instance = Instance::saying("hello").await;
    let setup = Setup {
        threads: 3,
        ..Setup::default()
    };
    let router = Router::serving(setup, Vec::new()).await;
    let mut acks = router.table.acks();
    eventually(&mut acks, |acks| acks.contains(&ack(token(1, 1)))).await;
    for revision in 1..20 {
        let new = route(HOST, vec![endpoint(instance.address, 0)]);
        let (upsert, remove) = if revision % 2 == 1 {
            (vec![new], Vec::new())
        } else {
            (Vec::new(), vec![new.guid])
        };
        let next = token(1, revision + 1);
        router
            .table
            .send(RouteFrame::Delta {
                token: next,
                previous: token(1, revision),
                upsert,
                remove,
            })
            .await;
        eventually(&mut acks, |acks| acks.last() == Some(&ack(next))).await;
        let expected = if revision % 2 == 1 {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        // The kernel gives each connection to any of the threads.
        for _ in 0..4 {
            assert_eq!(get(router.http(), HOST, "/").await.status, expected);
        }
    }
    router.stop().await;
}

#[tokio::test]
async fn a_missed_frame_makes_the_router_dial_again_and_keep_its_table() {
    let instance = Instance::saying("hello").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes.clone()).await;
    let mut dials = router.table.dials();
    dials.mark_unchanged();
    router
        .table
        .send(RouteFrame::Delta {
            token: token(1, 9),
            previous: token(1, 8),
            upsert: Vec::new(),
            remove: vec![routes[0].guid],
        })
        .await;
    dials.changed().await.expect("dialled again");
    assert_eq!(get(router.http(), HOST, "/").await.status, StatusCode::OK);
    let again = RouteFrame::Snapshot {
        token: token(1, 9),
        routes: Vec::new(),
    };
    router.table.send(again).await;
    eventually(&mut router.table.acks(), |acks| {
        acks.contains(&ack(token(1, 9)))
    })
    .await;
    assert_eq!(
        get(router.http(), HOST, "/").await.status,
        StatusCode::NOT_FOUND
    );
    router.stop().await;
}

#[tokio::test]
async fn stale_and_foreign_tables_are_refused() {
    let instance = Instance::saying("hello").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let mut router = Router::serving(Setup::default(), Vec::new()).await;
    router.publish(routes).await;
    let foreign = Token {
        cluster: ClusterGuid(Uuid::from_u128(78)),
        ..token(9, 9)
    };
    for refused in [token(1, 1), token(0, 900), foreign] {
        let mut dials = router.table.dials();
        dials.mark_unchanged();
        let frame = RouteFrame::Snapshot {
            token: refused,
            routes: Vec::new(),
        };
        router.table.send(frame).await;
        dials.changed().await.expect("dialled again");
        assert_eq!(get(router.http(), HOST, "/").await.status, StatusCode::OK);
        assert_eq!(router.running.table_token(), Some(token(1, 2)));
    }
    let newer = RouteFrame::Snapshot {
        token: token(2, 1),
        routes: Vec::new(),
    };
    router.table.send(newer).await;
    eventually(&mut router.table.acks(), |acks| {
        acks.contains(&ack(token(2, 1)))
    })
    .await;
    router.stop().await;
}

#[tokio::test]
async fn a_controller_that_comes_back_hears_the_acknowledgement_again() {
    let router = Router::serving(Setup::default(), Vec::new()).await;
    let mut acks = router.table.acks();
    eventually(&mut acks, |acks| acks.len() == 1).await;
    router.table.hang_up();
    let again = RouteFrame::Snapshot {
        token: token(1, 1),
        routes: Vec::new(),
    };
    router.table.send(again).await;
    eventually(&mut acks, |acks| acks.len() == 2).await;
    router.stop().await;
}

#[tokio::test]
async fn a_restarted_router_serves_its_saved_table_before_any_controller_answers() {
    let instance = Instance::saying("hello").await;
    let folder = tempfile::tempdir().expect("a folder");
    let setup = || Setup {
        table_file: Some(folder.path().join("routes")),
        ..Setup::default()
    };
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let first = Router::serving(setup(), routes).await;
    first.stop().await;
    let second = Router::start(setup()).await;
    assert_eq!(get(second.http(), HOST, "/").await.status, StatusCode::OK);
    assert_eq!(
        get(second.admin(), "admin", "/health").await.status,
        StatusCode::OK
    );
    // The token came back too: older tables stay refused.
    let mut dials = second.table.dials();
    let stale = RouteFrame::Snapshot {
        token: token(1, 0),
        routes: Vec::new(),
    };
    second.table.send(stale).await;
    dials.mark_unchanged();
    assert_eq!(get(second.http(), HOST, "/").await.status, StatusCode::OK);
    second.stop().await;
}

#[tokio::test]
async fn without_any_table_a_router_is_not_healthy() {
    let router = Router::start(Setup::default()).await;
    let health = get(router.admin(), "admin", "/health").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    router.stop().await;
}

#[tokio::test]
async fn internal_routes_are_answered_only_where_instances_ask() {
    let instance = Instance::saying("hello").await;
    let mut internal = route("app.apps.internal", vec![endpoint(instance.address, 0)]);
    internal.internal = true;
    let normal = route(HOST, vec![endpoint(instance.address, 0)]);
    let router = Router::serving(Setup::default(), vec![internal, normal]).await;
    for (address, host, expected) in [
        (router.http(), "app.apps.internal", StatusCode::NOT_FOUND),
        (router.internal(), "app.apps.internal", StatusCode::OK),
        (router.internal(), HOST, StatusCode::OK),
    ] {
        assert_eq!(
            get(address, host, "/").await.status,
            expected,
            "{address} {host}"
        );
    }
    router.stop().await;
}

#[tokio::test]
async fn operators_see_the_table_and_the_numbers() {
    let instance = Instance::saying("hello").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 4)])];
    let router = Router::serving(Setup::default(), routes.clone()).await;
    let answer = get(router.http(), HOST, "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    let listed = get(router.admin(), "admin", "/routes").await;
    let listed: serde_json::Value = serde_json::from_str(&listed.body).expect("JSON");
    assert_eq!(
        listed["routes"],
        serde_json::to_value(&routes).expect("JSON")
    );
    assert_eq!(listed["token"]["revision"], 1);
    router.log_line("\" 200 ").await;
    let metrics = get(router.admin(), "admin", "/metrics").await.body;
    for expected in [
        "cfx_router_requests_total{status_group=\"2xx\"} 1\n",
        "cfx_router_table_routes 1\n",
        "cfx_router_table_endpoints 1\n",
        "cfx_router_latency_seconds_count 1\n",
        "cfx_router_latency_seconds_bucket{le=\"+Inf\"} 1\n",
        "cfx_router_upstream_dials_total 1\n",
        "# EOF\n",
    ] {
        assert!(metrics.contains(expected), "{expected} in {metrics}");
    }
    router.stop().await;
}

#[tokio::test]
async fn a_damaged_table_file_is_not_believed_and_does_not_stop_the_router() {
    let instance = Instance::saying("hello").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes");
    std::fs::write(&file, "cfx-routes-1 00000000\n{}").expect("writable");
    let setup = Setup {
        table_file: Some(file.clone()),
        ..Setup::default()
    };
    let mut router = Router::start(setup).await;
    let health = get(router.admin(), "admin", "/health").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    router
        .publish(vec![route(HOST, vec![endpoint(instance.address, 0)])])
        .await;
    assert_eq!(get(router.http(), HOST, "/").await.status, StatusCode::OK);
    router.stop().await;
    let saved = std::fs::read_to_string(&file).expect("saved at the end");
    assert!(saved.contains(HOST), "{saved}");
}
