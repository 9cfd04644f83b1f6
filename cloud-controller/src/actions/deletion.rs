//! Deleting what may be large: an app, or all that is in a space.
//!
//! A commit has a limit, so large things go in several. Each step may be the last one before a
//! crash: what is left is then stopped, invisible to routers, and goes with the next delete.

use cfx_protocol::id::{AppGuid, SpaceGuid};
use serde_json::json;
use uuid::Uuid;

use super::{Act, Refused, app, destination, route, service};
use crate::state::app::{App, DesiredState};
use crate::state::build::Build;
use crate::state::deployment::Deployment;
use crate::state::droplet::Droplet;
use crate::state::package::Package;
use crate::state::process::Process;
use crate::state::route::Route;
use crate::state::service::{ServiceBinding, ServiceInstance};
use crate::state::task::Task;
use crate::state::{Draft, Link};

/// Things that one commit deletes. Each may cost two operations (itself and its event) and a commit
/// has 128; the rest is for what begins and ends the deletion.
const PER_COMMIT: usize = 55;

/// Is there more to delete? Then the action is to be called again, in a commit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    More,
    Done,
}

/// What may still be deleted in this commit.
#[derive(Debug)]
pub struct Budget(usize);

impl Budget {
    #[must_use]
    pub fn of_one_commit() -> Self {
        Self(PER_COMMIT)
    }

    /// May one more go?
    pub fn take(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

/// Delete an app with all that belongs to it.
pub fn delete_app(draft: &mut Draft, act: &Act<'_>, guid: AppGuid) -> Result<Progress, Refused> {
    delete_app_within(draft, act, guid, &mut Budget::of_one_commit())
}

/// Delete all that is in a space, but not the space.
pub fn empty_space(
    draft: &mut Draft,
    act: &Act<'_>,
    space: SpaceGuid,
) -> Result<Progress, Refused> {
    let mut budget = Budget::of_one_commit();
    let apps = draft.linked::<App>(Link::AppsOf(space.0));
    for guid in apps.map(|app| app.guid).collect::<Vec<_>>() {
        if delete_app_within(draft, act, guid, &mut budget)? == Progress::More {
            return Ok(Progress::More);
        }
    }
    let routes = draft.linked::<Route>(Link::RoutesOf(space.0));
    for guid in routes.map(|route| route.guid).collect::<Vec<_>>() {
        if !budget.take() {
            return Ok(Progress::More);
        }
        route::delete_route(draft, act, guid)?;
    }
    let instances = draft.linked::<ServiceInstance>(Link::ServiceInstancesOf(space.0));
    for guid in instances.map(|instance| instance.guid).collect::<Vec<_>>() {
        if !budget.take() {
            return Ok(Progress::More);
        }
        service::delete_instance(draft, act, guid)?;
    }
    Ok(Progress::Done)
}

fn delete_app_within(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    budget: &mut Budget,
) -> Result<Progress, Refused> {
    let app = app::find(draft, guid)?;
    // First of all nothing of it runs and nothing leads to it any more.
    if app.desired_state == DesiredState::Started {
        draft.update::<App>(&guid, |app| app.desired_state = DesiredState::Stopped);
    }
    let children = [
        unmap(draft, act, guid, budget)?,
        children::<Process>(draft, Link::ProcessesOf(guid.0), budget),
        children::<Task>(draft, Link::TasksOf(guid.0), budget),
        children::<Deployment>(draft, Link::DeploymentsOf(guid.0), budget),
        children::<Build>(draft, Link::BuildsOf(guid.0), budget),
        children::<ServiceBinding>(draft, Link::BindingsOf(guid.0), budget),
        children::<Droplet>(draft, Link::DropletsOf(guid.0), budget),
        children::<Package>(draft, Link::PackagesOf(guid.0), budget),
    ];
    if children.contains(&Progress::More) || !budget.take() {
        return Ok(Progress::More);
    }
    let data = json!({"request": {"recursive": true}});
    app::record(draft, act, &app, "audit.app.delete-request", data);
    draft.delete::<App>(&guid);
    Ok(Progress::Done)
}

fn unmap(
    draft: &mut Draft,
    act: &Act<'_>,
    app: AppGuid,
    budget: &mut Budget,
) -> Result<Progress, Refused> {
    let routes = draft.linked::<Route>(Link::RoutesTo(app.0));
    for route in routes.cloned().collect::<Vec<_>>() {
        if !budget.take() {
            return Ok(Progress::More);
        }
        let mut kept = route.destinations.clone();
        kept.retain(|to| to.app != app);
        destination::replace(draft, act, &route, kept)?;
    }
    Ok(Progress::Done)
}

fn children<R>(draft: &mut Draft, link: Link, budget: &mut Budget) -> Progress
where
    R: crate::state::Stored,
    R::Key: From<Uuid>,
{
    let keys: Vec<R::Key> = draft.linked::<R>(link).map(|record| record.key()).collect();
    for key in keys {
        if !budget.take() {
            return Progress::More;
        }
        draft.delete::<R>(&key);
    }
    Progress::Done
}

#[cfg(test)]
mod tests;
