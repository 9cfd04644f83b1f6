//! How much of an app's past is kept: each push leaves a package, a build and a droplet, and an app
//! that is pushed every hour would fill the disk. What is in use stays, whatever its age.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::id::{AppGuid, DropletGuid, PackageGuid};
use jiff::Timestamp;

use crate::state::app::App;
use crate::state::build::{Build, BuildState};
use crate::state::deployment::Deployment;
use crate::state::droplet::Droplet;
use crate::state::package::Package;
use crate::state::process::Process;
use crate::state::task::{Task, TaskState};
use crate::state::{Draft, Link, Record, Stored};

/// Packages and droplets of one app, beyond those in use (Cloud Foundry keeps as many).
pub const PACKAGES_MAX: usize = 5;
pub const DROPLETS_MAX: usize = 5;
/// Builds, deployments and tasks of one app that have ended.
pub const ENDED_MAX: usize = 50;
/// Most records of one kind that one commit deletes; the next build takes more.
const PER_COMMIT: usize = 10;

/// Forget the oldest of what is not in use.
pub(super) fn trim(draft: &mut Draft, app: AppGuid) {
    let (packages, droplets) = in_use(draft, app);
    let guid = app.0;
    forget::<Package>(draft, Link::PackagesOf(guid), PACKAGES_MAX, |it| {
        (!packages.contains(&it.guid)).then_some(it.meta.created_at)
    });
    forget::<Droplet>(draft, Link::DropletsOf(guid), DROPLETS_MAX, |it| {
        (!droplets.contains(&it.guid)).then_some(it.meta.created_at)
    });
    forget::<Build>(draft, Link::BuildsOf(guid), ENDED_MAX, |it| {
        (it.state != BuildState::Staging).then_some(it.meta.created_at)
    });
    forget::<Deployment>(draft, Link::DeploymentsOf(guid), ENDED_MAX, |it| {
        (!it.status.is_active()).then_some(it.meta.created_at)
    });
    forget::<Task>(draft, Link::TasksOf(guid), ENDED_MAX, |it| {
        (has_ended(it) && it.intent.is_none()).then_some(it.meta.created_at)
    });
}

/// What something still needs, or may go back to.
fn in_use(draft: &Draft, app: AppGuid) -> (BTreeSet<PackageGuid>, BTreeSet<DropletGuid>) {
    let builds = draft.linked::<Build>(Link::BuildsOf(app.0));
    let staging = builds.filter(|build| build.state == BuildState::Staging);
    let packages = staging.map(|build| build.package).collect();
    let current = draft.get::<App>(&app).and_then(|app| app.current_droplet);
    let processes = draft.linked::<Process>(Link::ProcessesOf(app.0));
    let running = processes.filter_map(|process| process.running.as_ref()?.droplet);
    let tasks = draft.linked::<Task>(Link::TasksOf(app.0));
    let tasks = tasks.filter(|task| !has_ended(task));
    let deployments = draft.linked::<Deployment>(Link::DeploymentsOf(app.0));
    let active = deployments.filter(|deployment| deployment.status.is_active());
    let droplets = current
        .into_iter()
        .chain(running)
        .chain(tasks.map(|task| task.droplet))
        .chain(active.flat_map(|it| it.droplet.into_iter().chain(it.previous_droplet)))
        .collect();
    (packages, droplets)
}

fn has_ended(task: &Task) -> bool {
    matches!(task.state, TaskState::Succeeded | TaskState::Failed)
}

/// Delete the oldest of those that `age` gives a time, beyond `most`.
fn forget<R>(draft: &mut Draft, link: Link, most: usize, age: impl Fn(&R) -> Option<Timestamp>)
where
    R: Stored,
    R::Key: From<uuid::Uuid>,
{
    let records = draft.linked::<R>(link);
    let mut old: Vec<(Timestamp, R::Key)> = records
        .filter_map(|record: &Arc<R>| Some((age(record)?, Record::key(&**record))))
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(most).min(PER_COMMIT);
    for (_, key) in old.into_iter().take(surplus) {
        draft.delete::<R>(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::app;
    use super::super::fixture::World;
    use super::*;

    #[test]
    fn pushing_for_ever_keeps_a_bounded_past_and_what_runs() {
        let mut world = World::new();
        let app = world.staged_app("shop", &[("web", "./serve")]);
        world
            .act(|draft, act| app::start(draft, act, app))
            .expect("starts");
        let first = world.app(app).current_droplet.expect("a droplet");
        for _ in 0..80 {
            world.now = world
                .now
                .checked_add(Duration::from_secs(60))
                .expect("later");
            world.stage(app, &[("web", "./serve")]);
        }
        let draft = &world.draft;
        assert!(draft.get::<Droplet>(&first).is_some(), "it runs");
        // The newest of each comes after the trimming.
        assert_eq!(draft.all::<Droplet>().count(), DROPLETS_MAX + 2);
        assert_eq!(draft.all::<Package>().count(), PACKAGES_MAX + 1);
        assert_eq!(draft.all::<Build>().count(), ENDED_MAX + 1);
        let newest = draft.all::<Droplet>().map(|it| it.meta.created_at).max();
        assert_eq!(newest, Some(world.now));
    }
}
