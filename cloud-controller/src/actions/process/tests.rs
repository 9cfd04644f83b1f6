use cfx_protocol::id::{AssignmentGuid, CellGuid};
use cfx_protocol::v3::process::{HealthCheckDataPatch, HealthCheckPatch};
use cfx_protocol::v3::resource::Number;

use super::super::app::start;
use super::super::fixture::World;
use super::*;
use crate::state::intent::Intent;

fn intent(index: u32, version: u64) -> Intent {
    Intent {
        assignment: AssignmentGuid(uuid::Uuid::from_u128(u128::from(index) + 100)),
        index,
        version,
        cell: CellGuid::NIL,
        memory_mb: 64,
        disk_mb: 64,
        phase: IntentPhase::Run,
    }
}

#[test]
fn terminating_an_instance_unroutes_that_one_alone() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("web", "./serve")]);
    world
        .act(|draft, act| start(draft, act, app))
        .expect("starts");
    let web = world.process(app, WEB);
    world
        .draft
        .update::<Process>(&web.guid, |web| web.instances = 2);
    world.draft.put(IntentChunk {
        process: web.guid,
        chunk: 0,
        intents: vec![intent(0, 1), intent(1, 1)],
    });
    world
        .act(|draft, act| terminate_instance(draft, act, web.guid, 1))
        .expect("terminates");
    let phases: Vec<_> = world
        .draft
        .intents_of(web.guid)
        .map(|intent| intent.phase)
        .collect();
    let since = world.now;
    assert_eq!(phases, [IntentPhase::Run, IntentPhase::Unroute { since }]);
    let gone = world.act(|draft, act| terminate_instance(draft, act, web.guid, 2));
    assert_eq!(gone, Err(Refused::NotFound("Instance")));
}

#[test]
fn the_users_command_wins_over_the_droplets_and_null_goes_back_to_it() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("web", "./serve")]);
    let web = world.process(app, WEB);
    let mut command_after = |command: Option<&str>| {
        let patch = ProcessPatch {
            command: Some(command.map(str::to_owned)),
            ..ProcessPatch::default()
        };
        let changed = world.act(|draft, act| update_process(draft, act, web.guid, &patch));
        let changed = changed.expect("changes");
        start_command(&world.draft, &world.app(app), &changed)
    };
    assert_eq!(command_after(Some("./other")).as_deref(), Some("./other"));
    assert_eq!(command_after(None).as_deref(), Some("./serve"));
}

#[test]
fn checks_are_judged_in_the_words_of_the_api() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let web = world.process(app, WEB);
    let mut change = |kind: &str, endpoint: Option<&str>, timeout: Option<i64>| {
        let patch = ProcessPatch {
            health_check: Some(HealthCheckPatch {
                kind: Some(kind.to_owned()),
                data: Some(HealthCheckDataPatch {
                    endpoint: endpoint.map(str::to_owned),
                    timeout: timeout.map(Number),
                    ..HealthCheckDataPatch::default()
                }),
            }),
            ..ProcessPatch::default()
        };
        let changed = world.act(|draft, act| update_process(draft, act, web.guid, &patch));
        changed.map(|process| process.health.clone())
    };
    let health = change("http", Some("/healthz"), Some(90)).expect("http");
    assert_eq!(health.start_timeout_s, 90);
    for (kind, endpoint, timeout) in [
        ("ping", None, None),
        ("port", Some("/x"), None),
        ("http", Some("healthz"), None),
        ("http", Some("/a b"), None),
        ("port", None, Some(0)),
        ("port", None, Some(i64::MAX)),
    ] {
        assert!(
            change(kind, endpoint, timeout).is_err(),
            "{kind} {endpoint:?}"
        );
    }
}

#[test]
fn an_environment_that_the_store_cannot_hold_is_refused_with_its_size() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let patch = serde_json::json!({"LARGE": "x".repeat(40_000)});
    let patch = patch.as_object().expect("an object");
    let refused = world.act(|draft, act| environment::patch_environment(draft, act, app, patch));
    let message = refused.expect_err("too large").to_string();
    assert!(message.contains("bytes"), "{message}");
    assert!(world.app(app).environment.is_empty());
}
