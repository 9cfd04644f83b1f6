//! Limits of size and time, and what a client hears when it passes one.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{
    Client, Instance, PATIENCE, Router, Setup, endpoint, get, raw, request, route,
};

const HOST: &str = "app.example.com";
const SOON: Duration = Duration::from_millis(150);

async fn router_with(setup: Setup, instance: &Instance) -> Router {
    Router::serving(
        setup,
        vec![route(HOST, vec![endpoint(instance.address, 0)])],
    )
    .await
}

/// Read until the router closes; the time is the test's patience.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    drop(read.expect("the router closes"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_over_the_limit_is_431_with_no_body_and_the_connection_closed() {
    let instance = Instance::saying("hello").await;
    let mut setup = Setup::default();
    setup.limits.request_head_max_bytes = 16 * 1024;
    let router = router_with(setup, &instance).await;
    let sized = |bytes: usize| {
        let filler = "x".repeat(bytes);
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Filler: {filler}\r\nConnection: close\r\n\r\n")
    };
    let fits = raw(router.http(), &sized(15 * 1024)).await;
    assert!(fits.starts_with("HTTP/1.1 200 "), "{fits}");
    let large = raw(router.http(), &sized(17 * 1024)).await;
    assert!(large.starts_with("HTTP/1.1 431 "), "{large}");
    assert!(
        large.contains("\r\nX-Cf-Routererror: max-request-size-exceeded\r\n"),
        "{large}"
    );
    assert!(large.contains("\r\nConnection: close\r\n"), "{large}");
    assert!(large.ends_with("\r\n\r\n"), "{large}");
    // Far over the limit the parser itself refuses.
    let huge = raw(router.http(), &sized(1024 * 1024)).await;
    assert!(huge.starts_with("HTTP/1.1 431 "), "{huge}");
    let many: String = (0..150).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = raw(
        router.http(),
        &format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{many}\r\n"),
    )
    .await;
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    assert_eq!(instance.seen().len(), 1);
    router.stop().await;
}

#[tokio::test]
async fn an_app_that_does_not_answer_in_time_is_502() {
    let instance = Instance::serving(|_| Box::pin(std::future::pending())).await;
    let mut setup = Setup::default();
    setup.limits.request_timeout = SOON;
    let router = router_with(setup, &instance).await;
    let answer = get(router.http(), HOST, "/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        answer.header("x-cf-routererror"),
        "endpoint_failure (context deadline exceeded)"
    );
    assert_eq!(instance.seen().len(), 1);
    router.stop().await;
}

#[tokio::test]
async fn an_app_that_stops_within_its_answer_is_cut_at_the_deadline() {
    let instance = Instance::raw(|mut stream| {
        Box::pin(async move {
            let mut head = [0; 512];
            assert!(stream.read(&mut head).await.is_ok_and(|read| read > 0));
            let begin = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
            stream.write_all(begin.as_bytes()).await.expect("sends");
            drop(stream.read(&mut head).await);
        })
    })
    .await;
    let mut setup = Setup::default();
    setup.limits.request_timeout = SOON;
    let router = router_with(setup, &instance).await;
    let request = request(HOST).body(Full::default()).expect("a request");
    let mut client = Client::connect(router.http()).await;
    let broken = client.try_send(request).await.expect_err("cut");
    assert!(broken.is_incomplete_message() || broken.is_body_write_aborted() || !broken.is_user());
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_half_a_head_is_closed() {
    let instance = Instance::saying("hello").await;
    let mut setup = Setup::default();
    setup.limits.request_head_timeout = SOON;
    let router = router_with(setup, &instance).await;
    for half in ["", "PR", "GET / HTTP/1.1\r\nHo"] {
        let mut stream = TcpStream::connect(router.http()).await.expect("connects");
        stream.write_all(half.as_bytes()).await.expect("sends");
        assert_eq!(rest(&mut stream).await, "", "{half:?}");
    }
    // A second request on a connection has no more time than the first.
    let mut stream = TcpStream::connect(router.http()).await.expect("connects");
    let whole = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(whole.as_bytes()).await.expect("sends");
    stream.write_all(b"GET / HT").await.expect("sends");
    assert!(rest(&mut stream).await.ends_with("hello"));
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_within_its_body_is_closed() {
    let instance = Instance::saying("hello").await;
    let mut setup = Setup::default();
    setup.limits.client_stall_timeout = SOON;
    let router = router_with(setup, &instance).await;
    let mut stream = TcpStream::connect(router.http()).await.expect("connects");
    let begin = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nabc");
    stream.write_all(begin.as_bytes()).await.expect("sends");
    assert_eq!(rest(&mut stream).await, "");
    router.stop().await;
}

#[tokio::test]
async fn an_idle_client_is_closed_after_its_time() {
    let instance = Instance::saying("hello").await;
    let mut setup = Setup::default();
    setup.limits.client_idle_timeout = SOON;
    let router = router_with(setup, &instance).await;
    let mut stream = TcpStream::connect(router.http()).await.expect("connects");
    let whole = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(whole.as_bytes()).await.expect("sends");
    assert!(rest(&mut stream).await.ends_with("hello"));
    router.stop().await;
}

#[tokio::test]
async fn an_unused_connection_to_an_instance_is_closed_after_its_time() {
    let instance = Instance::saying("hello").await;
    let mut setup = Setup::default();
    setup.limits.upstream_idle_timeout = SOON;
    let router = router_with(setup, &instance).await;
    let mut client = Client::connect(router.http()).await;
    let deadline = std::time::Duration::from_secs(5);
    let reconnected = async {
        while instance.connections() < 2 {
            let request = request(HOST).body(Full::default()).expect("a request");
            assert_eq!(client.send(request).await.status, StatusCode::OK);
            // The time that passes is what is tested.
            let clock = cfx_process::clock::Clock::system();
            clock.sleep(SOON * 2).await;
        }
    };
    tokio::time::timeout(deadline, reconnected)
        .await
        .expect("dialled again");
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_closed_and_the_instance_freed() {
    let freed = Arc::new(Notify::new());
    let tell = freed.clone();
    let instance = Instance::raw(move |mut stream| {
        let tell = tell.clone();
        Box::pin(async move {
            let begin = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
            stream.write_all(begin.as_bytes()).await.expect("sends");
            let block = vec![0; 64 * 1024];
            while stream.write_all(&block).await.is_ok() {}
            tell.notify_one();
        })
    })
    .await;
    let mut setup = Setup::default();
    setup.limits.client_stall_timeout = SOON;
    let router = router_with(setup, &instance).await;
    let mut stream = TcpStream::connect(router.http()).await.expect("connects");
    let whole = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(whole.as_bytes()).await.expect("sends");
    tokio::time::timeout(PATIENCE, freed.notified())
        .await
        .expect("freed");
    router.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_told_at_start() {
    let first = Router::start(Setup::default()).await;
    let taken = first.http();
    let error = Router::try_start(Setup::default(), taken)
        .await
        .expect_err("in use");
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    first.stop().await;
}
