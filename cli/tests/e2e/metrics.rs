//! What an app used and answered is known within seconds, to those who may see it.

use std::time::Duration;

use crate::harness::{Platform, text, wait};

/// Requests that are sent and must be counted, all of them and no other.
const REQUESTS: u32 = 25;

pub fn queried_within_seconds(platform: &Platform) {
    let home = platform.space("numbers");
    platform.push_probe(&home, "numbers", &[]);
    platform.wait_for_app("numbers");
    let guid = platform.ok_at(&home, &["app", "numbers", "--guid"]);
    let guid = guid.trim();
    let ask = |query: &str| {
        let query = query.replace("APP", &format!(r#"source_id="{guid}""#));
        let path = format!("/api/v1/query?query={}", encoded(&query));
        text(&platform.cfx_at(&home, &["curl", &path]))
    };
    let number = |query: &str| value(&ask(query));

    // Those that asked whether it is there are counted, too.
    let counted = "sum(sum_over_time(http_requests{APP}[10m]))";
    let before = wait(Duration::from_secs(20), || {
        number(counted).filter(|it| *it > 0.0)
    });
    let before = before.unwrap_or_else(|| panic!("requests are counted: {}", ask(counted)));
    for _ in 0..REQUESTS {
        assert_eq!(platform.get("numbers", "/").expect("answers").status, 200);
    }
    let all = before + f64::from(REQUESTS);
    let seen = wait(Duration::from_secs(10), || {
        number(counted).filter(|it| *it >= all)
    });
    assert_eq!(seen, Some(all), "{}", ask(counted));

    for (query, at_least) in [
        ("max_over_time(cpu{APP}[1m])", 0.0),
        ("cpu_entitlement{APP}", 0.0),
        ("memory{APP}", 1_000_000.0),
        ("memory{APP} / memory_quota{APP}", 0.001),
        ("disk{APP}", 1.0),
        ("pids{APP}", 1.0),
        ("container_age{APP}", 1.0),
        ("crashes{APP}", 0.0),
        ("http_errors{APP}", 0.0),
        ("http_in_flight{APP}", 0.0),
        ("max_over_time(http_latency_p99{APP}[1m])", 0.001),
    ] {
        let value = wait(Duration::from_secs(10), || {
            number(query).filter(|it| *it >= at_least)
        });
        assert!(value.is_some(), "{query}: {}", ask(query));
    }
    let gauges = format!("/api/v1/read/{guid}?envelope_types=GAUGE&descending=true&limit=1");
    let gauges = text(&platform.cfx_at(&home, &["curl", &gauges]));
    assert!(gauges.contains("\"memory_quota\""), "{gauges}");
    platform.ok_at(&home, &["delete", "numbers", "-f", "-r"]);
}

/// The value of the one series of an answer.
fn value(answer: &str) -> Option<f64> {
    let body: serde_json::Value = serde_json::from_str(answer).ok()?;
    body["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

fn encoded(query: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    query.bytes().map(byte).collect()
}
