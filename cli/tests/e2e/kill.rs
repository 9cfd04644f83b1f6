//! `kill -9` of the whole platform, or of its controller: nothing acknowledged is lost, no container
//! is orphaned, what ran is adopted and not restarted.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Platform, cfx_binary, probe_app, text, wait};

/// Kills in CI; `CFX_E2E_KILLS` asks for more.
const KILLS_DEFAULT: u32 = 5;
/// Kills fall this long after a scale or push began, milliseconds, spread over the whole range.
const MOMENT_MAX_MS: u64 = 2_500;

pub fn any_moment() {
    let kills = std::env::var("CFX_E2E_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(KILLS_DEFAULT);
    let mut platform = Platform::start(1);
    let home = platform.space("kills");
    let source = probe_app(&platform.path("kills-src"), "victim", "well");
    let manifest = format!("{source}/manifest.yml");
    platform.ok_at(&home, &["push", "-f", &manifest, "-p", &source, "-i", "2"]);
    platform.wait_for_app("victim");
    let mut adopted = instances(&platform);
    for kill in 0..kills {
        let instances_wanted = 2 + kill % 3;
        let acknowledged = kill_during(&mut platform, &home, kill, instances_wanted, &source);
        platform.up();
        check(
            &platform,
            &home,
            acknowledged.then_some(instances_wanted),
            &mut adopted,
        );
    }
    let mut last = String::new();
    let settled = wait(Duration::from_secs(60), || {
        let status = platform.ok_at(&home, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let (desired, found) = (&status["instances"]["desired"], platform.containers().len());
        last = format!("{found} containers for {desired} instances");
        (desired.as_u64() == u64::try_from(found).ok()).then_some(())
    });
    assert!(settled.is_some(), "a minute after the last restart: {last}");
}

/// Start a scale or a push, kill the platform at some moment of it, and tell whether the scale was
/// acknowledged before.
fn kill_during(platform: &mut Platform, home: &str, kill: u32, wanted: u32, source: &str) -> bool {
    let moment = Duration::from_millis(u64::from(kill).wrapping_mul(977) % MOMENT_MAX_MS);
    let count = wanted.to_string();
    let arguments: Vec<&str> = if kill.is_multiple_of(2) {
        vec!["scale", "victim", "-i", &count]
    } else {
        let push = ["push", "other", "-p", source, "--no-manifest", "--no-route"];
        [
            &push[..],
            &["-b", "procfile_buildpack", "-m", "64M", "-k", "128M"],
        ]
        .concat()
    };
    let mut command = Command::new(cfx_binary())
        .args(&arguments)
        .env("CFX_HOME", platform.path(home))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cfx runs");
    std::thread::sleep(moment);
    let acknowledged = command
        .try_wait()
        .expect("a child")
        .is_some_and(|status| status.success());
    platform.kill_nine();
    command.wait().expect("reaped");
    acknowledged && kill.is_multiple_of(2)
}

fn check(
    platform: &Platform,
    home: &str,
    wanted: Option<u32>,
    adopted: &mut BTreeMap<String, String>,
) {
    platform.wait_for_app("victim");
    if let Some(wanted) = wanted {
        let app = platform.ok_at(home, &["app", "victim"]);
        assert!(
            app.contains(&format!("/{wanted}")),
            "an acknowledged scale to {wanted} is kept:\n{app}"
        );
    }
    let now = wait(Duration::from_secs(60), || {
        let now = instances(platform);
        (now.len() >= 2).then_some(now)
    })
    .expect("two instances answer");
    for index in ["0", "1"] {
        assert_eq!(
            now.get(index),
            adopted.get(index),
            "instance {index} was adopted, not restarted"
        );
    }
    *adopted = now;
}

/// Index and guid of each instance that answers.
fn instances(platform: &Platform) -> BTreeMap<String, String> {
    (0..30)
        .filter_map(|_| platform.get("victim", "/").ok())
        .filter(|answer| answer.status == 200)
        .filter_map(|answer| {
            let (index, guid) = answer
                .body
                .strip_prefix("instance ")?
                .split_once(" guid ")?;
            Some((index.to_owned(), guid.to_owned()))
        })
        .collect()
}

pub fn without_controller() {
    // The roles as processes of their own: see `serve`.
    let mut roles = crate::processes::Roles::start();
    let home = roles.space("alone");
    let source = probe_app(&roles.path("alone-src"), "alone", "well");
    let pushed = roles.cfx(
        &home,
        &[
            "push",
            "-f",
            &format!("{source}/manifest.yml"),
            "-p",
            &source,
        ],
    );
    assert!(pushed.status.success(), "{}", text(&pushed));
    let answers = |roles: &crate::processes::Roles| {
        wait(Duration::from_secs(40), || {
            roles
                .get("alone", "/")
                .ok()
                .filter(|a| a.status == 200)
                .map(|a| a.body)
        })
    };
    let first = answers(&roles).expect("the app answers");
    roles.kill_controller();
    assert_eq!(
        answers(&roles).expect("the router serves without a controller"),
        first
    );
    drop(roles.get("alone", "/exit"));
    let second = wait(Duration::from_secs(40), || {
        answers(&roles).filter(|body| *body != first)
    });
    assert!(
        second.is_some(),
        "the cell restarts a crashed instance without a controller"
    );
    roles.restart_router();
    assert!(
        answers(&roles).is_some(),
        "a restarted router serves from its saved table"
    );
    roles.start_controller();
    let status = wait(Duration::from_secs(40), || {
        roles
            .cfx(&home, &["app", "alone"])
            .status
            .success()
            .then_some(())
    });
    assert!(status.is_some(), "the controller is back");
    assert_eq!(answers(&roles), second, "its return restarts nothing");
}
