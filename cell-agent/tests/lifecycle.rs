//! The whole agent against a controller on a real socket, with instances that are real processes
//! under the real launcher.

mod support;

use std::time::Duration;

use cfx_protocol::desired::Work;
use cfx_protocol::health::{Check, HealthCheck};
use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::{CrashReason, InstanceState};
use support::controller::World;
use support::{SERVER, Stage, web};

fn state(world: &World, guid: AssignmentGuid) -> Option<&InstanceState> {
    world.instances.get(&guid).map(|report| &report.state)
}

fn running(guid: AssignmentGuid) -> impl Fn(&World) -> Option<()> {
    move |world| matches!(state(world, guid), Some(InstanceState::Running { .. })).then_some(())
}

fn gone(guid: AssignmentGuid) -> impl Fn(&World) -> Option<()> {
    move |world| (!world.instances.contains_key(&guid)).then_some(())
}

fn logged(source: &'static str, text: &'static str) -> impl Fn(&World) -> Option<()> {
    move |world| {
        let said = |line: &&cfx_protocol::telemetry::LogEnvelope| {
            line.source_type == source && String::from_utf8_lossy(&line.payload).contains(text)
        };
        world.logs.iter().find(said).map(drop)
    }
}

async fn get(address: std::net::SocketAddr) -> String {
    get_path(address, "/").await
}

async fn get_path(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("connected");
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_starts_answers_is_measured_and_stops_without_a_trace() {
    let stage = Stage::new().await;
    let agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(guid)).await;
    let report = controller.world.lock().instances[&guid].clone();
    let address = report.address.expect("an address");
    let answer = get((address.host, address.port).into()).await;
    assert!(answer.ends_with(&guid.instance(0).to_string()), "{answer}");
    controller
        .eventually("it is measured", 10, |world| {
            world.instances[&guid]
                .usage
                .filter(|usage| usage.memory_bytes > 0)
                .map(drop)
        })
        .await;
    controller
        .eventually("its words", 10, logged("APP/PROC/WEB", "listening"))
        .await;
    for (source, text) in [
        ("CELL", "creating container for instance"),
        ("CELL", "Container became healthy"),
    ] {
        controller.eventually(text, 10, logged(source, text)).await;
    }
    controller.remove(guid);
    controller.eventually("it is gone", 20, gone(guid)).await;
    assert!(stage.runtime.names().is_empty());
    assert_eq!((stage.ground.leased(), stage.ground.volume_count()), (0, 0));
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_are_shown_and_a_runtime_that_hangs_is_told() {
    let stage = Stage::new().await;
    let mut config = stage.config();
    config.admin = Some(([127, 0, 0, 1], 0).into());
    let agent = stage.agent_with(config).await;
    let admin = agent
        .running
        .as_ref()
        .expect("running")
        .admin
        .expect("listening");
    let guid = stage.controller.assign(1, 0, web(SERVER));
    stage
        .controller
        .eventually("it runs", 20, running(guid))
        .await;
    assert!(get_path(admin, "/healthz").await.contains(" 200 "));
    let metrics = get_path(admin, "/metrics").await;
    assert!(metrics.contains("cfx_cell_starts_total 1"), "{metrics}");
    assert!(
        metrics.contains("cfx_cell_instances_running 1"),
        "{metrics}"
    );
    *stage.runtime.answers.lock() = false;
    let told = |world: &World| (!world.last_report.as_ref()?.healthy).then_some(());
    stage.controller.eventually("it is told", 20, told).await;
    assert!(get_path(admin, "/healthz").await.contains(" 503 "));
    assert_eq!(
        stage.runtime.running(),
        [guid.instance(0)],
        "what runs goes on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashing_instance_is_restarted_twice_at_once_then_waits_and_says_until_when() {
    let stage = Stage::new().await;
    let _agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web("echo dying; exit 3"));
    let retry = controller
        .eventually("it waits after the third crash", 30, |world| {
            match state(world, guid) {
                Some(InstanceState::Crashed { next_retry_at, .. }) => *next_retry_at,
                _ => None,
            }
        })
        .await;
    let crashes = controller.world.lock().crashes.clone();
    assert_eq!(crashes.len(), 3);
    let starts: Vec<_> = crashes.iter().map(|crash| crash.instance).collect();
    assert_eq!(
        starts,
        [guid.instance(0), guid.instance(1), guid.instance(2)]
    );
    for crash in &crashes {
        assert_eq!(crash.reason, CrashReason::Exited { status: 3 });
    }
    assert_eq!(crashes[2].next_retry_at, Some(retry));
    let waited = retry.duration_since(crashes[2].at).unsigned_abs();
    assert_eq!(waited, Duration::from_millis(300), "the scaled 30 s");
    controller
        .eventually("exit status", 5, logged("APP/PROC/WEB", "Exit status 3"))
        .await;
    controller
        .eventually("the fourth crash, twice the wait", 20, |world| {
            let fourth = world.crashes.get(3)?;
            let late = fourth.at.duration_since(retry);
            assert!(!late.is_negative(), "it was started before its time");
            let wait = fourth
                .next_retry_at?
                .duration_since(fourth.at)
                .unsigned_abs();
            (wait == Duration::from_millis(600)).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_never_opens_its_port_is_told_as_such() {
    let stage = Stage::new().await;
    let _agent = stage.agent().await;
    let mut spec = web("exec sleep 1000");
    if let Work::Process { health, .. } = &mut spec.work {
        health.start_timeout_s = 1;
    }
    let guid = stage.controller.assign(1, 0, spec);
    stage
        .controller
        .eventually("it is never healthy", 20, |world| {
            let crash = world
                .crashes
                .iter()
                .find(|crash| crash.assignment == guid)?;
            matches!(&crash.reason, CrashReason::NeverHealthy { after_s: 1, .. }).then_some(())
        })
        .await;
    let told = "Instance never healthy after 1s: Failed to make TCP connection to 127.";
    stage
        .controller
        .eventually("its log", 5, logged("HEALTH", told))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_ignores_term_is_killed_after_its_grace() {
    let stage = Stage::new().await;
    let _agent = stage.agent().await;
    let mut spec = web("trap '' TERM; echo deaf; while :; do sleep 0.1; done");
    if let Work::Process { health, .. } = &mut spec.work {
        *health = HealthCheck {
            check: Check::Process,
            ..HealthCheck::default()
        };
    }
    let guid = stage.controller.assign(1, 0, spec);
    stage
        .controller
        .eventually("it is deaf", 20, logged("APP/PROC/WEB", "deaf"))
        .await;
    stage.controller.remove(guid);
    stage
        .controller
        .eventually("it is gone", 20, gone(guid))
        .await;
    let told = "exceeded 1s graceful shutdown interval";
    stage
        .controller
        .eventually("its log", 5, logged("APP/PROC/WEB", told))
        .await;
    assert!(stage.runtime.names().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_with_another_spec_is_stopped_and_started_anew() {
    let stage = Stage::new().await;
    let _agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(guid)).await;
    let mut changed = web(SERVER);
    changed.env.insert("COLOUR".to_owned(), "green".to_owned());
    assert_eq!(controller.assign(1, 0, changed), guid);
    controller
        .eventually("its second start runs", 20, |world| {
            let report = world.instances.get(&guid)?;
            let runs = matches!(report.state, InstanceState::Running { .. });
            (runs && report.starts == 1).then_some(())
        })
        .await;
    assert_eq!(stage.runtime.names(), [guid.instance(1)]);
    assert!(
        controller.world.lock().crashes.is_empty(),
        "a change is no crash"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_restarts_no_app_and_finds_those_that_ended_meanwhile() {
    let stage = Stage::new().await;
    let agent = stage.agent().await;
    let controller = &stage.controller;
    let server = controller.assign(1, 0, web(SERVER));
    let mut short = web("echo short; sleep 1.5; exit 9");
    if let Work::Process { health, .. } = &mut short.work {
        *health = HealthCheck {
            check: Check::Process,
            ..HealthCheck::default()
        };
    }
    let short = controller.assign(2, 0, short);
    controller
        .eventually("the server runs", 20, running(server))
        .await;
    controller
        .eventually("the other runs", 20, running(short))
        .await;
    let pid = stage.runtime.launcher_pid(server.instance(0));
    agent.end().await;
    let ended = async {
        while stage.runtime.running().contains(&short.instance(0)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("it ends by itself");
    controller.world.lock().instances.clear();

    let _agent = stage.agent().await;
    controller
        .eventually("the server runs on", 20, running(server))
        .await;
    let report = controller.world.lock().instances[&server].clone();
    assert_eq!((report.starts, report.crashes), (0, 0));
    assert_eq!(stage.runtime.launcher_pid(server.instance(0)), pid);
    controller
        .eventually("the exit is found", 20, |world| {
            let crash = world
                .crashes
                .iter()
                .find(|crash| crash.assignment == short)?;
            (crash.reason == CrashReason::Exited { status: 9 }).then_some(())
        })
        .await;
    controller
        .eventually("and started again", 20, |world| {
            (world.instances.get(&short)?.starts == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_controller_the_cell_restarts_what_crashes_and_reports_it_later() {
    let mut stage = Stage::new().await;
    let _agent = stage.agent().await;
    let guid = stage.controller.assign(1, 0, web(SERVER));
    stage
        .controller
        .eventually("it runs", 20, running(guid))
        .await;
    stage.controller.stop();
    use cfx_cell_agent::runtime::{Runtime, Signal};
    stage
        .runtime
        .signal(guid.instance(0), Signal::Kill)
        .await
        .expect("killed");
    let restarted = async {
        while !stage.runtime.running().contains(&guid.instance(1)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), restarted)
        .await
        .expect("restarted alone");
    stage.controller.restart().await;
    stage
        .controller
        .eventually("the crash is reported", 20, |world| {
            world
                .crashes
                .iter()
                .find(|crash| crash.instance == guid.instance(0))
                .map(drop)
        })
        .await;
    stage
        .controller
        .eventually("it runs", 20, running(guid))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_forgot_stops_nothing_until_it_says_so_twice() {
    let stage = Stage::new().await;
    let _agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(guid)).await;
    // An older state is refused, however often it is offered.
    let old = controller.token(0, 9);
    controller.forget_all(old);
    let before = controller.world.lock().streams;
    controller.drop_streams();
    controller
        .eventually("it is offered three times", 30, |world| {
            (world.streams >= before + 3).then_some(())
        })
        .await;
    assert_eq!(stage.runtime.running(), [guid.instance(0)]);
    // A newer state that does not name it is asked for once more, and then believed.
    controller.forget_all(controller.token(2, 1));
    let before = controller.world.lock().streams;
    controller.eventually("it is gone", 30, gone(guid)).await;
    assert!(
        controller.world.lock().streams >= before + 2,
        "one snapshot was enough"
    );
}

/// Spoils every spec.
fn damage_specs(stage: &Stage) {
    for entry in std::fs::read_dir(stage.state().join("specs"))
        .expect("there")
        .flatten()
    {
        std::fs::write(entry.path(), b"garbage").expect("damaged");
    }
}

/// Spoils the lines of the journal that hold `word`.
fn damage_journal(stage: &Stage, word: &str) {
    let path = stage.state().join("journal");
    let text = std::fs::read_to_string(&path).expect("there");
    let lines = text.lines().map(|line| match line.contains(word) {
        true => "garbage\n".to_owned(),
        false => format!("{line}\n"),
    });
    std::fs::write(&path, lines.collect::<String>()).expect("damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_known_again_from_its_own_container_without_any_controller() {
    let stage = Stage::new().await;
    let agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(guid)).await;
    agent.end().await;
    controller.stop();
    damage_journal(&stage, "facts");
    let agent = stage.agent().await;
    let mut picture = agent.running.as_ref().expect("running").picture.clone();
    let is_running = |one: &cfx_protocol::actual::InstanceReport| {
        matches!(one.state, InstanceState::Running { .. }) && one.starts == 0
    };
    let known = picture.wait_for(|picture| picture.reports.iter().any(is_running));
    let known = tokio::time::timeout(Duration::from_secs(20), known).await;
    assert!(known.expect("in time").is_ok(), "the agent has ended");
    assert_eq!(stage.runtime.names(), [guid.instance(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_of_nobody_is_ended_after_two_snapshots_that_do_not_name_it() {
    let mut stage = Stage::new().await;
    let agent = stage.agent().await;
    let guid = stage.controller.assign(1, 0, web(SERVER));
    stage
        .controller
        .eventually("it runs", 20, running(guid))
        .await;
    agent.end().await;
    stage.controller.stop();
    damage_specs(&stage);
    std::fs::remove_file(stage.state().join("journal")).expect("removed");
    let newer = stage.controller.token(2, 1);
    stage.controller.forget_all(newer);
    let agent = stage.agent().await;
    let mut picture = agent.running.as_ref().expect("running").picture.clone();
    let stray = picture.wait_for(|picture| !picture.strays.is_empty());
    let stray = tokio::time::timeout(Duration::from_secs(20), stray).await;
    assert!(stray.expect("in time").is_ok(), "the agent has ended");
    assert_eq!(
        stage.runtime.running(),
        [guid.instance(0)],
        "nobody answers"
    );
    stage.controller.restart().await;
    let runtime = stage.runtime.clone();
    let ended = |_: &World| runtime.names().is_empty().then_some(());
    stage.controller.eventually("it is ended", 30, ended).await;
    let streams = stage.controller.world.lock().streams;
    assert!(streams >= 3, "one snapshot was enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_cell_says_so_takes_nothing_and_is_empty_in_the_end() {
    let stage = Stage::new().await;
    let agent = stage.agent().await;
    let controller = &stage.controller;
    let old = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(old)).await;
    let drain = agent.running.as_ref().expect("running").drain.clone();
    drain.begin().await;
    let told = |world: &World| world.last_report.as_ref()?.draining.then_some(());
    controller.eventually("it is told", 20, told).await;
    let new = controller.assign(2, 0, web(SERVER));
    controller.remove(old);
    controller
        .eventually("the old one is gone", 20, gone(old))
        .await;
    assert!(stage.runtime.names().is_empty(), "it took something new");
    let emptied = tokio::time::timeout(Duration::from_secs(20), drain.emptied());
    emptied.await.expect("empty");
    drain.end().await;
    controller
        .eventually("it takes work again", 20, running(new))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_file_stops_nothing_and_is_rebuilt_from_what_runs() {
    let stage = Stage::new().await;
    let agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(guid)).await;
    agent.end().await;
    assert!(
        !support::holds(&stage.state(), b"hunter2-in-the-env"),
        "the environment is on disk in clear"
    );
    damage_specs(&stage);
    damage_journal(&stage, "");
    controller.world.lock().instances.clear();
    let _agent = stage.agent().await;
    controller.eventually("it runs on", 20, running(guid)).await;
    assert_eq!(controller.world.lock().instances[&guid].starts, 0);
    assert_eq!(stage.runtime.running(), [guid.instance(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_made_is_told_and_tried_again_with_the_same_back_off() {
    let stage = Stage::new().await;
    *stage.runtime.failures.lock() = 2;
    let _agent = stage.agent().await;
    let guid = stage.controller.assign(1, 0, web(SERVER));
    stage
        .controller
        .eventually("it runs in the end", 20, running(guid))
        .await;
    let world = stage.controller.world.lock();
    assert_eq!(world.crashes.len(), 2);
    for crash in &world.crashes {
        let text = crash.reason.to_string();
        assert!(text.contains("told to fail"), "{text}");
    }
    assert_eq!(world.instances[&guid].starts, 2);
    drop(world);
    assert_eq!(
        stage.runtime.names(),
        [guid.instance(2)],
        "failed starts left something"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_loses_a_process_to_its_memory_limit_ends_as_a_whole() {
    let stage = Stage::new().await;
    let agent = stage.agent().await;
    let controller = &stage.controller;
    let guid = controller.assign(1, 0, web(SERVER));
    controller.eventually("it runs", 20, running(guid)).await;
    *stage.runtime.oom_kills.lock() = 1;
    let crash = controller
        .eventually("it crashes", 20, |world| world.crashes.first().cloned())
        .await;
    assert!(
        matches!(crash.reason, CrashReason::OutOfMemory { .. }),
        "{crash:?}"
    );
    assert_eq!(crash.instance, guid.instance(0));
    let text = "killed at its memory limit";
    controller.eventually(text, 10, logged("CELL", text)).await;
    *stage.runtime.oom_kills.lock() = 0;
    controller.remove(guid);
    controller.eventually("it is gone", 20, gone(guid)).await;
    agent.end().await;
}
