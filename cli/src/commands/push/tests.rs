//! Pushes against a scripted API: which calls, in which order, and what the user sees.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use clap::Parser;
use http::StatusCode;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::args::{Args, normalise};
use crate::client::Tokens;
use crate::context::Context;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Terminal;
use crate::session::{Named, Session, Target};

/// What a platform would be, as far as a push can tell.
#[derive(Debug, Default)]
struct Script {
    /// `METHOD path`, without queries.
    calls: Vec<String>,
    bodies: HashMap<String, Bytes>,
    /// State of all instances.
    instances: &'static str,
    build: Value,
    started: bool,
    knows_digests: bool,
}

type Shared = Arc<Mutex<Script>>;

struct Played {
    outcome: Result<(), Failure>,
    script: Shared,
    out: String,
    err: String,
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

async fn answer(State(script): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let call = format!("{} {}", head.method, head.uri.path());
    let mut script = script.lock();
    script.calls.push(call.clone());
    script.bodies.insert(call.clone(), body.clone());
    assert!(
        head.headers.contains_key("authorization"),
        "{call} is not authorised"
    );
    let job = [("location", "https://elsewhere.example/v3/jobs/j1")];
    let page = |resources: Value| json!({"pagination": {"next": null}, "resources": resources});
    let app = json!({
        "guid": "a1",
        "name": "shop",
        "state": if script.started { "STARTED" } else { "STOPPED" },
        "lifecycle": {"type": "buildpack"},
    });
    let process = json!({"guid": "a1", "type": "web", "instances": 2, "memory_in_mb": 64});
    let details = (script.instances == "DOWN").then_some("insufficient resources: memory");
    let stats = json!({"index": 0, "state": script.instances, "uptime": 3, "details": details});
    let body = match call.as_str() {
        "POST /v3/spaces/s1/manifest_diff" => {
            json!({"diff": [{"op": "add", "path": "/applications/0/env/KEY", "value": "hush"}]})
        }
        "POST /v3/spaces/s1/actions/apply_manifest" => {
            return (StatusCode::ACCEPTED, job).into_response();
        }
        "GET /v3/jobs/j1" => json!({"operation": "space.apply_manifest", "state": "COMPLETE"}),
        "GET /v3/apps" => page(json!([app])),
        "POST /v3/resource_matches" if script.knows_digests => {
            serde_json::from_slice(&body).expect("JSON")
        }
        "POST /v3/resource_matches" => json!({"resources": []}),
        "POST /v3/packages" => json!({"guid": "p1", "state": "AWAITING_UPLOAD"}),
        "POST /v3/packages/p1/upload" => json!({"guid": "p1", "state": "READY"}),
        "POST /v3/builds" => json!({"guid": "b1", "state": "STAGING"}),
        "GET /v3/builds/b1" => script.build.clone(),
        "PATCH /v3/apps/a1/relationships/current_droplet" => json!({"data": {"guid": "d1"}}),
        "POST /v3/apps/a1/actions/restart" => {
            script.started = true;
            app
        }
        "GET /v3/apps/a1/processes" => page(json!([process])),
        "GET /v3/processes/a1" => process,
        "GET /v3/processes/a1/stats" => page(json!([stats])),
        "GET /v3/apps/a1/routes" => page(json!([{"guid": "r1", "url": "shop.apps.localhost"}])),
        "GET /v3/apps/a1/droplets/current" => json!({"guid": "d1", "stack": "host"}),
        "GET /v3/deployments" => page(json!([])),
        "GET /api/v1/read/a1" => logs(),
        _ => return (StatusCode::NOT_FOUND, "{}").into_response(),
    };
    axum::Json(body).into_response()
}

fn logs() -> Value {
    let line = |source: &str, at: &str, text: &str| {
        json!({
            "timestamp": at,
            "tags": {"source_type": source},
            "instance_id": "0",
            "log": {"payload": BASE64_STANDARD.encode(text), "type": "OUT"},
        })
    };
    let far = "4000000000000000000";
    json!({"envelopes": {"batch": [
        line("STG", far, "compiling the app"),
        line("APP/PROC/WEB", far, "cannot find the database"),
    ]}})
}

/// Play a push of a folder against a script.
async fn play(line: &str, prepare: impl FnOnce(&mut Script)) -> Played {
    let mut script = Script {
        instances: "RUNNING",
        build: json!({"guid": "b1", "state": "STAGED", "droplet": {"guid": "d1"}}),
        ..Script::default()
    };
    prepare(&mut script);
    let script: Shared = Arc::new(Mutex::new(script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    let supervisor = Supervisor::new("scripted API", Shutdown::new());
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&script));
    supervisor.spawn("serve", OnEnd::Nothing, async move {
        axum::serve(listener, router).await.expect("served");
    });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("app.py"), "print()").expect("written");
    std::fs::write(folder.path().join("large"), vec![1_u8; 70_000]).expect("written");
    let manifest = "applications:\n- name: shop\n  path: .\n  env: {KEY: hush}\n";
    std::fs::write(folder.path().join("manifest.yml"), manifest).expect("written");
    let (out, err) = (Captured::default(), Captured::default());
    let context = context(folder.path(), &origin, &out, &err);
    let line = line.replace("FOLDER", &folder.path().display().to_string());
    let words = normalise(line.split_whitespace().map(Into::into).collect());
    let args = Args::try_parse_from(words).expect("a command");
    let outcome = Box::pin(crate::commands::run(args.command, &context)).await;
    Played {
        outcome,
        script,
        out: out.text(),
        err: err.text(),
    }
}

fn context(home: &std::path::Path, origin: &str, out: &Captured, err: &Captured) -> Context {
    let environment = Environment::from_variables(|name| match name {
        "CFX_HOME" => Some(home.join("home").display().to_string()),
        // Minutes.
        "CF_STARTUP_TIMEOUT" => Some("0.1".to_owned()),
        _ => None,
    });
    let terminal = Terminal::writing_to(Box::new(out.clone()), Box::new(err.clone()));
    let context = Context::new(environment, Arc::new(terminal), false);
    let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":99999999999,"user_name":"admin"}"#);
    let named = |guid: &str, name: &str| {
        Some(Named {
            guid: guid.to_owned(),
            name: name.to_owned(),
        })
    };
    let mut session = Session::default();
    session.retarget(Target {
        url: origin.to_owned(),
        api_version: "3.211.0".to_owned(),
        login: origin.to_owned(),
        uaa: origin.to_owned(),
        log_cache: Some(origin.to_owned()),
        http_port: Some(8080),
        https_port: None,
        authority: None,
        skip_ssl_validation: false,
    });
    session.tokens = Some(Tokens {
        access: format!("e30.{claims}.x"),
        refresh: None,
    });
    session.org = named("o1", "demo");
    session.space = named("s1", "dev");
    context.session.save(&session).expect("saved");
    context
}

impl Played {
    /// Calls in their order, polling and log reading left out.
    fn calls(&self) -> Vec<String> {
        let mut calls = self.script.lock().calls.clone();
        calls.retain(|call| !call.contains("/api/v1/read"));
        calls.dedup();
        calls
    }

    fn body(&self, call: &str) -> String {
        let script = self.script.lock();
        let body = script
            .bodies
            .get(call)
            .unwrap_or_else(|| panic!("no {call}"));
        String::from_utf8_lossy(body).into_owned()
    }
}

#[tokio::test]
async fn a_push_makes_the_calls_of_the_cf_cli_in_its_order() {
    let played = play("cfx push -f FOLDER/manifest.yml", |_| {}).await;
    assert_eq!(played.outcome, Ok(()), "{}", played.err);
    assert_eq!(
        played.calls(),
        [
            "POST /v3/spaces/s1/manifest_diff",
            "POST /v3/spaces/s1/actions/apply_manifest",
            "GET /v3/jobs/j1",
            "GET /v3/apps",
            "POST /v3/resource_matches",
            "POST /v3/packages",
            "POST /v3/packages/p1/upload",
            "POST /v3/builds",
            "GET /v3/builds/b1",
            "PATCH /v3/apps/a1/relationships/current_droplet",
            "POST /v3/apps/a1/actions/restart",
            "GET /v3/apps/a1/processes",
            "GET /v3/processes/a1/stats",
            "GET /v3/apps",
            "GET /v3/apps/a1/processes",
            "GET /v3/processes/a1",
            "GET /v3/processes/a1/stats",
            "GET /v3/apps/a1/routes",
            "GET /v3/apps/a1/droplets/current",
            "GET /v3/deployments",
        ]
    );
    assert!(
        played.out.contains("   compiling the app\n"),
        "{}",
        played.out
    );
    assert!(
        !played.out.contains("cannot find"),
        "only staging lines are shown"
    );
    assert!(
        played.out.ends_with("\nhttp://shop.apps.localhost:8080\n"),
        "{}",
        played.out
    );
}

#[tokio::test]
async fn the_upload_is_a_form_of_matched_files_and_the_rest_as_a_zip() {
    let played = play("cfx push shop --no-manifest -p FOLDER", |script| {
        script.knows_digests = true;
    })
    .await;
    assert_eq!(played.outcome, Ok(()), "{}", played.err);
    let asked = played.body("POST /v3/resource_matches");
    assert!(
        asked.contains("\"path\":\"large\"") && !asked.contains("app.py"),
        "{asked}"
    );
    let form = played.body("POST /v3/packages/p1/upload");
    assert!(form.contains("name=\"resources\"") && form.contains("\"path\":\"large\""));
    assert!(form.contains("name=\"bits\"; filename=\"package.zip\"") && form.contains("app.py"));
    assert!(
        !played
            .calls()
            .iter()
            .any(|call| call.contains("manifest_diff"))
    );
}

#[tokio::test]
async fn an_app_that_crashes_fails_the_push_with_its_last_words() {
    let played = play("cfx push -f FOLDER/manifest.yml", |script| {
        script.instances = "CRASHED";
    })
    .await;
    let failure = played.outcome.expect_err("a crash");
    assert_eq!(failure.exit(), 1);
    assert!(failure.message().contains("all instances of web crashed"));
    assert!(
        failure
            .next_step()
            .is_some_and(|step| step.contains("cfx logs shop --recent"))
    );
    assert!(
        played.out.contains("cannot find the database"),
        "{}",
        played.out
    );
}

#[tokio::test]
async fn an_app_that_no_cell_takes_is_not_waited_for_to_the_end() {
    let played = play("cfx push -f FOLDER/manifest.yml", |script| {
        script.instances = "DOWN";
    })
    .await;
    let failure = played.outcome.expect_err("no room");
    assert!(
        failure.message().contains("insufficient resources: memory"),
        "{failure:?}"
    );
    assert!(
        failure
            .next_step()
            .is_some_and(|step| step.contains("cfx why shop"))
    );
}

#[tokio::test]
async fn a_failed_staging_says_why_and_what_to_do() {
    let played = play("cfx push -f FOLDER/manifest.yml", |script| {
        script.build = json!({
            "guid": "b1",
            "state": "FAILED",
            "error": "NoAppDetectedError - An app was not successfully detected",
        });
    })
    .await;
    let failure = played.outcome.expect_err("a failure");
    assert!(failure.message().contains("NoAppDetectedError"));
    assert!(
        failure
            .next_step()
            .is_some_and(|step| step.contains("-b NAME"))
    );
    assert!(!played.script.lock().started);
}

#[tokio::test]
async fn no_start_ends_after_the_upload() {
    let played = play("cfx push shop --no-manifest -p FOLDER --no-start", |_| {}).await;
    assert_eq!(played.outcome, Ok(()), "{}", played.err);
    assert!(
        !played
            .calls()
            .iter()
            .any(|call| call.contains("builds") || call.contains("actions/restart"))
    );
}

#[tokio::test]
async fn a_docker_image_needs_no_upload() {
    let played = play(
        "cfx push shop --no-manifest -o registry.example/web:1",
        |_| {},
    )
    .await;
    assert_eq!(played.outcome, Ok(()), "{}", played.err);
    let package = played.body("POST /v3/packages");
    assert!(
        package.contains("\"image\":\"registry.example/web:1\""),
        "{package}"
    );
    let manifest = played.body("POST /v3/spaces/s1/actions/apply_manifest");
    assert!(
        manifest.contains("image: registry.example/web:1"),
        "{manifest}"
    );
    assert!(!played.calls().iter().any(|call| call.contains("upload")));
}

#[tokio::test]
async fn secrets_of_the_environment_are_hidden_on_request() {
    let played = play("cfx push -f FOLDER/manifest.yml --redact-env", |_| {}).await;
    assert!(
        played.out.contains("[hidden]") && !played.out.contains("hush"),
        "{}",
        played.out
    );
    let shown = play("cfx push -f FOLDER/manifest.yml", |_| {}).await;
    assert!(shown.out.contains("hush"));
}
