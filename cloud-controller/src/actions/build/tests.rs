use super::super::fixture::{World, blob, creator, staged};
use super::*;

fn docker_package(world: &mut World, app: AppGuid, image: &str) -> Result<Arc<Package>, Refused> {
    let new = serde_json::from_value(json!({
        "type": "docker",
        "data": {"image": image},
        "relationships": {"app": {"data": {"guid": app}}},
    }))
    .expect("a request");
    world.act(|draft, act| super::super::package::create_package(draft, act, &new))
}

fn state_of(world: &World, build: &Build) -> (BuildState, Option<String>) {
    let build = world.draft.get::<Build>(&build.guid).expect("it");
    (build.state, build.error.clone())
}

#[test]
fn a_build_fixes_its_order_and_only_one_is_in_flight() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let package = world.new_package(app);
    let build = world.begin_build(package);
    let work = build.work.expect("an order");
    assert!(work.detect);
    assert_eq!(work.buildpacks[0].name, "go_buildpack");
    assert_eq!(work.package.sha256, blob("a").sha256);
    let again = NewBuild {
        package: cfx_protocol::v3::resource::Reference { guid: package },
        lifecycle: None,
        staging_memory_in_mb: None,
        staging_disk_in_mb: None,
        staging_log_rate_limit_bytes_per_second: None,
        metadata: None,
    };
    let refused = world.act(|draft, act| create_build(draft, act, &again, creator()));
    assert_eq!(refused.err(), Some(Refused::StagingInProgress));
}

#[test]
fn a_droplet_counts_only_if_its_cell_has_sent_it() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let package = world.new_package(app);
    let build = world.begin_build(package);
    world.act(|draft, act| {
        droplet_uploaded(draft, build.guid, blob("e"));
        // It names another one: somebody else's, perhaps.
        finish_staging(draft, act, build.guid, &Ok(staged(&[("web", "./serve")])));
    });
    let (state, error) = state_of(&world, &build);
    assert_eq!(state, BuildState::Failed);
    assert!(error.expect("an error").starts_with("StagingError - "));
    assert!(world.draft.get::<Droplet>(&build.droplet).is_none());
}

#[test]
fn a_build_that_has_ended_stays_as_it_is_and_forgets_its_secrets() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let package = world.new_package(app);
    let build = world.begin_build(package);
    let failure = StagingFailure {
        id: "NoAppDetectedError".to_owned(),
        message: "An app was not successfully detected by any available buildpack".to_owned(),
    };
    world.act(|draft, act| {
        finish_staging(draft, act, build.guid, &Err(failure));
        droplet_uploaded(draft, build.guid, blob("d"));
        finish_staging(draft, act, build.guid, &Ok(staged(&[])));
    });
    let (state, error) = state_of(&world, &build);
    assert_eq!(state, BuildState::Failed);
    assert_eq!(
        error.as_deref(),
        Some(
            "NoAppDetectedError - An app was not successfully detected by any available buildpack"
        )
    );
    let kept = world.draft.get::<Build>(&build.guid).expect("it");
    assert!(kept.work.is_none() && kept.environment.is_empty());
}

#[test]
fn a_docker_image_is_staged_at_once() {
    let mut world = World::new();
    let app = world.new_app("shop");
    world
        .draft
        .update::<App>(&app, |app| app.lifecycle = Lifecycle::Docker);
    let package = docker_package(&mut world, app, "registry.test:5000/a/b:1").expect("creates");
    let build = world.begin_build(package.guid);
    assert_eq!(build.state, BuildState::Staged);
    let droplet = world.draft.get::<Droplet>(&build.droplet).expect("it");
    assert_eq!(droplet.state, DropletState::Staged);
    assert_eq!(droplet.process_types[WEB], "");
}

#[test]
fn what_is_no_docker_reference_is_refused() {
    let mut world = World::new();
    let app = world.new_app("shop");
    for wrong in [
        "",
        "http://169.254.169.254/",
        "../../etc/passwd",
        "a b",
        "-x",
    ] {
        assert!(docker_package(&mut world, app, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn bits_are_not_staged_by_docker_nor_images_by_buildpacks() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let image = docker_package(&mut world, app, "busybox").expect("creates");
    let new = |guid| NewBuild {
        package: cfx_protocol::v3::resource::Reference { guid },
        lifecycle: None,
        staging_memory_in_mb: None,
        staging_disk_in_mb: None,
        staging_log_rate_limit_bytes_per_second: None,
        metadata: None,
    };
    let refused = world.act(|draft, act| create_build(draft, act, &new(image.guid), creator()));
    assert!(refused.is_err());
    let bits = world.new_package(app);
    world
        .draft
        .update::<App>(&app, |app| app.lifecycle = Lifecycle::Docker);
    let refused = world.act(|draft, act| create_build(draft, act, &new(bits), creator()));
    assert!(refused.is_err());
}

#[test]
fn a_build_that_no_cell_ends_fails_in_time() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let package = world.new_package(app);
    let build = world.begin_build(package);
    world.now = deadline(&build);
    assert_eq!(world.act(expire_builds), 0);
    world.now = world
        .now
        .checked_add(Duration::from_secs(1))
        .expect("later");
    assert_eq!(world.act(expire_builds), 1);
    let (state, error) = state_of(&world, &build);
    assert_eq!(state, BuildState::Failed);
    assert!(error.expect("an error").starts_with("StagingTimeExpired"));
}

#[test]
fn the_newest_cache_is_kept_for_the_next_build() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let package = world.new_package(app);
    let first = world.begin_build(package);
    let mut result = staged(&[("web", "./serve")]);
    result.cache = Some(blob("c").sha256);
    world.act(|draft, act| {
        droplet_uploaded(draft, first.guid, blob("d"));
        cache_uploaded(draft, first.guid, blob("c"));
        finish_staging(draft, act, first.guid, &Ok(result));
    });
    let second = world.begin_build(package);
    let work = second.work.expect("an order");
    assert_eq!(work.cache, Some(blob("c").sha256));
}
