//! What the autoscaler needs of the API: scaling that never overwrites a person's, and its own API
//! passed on by path.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use cfx_process::http_server::HttpServer;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use http::{HeaderMap, Method, Request, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::harness::{Harness, Reply};
use super::push::Target;
use crate::api::{self, Settings};

async fn scale_if(target: &Target, app: &str, tag: &str, instances: u32) -> Reply {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v3/processes/{app}/actions/scale"))
        .header("authorization", format!("bearer {}", target.token))
        .header("if-match", tag)
        .body(Body::from(json!({"instances": instances}).to_string()))
        .expect("a request");
    target.harness.request(request).await
}

async fn tag_of(target: &Target, app: &str) -> String {
    let path = format!("/v3/processes/{app}");
    let shown = target.harness.get(&path, &target.token).await;
    shown.headers["etag"].clone()
}

#[tokio::test]
async fn a_scale_with_a_precondition_never_overwrites_another_scale() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let read = tag_of(&target, &app).await;
    let by_hand = target
        .send(
            Method::POST,
            &format!("/v3/processes/{app}/actions/scale"),
            json!({"instances": 7}),
        )
        .await;
    assert_eq!(by_hand.status, 202, "{by_hand:?}");

    let stale = scale_if(&target, &app, &read, 2).await;
    let (status, _, detail) = stale.error();
    assert_eq!(status, 412, "{stale:?}");
    assert!(detail.contains("read it again"), "{detail}");
    let process = target.get(&format!("/v3/processes/{app}")).await;
    assert_eq!(process["instances"], 7, "the person's number stands");

    let fresh = tag_of(&target, &app).await;
    assert_eq!(by_hand.headers["etag"], fresh, "a scale tells the new tag");
    let scaled = scale_if(&target, &app, &fresh, 2).await;
    assert_eq!(scaled.status, 202, "{scaled:?}");
    assert_eq!(scaled.json()["instances"], 2);
    for tags in [
        "*".to_owned(),
        format!("\"other\", {}", scaled.headers["etag"]),
    ] {
        assert_eq!(scale_if(&target, &app, &tags, 2).await.status, 202);
    }
    assert_eq!(scale_if(&target, &app, "", 2).await.status, 412);
}

/// An API that passes the autoscaler's requests on to this address.
fn passing_on_to(harness: &Harness, address: std::net::SocketAddr) -> Router {
    let mut context = harness.context.clone();
    context.settings = Arc::new(Settings {
        autoscaler: Some(address),
        ..Settings::default()
    });
    api::router(context)
}

async fn ask(router: &Router, method: Method, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "bearer of-the-caller")
        .header("cookie", "not-passed-on")
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let answer = tower_service::Service::call(&mut router.clone(), request);
    let (head, body) = answer.await.expect("never fails").into_parts();
    let body = axum::body::to_bytes(body, 1_000_000).await.expect("a body");
    let status = head.status.as_u16();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Tells what it was asked.
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: String) -> axum::Json<Value> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    axum::Json(json!({
        "asked": format!("{method} {uri} {body}"),
        "authorization": header("authorization"),
        "cookie": header("cookie"),
    }))
}

#[tokio::test]
async fn the_autoscalers_api_is_reached_through_the_platforms() {
    let harness = Harness::new().await;
    let none = harness.send(Method::GET, "/v1/info", None, "").await;
    assert_eq!(none.status, 404);
    assert!(none.error().2.contains("cfx serve autoscaler"), "{none:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let router = passing_on_to(&harness, address);
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new("test", shutdown.clone());
    let server = HttpServer {
        router: Router::new().fallback(echo),
        tls: None,
        clock: harness.context.clock.clone(),
        shutdown: shutdown.clone(),
        supervisor: supervisor.clone(),
    };
    supervisor.spawn("autoscaler", OnEnd::Nothing, server.run(listener));
    let path = "/v1/apps/a-guid/scaling_histories?page=2&order=asc";
    let (status, told) = ask(&router, Method::GET, path, "").await;
    assert_eq!(status, 200);
    assert_eq!(told["asked"], format!("GET {path} "));
    assert_eq!(told["authorization"], "bearer of-the-caller");
    assert_eq!(told["cookie"], Value::Null);
    let (_, told) = ask(&router, Method::PUT, "/v1/apps/a/policy", "{}").await;
    assert_eq!(told["asked"], "PUT /v1/apps/a/policy {}");
    let (status, _) = ask(&router, Method::GET, "/health", "").await;
    assert_eq!(status, 200);
    let large = "x".repeat(2 * 1024 * 1024);
    let (status, told) = ask(&router, Method::PUT, "/v1/apps/a/policy", &large).await;
    assert_eq!(status, 400, "{told}");

    shutdown.request();
    supervisor.join(Duration::from_secs(5)).await;
    let (status, told) = ask(&router, Method::GET, "/health", "").await;
    assert_eq!(status, 503, "{told}");
    assert!(told.to_string().contains("Try again"), "{told}");
}
