//! What instances are told, and what comes back.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::Method;
use uuid::Uuid;

use crate::support::{Client, Instance, Router, Setup, endpoint, get, raw, request, route};

const HOST: &str = "app.example.com";

async fn router_to(instance: &Instance) -> Router {
    let routes = vec![route(HOST, vec![endpoint(instance.address, 3)])];
    Router::serving(Setup::default(), routes).await
}

#[tokio::test]
async fn an_instance_is_told_who_asks_and_who_it_is() {
    let instance = Instance::saying("hello").await;
    let router = router_to(&instance).await;
    let answer = get(router.http(), HOST, "/a%2Fb//c?x=1&y").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "hello")
    );
    let seen = instance.last();
    let own = endpoint(instance.address, 3);
    for (name, value) in [
        ("host", HOST.to_owned()),
        ("x-cf-applicationid", own.app.to_string()),
        ("x-cf-instanceid", own.instance.to_string()),
        ("x-cf-instanceindex", "3".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(seen.head.uri.to_string(), "/a%2Fb//c?x=1&y");
    let id = seen.header("x-vcap-request-id");
    assert!(Uuid::try_parse(id).is_ok(), "{id}");
    assert_eq!(answer.header("x-vcap-request-id"), id);
    let started: u64 = seen
        .header("x-request-start")
        .parse()
        .expect("milliseconds");
    assert!(started > 1_700_000_000_000, "{started}");
    let (trace, span) = (seen.header("x-b3-traceid"), seen.header("x-b3-spanid"));
    assert_eq!((trace.len(), span.len()), (32, 16));
    assert_eq!(seen.header("b3"), format!("{trace}-{span}"));
    router.stop().await;
}

#[tokio::test]
async fn what_the_client_says_about_itself_is_kept_appended_or_overruled() {
    let instance = Instance::saying("hello").await;
    let router = router_to(&instance).await;
    let request = request(HOST)
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-forwarded-for", "5.6.7.8")
        .header("x-forwarded-proto", "https")
        .header("x-request-start", "17")
        .header("x-vcap-request-id", "mine")
        .header("x-cf-instanceid", "forged")
        .header("x-forwarded-client-cert", "forged")
        .header("x-b3-traceid", "aa")
        .header("x-b3-spanid", "bb")
        .header("connection", "keep-alive, x-secret, host")
        .header("x-secret", "hop")
        .header("te", "gzip")
        .header("proxy-connection", "keep-alive")
        .body(Full::default())
        .expect("a request");
    Client::connect(router.http()).await.send(request).await;
    let seen = instance.last();
    assert_eq!(
        seen.header("x-forwarded-for"),
        "1.2.3.4, 5.6.7.8, 127.0.0.1"
    );
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert_eq!(seen.header("x-request-start"), "17");
    assert_ne!(seen.header("x-vcap-request-id"), "mine");
    let own = endpoint(instance.address, 3).instance.to_string();
    assert_eq!(seen.header("x-cf-instanceid"), own);
    assert_eq!(seen.header("b3"), "aa-bb");
    assert_eq!(seen.header("host"), HOST);
    for gone in [
        "x-forwarded-client-cert",
        "x-secret",
        "te",
        "proxy-connection",
        "connection",
    ] {
        assert!(!seen.head.headers.contains_key(gone), "{gone}");
    }
    router.stop().await;
}

#[tokio::test]
async fn answers_pass_with_their_status_and_without_hop_by_hop_headers() {
    let instance = Instance::answering(|_| {
        Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .header("x-own", "kept")
            .header("keep-alive", "timeout=5")
            .header("x-vcap-request-id", "the app's")
            .header("x-cf-proxy-signature", "secret")
            .body(Full::from("short and stout").boxed())
            .expect("a response")
    })
    .await;
    let router = router_to(&instance).await;
    let answer = get(router.http(), HOST, "/").await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.header("x-own"), "kept");
    assert_eq!(answer.header("x-vcap-request-id"), "the app's");
    assert_eq!(answer.header("content-length"), "15");
    assert!(!answer.header("date").is_empty());
    for gone in ["keep-alive", "x-cf-proxy-signature"] {
        assert!(!answer.headers.contains_key(gone), "{gone}");
    }
    router.stop().await;
}

#[tokio::test]
async fn bodies_of_any_size_and_framing_arrive_whole() {
    let instance =
        Instance::answering(|seen| Response::new(Full::new(seen.body.clone()).boxed())).await;
    let router = router_to(&instance).await;
    let large = "0123456789".repeat(200_000);
    let mut client = Client::connect(router.http()).await;
    for body in ["", "x", large.as_str()] {
        let request = request(HOST)
            .method(Method::POST)
            .body(Full::from(body.to_owned()))
            .expect("a request");
        let answer = client.send(request).await;
        assert_eq!(answer.body.len(), body.len());
        assert!(answer.body == body);
    }
    let chunked = raw(
        router.http(),
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    )
    .await;
    assert!(chunked.ends_with("hello world"), "{chunked}");
    assert_eq!(instance.last().header("transfer-encoding"), "chunked");
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_before_sending_is_told_to_go_on() {
    let instance =
        Instance::answering(|seen| Response::new(Full::new(seen.body.clone()).boxed())).await;
    let router = router_to(&instance).await;
    let answer = raw(
        router.http(),
        "POST / HTTP/1.1\r\nHost: app.example.com\r\nExpect: 100-continue\r\n\
         Content-Length: 3\r\nConnection: close\r\n\r\nabc",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("abc"), "{answer}");
    router.stop().await;
}

#[tokio::test]
async fn header_names_are_written_as_gorouter_writes_them() {
    let instance = Instance::saying("hello").await;
    let router = router_to(&instance).await;
    let answer = raw(
        router.http(),
        "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.contains("\r\nX-Vcap-Request-Id: "), "{answer}");
    router.stop().await;
}

#[tokio::test]
async fn head_and_bodyless_answers_keep_the_connections_on_both_sides() {
    let instance = Instance::answering(|seen| {
        let mut answer = Response::new(Empty::<Bytes>::new().boxed());
        if seen.head.method == Method::HEAD {
            answer.headers_mut().insert("content-length", 99.into());
        } else {
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        answer
    })
    .await;
    let router = router_to(&instance).await;
    let mut client = Client::connect(router.http()).await;
    for _ in 0..3 {
        let head = request(HOST).method(Method::HEAD).body(Full::default());
        let answer = client.send(head.expect("a request")).await;
        assert_eq!(answer.header("content-length"), "99");
        let get = request(HOST).body(Full::default());
        let answer = client.send(get.expect("a request")).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(instance.connections(), 1);
    router.stop().await;
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let instance = Instance::saying("hello").await;
    let router = router_to(&instance).await;
    let answer = raw(
        router.http(),
        "GET http://app.example.com/x HTTP/1.1\r\nHost: other.example.com\r\n\
         Connection: close\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(instance.last().header("host"), HOST);
    router.stop().await;
}

#[tokio::test]
async fn every_request_to_an_app_is_logged_in_gorouters_format() {
    let instance = Instance::saying("hello").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    let setup = Setup {
        access_log_file: Some(file.clone()),
        ..Setup::default()
    };
    let routes = vec![route(HOST, vec![endpoint(instance.address, 3)])];
    let router = Router::serving(setup, routes).await;
    let request = request(HOST)
        .method(Method::POST)
        .uri("/buy?item=7")
        .header("user-agent", "tester")
        .body(Full::from("four"))
        .expect("a request");
    Client::connect(router.http()).await.send(request).await;
    let envelope = router.log_line("/buy?item=7").await;
    let own = endpoint(instance.address, 3);
    assert_eq!(envelope.source_type, "RTR");
    assert_eq!((envelope.app, envelope.instance_index), (own.app, 3));
    let line = String::from_utf8(envelope.payload).expect("text");
    assert!(line.starts_with("app.example.com - ["), "{line}");
    assert!(
        line.contains("\"POST /buy?item=7 HTTP/1.1\" 200 4 5 \"-\" \"tester\""),
        "{line}"
    );
    assert!(line.contains(&format!(
        "\"{}\" x_forwarded_for:\"127.0.0.1\"",
        own.address
    )));
    assert!(
        line.contains(&format!("instance_id:\"{}\"", own.instance)),
        "{line}"
    );
    let unknown = get(router.http(), "unknown.example.com", "/").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    router.stop().await;
    let lines = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(
        lines.contains("x_cf_routererror:\"unknown_route\""),
        "{lines}"
    );
}
