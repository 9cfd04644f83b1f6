//! The autoscaler as a client: against a small platform on a real socket that answers as the public
//! API, UAA and log-cache do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cfx_autoscaler::api::access::{Access, AsCaller, Intent, Verdict};
use cfx_autoscaler::public_api::CallError;
use cfx_autoscaler::source::{LogCache, Question, Source};
use cfx_autoscaler::target::{Change, CloudController, DISABLE_LABEL, Target, TargetError};
use cfx_autoscaler::{Credentials, PublicApi};
use cfx_process::clock::Clock;
use cfx_process::http_server::HttpServer;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_protocol::id::{AppGuid, ProcessGuid};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const APP: &str = "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001";
const PROCESS: &str = "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a002";

/// What the platform has and what it was asked.
#[derive(Debug, Default)]
struct Platform {
    address: String,
    instances: u32,
    tokens_issued: u32,
    /// The only token that is good.
    good: u32,
    asked: Vec<String>,
    labels: BTreeMap<String, String>,
}

type Shared = Arc<Mutex<Platform>>;

struct Running {
    platform: Shared,
    api: PublicApi,
    shutdown: Shutdown,
    supervisor: Supervisor,
}

impl Running {
    async fn start() -> Self {
        let platform: Shared = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address: SocketAddr = listener.local_addr().expect("an address");
        {
            let mut platform = platform.lock();
            platform.address = format!("http://{address}");
            platform.instances = 5;
            platform.good = 1;
        }
        let shutdown = Shutdown::new();
        let supervisor = Supervisor::new("platform", shutdown.clone());
        let server = HttpServer {
            router: endpoints(platform.clone()),
            tls: None,
            clock: Clock::system(),
            shutdown: shutdown.clone(),
            supervisor: supervisor.clone(),
        };
        supervisor.spawn("platform", OnEnd::Nothing, server.run(listener));
        let credentials = Credentials {
            client: "autoscaler".to_owned(),
            secret: "a secret & more".to_owned(),
        };
        let url = format!("http://{address}/");
        let api = PublicApi::new(&url, credentials, None, Clock::system()).expect("a client");
        Self {
            platform,
            api,
            shutdown,
            supervisor,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.platform.lock().asked.clone()
    }

    async fn stop(self) {
        self.shutdown.request();
        self.supervisor.join(Duration::from_secs(5)).await;
    }
}

fn endpoints(platform: Shared) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/uaa/oauth/token", post(token))
        .route("/v3/apps", get(apps))
        .route("/v3/processes", get(processes))
        .route("/v3/processes/{guid}", get(process))
        .route("/v3/processes/{guid}/actions/scale", post(scale))
        .route("/v3/apps/{guid}/processes", get(processes_of_app))
        .route("/logs/api/v1/query", post(query))
        .with_state(platform)
}

async fn root(State(platform): State<Shared>) -> Json<Value> {
    let address = platform.lock().address.clone();
    Json(json!({ "links": {
        "uaa": { "href": format!("{address}/uaa") },
        "log_cache": { "href": format!("{address}/logs") },
        "credhub": null,
    }}))
}

async fn token(State(platform): State<Shared>, form: String) -> Response {
    let expected = "grant%5Ftype=client%5Fcredentials&client%5Fid=autoscaler\
                    &client%5Fsecret=a%20secret%20%26%20more";
    if form != expected {
        return (StatusCode::UNAUTHORIZED, form).into_response();
    }
    let mut platform = platform.lock();
    platform.tokens_issued += 1;
    let token = format!("token-{}", platform.tokens_issued);
    Json(json!({ "access_token": token, "expires_in": 599 })).into_response()
}

/// Is this the good token? Anything else is as good as none.
#[allow(
    clippy::result_large_err,
    reason = "handlers pass the answer on as it is"
)]
fn admitted(platform: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    let good = format!("bearer token-{}", platform.lock().good);
    let sent = headers.get("authorization").and_then(|it| it.to_str().ok());
    match sent {
        Some(sent) if sent == good || sent == "bearer of-a-developer" => Ok(()),
        Some("bearer of-an-auditor") => Ok(()),
        _ => Err(StatusCode::UNAUTHORIZED.into_response()),
    }
}

async fn apps(
    State(platform): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Response> {
    admitted(&platform, &headers)?;
    let mut platform = platform.lock();
    platform.asked.push(query.unwrap_or_default());
    Ok(Json(json!({ "resources": [{
        "guid": APP, "name": "shop", "state": "STARTED",
        "metadata": { "labels": platform.labels },
    }]})))
}

async fn processes(
    State(platform): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Response> {
    admitted(&platform, &headers)?;
    let mut platform = platform.lock();
    platform.asked.push(query.unwrap_or_default());
    Ok(Json(json!({ "resources": [shown(platform.instances)] })))
}

fn shown(instances: u32) -> Value {
    json!({
        "guid": PROCESS, "instances": instances,
        "relationships": { "app": { "data": { "guid": APP } } },
        "process_instances": [
            { "index": 0, "state": "RUNNING", "since": 90 },
            { "index": 1, "state": "STARTING", "since": 3 },
            { "index": 2, "state": "DOWN" },
        ],
    })
}

async fn process(State(platform): State<Shared>, headers: HeaderMap) -> Result<Response, Response> {
    admitted(&platform, &headers)?;
    let instances = platform.lock().instances;
    let tag = format!("\"{instances}\"");
    Ok(([("etag", tag)], Json(shown(instances))).into_response())
}

async fn processes_of_app(
    State(platform): State<Shared>,
    Path(guid): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Response> {
    admitted(&platform, &headers)?;
    match guid == APP {
        true => Ok(Json(json!({ "resources": [{ "guid": PROCESS }] }))),
        false => Err(StatusCode::NOT_FOUND.into_response()),
    }
}

async fn scale(
    State(platform): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    admitted(&platform, &headers)?;
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    if text("authorization") == Some("bearer of-an-auditor") {
        return Err(StatusCode::FORBIDDEN.into_response());
    }
    let mut platform = platform.lock();
    let tag = text("if-match").unwrap_or_default();
    if tag != format!("\"{}\"", platform.instances) {
        return Err(StatusCode::PRECONDITION_FAILED.into_response());
    }
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(wanted) = wanted["instances"].as_u64().filter(|it| *it < 100) else {
        let detail = json!({"errors": [{"code": 1, "title": "x", "detail": "the quota is full"}]});
        return Err((StatusCode::UNPROCESSABLE_ENTITY, Json(detail)).into_response());
    };
    platform.instances = u32::try_from(wanted).unwrap_or(0);
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn query(
    State(platform): State<Shared>,
    headers: HeaderMap,
    form: String,
) -> Result<Json<Value>, Response> {
    admitted(&platform, &headers)?;
    platform.lock().asked.push(form);
    let metric = json!({
        "__name__": "cpu", "source_id": APP, "instance_id": "1", "process_type": "web",
        "process_instance_id": "x", "process_id": PROCESS,
    });
    Ok(Json(json!({ "status": "success", "data": {
        "resultType": "matrix",
        "result": [{ "metric": metric, "values": [[101, "0.25"], [102, "93.5"]] }],
    }})))
}

fn app() -> AppGuid {
    APP.parse().expect("a guid")
}

fn change(from: u32, to: u32) -> Change {
    Change {
        process: ProcessGuid(PROCESS.parse().expect("a guid")),
        from,
        to,
    }
}

#[tokio::test]
async fn apps_are_read_whole_and_a_spent_token_is_renewed_once() {
    let running = Running::start().await;
    let target = CloudController::new(running.api.clone());
    let found = target.workloads(&[app()], 1_000).await.expect("reads");
    assert_eq!(found.len(), 1);
    let shop = &found[0];
    assert_eq!((shop.app, shop.instances), (app(), 5));
    assert!(shop.is_started && !shop.is_disabled);
    assert_eq!(shop.running.len(), 1, "starting is not running");
    assert_eq!((shop.running[0].index, shop.running[0].since), (0, 910));
    let asked = running.asked();
    assert!(asked[0].contains(APP), "{asked:?}");
    assert!(asked[1].contains("embed=process_instances"), "{asked:?}");

    {
        let mut platform = running.platform.lock();
        platform.good = 2;
        platform.labels = [(DISABLE_LABEL.to_owned(), "true".to_owned())].into();
    }
    let found = target.workloads(&[app()], 1_000).await.expect("renews");
    assert!(found[0].is_disabled);
    assert_eq!(running.platform.lock().tokens_issued, 2);
    running.platform.lock().good = 9;
    let refused = target.workloads(&[app()], 1_000).await;
    let Err(TargetError::Call(CallError::Refused { status, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(status, StatusCode::UNAUTHORIZED, "it is not tried for ever");
    running.stop().await;
}

#[tokio::test]
async fn a_scale_never_overwrites_somebody_elses() {
    let running = Running::start().await;
    let target = CloudController::new(running.api.clone());
    target.scale(&change(5, 7)).await.expect("scaled");
    assert_eq!(running.platform.lock().instances, 7);
    let stale = target.scale(&change(5, 9)).await;
    assert!(matches!(stale, Err(TargetError::Stale)), "{stale:?}");
    assert_eq!(running.platform.lock().instances, 7);
    let refused = target.scale(&change(7, 500)).await;
    let Err(TargetError::Call(CallError::Refused { detail, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(detail, "the quota is full");
    running.stop().await;
}

#[tokio::test]
async fn measurements_come_from_log_cache_wherever_the_root_says_it_is() {
    let running = Running::start().await;
    let source = LogCache::new(running.api.clone());
    let question = Question {
        apps: vec![(app(), 5)],
        metrics: ["cpu".to_owned()].into(),
        after: 101,
        until: 105,
    };
    let found = source.read(&question).await.expect("reads");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].index, found[0].metric.as_str()), (1, "cpu"));
    assert_eq!(found[0].points, [(102, 93_500)], "only what was asked for");
    assert!(
        running.asked()[0].ends_with("&time=105"),
        "{:?}",
        running.asked()
    );
    running.stop().await;
}

#[tokio::test]
async fn the_platform_judges_who_may_see_and_who_may_scale() {
    let running = Running::start().await;
    let access = AsCaller::new(running.api.clone());
    let other: AppGuid = PROCESS.parse().expect("a guid");
    for (token, app, intent, verdict) in [
        ("of-a-developer", app(), Intent::Read, Verdict::Allowed),
        ("of-a-developer", app(), Intent::Write, Verdict::Allowed),
        ("of-an-auditor", app(), Intent::Read, Verdict::Allowed),
        ("of-an-auditor", app(), Intent::Write, Verdict::Forbidden),
        ("of-a-developer", other, Intent::Read, Verdict::Hidden),
        ("of-nobody", app(), Intent::Read, Verdict::Unknown),
    ] {
        let value = HeaderValue::try_from(format!("bearer {token}")).expect("a value");
        let judged = access.judge(&value, app, intent).await.expect("judges");
        assert_eq!(judged, verdict, "{token} {intent:?}");
    }
    assert_eq!(
        running.platform.lock().instances,
        5,
        "asking changes nothing"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_platform_that_is_not_there_is_told_as_that() {
    let running = Running::start().await;
    let api = running.api.clone();
    running.stop().await;
    let target = CloudController::new(api);
    let silent = target.workloads(&[app()], 1_000).await;
    let Err(TargetError::Call(CallError::Unreachable { .. })) = silent else {
        panic!("{silent:?}");
    };
}
