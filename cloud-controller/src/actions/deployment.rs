//! Deployments: replacing an app's instances without a gap.
//!
//! The web process takes the new version at once; the planner replaces its instances a few at a
//! time (`max_in_flight`) as long as the deployment is active. `advance` is the one state machine.
//!
//! ```text
//!   Deploying -- all new instances run, no old one left --> Deployed
//!       |  cancel                                 (then other processes take the new version)
//!       v
//!   Canceling -- all instances are of the previous version --> Canceled
//!   any active -- stop, restart, another deployment --> Superseded
//! ```

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, DeploymentGuid, ProcessGuid};
use cfx_protocol::v3::deployment::{NewDeployment, NewDeploymentOptions};
use cfx_protocol::v3::process::Scale;
use serde_json::json;

use super::package::owner_of;
use super::process::{WEB, new_version};
use super::{Act, Refused, app, metadata, process};
use crate::state::app::{App, DesiredState};
use crate::state::deployment::{Deployment, DeploymentStatus, Strategy};
use crate::state::meta::Meta;
use crate::state::process::Process;
use crate::state::{Draft, Link};

/// Most instances that are replaced at once.
const MAX_IN_FLIGHT_MAX: i64 = 1_000;

pub fn create_deployment(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewDeployment,
) -> Result<Arc<Deployment>, Refused> {
    let app = owner_of(draft, new.relationships.app.data.map(|to| to.guid))?;
    let max_in_flight = check(new)?;
    let droplet = match (&new.droplet, app.current_droplet) {
        (Some(droplet), _) => droplet.guid,
        (None, Some(current)) => current,
        (None, None) => {
            return Err(Refused::unprocessable(
                "Invalid droplet. Please specify a droplet in the request or set a current \
                 droplet for the app.",
            ));
        }
    };
    supersede_active(draft, act, app.guid);
    let web = app::process_of(draft, app.guid, WEB)
        .ok_or_else(|| Refused::unprocessable("The app has no web process to deploy"))?;
    let previous = web.running.clone();
    let was_started = app.desired_state == DesiredState::Started;
    app::assign_droplet(draft, act, app.guid, droplet)?;
    rescale(draft, act, web.guid, new.options.as_ref())?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let mut deployment = Deployment {
        guid: act.ids.guid(),
        app: app.guid,
        process: web.guid,
        strategy: Strategy::Rolling,
        status: DeploymentStatus::Deploying,
        droplet: Some(droplet),
        previous_droplet: app.current_droplet,
        previous,
        max_in_flight,
        last_status_change: act.now,
        last_healthy_at: None,
        meta,
    };
    if was_started {
        new_version(draft, act, web.guid)?;
    } else {
        // Nothing runs, so there is nothing to replace.
        app::start(draft, act, app.guid)?;
        deployment.status = DeploymentStatus::Deployed;
    }
    let deployment = draft.put(deployment);
    record(draft, act, &deployment, "audit.app.deployment.create");
    Ok(deployment)
}

/// Go back to what ran before.
pub fn cancel_deployment(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: DeploymentGuid,
) -> Result<Arc<Deployment>, Refused> {
    let mut deployment = Deployment::clone(&*find(draft, guid)?);
    match deployment.status {
        DeploymentStatus::Canceling => return Ok(Arc::new(deployment)),
        DeploymentStatus::Deploying => {}
        other => {
            return Err(Refused::Unprocessable(format!(
                "Cannot cancel a deployment with status: FINALIZED and reason: {}",
                word(other)
            )));
        }
    }
    if let Some(previous) = deployment.previous.clone() {
        draft.update::<Process>(&deployment.process, |process| {
            process.version = previous.version;
            process.running = Some(previous);
            process.meta.updated_at = act.now;
        });
    }
    draft.update::<App>(&deployment.app, |app| {
        app.current_droplet = deployment.previous_droplet;
        app.meta.updated_at = act.now;
    });
    set_status(&mut deployment, act, DeploymentStatus::Canceling);
    let deployment = draft.put(deployment);
    record(draft, act, &deployment, "audit.app.deployment.cancel");
    Ok(deployment)
}

/// How far the replacement of a deployment's web instances has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Instances of the process's version that run and are ready.
    pub healthy: u32,
    /// Instances of other versions that are not gone.
    pub old: u32,
}

/// Move an active deployment by what is seen of its instances. True if it changed.
pub fn advance(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: DeploymentGuid,
    seen: Rollout,
) -> Result<bool, Refused> {
    let mut deployment = Deployment::clone(&*find(draft, guid)?);
    let process = process::find(draft, deployment.process)?;
    if seen.old > 0 || seen.healthy < process.instances {
        return Ok(false);
    }
    match deployment.status {
        DeploymentStatus::Deploying => {
            restart_others(draft, act, &deployment)?;
            deployment.last_healthy_at = Some(act.now);
            set_status(&mut deployment, act, DeploymentStatus::Deployed);
        }
        DeploymentStatus::Canceling => {
            set_status(&mut deployment, act, DeploymentStatus::Canceled);
        }
        DeploymentStatus::Deployed | DeploymentStatus::Canceled | DeploymentStatus::Superseded => {
            return Ok(false);
        }
    }
    draft.put(deployment);
    Ok(true)
}

/// Something else decides about the app's instances from now on.
pub(super) fn supersede_active(draft: &mut Draft, act: &Act<'_>, app: AppGuid) {
    let active: Vec<Arc<Deployment>> = draft
        .linked::<Deployment>(Link::DeploymentsOf(app.0))
        .filter(|deployment| deployment.status.is_active())
        .cloned()
        .collect();
    for deployment in active {
        let mut deployment = Deployment::clone(&deployment);
        let end = match deployment.status {
            DeploymentStatus::Canceling => DeploymentStatus::Canceled,
            _ => DeploymentStatus::Superseded,
        };
        set_status(&mut deployment, act, end);
        draft.put(deployment);
    }
}

/// The reason as the v3 API words it.
#[must_use]
pub fn word(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Deploying => "DEPLOYING",
        DeploymentStatus::Deployed => "DEPLOYED",
        DeploymentStatus::Canceling => "CANCELING",
        DeploymentStatus::Canceled => "CANCELED",
        DeploymentStatus::Superseded => "SUPERSEDED",
    }
}

fn set_status(deployment: &mut Deployment, act: &Act<'_>, status: DeploymentStatus) {
    deployment.status = status;
    deployment.last_status_change = act.now;
    deployment.meta.updated_at = act.now;
}

fn find(draft: &Draft, guid: DeploymentGuid) -> Result<Arc<Deployment>, Refused> {
    draft
        .get::<Deployment>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Deployment"))
}

/// What of the request is not done here, and `max_in_flight`.
fn check(new: &NewDeployment) -> Result<u32, Refused> {
    if new.revision.is_some() {
        return Err(Refused::unprocessable(
            "Revisions are not kept: deploy a droplet instead",
        ));
    }
    match new.strategy.as_deref() {
        None | Some("rolling") => {}
        Some("canary") => {
            return Err(Refused::unprocessable(
                "Strategy 'canary' is not supported; use 'rolling'",
            ));
        }
        Some(_) => return Err(Refused::unprocessable("Strategy must be 'rolling'")),
    }
    let options = new.options.as_ref();
    if options.is_some_and(|options| options.canary.is_some()) {
        return Err(Refused::unprocessable(
            "Options canary are not valid for a rolling deployment",
        ));
    }
    let asked = options.and_then(|options| options.max_in_flight);
    let asked = asked.map_or(1, |number| number.0);
    u32::try_from(asked)
        .ok()
        .filter(|_| (1..=MAX_IN_FLIGHT_MAX).contains(&asked))
        .ok_or_else(|| {
            Refused::Unprocessable(format!(
                "Max in flight must be an integer from 1 to {MAX_IN_FLIGHT_MAX}"
            ))
        })
}

/// Sizes that come with the deployment take effect with its version.
fn rescale(
    draft: &mut Draft,
    act: &Act<'_>,
    web: ProcessGuid,
    options: Option<&NewDeploymentOptions>,
) -> Result<(), Refused> {
    let Some(options) = options else {
        return Ok(());
    };
    let scale = Scale {
        instances: options.web_instances,
        memory_in_mb: options.memory_in_mb,
        disk_in_mb: options.disk_in_mb,
        log_rate_limit_in_bytes_per_second: options.log_rate_limit_in_bytes_per_second,
    };
    if scale == Scale::default() {
        return Ok(());
    }
    process::resize(draft, act, web, &scale).map(drop)
}

/// Processes that no requests reach are restarted when the web process is through.
fn restart_others(
    draft: &mut Draft,
    act: &Act<'_>,
    deployment: &Deployment,
) -> Result<(), Refused> {
    let others: Vec<ProcessGuid> = draft
        .linked::<Process>(Link::ProcessesOf(deployment.app.0))
        .filter(|process| process.guid != deployment.process)
        .map(|process| process.guid)
        .collect();
    for process in others {
        new_version(draft, act, process)?;
    }
    Ok(())
}

fn record(draft: &mut Draft, act: &Act<'_>, deployment: &Deployment, kind: &str) {
    let Some(app) = draft.get::<App>(&deployment.app).cloned() else {
        return;
    };
    let data = json!({
        "deployment_guid": deployment.guid,
        "droplet_guid": deployment.droplet,
        "strategy": "rolling",
    });
    app::record(draft, act, &app, kind, data);
}

#[cfg(test)]
mod tests;
