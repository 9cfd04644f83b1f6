//! What instances are made of: from the frozen version of a process, a build or a task to the
//! spec that cells receive.
//!
//! Invariant: the name of a spec is its work and version, never its content. Cells replace an
//! instance whose spec has another name; so a renamed organisation, or a newer controller that
//! writes the environment differently, restarts nothing.

use std::collections::BTreeMap;

use cfx_planner::snapshot::Work as PlannerWork;
use cfx_protocol::desired::{
    BlobRef, FDS_MAX, InstanceSpec, Limits, Owner, PIDS_MAX, Root, SpecId, Work,
};
use cfx_protocol::id::{AppGuid, DropletGuid};

use super::environment;
use crate::state::State;
use crate::state::app::App;
use crate::state::build::Build;
use crate::state::droplet::{Droplet, DropletContent, DropletState};
use crate::state::organization::Organization;
use crate::state::process::{Process, RunningVersion};
use crate::state::route::Route;
use crate::state::space::Space;
use crate::state::task::Task;
use crate::state::{Link, Record};

/// The port that processes listen on unless a route says otherwise.
pub const PORT_DEFAULT: u16 = 8_080;
/// Bytes of log per second that a staging may write; a compiler is chatty, a loop is a mistake.
const STAGING_LOG_RATE_BYTES: u64 = 4 * 1024 * 1024;

/// Something that the spec needs is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSpec {
    #[error("{kind} {key} does not exist")]
    Missing { kind: &'static str, key: String },
    #[error("the app has nothing to run: push it, or set a droplet")]
    NoDroplet,
    #[error("the droplet {0} is not complete")]
    DropletIncomplete(DropletGuid),
    #[error("the build needs no cell")]
    NoStaging,
}

/// The name of the spec of one version of a work; 0 for works that run once.
#[must_use]
pub fn spec_id(work: PlannerWork, version: u64) -> SpecId {
    let name = match work {
        PlannerWork::Process(guid) => format!("process-{guid}-{version}"),
        PlannerWork::Task(guid) => format!("task-{guid}"),
        PlannerWork::Staging(guid) => format!("staging-{guid}"),
    };
    SpecId(name.into())
}

/// Long-running instances of one version of a process.
pub fn of_process(
    state: &State,
    process: &Process,
    running: &RunningVersion,
    cf_api: &str,
) -> Result<InstanceSpec, NoSpec> {
    let mut owner = owner(state, process.app)?;
    owner.app_name.clone_from(&running.app_name);
    let root = root(state, running.droplet.ok_or(NoSpec::NoDroplet)?)?;
    let env = environment::of_process(process, running, &owner, cf_api);
    Ok(InstanceSpec {
        work: Work::Process {
            process: process.guid,
            process_type: process.process_type.clone(),
            command: running.command.clone(),
            health: running.health.clone(),
            readiness: running.readiness.clone(),
        },
        ports: ports(state, process, &root),
        limits: limits(running.memory_mb, running.disk_mb, running.log_rate_bytes),
        owner,
        root,
        env,
    })
}

/// The one instance of a task.
pub fn of_task(state: &State, task: &Task, cf_api: &str) -> Result<InstanceSpec, NoSpec> {
    let owner = owner(state, task.app)?;
    Ok(InstanceSpec {
        work: Work::Task {
            task: task.guid,
            name: task.name.clone(),
            command: task.command.clone(),
        },
        root: root(state, task.droplet)?,
        limits: limits(task.memory_mb, task.disk_mb, task.log_rate_bytes),
        env: environment::of_task(task, &owner, cf_api),
        owner,
        ports: Vec::new(),
    })
}

/// The one instance that stages a build.
pub fn of_build(state: &State, build: &Build, cf_api: &str) -> Result<InstanceSpec, NoSpec> {
    let owner = owner(state, build.app)?;
    let work = build.work.clone().ok_or(NoSpec::NoStaging)?;
    Ok(InstanceSpec {
        root: Root::Stack {
            name: work.stack.clone(),
            droplet: None,
        },
        work: Work::Staging(work),
        limits: limits(build.memory_mb, build.disk_mb, Some(STAGING_LOG_RATE_BYTES)),
        env: environment::of_build(build, &owner, cf_api),
        owner,
        ports: Vec::new(),
    })
}

/// The version of a process that a number means: the present one, or one that an update left.
#[must_use]
pub fn version_of(state: &State, process: &Process, version: u64) -> Option<RunningVersion> {
    use crate::state::deployment::Deployment;
    let present = process.running.as_ref();
    if let Some(running) = present.filter(|running| running.version == version) {
        return Some(running.clone());
    }
    let deployments = state.linked::<Deployment>(Link::DeploymentsOf(process.app.0));
    deployments
        .filter(|deployment| deployment.process == process.guid)
        .filter_map(|deployment| deployment.previous.clone())
        .find(|running| running.version == version)
}

/// The root file system that a droplet stands for.
pub fn root(state: &State, guid: DropletGuid) -> Result<Root, NoSpec> {
    let droplet = find::<Droplet>(state, &guid)?;
    match &droplet.content {
        DropletContent::Docker {
            image,
            username,
            password,
        } => Ok(Root::Image {
            reference: image.clone(),
            username: username.clone(),
            password: password.clone(),
        }),
        DropletContent::Buildpack { blob, stack, .. } => {
            let blob = blob
                .as_ref()
                .filter(|_| droplet.state == DropletState::Staged)
                .ok_or(NoSpec::DropletIncomplete(guid))?;
            Ok(Root::Stack {
                name: stack.clone(),
                droplet: Some(BlobRef {
                    guid,
                    sha256: blob.sha256.clone(),
                    size_bytes: blob.size_bytes,
                }),
            })
        }
    }
}

fn owner(state: &State, app: AppGuid) -> Result<Owner, NoSpec> {
    let app = find::<App>(state, &app)?;
    let space = find::<Space>(state, &app.space)?;
    let organization = find::<Organization>(state, &space.organization)?;
    Ok(Owner {
        org: organization.guid,
        org_name: organization.name.clone(),
        space: space.guid,
        space_name: space.name.clone(),
        app: app.guid,
        app_name: app.name.clone(),
    })
}

/// What routes lead to, after the default port. An image brings its own ports: none are named.
fn ports(state: &State, process: &Process, root: &Root) -> Vec<u16> {
    if matches!(root, Root::Image { .. }) {
        return Vec::new();
    }
    let routes = state.linked::<Route>(Link::RoutesTo(process.app.0));
    let named = routes
        .flat_map(|route| route.destinations.iter())
        .filter(|to| to.app == process.app && to.process_type == process.process_type)
        .filter_map(|to| to.port);
    let mut ports = vec![PORT_DEFAULT];
    for port in named {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

fn limits(memory_mb: u32, disk_mb: u32, log_rate_bytes: Option<u64>) -> Limits {
    Limits {
        memory_mb,
        disk_mb,
        log_rate_bytes,
        pids: PIDS_MAX,
        fds: FDS_MAX,
    }
}

fn find<'a, R: crate::state::Stored>(
    state: &'a State,
    key: &R::Key,
) -> Result<&'a std::sync::Arc<R>, NoSpec> {
    state.get::<R>(key).ok_or_else(|| NoSpec::Missing {
        kind: <R as Record>::KIND,
        key: key.to_string(),
    })
}

/// Variables by name.
pub(super) type Variables = BTreeMap<String, String>;
