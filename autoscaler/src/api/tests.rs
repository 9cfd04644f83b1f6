//! The API as its clients meet it, over a scripted platform.

use axum::body::{Body, to_bytes};
use cfx_process::telemetry::Metrics;
use cfx_store::store::Store;
use http::{Method, Request};
use tower_service::Service;

use super::access::Verdict;
use super::*;
use crate::scripted::{START, Scripted, app};
use crate::state::commit_all;
use crate::state::record::{Ended, HistoryEntry};
use crate::state::ring::ACTS;

struct Harness {
    platform: Scripted,
    context: Context,
    router: Router,
}

impl Harness {
    async fn new() -> Self {
        let platform = Scripted::new();
        platform.has(app(1), 5);
        let events = Arc::new(Events::register(&Metrics::default()));
        let latest = Latest::default();
        latest.leads(true);
        let context = Context {
            edges: platform.edges(),
            policies: platform.policies().await,
            inbox: Inbox::default(),
            latest,
            events,
            rate: Arc::default(),
        };
        Self {
            router: endpoints(context.clone()),
            platform,
            context,
        }
    }

    /// Status and body.
    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        // Each request in a second of its own, so that the rate is no matter here.
        self.platform.pass(1);
        self.ask_at_once(method, path, body).await
    }

    async fn ask_at_once(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let path = path.replace("APP", &app(1).to_string());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "bearer x")
            .body(Body::from(body.to_owned()))
            .expect("a request");
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let answer = self.router.clone().call(request).await.expect("answers");
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1_000_000).await.expect("body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn add(&self, rules: &[&str]) -> (u16, Value) {
        let body = json!({ "statements": rules }).to_string();
        self.ask(Method::POST, "/v1/apps/APP/cfx/rules", &body)
            .await
    }
}

const OUT: &str = "scale 40% if CPU >90% for 1h";
const IN: &str = "scale in 20% if CPU <20% for 30m";

#[tokio::test]
async fn rules_are_added_shown_numbered_and_removed() {
    let harness = Harness::new().await;
    let (status, none) = harness.ask(Method::GET, "/v1/apps/APP/cfx/rules", "").await;
    assert_eq!(status, 404);
    assert!(
        none["message"]
            .as_str()
            .expect("words")
            .contains("cfx autoscale add")
    );
    assert_eq!(harness.add(&[OUT]).await.0, 200);
    let (_, both) = harness.add(&[IN]).await;
    assert_eq!(both["statements"], json!([OUT, IN]));
    assert_eq!(both["enabled"], true);

    let path = "/v1/apps/APP/cfx/rules/3";
    let (status, missing) = harness.ask(Method::DELETE, path, "").await;
    assert_eq!(status, 404);
    assert!(
        missing["message"]
            .as_str()
            .expect("words")
            .contains("1 to 2")
    );
    let path = "/v1/apps/APP/cfx/rules/1";
    let (_, left) = harness.ask(Method::DELETE, path, "").await;
    assert_eq!(left["statements"], json!([IN]));
    let (_, gone) = harness.ask(Method::DELETE, path, "").await;
    assert_eq!(gone["statements"], json!([]));
    let again = harness.platform.policies().await;
    assert!(again.get(app(1)).is_none(), "the store knows it too");
}

#[tokio::test]
async fn the_brake_is_pulled_and_let_go() {
    let harness = Harness::new().await;
    harness.add(&[OUT]).await;
    let pause = r#"{"seconds": 60, "reason": "a drill"}"#;
    let (_, paused) = harness
        .ask(Method::PUT, "/v1/apps/APP/cfx/pause", pause)
        .await;
    assert_eq!(paused["pause"]["reason"], "a drill");
    assert_eq!(paused["pause"]["until"], harness.platform.now() + 60);
    let (_, free) = harness
        .ask(Method::DELETE, "/v1/apps/APP/cfx/pause", "")
        .await;
    assert_eq!(free["pause"], Value::Null);
    let off = r#"{"enabled": false}"#;
    let (_, off) = harness
        .ask(Method::PUT, "/v1/apps/APP/cfx/enabled", off)
        .await;
    assert_eq!(off["enabled"], false);
    assert_eq!(harness.context.policies.enabled().len(), 0);
}

#[tokio::test]
async fn bad_input_is_answered_with_what_to_do() {
    let harness = Harness::new().await;
    let long = format!("{{\"statements\":[\"{}\"]}}", "x".repeat(BODY_MAX_BYTES));
    for (method, path, body, status, says) in [
        (Method::POST, "cfx/rules", "{", 400, "cannot be understood"),
        (
            Method::POST,
            "cfx/rules",
            "{\"rules\":[]}",
            400,
            "statements",
        ),
        (
            Method::POST,
            "cfx/rules",
            "{\"statements\":[\"scale sideways\"]}",
            400,
            "column",
        ),
        (Method::POST, "cfx/rules", &long, 413, ""),
        (
            Method::PUT,
            "cfx/enabled",
            "{\"enabled\":1}",
            400,
            "boolean",
        ),
        (Method::PUT, "cfx/pause", "{\"seconds\":-1}", 400, "u32"),
        (
            Method::GET,
            "scaling_histories?page=0",
            "",
            400,
            "page must be 1",
        ),
        (
            Method::GET,
            "scaling_histories?results-per-page=1000",
            "",
            400,
            "1 to 500",
        ),
        (
            Method::GET,
            "scaling_histories?order=up",
            "",
            400,
            "asc or desc",
        ),
        (
            Method::GET,
            "scaling_histories?start-time=5&end-time=4",
            "",
            400,
            "start-time",
        ),
        (
            Method::GET,
            "scaling_histories?start-time=x",
            "",
            400,
            "whole number",
        ),
        (
            Method::GET,
            "aggregated_metric_histories/a%20b",
            "",
            400,
            "letters",
        ),
        (Method::PUT, "policy", "[1", 400, "cannot be understood"),
        (
            Method::PUT,
            "policy",
            "{\"instance_min_count\":3}",
            400,
            "(root).instance_max_count",
        ),
        (
            Method::POST,
            "metrics",
            "{\"instance_index\":0,\"metrics\":[]}",
            404,
            "no scaling rules",
        ),
        (Method::DELETE, "policy", "", 404, "no scaling rules"),
        (Method::GET, "policy", "", 404, "no scaling rules"),
        (Method::GET, "cfx/explain", "", 404, "no scaling rules"),
        (Method::PATCH, "policy", "", 404, "no such endpoint"),
        (Method::GET, "nothing", "", 404, "no such endpoint"),
    ] {
        let whole = format!("/v1/apps/APP/{path}");
        let (found, told) = harness.ask(method.clone(), &whole, body).await;
        assert_eq!(found, status, "{method} {path}: {told}");
        assert!(told.to_string().contains(says), "{method} {path}: {told}");
    }
    assert!(harness.context.policies.get(app(1)).is_none(), "no trace");
}

#[tokio::test]
async fn who_may_not_is_told_so_and_who_may_not_see_is_told_nothing() {
    let harness = Harness::new().await;
    for (verdict, status) in [
        (Verdict::Unknown, 401),
        (Verdict::Hidden, 404),
        (Verdict::Forbidden, 403),
    ] {
        harness.platform.judge(verdict);
        assert_eq!(harness.add(&[OUT]).await.0, status);
        for path in [
            "policy",
            "scaling_histories",
            "cfx/explain",
            "cfx/decisions",
        ] {
            let whole = format!("/v1/apps/APP/{path}");
            assert_eq!(
                harness.ask(Method::GET, &whole, "").await.0,
                status,
                "{path}"
            );
        }
    }
    harness.platform.judge(Verdict::Allowed);
    let request = Request::get(format!("/v1/apps/{}/policy", app(1)));
    let anonymous = request.body(Body::empty()).expect("a request");
    assert_eq!(harness.send(anonymous).await.0, 401);
    let (status, _) = harness
        .ask(Method::GET, "/v1/apps/not-a-guid/policy", "")
        .await;
    assert_eq!(status, 404);
    let health = Request::get("/health")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(harness.send(health).await.0, 200, "health is for everybody");
}

#[tokio::test]
async fn a_caller_in_a_hurry_is_slowed_down() {
    let harness = Harness::new().await;
    let mut last = 0;
    for _ in 0..=crate::config::REQUESTS_PER_SECOND {
        let path = "/v1/apps/APP/scaling_histories";
        last = harness.ask_at_once(Method::GET, path, "").await.0;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn histories_come_in_pages() {
    let harness = Harness::new().await;
    let entry = |number: u32| HistoryEntry {
        at_ns: (START + i64::from(number)) * 1_000_000_000,
        ended: if number == 2 {
            Ended::Failed
        } else {
            Ended::Succeeded
        },
        scheduled: number == 1,
        from: number,
        to: number + 1,
        reason: format!("reason {number}"),
        explanation: String::new(),
        error: String::new(),
    };
    let ops = (0..5).map(|it| ACTS.put(app(1), it.into(), &entry(it)));
    let ops = ops.collect::<Result<Vec<_>, _>>().expect("serialises");
    let stored = commit_all(&*harness.platform.store, ops, None).await;
    stored.expect("kept");
    let list = "/v1/apps/APP/scaling_histories?order-direction=asc&results-per-page=2";
    harness.platform.pass(10);
    let (_, first) = harness.ask(Method::GET, list, "").await;
    assert_eq!(first["total_results"], 5);
    assert_eq!(first["total_pages"], 3);
    assert_eq!(first["prev_url"], Value::Null);
    let resources = first["resources"].as_array().expect("a list");
    assert_eq!(resources[0]["reason"], "reason 0");
    assert_eq!(resources[0]["new_instances"], 1);
    assert_eq!(resources[1]["scaling_type"], 1);
    let next = first["next_url"].as_str().expect("another");
    let (_, second) = harness.ask(Method::GET, next, "").await;
    assert_eq!(second["page"], 2);
    assert_eq!(second["resources"][0]["status"], 1);
    assert_eq!(second["resources"][0]["new_instances"], -1);
    let (_, newest) = harness
        .ask(Method::GET, "/v1/apps/APP/scaling_histories", "")
        .await;
    assert_eq!(newest["resources"][0]["reason"], "reason 4");
}

#[tokio::test]
async fn an_apps_own_measurements_are_taken_when_a_rule_looks_at_them() {
    let harness = Harness::new().await;
    harness.add(&["scale 40% if metric jobs >9 for 30s"]).await;
    let send = async |body: Value| {
        let body = body.to_string();
        harness
            .ask(Method::POST, "/v1/apps/APP/metrics", &body)
            .await
    };
    let jobs =
        json!({"instance_index": 3, "metrics": [{"name": "jobs", "value": 12.5, "unit": ""}]});
    assert_eq!(send(jobs).await.0, 200);
    let taken = harness.context.inbox.take(app(1));
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].index, taken[0].value), (3, 12_500));
    let other = json!({"instance_index": 0, "metrics": [{"name": "mood", "value": 1}]});
    let (status, told) = send(other).await;
    assert_eq!(status, 400);
    assert!(told.to_string().contains("no rule"), "{told}");
    let huge = json!({"instance_index": 4_000_000_000_u32, "metrics": []});
    assert_eq!(send(huge).await.0, 400);
    harness.context.latest.leads(false);
    let jobs = json!({"instance_index": 3, "metrics": [{"name": "jobs", "value": 1}]});
    assert_eq!(send(jobs).await.0, 409);
}

#[tokio::test]
async fn aggregates_are_means_of_forty_seconds() {
    let harness = Harness::new().await;
    for second in 0..80 {
        harness
            .platform
            .second(Some(if second < 40 { 10_000 } else { 20_500 }));
    }
    let path = "/v1/apps/APP/aggregated_metric_histories/cpuutil?order-direction=asc";
    let (status, list) = harness.ask(Method::GET, path, "").await;
    assert_eq!(status, 200, "{list}");
    let resources = list["resources"].as_array().expect("a list").iter();
    let values: Vec<_> = resources.map(|it| it["value"].as_str()).collect();
    assert_eq!(values, [Some("10"), Some("21")]);
    assert_eq!(list["resources"][0]["unit"], "%");
}

#[tokio::test]
async fn an_app_sends_measurements_with_a_credential_of_its_own() {
    let harness = Harness::new().await;
    harness.add(&["scale 40% if metric jobs >9 for 30s"]).await;
    let path = "/v1/apps/APP/credential";
    let (_, made) = harness.ask(Method::PUT, path, "").await;
    let text = |key: &str| made[key].as_str().expect("made").to_owned();
    let send = async |user: &str, password: &str| {
        let pair = base64::Engine::encode(
            &base64::prelude::BASE64_STANDARD,
            format!("{user}:{password}"),
        );
        let body = json!({"instance_index": 0, "metrics": [{"name": "jobs", "value": 1}]});
        let request = Request::post(format!("/v1/apps/{}/metrics", app(1)))
            .header("authorization", format!("Basic {pair}"))
            .body(Body::from(body.to_string()))
            .expect("a request");
        harness.send(request).await.0
    };
    // The platform itself knows no such caller.
    harness.platform.judge(Verdict::Unknown);
    assert_eq!(send(&text("username"), &text("password")).await, 200);
    assert_eq!(send(&text("username"), "wrong").await, 401);
    let kept = harness.platform.store.load(crate::state::CREDENTIAL).await;
    let kept = format!("{:?}", kept.expect("loads").entries[0].value);
    assert!(!kept.contains(&text("password")), "only a digest is kept");
    harness.platform.judge(Verdict::Allowed);
    assert_eq!(harness.ask(Method::DELETE, path, "").await.0, 200);
    assert_eq!(send(&text("username"), &text("password")).await, 401);
}

#[tokio::test]
async fn a_policy_is_given_back_as_it_came_and_sentences_as_nearly_as_can_be() {
    let harness = Harness::new().await;
    let policy = json!({
        "instance_min_count": 2,
        "instance_max_count": 9,
        "scaling_rules": [{
            "metric_type": "cpuutil", "operator": ">", "threshold": 90,
            "breach_duration_secs": 3600, "cool_down_secs": 60, "adjustment": "+40%",
        }],
    });
    let path = "/v1/apps/APP/policy";
    let (status, _) = harness.ask(Method::PUT, path, &policy.to_string()).await;
    assert_eq!(status, 200);
    let (_, shown) = harness.ask(Method::GET, path, "").await;
    assert_eq!(shown, policy);
    let again = harness.platform.policies().await;
    let kept = again.get(app(1)).expect("kept");
    assert!(
        kept.record.text.contains("avg of CPU >90%"),
        "{}",
        kept.record.text
    );
    let (_, rules) = harness.ask(Method::GET, "/v1/apps/APP/cfx/rules", "").await;
    assert_eq!(rules["is_policy"], true);

    harness.add(&[IN]).await;
    let (status, told) = harness.ask(Method::GET, path, "").await;
    assert_eq!(status, 409, "all of is more than a policy can say: {told}");
    assert_eq!(harness.ask(Method::DELETE, path, "").await.0, 200);
    assert_eq!(harness.ask(Method::GET, path, "").await.0, 404);
}
