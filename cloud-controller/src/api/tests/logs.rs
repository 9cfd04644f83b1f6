//! Log-cache as its clients read it.

use cfx_protocol::id::AppGuid;
use cfx_protocol::telemetry::{LogEnvelope, Stream};
use http::Method;
use serde_json::json;

use super::harness::Harness;
use super::world::World;

/// What `cf logs --recent` asks for.
const RECENT: &str =
    "start_time=-6795364578871345152&envelope_types=LOG&limit=1000&descending=true";

/// Two lines of the own app: `one`, then `two`. Answers the time of the second.
async fn with_lines() -> (Harness, World, i64) {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let now = harness.context.clock.now_ns();
    let line = |timestamp_ns: i64, text: &str| LogEnvelope {
        timestamp_ns,
        app: world.own.app,
        stream: Stream::Err,
        source_type: "APP/PROC/WEB".into(),
        instance_index: 2,
        process: Some(world.own.process),
        instance: None,
        payload: text.as_bytes().to_vec(),
    };
    let lines = vec![line(now - 3, "one"), line(now - 2, "two")];
    harness.context.log_cache.append(lines);
    (harness, world, now - 2)
}

#[tokio::test]
async fn recent_lines_come_newest_first_with_all_their_tags() {
    let (harness, world, second) = with_lines().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let path = format!("/api/v1/read/{}?{RECENT}", world.own.app);
    let body = harness.get(&path, &developer).await.json();
    let batch = body["envelopes"]["batch"].as_array().expect("a batch");
    assert_eq!(batch.len(), 2);
    assert_eq!(batch[0]["timestamp"], second.to_string());
    assert_eq!(batch[0]["log"], json!({"payload": "dHdv", "type": "ERR"}));
    assert_eq!(batch[0]["instance_id"], "2");
    let tags = &batch[0]["tags"];
    assert_eq!(tags["source_type"], "APP/PROC/WEB");
    assert_eq!(tags["process_type"], "web");
    assert_eq!(tags["app_name"], "app");
    assert_eq!(tags["organization_name"], "own");

    let app = format!("/v3/apps/{}", world.own.app);
    let rename = json!({"name": "renamed"}).to_string();
    let renamed = harness
        .send(Method::PATCH, &app, Some(&developer), &rename)
        .await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let body = harness.get(&path, &developer).await.json();
    assert_eq!(body["envelopes"]["batch"][0]["tags"]["app_name"], "renamed");
}

#[tokio::test]
async fn limits_and_kinds_are_honoured_and_nonsense_is_refused() {
    let (harness, world, _) = with_lines().await;
    let developer = harness.token_of(world.user("space developer")).await;
    let path = format!("/api/v1/read/{}", world.own.app);
    let count = async |query: &str| {
        let body = harness
            .get(&format!("{path}?{query}"), &developer)
            .await
            .json();
        body["envelopes"]["batch"].as_array().map(Vec::len)
    };
    assert_eq!(count("limit=1&descending=true").await, Some(1));
    assert_eq!(count("envelope_types=COUNTER").await, Some(0));
    assert_eq!(count("envelope_type=LOG&limit=1000").await, Some(2));
    for wrong in [
        "limit=1001",
        "limit=-1",
        "start_time=5&end_time=4",
        "start_time=x",
    ] {
        let reply = harness.get(&format!("{path}?{wrong}"), &developer).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    let meta = harness.get("/api/v1/meta", &developer).await.json();
    // The API itself wrote lines about the app when it was made.
    let count = meta["meta"][world.own.app.to_string()]["count"].as_str();
    assert!(count.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count > 2)));
}

#[tokio::test]
async fn lines_of_an_app_that_one_may_not_see_are_as_if_there_were_no_app() {
    let (harness, world, _) = with_lines().await;
    let outsider = harness.token_of(world.user("outsider")).await;
    let read = async |app: AppGuid| {
        harness
            .get(&format!("/api/v1/read/{app}?{RECENT}"), &outsider)
            .await
    };
    let (hidden, missing) = (read(world.own.app).await, read(AppGuid::NIL).await);
    assert_eq!((hidden.status, hidden.text), (missing.status, missing.text));
    assert_eq!(
        harness.get("/api/v1/meta", &outsider).await.json()["meta"],
        json!({})
    );
    let info = harness
        .send(Method::GET, "/api/v1/info", None, "")
        .await
        .json();
    assert!(
        info["version"]
            .as_str()
            .is_some_and(|version| version >= "2.0.0")
    );
}
