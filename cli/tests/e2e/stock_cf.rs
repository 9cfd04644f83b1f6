//! Drives the stock `cf` CLI v8 when it is on PATH, and says so when it is not. The request
//! sequences of that CLI are always replayed by the controller's own tests.

use std::process::{Command, Output, Stdio};

use crate::harness::{PASSWORD, Platform, probe_app, probe_image, text};

fn cf(platform: &Platform, arguments: &[&str]) -> Output {
    Command::new("cf")
        .args(arguments)
        .env("CF_HOME", platform.path("cf-home"))
        .env("CF_COLOR", "false")
        .stdin(Stdio::null())
        .output()
        .expect("cf runs")
}

fn ok(platform: &Platform, arguments: &[&str]) -> String {
    let output = cf(platform, arguments);
    assert!(
        output.status.success(),
        "cf {arguments:?} exits {:?}: {}",
        output.status.code(),
        text(&output)
    );
    text(&output)
}

#[allow(
    clippy::too_many_lines,
    reason = "one tour, in the order that a user takes it"
)]
pub fn whole_tour(platform: &Platform) {
    if Command::new("cf").arg("version").output().is_err() {
        println!("the stock cf CLI is not on PATH: its tour was not taken");
        return;
    }
    std::fs::create_dir_all(platform.path("cf-home")).expect("a folder");
    let source = probe_app(&platform.path("cf-src"), "tour", "well");
    let manifest = format!("{source}/manifest.yml");
    ok(
        platform,
        &["api", &format!("http://127.0.0.1:{}", platform.api)],
    );
    ok(platform, &["auth", "admin", PASSWORD]);
    ok(platform, &["create-org", "tour"]);
    ok(platform, &["target", "-o", "tour"]);
    ok(platform, &["create-space", "work"]);
    ok(platform, &["target", "-o", "tour", "-s", "work"]);
    let pushed = ok(platform, &["push", "-f", &manifest, "-p", &source]);
    assert!(
        pushed.contains("#0") && pushed.contains("running"),
        "{pushed}"
    );
    platform.wait_for_app("tour");
    let apps = ok(platform, &["apps"]);
    assert!(apps.contains("tour") && apps.contains("web:1/1"), "{apps}");
    ok(platform, &["scale", "tour", "-i", "3"]);
    ok(platform, &["scale", "tour", "-m", "96M", "-f"]);
    let app = ok(platform, &["app", "tour"]);
    assert!(app.contains("#2") && app.contains("of 96M"), "{app}");
    ok(platform, &["set-env", "tour", "COLOUR", "blue"]);
    assert!(
        ok(platform, &["env", "tour"]).contains("COLOUR"),
        "env shows it"
    );
    for verb in ["restart", "stop", "start", "restage"] {
        ok(platform, &[verb, "tour"]);
    }
    assert!(
        ok(platform, &["logs", "tour", "--recent"]).contains("probe listens"),
        "logs hold what the app said"
    );
    assert!(
        ok(platform, &["events", "tour"]).contains("audit.app"),
        "events are there"
    );
    ok(
        platform,
        &[
            "map-route",
            "tour",
            &platform.domain,
            "--hostname",
            "second",
        ],
    );
    assert!(
        ok(platform, &["routes"]).contains("second"),
        "the route is listed"
    );
    platform.wait_for_app("second");
    ok(
        platform,
        &[
            "unmap-route",
            "tour",
            &platform.domain,
            "--hostname",
            "second",
        ],
    );

    let three = platform.path("three.yml");
    let app = |name: &str| format!("- name: {name}\n  <<: *all\n");
    let text_of_three = format!(
        "all: &all\n  memory: 64M\n  disk_quota: 128M\n  path: {source}\n  buildpacks: [procfile_buildpack]\napplications:\n{}{}{}",
        app("one"),
        app("two"),
        app("three")
    );
    std::fs::write(&three, text_of_three).expect("written");
    ok(platform, &["push", "-f", &three.display().to_string()]);
    platform.wait_for_app("three");
    for name in ["one", "two", "three", "tour"] {
        ok(platform, &["delete", name, "-f", "-r"]);
    }
    let image = probe_image(&platform.path("cf-image"));
    ok(
        platform,
        &[
            "push",
            "imaged-by-cf",
            "--docker-image",
            image,
            "-m",
            "32M",
            "-k",
            "64M",
        ],
    );
    platform.wait_for_app("imaged-by-cf");
    ok(platform, &["delete", "imaged-by-cf", "-f", "-r"]);
    ok(platform, &["delete-org", "tour", "-f"]);
}
