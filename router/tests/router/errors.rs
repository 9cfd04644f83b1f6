//! Every answer that the router gives itself, word for word.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Answer, Client, Instance, Router, Setup, endpoint, get, nobody, raw, request, route,
};

const HOST: &str = "app.example.com";
const NO_CACHE: &str = "no-cache, no-store";
const BRIEFLY: &str = "public,max-age=2";

fn check(answer: &Answer, status: u16, error: &str, caching: &str, body: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("x-cf-routererror"), error, "{answer:?}");
    assert_eq!(answer.header("cache-control"), caching, "{answer:?}");
    assert_eq!(answer.body, body);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

async fn ask(router: &Router, headers: &[(&str, &str)]) -> Answer {
    let mut builder = request(HOST);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request: Request<Full<Bytes>> = builder.body(Full::default()).expect("a request");
    Client::connect(router.http()).await.send(request).await
}

#[tokio::test]
async fn an_unknown_route_and_one_without_instances() {
    let router = Router::serving(Setup::default(), vec![route(HOST, Vec::new())]).await;
    let answer = get(router.http(), "no.example.com:8080", "/x").await;
    check(
        &answer,
        404,
        "unknown_route",
        NO_CACHE,
        "404 Not Found: Requested route ('no.example.com:8080') does not exist.\n",
    );
    assert!(!answer.header("x-vcap-request-id").is_empty() || answer.headers.len() > 3);
    let answer = get(router.http(), HOST, "/").await;
    check(
        &answer,
        503,
        "no_endpoints",
        BRIEFLY,
        "503 Service Unavailable: Requested route ('app.example.com') has no available endpoints.\n",
    );
    router.stop().await;
}

#[tokio::test]
async fn instances_asked_for_by_header() {
    let instances = [
        Instance::saying("zero").await,
        Instance::saying("one").await,
    ];
    let endpoints = vec![
        endpoint(instances[0].address, 0),
        endpoint(instances[1].address, 1),
    ];
    let (app, process) = (endpoints[0].app, endpoints[0].process);
    let router = Router::serving(Setup::default(), vec![route(HOST, endpoints)]).await;
    for index in [1, 0, 1, 1] {
        let wish = format!("{app}:{index}");
        let answer = ask(&router, &[("X-Cf-App-Instance", &wish)]).await;
        assert_eq!(answer.body, ["zero", "one"][index]);
        assert!(
            !instances[index]
                .last()
                .head
                .headers
                .contains_key("x-cf-app-instance")
        );
        let wish = format!("{process}:{index}");
        let answer = ask(&router, &[("X-CF-Process-Instance", &wish)]).await;
        assert_eq!(answer.body, ["zero", "one"][index]);
    }
    let any = ask(&router, &[("x-cf-process-instance", &process.to_string())]).await;
    assert_eq!(any.status, StatusCode::OK);
    check(
        &ask(&router, &[("x-cf-app-instance", &format!("{app}:9"))]).await,
        400,
        "unknown_route",
        NO_CACHE,
        &format!(
            "400 Bad Request: Requested instance ('9') with guid ('{app}') does not exist for route ('{HOST}')\n"
        ),
    );
    check(
        &ask(
            &router,
            &[("x-cf-process-instance", &format!("{process}:9"))],
        )
        .await,
        400,
        "unknown_route",
        NO_CACHE,
        &format!(
            "400 Bad Request: Requested instance ('9') with process guid ('{process}') does not exist for route ('{HOST}')\n"
        ),
    );
    check(
        &ask(&router, &[("x-cf-process-instance", &app.to_string())]).await,
        400,
        "unknown_route",
        NO_CACHE,
        &format!(
            "400 Bad Request: Requested instance with process guid ('{app}') does not exist for route ('{HOST}')\n"
        ),
    );
    check(
        &ask(&router, &[("x-cf-app-instance", &app.to_string())]).await,
        400,
        "invalid_cf_app_instance_header",
        NO_CACHE,
        "400 Bad Request: Invalid X-CF-App-Instance Header\n",
    );
    check(
        &ask(&router, &[("x-cf-process-instance", "nonsense:1")]).await,
        400,
        "invalid_cf_process_instance_header",
        NO_CACHE,
        "400 Bad Request: Invalid X-CF-Process-Instance Header\n",
    );
    router.stop().await;
}

#[tokio::test]
async fn hosts_that_are_empty_missing_doubled_or_malformed() {
    let router = Router::serving(Setup::default(), Vec::new()).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let answer = raw(router.http(), request).await;
        assert!(answer.contains(" 400 Bad Request\r\n"), "{answer}");
        assert!(
            answer.contains("\r\nX-Cf-Routererror: empty_host\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("\r\nCache-Control: public,max-age=2\r\n"),
            "{answer}"
        );
        let body = "\r\n\r\n400 Bad Request: Request had empty Host header\n";
        assert!(answer.ends_with(body), "{answer}");
    }
    for (request, message) in [
        ("GET / HTTP/1.1\r\n\r\n", "missing required Host header"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "too many Host headers",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "malformed Host header",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "malformed Host header",
        ),
    ] {
        let answer = raw(router.http(), request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer}"
        );
        assert!(
            answer.ends_with(&format!("400 Bad Request: {message}\n")),
            "{answer}"
        );
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    router.stop().await;
}

#[tokio::test]
async fn requests_that_are_not_http_or_want_a_tunnel() {
    let router = Router::serving(Setup::default(), Vec::new()).await;
    for (request, status) in [
        ("GET / HTTP/3.7\r\nHost: a\r\n\r\n", "400"),
        ("\0\0\0\0\r\n\r\n", "400"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "405"),
    ] {
        let answer = raw(router.http(), request).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.contains(status), "{request:?}: {answer}");
    }
    router.stop().await;
}

#[tokio::test]
async fn an_instance_that_nobody_reaches() {
    let router = Router::serving(
        Setup::default(),
        vec![route(HOST, vec![endpoint(nobody(), 0)])],
    )
    .await;
    for _ in 0..2 {
        let answer = get(router.http(), HOST, "/").await;
        check(
            &answer,
            502,
            "endpoint_failure (dial tcp: connect: connection refused)",
            "",
            "502 Bad Gateway: Registered endpoint failed to handle the request.\n",
        );
    }
    let envelope = router.log_line("endpoint_failure").await;
    let line = String::from_utf8(envelope.payload).expect("text");
    assert!(line.contains("failed_attempts:1"), "{line}");
    router.stop().await;
}

#[tokio::test]
async fn an_instance_that_hangs_up_or_talks_nonsense() {
    for (says, error) in [
        ("", "endpoint_failure (EOF)"),
        (
            "nonsense\r\n\r\n",
            "endpoint_failure (invalid HTTP version parsed)",
        ),
    ] {
        let instance = Instance::raw(move |mut stream| {
            Box::pin(async move {
                let mut head = [0; 512];
                let read = stream.read(&mut head).await.expect("a request");
                assert!(read > 0);
                stream.write_all(says.as_bytes()).await.expect("sends");
            })
        })
        .await;
        let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
        let router = Router::serving(Setup::default(), routes).await;
        let answer = get(router.http(), HOST, "/").await;
        check(
            &answer,
            502,
            error,
            "",
            "502 Bad Gateway: Registered endpoint failed to handle the request.\n",
        );
        router.stop().await;
    }
}

#[tokio::test]
async fn an_answer_of_the_app_is_never_replaced() {
    let instance = Instance::answering(|_| {
        Response::builder()
            .status(StatusCode::BAD_GATEWAY)
            .body(Full::from("mine").boxed())
            .expect("a response")
    })
    .await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let answer = get(router.http(), HOST, "/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (502, "mine")
    );
    assert_eq!(answer.header("x-cf-routererror"), "");
    assert_eq!(instance.seen().len(), 1);
    router.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_is_logged_as_499() {
    let instance = Instance::serving(|_| Box::pin(std::future::pending())).await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let mut stream = tokio::net::TcpStream::connect(router.http())
        .await
        .expect("connects");
    let request = format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    crate::support::eventually(&mut instance.requests(), |seen| !seen.is_empty()).await;
    drop(stream);
    let envelope = router.log_line("/slow").await;
    let line = String::from_utf8(envelope.payload).expect("text");
    assert!(line.contains("\" 499 0 0 "), "{line}");
    assert!(router.metric("cfx_router_errors_total{error=\"client_gone\"}") >= 1.0);
    router.stop().await;
}

#[tokio::test]
async fn load_balancers_ask_for_health_on_the_traffic_port() {
    let router = Router::serving(Setup::default(), Vec::new()).await;
    let answer = ask(&router, &[("user-agent", "HTTP-Monitor/1.1")]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "ok\n")
    );
    assert_eq!(answer.header("cache-control"), "private, max-age=0");
    assert_eq!(answer.header("expires"), "0");
    router.stop().await;
}

#[tokio::test]
async fn an_early_answer_leaves_the_connection_usable_while_the_body_is_small() {
    let router = Router::serving(Setup::default(), Vec::new()).await;
    let mut client = Client::connect(router.http()).await;
    for _ in 0..3 {
        let body = "x".repeat(100 * 1024);
        let post = request(HOST).method("POST").body(Full::from(body));
        let answer = client.send(post.expect("a request")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    router.stop().await;
}
