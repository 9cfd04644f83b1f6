//! What cells report has ended is applied, once.

use std::collections::BTreeMap;
use std::time::Duration;

use cfx_cloud_controller::state::Link;
use cfx_cloud_controller::state::app::Lifecycle;
use cfx_cloud_controller::state::audit_event::AuditEvent;
use cfx_cloud_controller::state::build::{Build, BuildCreator, BuildState};
use cfx_cloud_controller::state::droplet::{Droplet, DropletState};
use cfx_cloud_controller::state::meta::Meta;
use cfx_cloud_controller::state::package::BlobFacts;
use cfx_cloud_controller::state::task::{Task, TaskState};
use cfx_protocol::actual::{CrashReport, Outcome, StagedDroplet};
use cfx_protocol::desired::{BlobRef, StagingWork, Work};
use cfx_protocol::id::{BuildGuid, DropletGuid, PackageGuid, TaskGuid, UserGuid};
use cfx_protocol::instance::{CrashReason, InstanceState};
use jiff::Timestamp;
use uuid::Uuid;

use crate::cell::ScriptedCell;
use crate::world::{World, app_guid, droplet_guid, process_guid, until};

const BUILD: BuildGuid = BuildGuid(Uuid::from_u128(0x11));
const NEW_DROPLET: DropletGuid = DropletGuid(Uuid::from_u128(0x12));
const TASK: TaskGuid = TaskGuid(Uuid::from_u128(0x13));

fn build(now: Timestamp) -> Build {
    Build {
        guid: BUILD,
        app: app_guid(1),
        package: PackageGuid(Uuid::from_u128(0x14)),
        state: BuildState::Staging,
        error: None,
        droplet: NEW_DROPLET,
        lifecycle: Lifecycle::Buildpack {
            buildpacks: Vec::new(),
            stack: "host".into(),
        },
        work: Some(StagingWork {
            build: BUILD,
            package: BlobRef {
                guid: PackageGuid(Uuid::from_u128(0x14)),
                sha256: "11".into(),
                size_bytes: 1,
            },
            droplet: NEW_DROPLET,
            buildpacks: Vec::new(),
            detect: true,
            stack: "host".into(),
            cache: None,
            timeout_s: 900,
        }),
        environment: BTreeMap::from([("BP_MODE".to_owned(), "fast".to_owned())]),
        vcap_services: "{}".into(),
        memory_mb: 1_024,
        disk_mb: 1_024,
        created_by: BuildCreator {
            guid: UserGuid(Uuid::from_u128(0x15)),
            name: "admin".into(),
            email: "admin".into(),
        },
        uploaded: Some(BlobFacts {
            sha256: "22".into(),
            size_bytes: 2,
        }),
        uploaded_cache: None,
        intent: None,
        meta: Meta::new(now),
    }
}

fn task(now: Timestamp) -> Task {
    Task {
        guid: TASK,
        app: app_guid(1),
        sequence_id: 1,
        name: "migrate".into(),
        command: "./migrate".into(),
        droplet: droplet_guid(1),
        environment: BTreeMap::new(),
        vcap_services: "{}".into(),
        memory_mb: 256,
        disk_mb: 256,
        log_rate_bytes: None,
        state: TaskState::Pending,
        failure_reason: None,
        intent: None,
        meta: Meta::new(now),
    }
}

#[tokio::test]
async fn a_package_is_staged_on_a_cell_and_its_droplet_recorded() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    world.push(1, 0).await;
    let now = world.clock.now();
    world.change(|draft| drop(draft.put(build(now)))).await;
    until("it is assigned", || cell.indices() == [0]).await;
    {
        let script = cell.script.lock();
        let spec = script.specs.values().next().expect("its spec");
        assert!(matches!(&spec.work, Work::Staging(work) if work.build == BUILD));
        assert_eq!(spec.env["BP_MODE"], "fast");
    }
    cell.finish(Outcome::Staging {
        build: BUILD,
        result: Ok(StagedDroplet {
            sha256: "22".into(),
            size_bytes: 2,
            detected_buildpack: "binary".into(),
            buildpacks: vec!["binary_buildpack".into()],
            process_types: BTreeMap::from([("web".to_owned(), "./new".to_owned())]),
            cache: None,
        }),
    });
    until("it is staged", || {
        world
            .state()
            .get::<Build>(&BUILD)
            .expect("it is there")
            .state
            == BuildState::Staged
    })
    .await;
    let state = world.state();
    let droplet = state.get::<Droplet>(&NEW_DROPLET).expect("it is recorded");
    assert_eq!(droplet.state, DropletState::Staged);
    until("the cell is rid of it", || cell.indices().is_empty()).await;
    until("and so is the build", || {
        world
            .state()
            .get::<Build>(&BUILD)
            .expect("it is there")
            .intent
            .is_none()
    })
    .await;
}

#[tokio::test]
async fn a_task_runs_once_and_its_failure_is_told() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    world.push(1, 0).await;
    let now = world.clock.now();
    world.change(|draft| drop(draft.put(task(now)))).await;
    let state_of = |world: &World| world.state().get::<Task>(&TASK).expect("it is there").state;
    until("it runs", || state_of(&world) == TaskState::Running).await;
    cell.finish(Outcome::Task {
        task: TASK,
        failure: Some("Exited with status 3".into()),
    });
    until("it has failed", || state_of(&world) == TaskState::Failed).await;
    let state = world.state();
    let task = state.get::<Task>(&TASK).expect("it is there");
    assert_eq!(task.failure_reason.as_deref(), Some("Exited with status 3"));
    until("the cell is rid of it", || cell.indices().is_empty()).await;
}

#[tokio::test]
async fn a_build_that_no_cell_can_take_fails_with_its_reason() {
    let world = World::start().await;
    world.push(1, 0).await;
    let now = world.clock.now();
    world.change(|draft| drop(draft.put(build(now)))).await;
    world.time.advance(Duration::from_secs(61));
    until("it has failed", || {
        world
            .state()
            .get::<Build>(&BUILD)
            .expect("it is there")
            .state
            == BuildState::Failed
    })
    .await;
    let error = world
        .state()
        .get::<Build>(&BUILD)
        .and_then(|it| it.error.clone());
    assert!(
        error
            .expect("an error")
            .starts_with("InsufficientResources")
    );
}

#[tokio::test]
async fn a_crash_is_recorded_once_however_often_it_is_reported() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    let process = world.push(1, 1).await;
    until("it is assigned", || cell.indices() == [0]).await;
    let intent = world.intents(process).remove(0);
    let crash = CrashReport {
        assignment: intent.assignment,
        instance: intent.assignment.instance(0),
        process: process_guid(1),
        index: 0,
        at: world.clock.now(),
        reason: CrashReason::Exited { status: 1 },
        crashes: 1,
        next_retry_at: None,
    };
    let mut again = crash.clone();
    again.instance = intent.assignment.instance(1);
    let mut foreign = crash.clone();
    foreign.assignment = cfx_protocol::id::AssignmentGuid(Uuid::from_u128(1));
    cell.script.lock().crashes = vec![crash.clone(), crash.clone(), foreign];
    let count = |world: &World| {
        let state = world.state();
        let crashes = state
            .all::<AuditEvent>()
            .filter(|it| it.kind == "app.crash");
        crashes.count()
    };
    until("it is recorded", || count(&world) == 1).await;
    cell.script.lock().crashes = vec![crash, again];
    until("the second start's too", || count(&world) == 2).await;
    let state = world.state();
    let audit = state
        .all::<AuditEvent>()
        .find(|it| it.kind == "audit.app.process.crash");
    let audit = audit.expect("its twin");
    assert_eq!(
        audit.data["exit_description"],
        "APP/PROC/WEB: Exited with status 1"
    );
    assert_eq!(audit.data["reason"], "CRASHED");
    assert_eq!(
        state.linked::<Task>(Link::TasksOf(app_guid(1).0)).count(),
        0
    );
    cell.set(0, |report| {
        report.state = InstanceState::Crashed {
            since: Timestamp::UNIX_EPOCH,
            reason: CrashReason::Exited { status: 1 },
            next_retry_at: None,
        };
    });
    world.time.advance(Duration::from_secs(1));
    assert_eq!(
        world.intents(process),
        [intent],
        "its cell restarts it, nobody else"
    );
}

#[tokio::test]
async fn a_staging_that_takes_too_long_is_ended_though_its_cell_says_nothing() {
    let world = World::start().await;
    let cell = ScriptedCell::start(&world, 1);
    world.push(1, 0).await;
    let now = world.clock.now();
    world.change(|draft| drop(draft.put(build(now)))).await;
    until("it is assigned", || cell.indices() == [0]).await;
    let long_ago = |build: &mut Build| build.meta.created_at = Timestamp::UNIX_EPOCH;
    world.change(|draft| draft.update(&BUILD, long_ago)).await;
    until("it has failed", || {
        world
            .state()
            .get::<Build>(&BUILD)
            .expect("it is there")
            .state
            == BuildState::Failed
    })
    .await;
    let error = world
        .state()
        .get::<Build>(&BUILD)
        .and_then(|it| it.error.clone());
    assert!(error.expect("an error").starts_with("StagingTimeExpired"));
    until("the cell is rid of it", || cell.indices().is_empty()).await;
}
