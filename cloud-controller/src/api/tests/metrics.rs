//! Log-cache's numbers as its clients read them: PromQL, gauges, and who sees what.

use cfx_protocol::id::{AppGuid, InstanceGuid, ProcessGuid};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::{Harness, Reply};
use super::world::World;
use crate::metrics_history::{Entry, Facts, Identity, Kind};

/// Ten seconds of one instance of each side's app, up to now.
async fn with_numbers() -> (Harness, World, i64) {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let now = harness.context.clock.now().as_second();
    for second in now - 9..=now {
        for (app, process) in [
            (world.own.app, world.own.process),
            (world.foreign.app, world.foreign.process),
        ] {
            harness
                .context
                .metrics
                .write(second, [entry(app, process, now)]);
        }
    }
    (harness, world, now)
}

fn entry(app: AppGuid, process: ProcessGuid, now: i64) -> Entry {
    Entry {
        identity: Identity {
            app,
            process,
            process_type: "web".into(),
            instance: InstanceGuid(Uuid::from_u128(app.0.as_u128() ^ 1)),
            index: 3,
        },
        facts: Some(Facts {
            memory_mb: 64,
            disk_mb: 128,
            entitlement_millicores: 250,
            running_since: Some(now - 100),
        }),
        starts: None,
        values: vec![
            (Kind::Cpu, 25_000),
            (Kind::MemoryKib, 10),
            (Kind::Requests, 4),
        ],
    }
}

async fn ask(harness: &Harness, token: &str, path: &str, parameters: &[(&str, &str)]) -> Reply {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    harness
        .get(&format!("/api/v1/{path}?{}", query.finish()), token)
        .await
}

fn series(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let body = reply.json();
    assert_eq!(body["status"], "success");
    body["data"]["result"].as_array().expect("a result").clone()
}

#[tokio::test]
async fn an_instant_query_answers_with_every_label() {
    let (harness, world, now) = with_numbers().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let query = format!(r#"cpu_entitlement{{source_id="{}"}}"#, world.own.app);
    let reply = ask(&harness, &developer, "query", &[("query", &query)]).await;
    let instance = Uuid::from_u128(world.own.app.0.as_u128() ^ 1);
    assert_eq!(
        reply.json(),
        json!({"status": "success", "data": {"resultType": "vector", "result": [{
            "metric": {
                "__name__": "cpu_entitlement", "source_id": world.own.app,
                "process_id": world.own.process, "process_type": "web",
                "instance_id": "3", "process_instance_id": instance,
            },
            "value": [now, "100"],
        }]}})
    );
}

#[tokio::test]
async fn a_range_selector_answers_with_the_samples_of_many_series() {
    let (harness, world, now) = with_numbers().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let query = format!(
        r#"{{__name__=~"cpu|http_requests",source_id=~"{}|{}"}}[3s]"#,
        world.own.app, world.foreign.app
    );
    let reply = ask(&harness, &developer, "query", &[("query", &query)]).await;
    let found = series(&reply);
    assert_eq!(found.len(), 2, "the foreign app is absent: {found:?}");
    assert_eq!(
        found[0]["values"],
        json!([[now - 2, "25"], [now - 1, "25"], [now, "25"]])
    );
    // As a form, with the scope to read alone.
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("query", &query)
        .finish();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/query")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("bearer {developer}"))
        .body(form.into());
    let posted = harness.request(request.expect("a request")).await;
    assert_eq!(posted.text, reply.text);
}

#[tokio::test]
async fn a_range_query_has_a_value_for_each_step() {
    let (harness, world, now) = with_numbers().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let query = format!(
        r#"sum(sum_over_time(http_requests{{source_id="{}"}}[5s]))"#,
        world.own.app
    );
    let (start, end) = ((now - 5).to_string(), now.to_string());
    let parameters = [("query", query.as_str()), ("start", &start), ("end", &end)];
    for step in ["5", "5s"] {
        let parameters = [parameters.as_slice(), &[("step", step)]].concat();
        let reply = ask(&harness, &developer, "query_range", &parameters).await;
        assert_eq!(
            series(&reply),
            [json!({"metric": {}, "values": [[now - 5, "20"], [now, "20"]]})]
        );
    }
}

#[tokio::test]
async fn wrong_queries_are_refused_in_prometheuss_form() {
    let (harness, world, _) = with_numbers().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let many: Vec<_> = (0..=crate::api::promql::IDS_MAX)
        .map(|n| Uuid::from_u128(n as u128).to_string())
        .collect();
    let many = format!(r#"cpu{{source_id=~"{}"}}"#, many.join("|"));
    let own = format!(r#"cpu{{source_id="{}"}}"#, world.own.app);
    for (path, parameters, expected) in [
        ("query", vec![], "the parameter query is missing"),
        (
            "query",
            vec![("query", "cpu")],
            "name the apps: add {source_id=",
        ),
        ("query", vec![("query", "cpu{")], "at character 5: a label"),
        (
            "query",
            vec![("query", many.as_str())],
            "the query names 1001 apps",
        ),
        (
            "query",
            vec![("query", own.as_str()), ("time", "soon")],
            "time must be seconds",
        ),
        (
            "query",
            vec![("query", own.as_str()), ("time", "1e300")],
            "time must be seconds",
        ),
        (
            "query_range",
            vec![("query", own.as_str())],
            "the parameter start is missing",
        ),
        (
            "query_range",
            vec![
                ("query", own.as_str()),
                ("start", "0"),
                ("end", "9"),
                ("step", "0"),
            ],
            "step must be seconds",
        ),
    ] {
        let reply = ask(&harness, &developer, path, &parameters).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{reply:?}");
        let body = reply.json();
        assert_eq!(
            (&body["status"], &body["errorType"]),
            (&json!("error"), &json!("bad_data"))
        );
        let error = body["error"].as_str().expect("an error");
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn an_admin_may_ask_without_naming_apps() {
    let (harness, _, _) = with_numbers().await;
    let admin = harness.admin_token().await;
    let reply = ask(&harness, &admin, "query", &[("query", "count(memory)")]).await;
    assert_eq!(series(&reply)[0]["value"][1], "2");
}

#[tokio::test]
async fn gauges_are_read_by_their_type_and_lines_without_it() {
    let (harness, world, now) = with_numbers().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let read = async |query: &str| {
        let path = format!("/api/v1/read/{}?{query}", world.own.app);
        let body = harness.get(&path, &developer).await.json();
        body["envelopes"]["batch"]
            .as_array()
            .expect("a batch")
            .clone()
    };
    let newest = read("envelope_types=GAUGE&descending=true&limit=2").await;
    assert_eq!(newest.len(), 2);
    assert_eq!(
        newest[0]["timestamp"],
        ((now - 1) * 1_000_000_000).to_string()
    );
    assert_eq!(newest[0]["instance_id"], "3");
    assert_eq!(newest[0]["tags"]["process_type"], "web");
    let metrics = &newest[0]["gauge"]["metrics"];
    assert_eq!(metrics["cpu"], json!({"unit": "percentage", "value": 25.0}));
    assert_eq!(
        metrics["memory"],
        json!({"unit": "bytes", "value": 10_240.0})
    );
    assert_eq!(metrics["memory_quota"]["value"], 67_108_864.0);
    assert!(newest[0].get("log").is_none());
    assert_eq!(
        read("envelope_types=GAUGE&limit=1000").await.len(),
        9,
        "the end is excluded"
    );
    assert_eq!(read("").await.len(), 0);
    let meta = harness.get("/api/v1/meta", &developer).await.json();
    let own = &meta["meta"][world.own.app.to_string()];
    let lines = harness.context.log_cache.kept(world.own.app);
    let count = lines.map_or(0, |kept| kept.count) + 10;
    assert_eq!(own["count"], count.to_string());
    assert_eq!(own["newestTimestamp"], (now * 1_000_000_000).to_string());
    assert_eq!(meta["meta"].as_object().map(serde_json::Map::len), Some(1));
}
