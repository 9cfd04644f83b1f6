use super::super::fixture::World;
use super::*;
use crate::actions::app::{restart, start, stop};

/// A started app, and a second droplet for it.
fn started(world: &mut World) -> (AppGuid, NewDeployment) {
    let app = world.staged_app("shop", &[("web", "./one"), ("worker", "./work")]);
    world
        .act(|draft, act| start(draft, act, app))
        .expect("starts");
    let droplet = world.stage(app, &[("web", "./two")]);
    let new = json!({
        "relationships": {"app": {"data": {"guid": app}}},
        "droplet": {"guid": droplet},
        "strategy": "rolling",
    });
    (app, serde_json::from_value(new).expect("a request"))
}

fn create(world: &mut World, new: &NewDeployment) -> Deployment {
    let made = world.act(|draft, act| create_deployment(draft, act, new));
    Deployment::clone(&made.expect("creates"))
}

fn status(world: &World, deployment: &Deployment) -> DeploymentStatus {
    let found = world.draft.get::<Deployment>(&deployment.guid);
    found.expect("a deployment").status
}

fn see(world: &mut World, deployment: &Deployment, healthy: u32, old: u32) -> bool {
    let seen = Rollout { healthy, old };
    let moved = world.act(|draft, act| advance(draft, act, deployment.guid, seen));
    moved.expect("advances")
}

#[test]
fn a_deployment_ends_when_all_is_new_and_then_the_other_processes_follow() {
    let mut world = World::new();
    let (app, new) = started(&mut world);
    let (web, worker) = (world.process(app, WEB), world.process(app, "worker"));
    let deployment = create(&mut world, &new);
    let after = world.process(app, WEB);
    assert_eq!(after.version, web.version + 1);
    let running = after.running.expect("a version");
    assert_eq!(running.command.as_deref(), Some("./two"));
    assert_eq!(world.process(app, "worker").version, worker.version);
    for (healthy, old) in [(0, 1), (1, 1), (0, 0)] {
        assert!(!see(&mut world, &deployment, healthy, old));
    }
    assert!(see(&mut world, &deployment, 1, 0));
    assert_eq!(status(&world, &deployment), DeploymentStatus::Deployed);
    assert_eq!(world.process(app, "worker").version, worker.version + 1);
    assert!(!see(&mut world, &deployment, 1, 0));
}

#[test]
fn cancelling_goes_back_to_the_very_version_that_ran_and_no_number_is_used_twice() {
    let mut world = World::new();
    let (app, new) = started(&mut world);
    let (before, droplet) = (world.process(app, WEB), world.app(app).current_droplet);
    let deployment = create(&mut world, &new);
    let cancelled = world.process(app, WEB).version;
    world
        .act(|draft, act| cancel_deployment(draft, act, deployment.guid))
        .expect("cancels");
    let after = world.process(app, WEB);
    assert_eq!(after.version, before.version);
    assert_eq!(after.running, before.running);
    assert_eq!(world.app(app).current_droplet, droplet);
    assert!(see(&mut world, &deployment, 1, 0));
    assert_eq!(status(&world, &deployment), DeploymentStatus::Canceled);
    world
        .act(|draft, act| restart(draft, act, app))
        .expect("restarts");
    assert!(world.process(app, WEB).version > cancelled);
    let refused = world.act(|draft, act| cancel_deployment(draft, act, deployment.guid));
    assert!(refused.is_err());
}

#[test]
fn whatever_else_decides_about_the_app_supersedes_a_deployment() {
    let mut world = World::new();
    let (app, new) = started(&mut world);
    for other in [restart, stop] {
        let deployment = create(&mut world, &new);
        world
            .act(|draft, act| other(draft, act, app))
            .expect("does");
        assert_eq!(status(&world, &deployment), DeploymentStatus::Superseded);
    }
    world
        .act(|draft, act| start(draft, act, app))
        .expect("starts");
    let first = create(&mut world, &new);
    let second = create(&mut world, &new);
    assert_eq!(status(&world, &first), DeploymentStatus::Superseded);
    assert_eq!(status(&world, &second), DeploymentStatus::Deploying);
}

#[test]
fn deploying_a_stopped_app_starts_it() {
    let mut world = World::new();
    let (app, new) = started(&mut world);
    world
        .act(|draft, act| stop(draft, act, app))
        .expect("stops");
    let deployment = create(&mut world, &new);
    assert_eq!(deployment.status, DeploymentStatus::Deployed);
    assert_eq!(world.app(app).desired_state, DesiredState::Started);
}

#[test]
fn what_is_not_offered_is_refused_by_its_name() {
    let mut world = World::new();
    let (app, _) = started(&mut world);
    let to_app = json!({"app": {"data": {"guid": app}}});
    for (wrong, word) in [
        (json!({"strategy": "canary"}), "canary"),
        (json!({"strategy": "blue"}), "rolling"),
        (json!({"revision": {"guid": "x"}}), "Revisions"),
        (json!({"options": {"max_in_flight": 0}}), "Max in flight"),
        (
            json!({"options": {"max_in_flight": 99_999}}),
            "Max in flight",
        ),
    ] {
        let mut wrong = wrong;
        wrong["relationships"] = to_app.clone();
        let new: NewDeployment = serde_json::from_value(wrong).expect("a request");
        let refused = world.act(|draft, act| create_deployment(draft, act, &new));
        let message = refused.expect_err("refused").to_string();
        assert!(message.contains(word), "{message}");
    }
}
