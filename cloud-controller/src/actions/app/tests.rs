use cfx_protocol::id::ProcessGuid;
use cfx_protocol::v3::app::AppPatch;
use cfx_protocol::v3::process::Scale;
use cfx_protocol::v3::resource::Number;
use serde_json::json;

use super::super::fixture::World;
use super::super::{environment, process};
use super::*;
use crate::state::build::{Build, BuildState};

#[test]
fn a_new_app_has_a_web_process_with_its_own_guid() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let web = world.process(app, WEB);
    assert_eq!(web.guid, ProcessGuid(app.0));
    assert_eq!((web.instances, web.version, web.running), (1, 0, None));
}

#[test]
fn a_name_is_taken_whatever_its_case_and_free_again_after_a_rename() {
    let mut world = World::new();
    let app = world.new_app("Shop");
    let taken = app_named(&world.draft, world.space, "sHOP").expect("found");
    assert_eq!(taken.guid, app);
    let patch = AppPatch {
        name: Some("store".to_owned()),
        ..AppPatch::default()
    };
    world
        .act(|draft, act| update_app(draft, act, app, &patch))
        .expect("renames");
    world.new_app("shop");
    let refused = world.act(|draft, act| {
        let patch = AppPatch {
            name: Some("SHOP".to_owned()),
            ..AppPatch::default()
        };
        update_app(draft, act, app, &patch)
    });
    let message = refused.expect_err("taken").to_string();
    assert_eq!(message, "App with the name 'SHOP' already exists.");
}

#[test]
fn an_app_without_a_droplet_cannot_be_started() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let refused = world.act(|draft, act| start(draft, act, app));
    let message = refused.expect_err("nothing to run").to_string();
    assert_eq!(message, "Assign a droplet before starting this app.");
}

#[test]
fn a_web_process_without_a_command_is_refused_with_what_to_do() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("worker", "./work")]);
    let refused = world.act(|draft, act| start(draft, act, app));
    let message = refused.expect_err("no command").to_string();
    assert!(message.contains("'web'"), "{message}");
    assert!(message.contains("Procfile"), "{message}");
}

#[test]
fn a_droplet_makes_its_processes_and_only_web_has_an_instance() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("web", "./serve"), ("worker", "./work")]);
    assert_eq!(world.process(app, WEB).instances, 1);
    assert_eq!(world.process(app, "worker").instances, 0);
}

#[test]
fn a_change_of_environment_touches_nothing_that_runs_until_a_restart() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("web", "./serve")]);
    world
        .act(|draft, act| start(draft, act, app))
        .expect("starts");
    let before = world.process(app, WEB);
    let patch = json!({"GREETING": "hello"});
    let patch = patch.as_object().expect("an object");
    world
        .act(|draft, act| environment::patch_environment(draft, act, app, patch))
        .expect("sets");
    assert_eq!(world.process(app, WEB), before);
    world
        .act(|draft, act| restart(draft, act, app))
        .expect("restarts");
    let after = world.process(app, WEB);
    assert_eq!(after.version, before.version + 1);
    let running = after.running.expect("a version");
    assert_eq!(running.environment["GREETING"], "hello");
    assert_eq!(running.command.as_deref(), Some("./serve"));
}

#[test]
fn starting_what_is_started_changes_nothing() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("web", "./serve")]);
    world
        .act(|draft, act| start(draft, act, app))
        .expect("starts");
    let before = (world.process(app, WEB), world.events().len());
    world
        .act(|draft, act| start(draft, act, app))
        .expect("is started");
    assert_eq!((world.process(app, WEB), world.events().len()), before);
}

#[test]
fn more_instances_are_no_new_version_and_more_memory_is_one() {
    let mut world = World::new();
    let app = world.staged_app("shop", &[("web", "./serve")]);
    world
        .act(|draft, act| start(draft, act, app))
        .expect("starts");
    let web = world.process(app, WEB);
    let scale = |instances: Option<i64>, memory: Option<i64>| Scale {
        instances: instances.map(Number),
        memory_in_mb: memory.map(Number),
        ..Scale::default()
    };
    let mut scaled = |wanted: &Scale| {
        let scaled = world.act(|draft, act| process::scale(draft, act, web.guid, wanted));
        scaled.expect("scales")
    };
    let more = scaled(&scale(Some(10), None));
    assert_eq!((more.instances, more.version), (10, web.version));
    let larger = scaled(&scale(None, Some(99_999 * 1024)));
    assert_eq!(larger.version, web.version + 1);
    let running = larger.running.as_ref().expect("a version");
    assert_eq!(running.memory_mb, 102_398_976);
    let same = scaled(&scale(Some(10), Some(99_999 * 1024)));
    assert_eq!(same.version, larger.version);
}

#[test]
fn only_a_staged_droplet_of_the_app_can_be_assigned() {
    let mut world = World::new();
    let (shop, other) = (world.new_app("shop"), world.new_app("other"));
    let foreign = world.stage(other, &[("web", "./serve")]);
    let refused = world.act(|draft, act| assign_droplet(draft, act, shop, foreign));
    let message = refused.expect_err("foreign").to_string();
    assert!(message.contains("belongs to this app"), "{message}");
    let package = world.new_package(shop);
    let unfinished = world.begin_build(package);
    let state = world
        .draft
        .get::<Build>(&unfinished.guid)
        .expect("it")
        .state;
    assert_eq!(state, BuildState::Staging);
    let refused = world.act(|draft, act| assign_droplet(draft, act, shop, unfinished.droplet));
    assert!(refused.is_err());
}

#[test]
fn each_change_leaves_its_event_in_order() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let droplet = world.stage(app, &[("web", "./serve")]);
    world.act(|draft, act| {
        assign_droplet(draft, act, app, droplet).expect("assigns");
        start(draft, act, app).expect("starts");
        stop(draft, act, app).expect("stops");
    });
    let kinds = world.events();
    let tail: Vec<&str> = kinds
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(String::as_str)
        .collect();
    let wanted = [
        "audit.app.droplet.mapped",
        "audit.app.start",
        "audit.app.stop",
    ];
    // The latter ones happened at one moment, after what was staged at the same moment.
    assert!(
        wanted
            .iter()
            .all(|kind| kinds.contains(&(*kind).to_owned())),
        "{kinds:?}"
    );
    assert_eq!(tail.len(), 3);
    let place = |kind: &str| kinds.iter().position(|it| it == kind).expect(kind);
    assert!(place(wanted[0]) < place(wanted[1]) && place(wanted[1]) < place(wanted[2]));
}
