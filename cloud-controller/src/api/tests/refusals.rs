//! Bad requests: the right status, a message that says what to do, and no trace.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::harness::Harness;
use crate::api::request::JSON_MAX_BYTES;

#[tokio::test]
async fn what_is_not_an_endpoint_is_an_unknown_request() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    for (method, path) in [
        (Method::GET, "/nothing"),
        (Method::GET, "/v3/nothing"),
        (Method::PUT, "/v3/organizations"),
        (Method::GET, "/uaa/v3/organizations"),
        (Method::GET, "//"),
    ] {
        let reply = harness.send(method, path, Some(&admin), "").await;
        if path == "//" {
            assert_eq!(reply.status, 200, "the root with one slash too many");
            continue;
        }
        let expected = (404, 10_000, "Unknown request".to_owned());
        assert_eq!(reply.error(), expected, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_told_apart_from_those_that_mean_nothing() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(JSON_MAX_BYTES));
    for (body, status, code, says) in [
        ("{", 400, 1_001, "parse error"),
        ("name=x", 400, 1_001, "JSON object"),
        (large.as_str(), 400, 1_001, "larger than"),
        ("[]", 422, 10_008, ""),
        ("{}", 422, 10_008, "name"),
        ("", 422, 10_008, "name"),
        (r#"{"name": 7}"#, 422, 10_008, "string"),
        (
            r#"{"name": "x", "colour": "red"}"#,
            422,
            10_008,
            "Unknown field(s): 'colour'",
        ),
        (r#"{"name": ""}"#, 422, 10_008, "can't be blank"),
        (r#"{"name": "a\nb"}"#, 422, 10_008, "printable"),
        (
            r#"{"name": "x", "metadata": {"labels": {"bad key": "v"}}}"#,
            422,
            10_008,
            "Metadata",
        ),
    ] {
        let reply = harness
            .send(Method::POST, "/v3/organizations", Some(&admin), body)
            .await;
        let (got_status, got_code, detail) = reply.error();
        let shown = body.get(..40).unwrap_or(body);
        assert_eq!((got_status, got_code), (status, code), "{shown}: {reply:?}");
        assert!(detail.contains(says), "{shown}: {detail}");
    }
    assert_eq!(
        harness.get("/v3/organizations", &admin).await.json()["resources"],
        json!([])
    );
}

#[tokio::test]
async fn a_body_that_nests_too_deeply_is_refused_before_it_costs_anything() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"type": "user-provided", "credentials": {{"a": {deep}}}}}"#);
    let reply = harness
        .send(Method::POST, "/v3/service_instances", Some(&admin), &body)
        .await;
    let (status, code, detail) = reply.error();
    assert_eq!((status, code), (400, 1_001), "{detail}");
    assert!(detail.contains("recursion limit"), "{detail}");
}

#[tokio::test]
async fn without_a_good_token_nothing_is_told() {
    let harness = Harness::new().await;
    let none = harness
        .send(Method::GET, "/v3/organizations", None, "")
        .await;
    assert_eq!(
        none.error(),
        (401, 10_002, "Authentication error".to_owned())
    );
    for token in ["", "x", "a.b.c", "../../etc/passwd"] {
        let reply = harness.get("/v3/organizations", token).await;
        assert_eq!(reply.status, 401, "{token}");
    }
    let basic = Request::builder()
        .uri("/v3/organizations")
        .header("authorization", "Basic YWRtaW46YWRtaW4=")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(harness.request(basic).await.error().1, 10_002);
}

#[tokio::test]
async fn nonsense_in_queries_and_guids_is_refused_or_finds_nothing() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    for query in [
        "per_page=0",
        "per_page=5001",
        "per_page=-1",
        "per_page=x",
        "page=0",
        "order_by=colour",
        "label_selector=a+b",
        "created_ats=yesterday",
    ] {
        let reply = harness
            .get(&format!("/v3/organizations?{query}"), &admin)
            .await;
        assert_eq!(reply.error().1, 10_005, "{query}: {reply:?}");
    }
    let missing = harness
        .get(
            "/v3/organizations/6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001",
            &admin,
        )
        .await;
    for guid in [
        "x",
        "%00",
        "..%2f..",
        "00000000-0000-0000-0000-000000000000",
        "%ff",
    ] {
        let reply = harness
            .get(&format!("/v3/organizations/{guid}"), &admin)
            .await;
        assert_eq!(
            (reply.status, &reply.text),
            (missing.status, &missing.text),
            "{guid}"
        );
    }
}

#[tokio::test]
async fn a_read_only_token_cannot_write() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let client = json!({
        "client_id": "reader", "client_secret": "s", "authorized_grant_types": ["client_credentials"],
        "authorities": ["cloud_controller.read"],
    });
    assert_eq!(
        harness.post("/oauth/clients", &admin, client).await.status,
        201
    );
    let form = "grant_type=client_credentials&client_id=reader&client_secret=s";
    let reply = harness.send(Method::POST, "/oauth/token", None, form).await;
    let body = reply.json();
    let reader = body["access_token"].as_str().expect("a token");
    assert_eq!(harness.get("/v3/organizations", reader).await.status, 200);
    let write = harness
        .post("/v3/organizations", reader, json!({"name": "x"}))
        .await;
    assert_eq!(write.error().1, 10_003);
}
