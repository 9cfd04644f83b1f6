//! Requests that another parser could read differently are refused, and nothing after them is
//! taken for a request.

use crate::support::{Instance, Router, Setup, endpoint, raw, route};

const HOST: &str = "app.example.com";

#[tokio::test]
async fn doubtful_framing_is_400_and_what_follows_is_not_a_request() {
    let instance = Instance::saying("hello").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    for doubtful in [
        // Both lengths, in either order.
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        // Bare line feeds, which hide a header from stricter parsers.
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: app.example.com\n\n",
        // Lengths that differ, or are no plain numbers.
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: +0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length : 0\r\n\r\n",
        // Encodings that are not chunked at the end.
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // A continued line.
        "GET / HTTP/1.1\r\nHost: app.example.com\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n",
    ] {
        let answer = raw(router.http(), &format!("{doubtful}{smuggled}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{doubtful:?}: {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{doubtful:?}: {answer}"
        );
    }
    assert!(instance.seen().is_empty(), "{:?}", instance.seen());
    router.stop().await;
}

#[tokio::test]
async fn requests_before_a_doubtful_one_are_answered() {
    let instance = Instance::saying("hello").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let good = format!("GET /good HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let doubtful = format!("GET /bad HTTP/1.1\nHost: {HOST}\r\n\r\n");
    let answer = raw(router.http(), &format!("{good}{good}{doubtful}{good}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
    let paths: Vec<String> = instance
        .seen()
        .iter()
        .map(|s| s.head.uri.to_string())
        .collect();
    assert_eq!(paths, ["/good", "/good"]);
    router.stop().await;
}

#[tokio::test]
async fn after_a_declined_upgrade_the_connection_is_not_used_again() {
    let instance = Instance::saying("no").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let next = format!("GET /next HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let answer = raw(router.http(), &format!("{upgrade}{next}")).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(instance.seen().len(), 1);
    router.stop().await;
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_not_passed_on() {
    let instance = Instance::saying("plain").await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let answer = raw(
        router.http(),
        "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("plain"), "{answer}");
    let seen = instance.last();
    assert!(!seen.head.headers.contains_key("upgrade"));
    assert!(!seen.head.headers.contains_key("http2-settings"));
    router.stop().await;
}
