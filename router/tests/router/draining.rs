//! The end of a router: nothing in flight is lost, and nobody new is invited.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;

use crate::support::{
    Client, Instance, PATIENCE, Router, Setup, endpoint, eventually, get, request, route,
};

const HOST: &str = "app.example.com";

#[tokio::test]
async fn requests_in_flight_are_finished_and_idle_connections_closed() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = gate.clone();
    let instance = Instance::serving(move |seen| {
        let gate = waiting.clone();
        Box::pin(async move {
            if seen.head.uri.path() == "/slow" {
                gate.acquire().await.expect("open").forget();
            }
            Response::new(Full::from("done").boxed())
        })
    })
    .await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let address = router.http();
    let mut idle = Client::connect(address).await;
    let quick = || request(HOST).body(Full::default()).expect("a request");
    assert_eq!(idle.send(quick()).await.status, StatusCode::OK);
    let slow = get(address, HOST, "/slow");
    tokio::pin!(slow);
    let mut requests = instance.requests();
    tokio::select! {
        answer = &mut slow => panic!("not yet: {answer:?}"),
        _ = eventually(&mut requests, |seen| seen.len() == 2) => {}
    }
    router.shutdown.request();
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("listeners close");
    idle.try_send(quick()).await.expect_err("closed");
    gate.add_permits(1);
    let answer = slow.await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "done")
    );
    router.stop().await;
}

#[tokio::test]
async fn before_its_listeners_close_a_router_says_that_it_will() {
    let instance = Instance::saying("hello").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let mut setup = Setup::default();
    setup.drain.wait = Duration::from_millis(500);
    let router = Router::serving(setup, routes).await;
    let healthy = get(router.admin(), "admin", "/health").await;
    assert_eq!(
        (healthy.status, healthy.body.as_str()),
        (StatusCode::OK, "ok\n")
    );
    let mut client = Client::connect(router.http()).await;
    let ask = || request(HOST).body(Full::default()).expect("a request");
    assert!(!client.send(ask()).await.headers.contains_key("connection"));
    router.shutdown.request();
    let told = async {
        loop {
            let health = get(router.admin(), "admin", "/health").await;
            if health.status == StatusCode::SERVICE_UNAVAILABLE {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("health fails");
    let probe = request(HOST)
        .header("user-agent", "HTTP-Monitor/1.1")
        .body(Full::default());
    let probe = Client::connect(router.http())
        .await
        .send(probe.expect("a request"))
        .await;
    assert_eq!(probe.status, StatusCode::SERVICE_UNAVAILABLE);
    // New requests are still answered, and asked to be the last on their connection.
    let answer = client.send(ask()).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (StatusCode::OK, "close")
    );
    router.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_does_not_hold_the_end_up() {
    let instance = Instance::serving(|_| Box::pin(std::future::pending())).await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let mut setup = Setup::default();
    setup.drain.timeout = Duration::from_millis(200);
    let router = Router::serving(setup, routes).await;
    let address = router.http();
    let mut client = Client::connect(address).await;
    let slow = client.try_send(request(HOST).body(Full::default()).expect("a request"));
    tokio::pin!(slow);
    let mut requests = instance.requests();
    tokio::select! {
        answer = &mut slow => panic!("not yet: {answer:?}"),
        _ = eventually(&mut requests, |seen| seen.len() == 1) => {}
    }
    let ((), answer) = tokio::join!(router.stop(), slow);
    answer.expect_err("cut");
}

#[tokio::test]
async fn a_draining_router_still_follows_its_table() {
    let (old, new) = (Instance::saying("old").await, Instance::saying("new").await);
    let mut setup = Setup::default();
    setup.drain.wait = Duration::from_millis(500);
    let routes = vec![route(HOST, vec![endpoint(old.address, 0)])];
    let mut router = Router::serving(setup, routes).await;
    router.shutdown.request();
    router
        .publish(vec![route(HOST, vec![endpoint(new.address, 1)])])
        .await;
    assert_eq!(get(router.http(), HOST, "/").await.body, "new");
    router.stop().await;
}
