//! Which instance answers: turns, load, sessions, and what happens when one fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::route::Balancing;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::support::{
    Answer, Client, Instance, Router, Setup, endpoint, eventually, get, nobody, request, route,
};

const HOST: &str = "app.example.com";

async fn bodies(router: &Router, count: usize) -> BTreeMap<String, usize> {
    let mut client = Client::connect(router.http()).await;
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        let request = request(HOST).body(Full::default()).expect("a request");
        *seen.entry(client.send(request).await.body).or_default() += 1;
    }
    seen
}

#[tokio::test]
async fn instances_take_turns() {
    let (a, b, c) = (
        Instance::saying("a").await,
        Instance::saying("b").await,
        Instance::saying("c").await,
    );
    let endpoints = vec![
        endpoint(a.address, 0),
        endpoint(b.address, 1),
        endpoint(c.address, 2),
    ];
    let router = Router::serving(Setup::default(), vec![route(HOST, endpoints)]).await;
    let seen = bodies(&router, 9).await;
    assert_eq!(
        seen,
        BTreeMap::from(["a", "b", "c"].map(|name| (name.to_owned(), 3)))
    );
    // Each instance keeps one connection for all of its turns.
    assert_eq!([&a, &b, &c].map(Instance::connections), [1, 1, 1]);
    router.stop().await;
}

/// Begins to answer at once and ends once a permit comes.
async fn streaming(gate: Arc<Semaphore>, text: &'static str) -> Instance {
    Instance::raw(move |mut stream| {
        let gate = gate.clone();
        Box::pin(async move {
            let mut head = [0; 1024];
            while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                let begin = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
                stream.write_all(begin.as_bytes()).await.expect("sends");
                gate.acquire().await.expect("open").forget();
                stream.write_all(text.as_bytes()).await.expect("sends");
            }
        })
    })
    .await
}

#[tokio::test]
async fn the_least_loaded_instance_is_chosen_and_a_streaming_body_counts_as_load() {
    let gate = Arc::new(Semaphore::new(0));
    let (busy, free) = (
        streaming(gate.clone(), "x").await,
        Instance::saying("free").await,
    );
    let mut balanced = route(HOST, vec![endpoint(busy.address, 0)]);
    balanced.options.balancing = Balancing::LeastConnection;
    let mut router = Router::serving(Setup::default(), vec![balanced.clone()]).await;
    let address = router.http();
    let first = get(address, HOST, "/first");
    tokio::pin!(first);
    // The head of the first answer is out, its body is not.
    tokio::select! {
        answer = &mut first => panic!("not yet: {answer:?}"),
        () = async { while busy.connections() == 0 { tokio::task::yield_now().await } } => {}
    }
    balanced.endpoints.push(endpoint(free.address, 1));
    router.publish(vec![balanced]).await;
    assert_eq!(
        bodies(&router, 5).await,
        BTreeMap::from([("free".to_owned(), 5)])
    );
    gate.add_permits(100);
    assert_eq!(first.await.body, "x");
    router.stop().await;
}

#[tokio::test]
async fn an_instance_at_its_limit_gets_no_more() {
    let gate = Arc::new(Semaphore::new(0));
    let busy = streaming(gate.clone(), "x").await;
    let mut setup = Setup::default();
    setup.limits.upstream_in_flight_max = 1;
    let routes = vec![route(HOST, vec![endpoint(busy.address, 0)])];
    let router = Router::serving(setup, routes).await;
    let first = get(router.http(), HOST, "/");
    tokio::pin!(first);
    tokio::select! {
        answer = &mut first => panic!("not yet: {answer:?}"),
        () = async { while busy.connections() == 0 { tokio::task::yield_now().await } } => {}
    }
    let answer = get(router.http(), HOST, "/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.header("x-cf-routererror"),
        "Connection Limit Reached"
    );
    assert_eq!(
        answer.body,
        "503 Service Unavailable: Requested route ('app.example.com') has reached the connection limit.\n"
    );
    gate.add_permits(100);
    assert_eq!(first.await.body, "x");
    let after = get(router.http(), HOST, "/").await;
    assert_eq!(after.status, StatusCode::OK);
    router.stop().await;
}

#[tokio::test]
async fn requests_go_past_an_instance_that_is_not_there() {
    let alive = Instance::saying("alive").await;
    let endpoints = vec![
        endpoint(nobody(), 0),
        endpoint(alive.address, 1),
        endpoint(nobody(), 2),
        endpoint(nobody(), 3),
        endpoint(nobody(), 4),
    ];
    let router = Router::serving(Setup::default(), vec![route(HOST, endpoints)]).await;
    let mut client = Client::connect(router.http()).await;
    for _ in 0..10 {
        let post = request(HOST)
            .method(Method::POST)
            .body(Full::from("payload"));
        let answer = client.send(post.expect("a request")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, "alive")
        );
        assert_eq!(alive.last().body, "payload");
    }
    // Once known as failed, they are not tried again.
    assert!(router.metric("cfx_router_upstream_dial_failures_total") <= 4.0);
    router.stop().await;
}

/// Answers `served` requests on each connection, then hangs up on the next one.
async fn fickle(served: usize) -> Instance {
    Instance::raw(move |mut stream| {
        Box::pin(async move {
            let mut head = [0; 1024];
            for _ in 0..served {
                if !stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    return;
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(answer.as_bytes()).await.expect("sends");
            }
            // Takes the next request and leaves without a word.
            drop(stream.read(&mut head).await);
        })
    })
    .await
}

#[tokio::test]
async fn only_harmless_requests_are_sent_again_after_a_connection_broke() {
    let fickle = fickle(1).await;
    let alive = Instance::saying("ok").await;
    let endpoints = vec![endpoint(fickle.address, 0), endpoint(alive.address, 1)];
    let router = Router::serving(Setup::default(), vec![route(HOST, endpoints)]).await;
    let mut client = Client::connect(router.http()).await;
    for _ in 0..6 {
        let get = request(HOST).body(Full::default()).expect("a request");
        assert_eq!(client.send(get).await.status, StatusCode::OK);
    }
    let retries = router.metric("cfx_router_upstream_retries_total");
    assert!(retries >= 1.0, "{retries}");
    let mut outcomes: BTreeMap<u16, usize> = BTreeMap::new();
    for _ in 0..6 {
        let post = request(HOST).method(Method::POST).body(Full::from("once"));
        let answer = client.send(post.expect("a request")).await;
        *outcomes.entry(answer.status.as_u16()).or_default() += 1;
    }
    assert_eq!(router.metric("cfx_router_upstream_retries_total"), retries);
    assert!(outcomes.contains_key(&502), "{outcomes:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_request_that_breaks_every_instance_meets_only_a_few() {
    let mut instances = Vec::new();
    for _ in 0..6 {
        instances.push(fickle(0).await);
    }
    let endpoints = (0..)
        .zip(&instances)
        .map(|(index, i)| endpoint(i.address, index));
    let routes = vec![route(HOST, endpoints.collect())];
    let router = Router::serving(Setup::default(), routes).await;
    let answer = get(router.http(), HOST, "/poison").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let met: usize = instances.iter().map(Instance::connections).sum();
    assert_eq!(met, 3);
    router.stop().await;
}

#[tokio::test]
async fn an_instance_that_closed_its_idle_connections_is_dialled_again_at_once() {
    let instance = Instance::raw(|mut stream| {
        Box::pin(async move {
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.is_ok_and(|read| read > 0));
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.expect("sends");
        })
    })
    .await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let mut client = Client::connect(router.http()).await;
    for _ in 0..20 {
        let request = request(HOST).body(Full::default()).expect("a request");
        assert_eq!(client.send(request).await.status, StatusCode::OK);
    }
    router.stop().await;
}

fn with_cookies(answer: &Answer) -> Vec<String> {
    let cookies = answer.headers.get_all("set-cookie").iter();
    cookies
        .map(|cookie| cookie.to_str().expect("text").to_owned())
        .collect()
}

#[tokio::test]
async fn a_session_stays_at_its_instance_and_moves_when_that_is_gone() {
    let session = |name: &'static str| {
        Instance::answering(move |seen| {
            let mut answer = Response::new(Full::from(name).boxed());
            if seen.head.uri.path() == "/login" {
                let cookie = "JSESSIONID=s; Secure; SameSite=Lax; Max-Age=60; HttpOnly";
                answer
                    .headers_mut()
                    .insert("set-cookie", cookie.parse().expect("a value"));
            }
            answer
        })
    };
    let (a, b) = (session("a").await, session("b").await);
    let endpoints = vec![endpoint(a.address, 0), endpoint(b.address, 1)];
    let mut router = Router::serving(Setup::default(), vec![route(HOST, endpoints)]).await;
    let login = get(router.http(), HOST, "/login").await;
    let own = if login.body == "a" { &a } else { &b };
    let other = if login.body == "a" { &b } else { &a };
    let instance = own.last().header("x-cf-instanceid").to_owned();
    assert_eq!(
        with_cookies(&login),
        [
            "JSESSIONID=s; Secure; SameSite=Lax; Max-Age=60; HttpOnly".to_owned(),
            format!("__VCAP_ID__={instance}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=60"),
        ]
    );
    let mut client = Client::connect(router.http()).await;
    let cookie = format!("JSESSIONID=s; __VCAP_ID__={instance}");
    for _ in 0..4 {
        let again = request(HOST)
            .header("cookie", &cookie)
            .body(Full::default());
        let answer = client.send(again.expect("a request")).await;
        assert_eq!(answer.body, login.body);
        assert_eq!(with_cookies(&answer), Vec::<String>::new());
    }
    router
        .publish(vec![route(HOST, vec![endpoint(other.address, 7)])])
        .await;
    let again = request(HOST)
        .header("cookie", &cookie)
        .body(Full::default());
    let moved = client.send(again.expect("a request")).await;
    assert_ne!(moved.body, login.body);
    let instance = other.last().header("x-cf-instanceid").to_owned();
    assert_eq!(
        with_cookies(&moved),
        [format!("__VCAP_ID__={instance}; Path=/; HttpOnly")]
    );
    router.stop().await;
}

#[tokio::test]
async fn an_instance_that_took_over_an_address_gets_connections_of_its_own() {
    let instance = Instance::saying("hello").await;
    let mut router = Router::serving(
        Setup::default(),
        vec![route(HOST, vec![endpoint(instance.address, 0)])],
    )
    .await;
    let mut client = Client::connect(router.http()).await;
    for index in [0, 0, 1] {
        router
            .publish(vec![route(HOST, vec![endpoint(instance.address, index)])])
            .await;
        let request = request(HOST).body(Full::default()).expect("a request");
        assert_eq!(client.send(request).await.status, StatusCode::OK);
    }
    eventually(&mut instance.requests(), |seen| seen.len() == 3).await;
    assert_eq!(instance.connections(), 2);
    router.stop().await;
}
