//! Apps that misbehave: each is reported as what it is, and its neighbours keep answering.

use std::time::{Duration, Instant};

use crate::harness::{Platform, probe_app, text, wait};

fn push(
    platform: &Platform,
    home: &str,
    name: &str,
    behave: &str,
    more: &[&str],
) -> std::process::Output {
    let source = probe_app(&platform.path(&format!("{name}-src")), name, behave);
    let manifest = format!("{source}/manifest.yml");
    let mut arguments = vec!["push", "-f", manifest.as_str(), "-p", source.as_str()];
    arguments.extend_from_slice(more);
    platform.cfx_at(home, &arguments)
}

/// Wait until `cfx events` of an app holds a text.
fn event(platform: &Platform, home: &str, app: &str, wanted: &str) {
    let mut last = String::new();
    let found = wait(Duration::from_secs(40), || {
        last = platform.ok_at(home, &["events", app]);
        last.contains(wanted).then_some(())
    });
    assert!(found.is_some(), "no event says {wanted:?}:\n{last}");
}

pub fn crash_loop(platform: &Platform) {
    let home = platform.space("crash");
    let pushed = push(platform, &home, "crasher", "crash", &[]);
    assert_eq!(
        pushed.status.code(),
        Some(1),
        "push of an app that always crashes fails: {}",
        text(&pushed)
    );
    let app = platform.ok_at(&home, &["app", "crasher"]);
    assert!(app.contains("crashed"), "{app}");
    event(platform, &home, "crasher", "Exited with status 7");
    let why = platform.ok_at(&home, &["why", "crasher/0"]);
    assert!(
        why.contains("status 7") && why.contains("next try at"),
        "{why}"
    );
    let logs = platform.ok_at(&home, &["logs", "crasher", "--recent"]);
    assert!(
        logs.contains("about to crash") && logs.contains("Exit status 7"),
        "{logs}"
    );
    platform.ok_at(&home, &["delete", "crasher", "-f", "-r"]);
}

pub fn deaf(platform: &Platform) {
    let home = platform.space("deaf");
    let pushed = push(platform, &home, "deaf", "deaf", &["-t", "3"]);
    assert_eq!(pushed.status.code(), Some(1), "{}", text(&pushed));
    event(platform, &home, "deaf", "never healthy after 3s");
    platform.ok_at(&home, &["delete", "deaf", "-f", "-r"]);
}

pub fn out_of_memory(platform: &Platform) {
    let home = platform.space("oom");
    let pushed = push(platform, &home, "eater", "well", &[]);
    assert!(pushed.status.success(), "{}", text(&pushed));
    platform.wait_for_app("eater");
    drop(platform.get("eater", "/oom"));
    event(platform, &home, "eater", "out of memory");
    platform.wait_for_app("eater");
    platform.ok_at(&home, &["delete", "eater", "-f", "-r"]);
}

pub fn hanging(platform: &Platform) {
    let home = platform.space("hang");
    let pushed = push(platform, &home, "hanger", "well", &[]);
    assert!(pushed.status.success(), "{}", text(&pushed));
    let guid = platform
        .ok_at(&home, &["app", "hanger", "--guid"])
        .trim()
        .to_owned();
    // A quick liveness check, as a user would set it, and then a stopped process.
    let process = platform.ok_at(&home, &["curl", &format!("/v3/apps/{guid}/processes/web")]);
    let process: serde_json::Value = serde_json::from_str(&process).expect("JSON");
    let path = format!(
        "/v3/processes/{}",
        process["guid"].as_str().expect("a guid")
    );
    let check = r#"{"health_check":{"type":"http","data":{"endpoint":"/","interval":1,"invocation_timeout":1}}}"#;
    platform.ok_at(&home, &["curl", "-X", "PATCH", &path, "-d", check]);
    platform.ok_at(&home, &["restart", "hanger"]);
    let first = platform.wait_for_app("hanger").body;
    drop(platform.get("hanger", "/hang"));
    event(platform, &home, "hanger", "unhealthy");
    let back = wait(Duration::from_secs(60), || {
        platform.get("hanger", "/").ok().filter(|a| a.status == 200)
    });
    assert_ne!(back.expect("a new instance answers").body, first);
    platform.ok_at(&home, &["delete", "hanger", "-f", "-r"]);
}

pub fn neighbours(platform: &Platform) {
    let home = platform.space("noise");
    // The bomb has memory enough to meet the limit of processes first.
    for (name, behave, memory) in [
        ("quiet", "well", "64M"),
        ("flooder", "flood", "64M"),
        ("bomber", "bomb", "2G"),
    ] {
        let pushed = push(platform, &home, name, behave, &["-m", memory]);
        assert!(pushed.status.success(), "{name}: {}", text(&pushed));
    }
    let end = Instant::now() + Duration::from_secs(8);
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < end {
        let started = Instant::now();
        let answer = platform.get("quiet", "/").expect("the neighbour answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        slowest = slowest.max(started.elapsed());
        asked += 1;
    }
    assert!(
        asked > 50,
        "only {asked} answers in 8 s; the slowest took {slowest:?}"
    );
    let mut last = String::new();
    let noticed = wait(Duration::from_secs(20), || {
        last = platform.ok_at(&home, &["app", "bomber"]);
        last.lines()
            .any(|line| line.starts_with("#0") && line.contains("running"))
            .then_some(())
    });
    assert!(
        noticed.is_some(),
        "the fork bomb is contained, not killed:\n{last}"
    );
    for name in ["quiet", "flooder", "bomber"] {
        platform.ok_at(&home, &["delete", name, "-f", "-r"]);
    }
}
