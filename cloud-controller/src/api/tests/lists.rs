//! Lists: pages, order, filters, links.

use http::{Method, Request};
use serde_json::{Value, json};

use super::harness::{Harness, ORIGIN};

async fn with_organizations(names: &[&str]) -> (Harness, String) {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    for name in names {
        harness.advance(1);
        let body = json!({"name": name, "metadata": {"labels": {"first": &name[..1]}}});
        assert_eq!(
            harness.post("/v3/organizations", &admin, body).await.status,
            201
        );
    }
    (harness, admin)
}

fn names(body: &Value) -> Vec<String> {
    let resources = body["resources"].as_array().expect("a list").iter();
    resources
        .map(|it| it["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_follow_each_other_by_absolute_links_that_keep_the_query() {
    let (harness, admin) = with_organizations(&["d", "a", "c", "b", "e"]).await;
    let mut path = "/v3/organizations?order_by=name&per_page=2&names=a,b,c,d,e&x=y".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let body = harness.get(&path, &admin).await.json();
        assert_eq!(body["pagination"]["total_results"], 5);
        assert_eq!(body["pagination"]["total_pages"], 3);
        seen.extend(names(&body));
        let next = body["pagination"]["next"]["href"]
            .as_str()
            .unwrap_or_default();
        if next.is_empty() {
            break;
        }
        assert!(next.starts_with(ORIGIN) && next.contains("x=y"), "{next}");
        path = next.trim_start_matches(ORIGIN).to_owned();
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    let beyond = harness
        .get("/v3/organizations?page=9&per_page=2", &admin)
        .await
        .json();
    assert_eq!(names(&beyond), [""; 0]);
    assert_eq!(beyond["pagination"]["next"], Value::Null);
}

#[tokio::test]
async fn order_filters_and_labels_choose_what_is_shown() {
    let (harness, admin) = with_organizations(&["alpha", "b,c", "beta"]).await;
    for (query, expected) in [
        ("order_by=-created_at", vec!["beta", "b,c", "alpha"]),
        ("order_by=-name", vec!["beta", "b,c", "alpha"]),
        ("names=b%252Cc", vec!["b,c"]),
        ("names=b,c", vec![]),
        ("names=", vec![]),
        ("label_selector=first%3Db", vec!["b,c", "beta"]),
        ("label_selector=first+notin+(b)", vec!["alpha"]),
        ("created_ats[lt]=2027-01-15T08:00:02Z", vec!["alpha"]),
        ("guids=6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001", vec![]),
        ("unknown=1", vec!["alpha", "b,c", "beta"]),
    ] {
        let body = harness
            .get(&format!("/v3/organizations/?{query}"), &admin)
            .await
            .json();
        assert_eq!(names(&body), expected, "{query}");
    }
}

#[tokio::test]
async fn links_begin_with_what_the_client_asked_or_the_operator_set() {
    let harness = Harness::new().await;
    let ask = async |host: &str, proto: Option<&str>| {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri("/")
            .header("host", host);
        if let Some(proto) = proto {
            request = request.header("x-forwarded-proto", proto);
        }
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let body = harness.request(request).await.json();
        body["links"]["cloud_controller_v3"]["href"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(ask("10.0.0.1:1234", None).await, "http://10.0.0.1:1234/v3");
    assert_eq!(
        ask("api.example.com", Some("https")).await,
        "https://api.example.com/v3"
    );
    assert_eq!(
        ask("[::1]:8880", Some("gopher")).await,
        "http://[::1]:8880/v3"
    );
    assert_eq!(ask("evil/\"><script>", None).await, "http://localhost/v3");
}

#[tokio::test]
async fn the_root_names_what_clients_need() {
    let harness = Harness::new().await;
    let root = harness.send(Method::GET, "/", None, "").await;
    let links = &root.json()["links"];
    assert_eq!(
        links["log_cache"]["href"], ORIGIN,
        "its clients put their own path there"
    );
    assert_eq!(links["login"]["href"], format!("{ORIGIN}/uaa"));
    assert_eq!(links["uaa"]["href"], format!("{ORIGIN}/uaa"));
    assert_eq!(links["cloud_controller_v3"]["meta"]["version"], "3.211.0");
    let v3 = harness.send(Method::GET, "/v3", None, "").await.json();
    assert_eq!(v3["links"]["apps"]["href"], format!("{ORIGIN}/v3/apps"));
    assert!(root.json().get("cf_on_k8s").is_none());
    assert_eq!(root.headers["x-content-type-options"], "nosniff");
    assert!(root.headers.contains_key("x-vcap-request-id"));
}
