//! The client against a scripted platform: tokens, retries, pages, jobs.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::client::resource::NamedResource;

/// An answer: status, body, `Location`.
type Scripted = (u16, Value, Option<&'static str>);

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Scripted>,
    /// `METHOD path?query bearer`.
    calls: Vec<String>,
}

type Shared = Arc<Mutex<Script>>;

async fn answer(State(script): State<Shared>, request: Request) -> Response {
    let bearer = request.headers().get("authorization");
    let bearer = bearer.and_then(|value| value.to_str().ok()).unwrap_or("-");
    let bearer = bearer.rsplit('.').next().unwrap_or(bearer).to_owned();
    let mut script = script.lock();
    script
        .calls
        .push(format!("{} {} {bearer}", request.method(), request.uri()));
    let next = script.answers.pop_front();
    let (status, body, location) =
        next.unwrap_or_else(|| (500, json!("nothing is scripted"), None));
    let status = StatusCode::from_u16(status).expect("a status");
    match location {
        Some(location) => (status, [("location", location)], axum::Json(body)).into_response(),
        None => (status, axum::Json(body)).into_response(),
    }
}

fn tokens(exp: i64, signature: &str) -> Tokens {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(json!({"exp": exp}).to_string());
    Tokens {
        access: format!("e30.{claims}.{signature}"),
        refresh: Some("again".to_owned()),
    }
}

struct World {
    api: Api,
    script: Shared,
    file: SessionFile,
    _home: tempfile::TempDir,
    _supervisor: Supervisor,
}

const FOREVER: i64 = 99_999_999_999;

async fn world(held: Tokens, answers: Vec<Scripted>) -> World {
    let script: Shared = Arc::new(Mutex::new(Script {
        answers: answers.into(),
        ..Script::default()
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let supervisor = Supervisor::new("scripted platform", Shutdown::new());
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&script));
    supervisor.spawn("serve", OnEnd::Nothing, async move {
        axum::serve(listener, router).await.expect("served");
    });
    let home = tempfile::tempdir().expect("a folder");
    let file = SessionFile::under(home.path());
    let target = Target {
        url: origin.clone(),
        api_version: "3.211.0".to_owned(),
        login: format!("{origin}/uaa"),
        uaa: format!("{origin}/uaa"),
        log_cache: None,
        http_port: None,
        https_port: None,
        authority: None,
        skip_ssl_validation: false,
    };
    let mut session = Session::default();
    session.retarget(target.clone());
    session.tokens = Some(held);
    file.save(&session).expect("saved");
    let terminal = Arc::new(Terminal::silent());
    let api = Api::new(&session, target, file.clone(), Clock::system(), terminal).expect("an API");
    World {
        api,
        script,
        file,
        _home: home,
        _supervisor: supervisor,
    }
}

impl World {
    fn calls(&self) -> Vec<String> {
        self.script.lock().calls.clone()
    }
}

fn granted(tokens: &Tokens) -> Scripted {
    (
        200,
        json!({"access_token": tokens.access, "token_type": "bearer"}),
        None,
    )
}

#[test]
fn links_are_followed_on_the_targeted_host_only() {
    assert_eq!(
        path_of("https://evil.example/v3/apps?page=2&names=a%252Cb"),
        "/v3/apps?page=2&names=a%252Cb"
    );
}

#[tokio::test]
async fn an_ending_token_is_renewed_before_the_call_and_kept_for_the_next_command() {
    let fresh = tokens(FOREVER, "fresh");
    let answers = vec![
        granted(&fresh),
        (200, json!({"guid": "g", "name": "n"}), None),
    ];
    let world = world(tokens(1, "old"), answers).await;
    world
        .api
        .get::<NamedResource>("/v3/spaces/g")
        .await
        .expect("an answer");
    assert_eq!(
        world.calls(),
        ["POST /uaa/oauth/token Basic Y2Y6", "GET /v3/spaces/g fresh"]
    );
    let kept = world
        .file
        .load()
        .expect("a session")
        .tokens
        .expect("tokens");
    assert_eq!(kept.access, fresh.access);
    assert_eq!(
        kept.refresh.as_deref(),
        Some("again"),
        "the old one stays good"
    );
}

#[tokio::test]
async fn a_token_that_the_platform_refuses_is_renewed_once() {
    let refused = json!({"errors": [{"code": 1000, "title": "CF-InvalidAuthToken", "detail": "Invalid Auth Token"}]});
    let fresh = tokens(FOREVER, "fresh");
    let answers = vec![
        (401, refused.clone(), None),
        granted(&fresh),
        (401, refused, None),
    ];
    let world = world(tokens(FOREVER, "old"), answers).await;
    let error = world
        .api
        .get::<NamedResource>("/v3/spaces/g")
        .await
        .expect_err("refused");
    assert!(error.is_invalid_token());
    assert_eq!(world.calls().len(), 3);
}

#[tokio::test]
async fn a_login_that_ended_says_so() {
    let denied = json!({"error": "invalid_token", "error_description": "expired"});
    let world = world(tokens(1, "old"), vec![(401, denied, None)]).await;
    let error = world
        .api
        .get::<NamedResource>("/v3/spaces/g")
        .await
        .expect_err("ended");
    assert!(matches!(error, ClientError::LoginExpired), "{error}");
}

#[tokio::test]
async fn a_gateway_that_complains_is_asked_again_but_not_about_a_post() {
    let fine = json!({"guid": "g", "name": "n"});
    let held = tokens(FOREVER, "t");
    let answers = vec![(503, json!("busy"), None), (200, fine, None)];
    let reading = world(held.clone(), answers).await;
    reading
        .api
        .get::<NamedResource>("/v3/spaces/g")
        .await
        .expect("an answer");
    let writing = world(held, vec![(503, json!("busy"), None)]).await;
    let posted = writing
        .api
        .post::<NamedResource>("/v3/spaces", &json!({}))
        .await;
    assert!(posted.is_err());
    assert_eq!(writing.calls().len(), 1);
}

#[tokio::test]
async fn all_pages_of_a_list_are_read() {
    let page = |name: &str, next: Value| json!({"pagination": {"next": next}, "resources": [{"guid": "g", "name": name}]});
    let link = json!({"href": "http://elsewhere.example/v3/spaces?page=2&order_by=name"});
    let answers = vec![
        (200, page("a", link), None),
        (200, page("b", Value::Null), None),
    ];
    let world = world(tokens(FOREVER, "t"), answers).await;
    let found: Vec<NamedResource> = world
        .api
        .list("/v3/spaces?order_by=name")
        .await
        .expect("a list");
    let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(world.calls()[1], "GET /v3/spaces?page=2&order_by=name t");
}

#[tokio::test]
async fn a_job_is_waited_for_and_its_reason_told() {
    let job = |state: &str, detail: &str| json!({"operation": "app.delete", "state": state, "errors": [{"detail": detail}]});
    let answers = vec![
        (202, json!(null), Some("http://x.example/v3/jobs/j")),
        (200, job("PROCESSING", ""), None),
        (200, job("FAILED", "the cell is gone"), None),
    ];
    let world = world(tokens(FOREVER, "t"), answers).await;
    let error = world
        .api
        .delete("/v3/apps/a")
        .await
        .expect_err("a failed job");
    assert_eq!(error.to_string(), "app.delete failed: the cell is gone");
    assert_eq!(world.calls()[2], "GET /v3/jobs/j t");
}
