//! Works that run once: tasks and stagings. They are started at most once (I11): when the cell
//! that has one is lost, the work is given up rather than started again elsewhere.

use std::sync::Arc;
use std::time::Duration;

use crate::convergence::{Request, View, Wishes, advance};
use crate::plan::{Abandoned, Action, Cause, EndReason, Ending};
use crate::snapshot::{Phase, RunOnce, Work};

/// A staging that no cell could take for this long has failed: somebody waits at a terminal.
pub const STAGING_WAIT_MAX: Duration = Duration::from_secs(60);
/// A task that no cell could take for this long has failed (Cloud Foundry's limit).
pub const TASK_WAIT_MAX: Duration = Duration::from_secs(1_800);
/// A cell with a run-once work is waited for this long: it may come back with the result.
pub const LOST_WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) fn converge<'a>(run: &'a RunOnce, view: &View<'_>, wishes: &mut Wishes<'a>) {
    match (&run.intent, run.wanted) {
        (None, false) => {}
        (None, true) if run.age >= wait_max(run.work) => wishes.endings.push(Action::Abandon {
            work: run.work,
            why: Abandoned::NoCell {
                waited_s: run.age.as_secs(),
                ruled_out: Arc::default(),
            },
        }),
        (None, true) => wishes.requests.push(Request {
            work: run.work,
            app: run.app,
            org: run.org,
            version: 0,
            shape: &run.shape,
            instances: vec![(0, Cause::Once)],
            first: false,
        }),
        (Some(intent), true) if intent.runs() => {
            if view.silence(intent.cell) >= LOST_WAIT_MAX {
                wishes.endings.push(Action::Abandon {
                    work: run.work,
                    why: Abandoned::CellLost(view.cell_name(intent.cell)),
                });
            }
        }
        // Never routed, so it stops at once.
        (Some(intent), _) if intent.phase != Phase::Stop => {
            wishes.endings.push(Action::Stop(Ending {
                work: run.work,
                assignment: intent.assignment,
                reason: EndReason::WorkOver,
            }));
        }
        (Some(intent), _) => wishes.endings.extend(advance(run.work, intent, view)),
    }
}

fn wait_max(work: Work) -> Duration {
    match work {
        Work::Staging(_) => STAGING_WAIT_MAX,
        Work::Task(_) | Work::Process(_) => TASK_WAIT_MAX,
    }
}
