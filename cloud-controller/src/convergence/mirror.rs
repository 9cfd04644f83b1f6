//! Keeps the planner in step with state and reports, for the cost of what changed.
//!
//! ```text
//!   State ----- differences --+                      +-> set_process, set_run, remove
//!   Observed -- a listener ---+-> works to look at --+
//!   what is ending, or runs once, always ------------+   cells -> set_cell, hear
//! ```
//! The sweep compares all of it with everything, and is to find nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_planner::Planner;
use cfx_planner::snapshot::{Phase, Work};
use cfx_protocol::id::AppGuid;

use super::progress::Progress;
use super::snapshot::{Moment, cell};
use crate::cells::Observed;
use crate::cells::changes::Listener;
use crate::cells::observed::{Cells, Instances};
use crate::state::app::App;
use crate::state::build::Build;
use crate::state::deployment::Deployment;
use crate::state::droplet::Droplet;
use crate::state::intent::IntentChunk;
use crate::state::process::Process;
use crate::state::space::Space;
use crate::state::task::Task;
use crate::state::{Link, State, changed_keys};

/// There is one, owned by the driver.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(super) planner: Planner,
    pub(super) progress: Progress,
    listener: Listener,
    followed: Arc<State>,
    /// Works that time or acknowledgements move on, so that each pass looks at them.
    moving: BTreeSet<Work>,
}

impl Mirror {
    pub(crate) fn new(observed: &Observed, listening_since: std::time::Duration) -> Self {
        Self {
            planner: Planner::new(listening_since),
            progress: Progress::default(),
            listener: observed.listen(),
            followed: Arc::default(),
            moving: BTreeSet::new(),
        }
    }

    /// Are instances ending, whose steps are due by time?
    pub(crate) fn is_busy(&self) -> bool {
        !self.progress.is_empty()
    }

    /// Take over what has changed. The state is looked at after the reports: whatever they speak of
    /// is in it.
    pub(super) fn follow(
        &mut self,
        observed: &Observed,
        look: impl FnOnce(Cells, Instances) -> Moment,
    ) -> Moment {
        let (changed, cells, instances) = observed.since(&self.listener);
        let moment = look(cells, instances);
        let mut works = std::mem::take(&mut self.moving);
        for guid in changed.heard {
            if let Some(status) = moment.cells.get(&guid) {
                self.planner.hear(guid, status.heard);
            }
        }
        for guid in changed.cells {
            match moment.cells.get(&guid) {
                Some(status) => self.planner.set_cell(guid, cell(status)),
                None => self.planner.remove_cell(guid),
            }
            works.extend(self.planner.works_on(guid));
        }
        // What is believed of an instance depends on whether its cell is heard.
        for guid in self.planner.listen(moment.now) {
            works.extend(self.planner.works_on(guid));
        }
        let owners = changed.instances.into_iter();
        let owners = owners.filter_map(|it| moment.state.owner_of(it));
        works.extend(owners.map(|chunk| Work::Process(chunk.process)));
        works.extend(changed_works(&self.followed, &moment.state));
        self.progress.begin();
        for work in works {
            self.refresh(work, &moment);
        }
        self.progress.finish();
        self.followed = moment.state.clone();
        moment
    }

    /// Compare with everything. Answers how much was missed, and is repaired now.
    pub(super) fn sweep(&mut self, moment: &Moment) -> usize {
        self.planner.sweep(moment.snapshot(&mut self.progress))
    }

    fn refresh(&mut self, work: Work, moment: &Moment) {
        let ends = |phase: Phase| phase != Phase::Run;
        match work {
            Work::Process(guid) => match moment.process(guid, &mut self.progress) {
                Some(process) => {
                    if process.intents.iter().any(|it| ends(it.phase)) {
                        self.moving.insert(work);
                    }
                    self.planner.set_process(process);
                }
                None => self.planner.remove(work),
            },
            Work::Task(_) | Work::Staging(_) => match moment.run(work, &mut self.progress) {
                Some(run) => {
                    self.moving.insert(work);
                    self.planner.set_run(run);
                }
                None => self.planner.remove(work),
            },
        }
    }
}

/// Works of which the planner may see something else in another state.
fn changed_works(before: &State, after: &State) -> BTreeSet<Work> {
    let mut works = BTreeSet::new();
    let chunks = changed_keys::<IntentChunk>(before, after).into_iter();
    works.extend(chunks.map(|key| Work::Process(key.process)));
    let processes = changed_keys::<Process>(before, after).into_iter();
    works.extend(processes.map(Work::Process));
    let tasks = changed_keys::<Task>(before, after).into_iter();
    works.extend(tasks.map(Work::Task));
    let builds = changed_keys::<Build>(before, after).into_iter();
    works.extend(builds.map(Work::Staging));
    for app in changed_apps(before, after) {
        for state in [before, after] {
            let processes = state.linked::<Process>(Link::ProcessesOf(app.0));
            works.extend(processes.map(|it| Work::Process(it.guid)));
        }
    }
    works
}

/// Apps that are different, or something that their processes are made from.
fn changed_apps(before: &State, after: &State) -> BTreeSet<AppGuid> {
    let mut apps: BTreeSet<_> = changed_keys::<App>(before, after).into_iter().collect();
    for state in [before, after] {
        let droplets = changed_keys::<Droplet>(before, after).into_iter();
        apps.extend(droplets.filter_map(|it| Some(state.get::<Droplet>(&it)?.app)));
        let deployments = changed_keys::<Deployment>(before, after).into_iter();
        apps.extend(deployments.filter_map(|it| Some(state.get::<Deployment>(&it)?.app)));
        for space in changed_keys::<Space>(before, after) {
            let inside = state.linked::<App>(Link::AppsOf(space.0));
            apps.extend(inside.map(|app| app.guid));
        }
    }
    apps
}
