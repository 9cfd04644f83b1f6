//! Apps that scale by rule, under real load; and the stock autoscaler plugin where it is at hand.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::curl;
use crate::harness::{PASSWORD, Platform, cfx_binary, free_port, text, wait};

const OUT: &str = "scale 40% if CPU >90% for 20s cool down 10s warm up 5s";
const IN: &str = "scale in 50% if CPU <20% for 15s cool down 10s warm up 5s";
const LIMITS: &str = "between 2 and 5 instances";
/// An instance of 64 MB is entitled to a twentieth of a core: this is four times what three of them
/// need to be above 90 %, second by second, also on a machine that is busy with other things.
const REQUESTS_A_SECOND: u32 = 24;
const BURN_MS: u32 = 25;
/// Longest from one act to the next: evidence of 20 s, cool-down, a slow machine.
const ACT_DEADLINE: Duration = Duration::from_secs(120);
/// "Within seconds."
const ROUTABLE_DEADLINE: Duration = Duration::from_secs(15);

/// Requests at even intervals, whatever the answers take.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    /// Indices of instances that answered lately.
    seen: Arc<Mutex<BTreeSet<u32>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(platform: &Platform, host: &str) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            sent: Arc::default(),
            failed: Arc::default(),
            seen: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..REQUESTS_A_SECOND {
            let (stop, sent) = (load.stop.clone(), load.sent.clone());
            let (failed, seen) = (load.failed.clone(), load.seen.clone());
            let (port, host) = (platform.http, format!("{host}.{}", platform.domain));
            load.threads.push(thread::spawn(move || {
                // Spread over the second.
                thread::sleep(Duration::from_secs(1) / REQUESTS_A_SECOND * number);
                while !stop.load(Ordering::Relaxed) {
                    let next = Instant::now() + Duration::from_secs(1);
                    let asked = curl::get(port, &host, &format!("/burn/{BURN_MS}"), &[]);
                    sent.fetch_add(1, Ordering::Relaxed);
                    match asked {
                        Ok(answer) if answer.status == 200 => {
                            let index = answer.body.trim().parse().unwrap_or(u32::MAX);
                            seen.lock().expect("sound").insert(index);
                        }
                        Ok(answer) => {
                            let told = format!("{} {}", answer.status, answer.body);
                            failed.lock().expect("sound").push(told);
                        }
                        Err(error) => failed.lock().expect("sound").push(error.to_string()),
                    }
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }));
        }
        load
    }

    /// Stop; how many were sent.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a thread");
        }
        let failed = self.failed.lock().expect("sound");
        assert_eq!(*failed, Vec::<String>::new(), "requests failed");
        self.sent.load(Ordering::Relaxed)
    }

    /// Every instance below `count` answers within seconds.
    fn reaches(&self, platform: &Platform, count: u32) {
        self.seen.lock().expect("sound").clear();
        let all: BTreeSet<u32> = (0..count).collect();
        let reached = wait(ROUTABLE_DEADLINE, || {
            let seen = self.seen.lock().expect("sound");
            seen.is_superset(&all).then_some(())
        });
        let seen = self.seen.lock().expect("sound").clone();
        assert!(
            reached.is_some(),
            "of {count} only {seen:?} answer\n{}",
            platform.log()
        );
    }
}

pub fn grows_and_shrinks_under_load(platform: &Platform) {
    let home = platform.space("scaled");
    push(platform, &home);
    let added = platform.ok_at(&home, &["autoscale", "add", "burner", OUT, IN, LIMITS]);
    assert!(added.contains("scale 40% if CPU >90% for 20s"), "{added}");

    let load = Load::start(platform, "burner");
    load.reaches(platform, 2);
    for (from, to) in [(2, 3), (3, 5)] {
        let act = wait_for_act(platform, &home, to);
        assert_eq!(
            act["old_instances"], from,
            "40 % of {from}, rounded up: {act}"
        );
        load.reaches(platform, to);
    }
    let why = platform.ok_at(&home, &["autoscale", "explain", "burner"]);
    assert!(why.contains("CPU"), "{why}");
    let sent = load.end();
    assert!(sent > 500, "only {sent} requests were sent");

    let calm = Calm::start(platform, "burner");
    wait_for_act(platform, &home, 2);
    calm.end();
    let history = platform.ok_at(&home, &["autoscale", "history", "burner"]);
    assert!(
        history.contains("3 -> 5") && history.contains("5 -> 2"),
        "{history}"
    );
    let removed = platform.ok_at(&home, &["autoscale", "remove", "burner", "--all"]);
    assert!(removed.contains("no rules"), "{removed}");
    platform.ok_at(&home, &["delete", "burner", "-f", "-r"]);
}

/// A few requests while instances leave: none may fail.
struct Calm(Arc<AtomicBool>, JoinHandle<Vec<String>>);

impl Calm {
    fn start(platform: &Platform, host: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (port, host) = (platform.http, format!("{host}.{}", platform.domain));
        let thread = thread::spawn(move || {
            let mut failed = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match curl::get(port, &host, "/", &[]) {
                    Ok(answer) if answer.status == 200 => {}
                    other => failed.push(format!("{other:?}")),
                }
                thread::sleep(Duration::from_millis(100));
            }
            failed
        });
        Self(stop, thread)
    }

    fn end(self) {
        self.0.store(true, Ordering::Relaxed);
        let failed = self.1.join().expect("a thread");
        assert_eq!(
            failed,
            Vec::<String>::new(),
            "requests failed while shrinking"
        );
    }
}

fn push(platform: &Platform, home: &str) {
    let source = platform.path("burner-src");
    fs::create_dir_all(&source).expect("a folder");
    fs::write(source.join("burner.py"), include_str!("app/burner.py")).expect("written");
    fs::write(source.join("Procfile"), "web: python3 burner.py\n").expect("written");
    let manifest = "applications:\n- name: burner\n  memory: 64M\n  disk_quota: 128M\n  \
                    instances: 2\n  buildpacks: [procfile_buildpack]\n";
    fs::write(source.join("manifest.yml"), manifest).expect("written");
    let source = source.display().to_string();
    platform.ok_at(
        home,
        &[
            "push",
            "-f",
            &format!("{source}/manifest.yml"),
            "-p",
            &source,
        ],
    );
    platform.wait_for_app("burner");
}

/// The act that led to this many instances.
fn wait_for_act(platform: &Platform, home: &str, to: u32) -> Value {
    let find = || {
        let history = platform.cfx_at(home, &["autoscale", "history", "burner", "--json"]);
        let acts: Value = serde_json::from_slice(&history.stdout).ok()?;
        let mut acts = acts.as_array()?.iter();
        acts.find(|act| act["new_instances"] == to).cloned()
    };
    wait(ACT_DEADLINE, find).unwrap_or_else(|| {
        let why = platform.cfx_at(home, &["autoscale", "explain", "burner"]);
        panic!("no act to {to}: {}\n{}", text(&why), platform.log())
    })
}

fn cf(platform: &Platform, arguments: &[&str]) -> Output {
    let plugins = std::env::var_os("CF_PLUGIN_HOME").or_else(|| std::env::var_os("HOME"));
    Command::new("cf")
        .args(arguments)
        .env("CF_HOME", platform.path("cf-plugin-home"))
        .env("CF_PLUGIN_HOME", plugins.unwrap_or_default())
        .env("CF_COLOR", "false")
        .stdin(Stdio::null())
        .output()
        .expect("cf runs")
}

/// The plugin reports some failures with exit code 0.
fn ok(platform: &Platform, arguments: &[&str]) -> String {
    let output = cf(platform, arguments);
    let said = text(&output);
    let good = output.status.success() && !said.contains("FAILED");
    assert!(good, "cf {arguments:?}: {said}");
    said
}

pub fn stock_plugin(platform: &Platform) {
    let listed = Command::new("cf").args(["plugins"]).output().is_ok()
        && text(&cf(platform, &["plugins"])).contains("autoscaling-policy");
    if !listed {
        println!("the stock cf CLI with its autoscaler plugin is not at hand: it was not tried");
        return;
    }
    let home = platform.space("plugged");
    platform.push_probe(&home, "plugged", &[]);
    let api = format!("http://127.0.0.1:{}", platform.api);
    fs::create_dir_all(platform.path("cf-plugin-home")).expect("a folder");
    ok(platform, &["api", &api]);
    ok(platform, &["auth", "admin", PASSWORD]);
    ok(platform, &["target", "-o", "plugged", "-s", "work"]);
    ok(platform, &["autoscaling-api", &api]);

    let none = text(&cf(platform, &["autoscaling-policy", "plugged"]));
    assert!(none.contains("No policy defined"), "{none}");
    let policy = json!({
        "instance_min_count": 2,
        "instance_max_count": 4,
        "scaling_rules": [{
            "metric_type": "cpuutil", "operator": ">", "threshold": 90,
            "breach_duration_secs": 60, "cool_down_secs": 60, "adjustment": "+40%",
        }],
    });
    let file = platform.path("policy.json");
    fs::write(&file, policy.to_string()).expect("written");
    let file = file.display().to_string();
    ok(platform, &["attach-autoscaling-policy", "plugged", &file]);
    let shown = ok(platform, &["autoscaling-policy", "plugged"]);
    assert!(shown.contains("\"adjustment\": \"+40%\""), "{shown}");

    let limited = wait(ACT_DEADLINE, || {
        let history = text(&cf(platform, &["autoscaling-history", "plugged"]));
        history.contains("1->2").then_some(history)
    });
    let history = limited.expect("the least number of instances is kept");
    assert!(
        history.contains("scheduled") && history.contains("succeeded"),
        "{history}"
    );
    let measured = wait(ACT_DEADLINE, || {
        let metrics = text(&cf(
            platform,
            &["autoscaling-metrics", "plugged", "memoryused"],
        ));
        metrics.contains("memoryused").then_some(())
    });
    assert!(measured.is_some(), "memory is measured");

    let wrong = json!({ "instance_min_count": 5, "instance_max_count": 4, "scaling_rules": [] });
    fs::write(&file, wrong.to_string()).expect("written");
    let refused = text(&cf(
        platform,
        &["attach-autoscaling-policy", "plugged", &file],
    ));
    assert!(refused.contains("Invalid policy definition"), "{refused}");
    ok(platform, &["detach-autoscaling-policy", "plugged"]);
    platform.ok_at(&home, &["delete", "plugged", "-f", "-r"]);
}

/// `cfx serve autoscaler` beside a platform: it signs in with the secret of a file.
pub fn served_alone(platform: &Platform) {
    let (listen, admin) = (free_port(), free_port());
    let data = platform.path("served-autoscaler");
    let file = platform.path("autoscaler.yml");
    let config = |secret: &str| {
        format!(
            "data: {}\napi: http://127.0.0.1:{}\nsecret-file: {secret}\n\
             listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\n",
            data.display(),
            platform.api,
        )
    };
    let path = file.display().to_string();
    fs::write(&file, config("/nowhere/secret")).expect("written");
    let refused = text(&platform.cfx(&["serve", "autoscaler", "--config", &path]));
    assert!(refused.contains("cannot read /nowhere/secret"), "{refused}");

    let secret = platform.path("data").join("autoscaler-secret");
    fs::write(&file, config(&secret.display().to_string())).expect("written");
    let mut child = Command::new(cfx_binary())
        .args(["serve", "autoscaler", "--config", &path])
        .env("CFX_HOME", platform.path("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cfx starts");
    let answers = |port: u16, path: &str| {
        wait(Duration::from_secs(20), || {
            let answer = curl::get(port, "localhost", path, &[]).ok();
            answer.filter(|answer| answer.status == 200)
        })
    };
    let info = answers(listen, "/v1/info");
    let metrics = answers(admin, "/metrics");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert!(info.expect("it serves").body.contains("cfx-autoscaler"));
    let metrics = metrics.expect("it tells its numbers").body;
    assert!(metrics.contains("cfx_autoscaler_leading"), "{metrics}");
}
