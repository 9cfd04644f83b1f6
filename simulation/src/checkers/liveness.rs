//! Liveness: once the faults have stopped, everything becomes as its users want it, and nothing is
//! left over.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use cfx_cloud_controller::state::app::{App, DesiredState};
use cfx_cloud_controller::state::process::Process;
use cfx_cloud_controller::state::task::{Task, TaskState};
use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::InstanceState;

use super::{View, Violation};
use crate::cell::machine::Phase;
use crate::trace::Change;

/// What is not as it should be, if anything is not.
pub fn settled(view: &View<'_>) -> Result<(), Violation> {
    let told = |rule| {
        move |why| Violation {
            rule,
            at: view.now,
            why,
        }
    };
    let expected = running(view).map_err(told("L1 what is wanted runs"))?;
    ended(view).map_err(told("L1 tasks come to an end"))?;
    left_over(view, &expected).map_err(told("L1 nothing is left over"))?;
    served(view, &expected).map_err(told("L2 routers serve the truth"))
}

/// Some instance that is wanted waits for its next start.
#[must_use]
pub fn waits_for_back_off(view: &View<'_>) -> bool {
    let agents = view.cells.iter().filter_map(|cell| cell.agent());
    let mut states = agents
        .flat_map(|agent| agent.instances.values())
        .map(|instance| &instance.state);
    states.any(|state| {
        matches!(
            state,
            InstanceState::Crashed {
                next_retry_at: Some(_),
                ..
            }
        )
    })
}

/// Every wanted index has its one instance, or the controller says why not.
fn running(view: &View<'_>) -> Result<BTreeSet<AssignmentGuid>, String> {
    let Some(steps) = view.controller.steps() else {
        return Err("the controller does not run".to_owned());
    };
    let mut expected = BTreeSet::new();
    for process in view
        .state
        .all::<Process>()
        .filter(|process| is_started(view, process))
    {
        let unplaced = |index: &u32| steps.insight().unplaced(process.guid, *index).is_some();
        let unplaced: BTreeSet<u32> = (0..process.instances).filter(unplaced).collect();
        for index in 0..process.instances {
            let name = format!("index {index} of {}", process.guid);
            let mut here = view.intents.at(process.guid, index);
            match (here.next(), here.next()) {
                // An update that finds no room for a successor leaves the older ones.
                (Some((intent, Change::Placed)), None)
                    if Some(intent.version) == version(process) || !unplaced.is_empty() =>
                {
                    listens(view, intent.assignment, intent.cell)
                        .map_err(|why| format!("{name}: {why}"))?;
                    expected.insert(intent.assignment);
                }
                (None, None) if unplaced.contains(&index) => {}
                (first, second) => {
                    return Err(format!(
                        "{name} is wanted, there is {first:?} and {second:?}"
                    ));
                }
            }
        }
    }
    Ok(expected)
}

fn is_started(view: &View<'_>, process: &Process) -> bool {
    let app = view.state.get::<App>(&process.app);
    app.is_some_and(|app| app.desired_state == DesiredState::Started) && process.running.is_some()
}

fn version(process: &Process) -> Option<u64> {
    process.running.as_ref().map(|running| running.version)
}

fn listens(view: &View<'_>, assignment: AssignmentGuid, cell: usize) -> Result<(), String> {
    let Some(cell) = view.cells.get(cell) else {
        return Err("its cell is unknown".to_owned());
    };
    let here = cell
        .machine
        .containers
        .values()
        .find(|it| it.assignment == assignment);
    match here.map(|container| container.phase) {
        Some(Phase::Listening) => Ok(()),
        other => {
            let known = cell
                .agent()
                .and_then(|agent| agent.instances.get(&assignment));
            let state = known.map(|instance| &instance.state);
            Err(format!(
                "{assignment} on cell {} is {other:?}, its agent says {state:?}",
                cell.number
            ))
        }
    }
}

/// A task that no cell has room for may wait.
fn ended(view: &View<'_>) -> Result<(), String> {
    let runs = |task: &&Arc<Task>| {
        let waits = task.state == TaskState::Pending && task.intent.is_none();
        !waits && !matches!(task.state, TaskState::Succeeded | TaskState::Failed)
    };
    match view.state.all::<Task>().find(runs) {
        Some(task) => Err(format!("the task {} is {:?}", task.guid, task.state)),
        None => Ok(()),
    }
}

fn left_over(view: &View<'_>, expected: &BTreeSet<AssignmentGuid>) -> Result<(), String> {
    if let Some((guid, (intent, phase))) = view
        .intents
        .known
        .iter()
        .find(|(guid, _)| !expected.contains(guid))
    {
        return Err(format!(
            "the intent {guid} on cell {} is still {phase:?}",
            intent.cell
        ));
    }
    for cell in view.cells {
        for container in cell.machine.containers.values() {
            if !expected.contains(&container.assignment) {
                return Err(format!(
                    "cell {} still has {} ({:?})",
                    cell.number, container.assignment, container.phase
                ));
            }
        }
        let (leases, containers) = (cell.machine.leases(), cell.machine.containers.len());
        if leases != containers {
            return Err(format!(
                "cell {} has {leases} addresses for {containers} containers",
                cell.number
            ));
        }
    }
    Ok(())
}

/// Every router serves exactly the instances that run, at their addresses.
fn served(view: &View<'_>, expected: &BTreeSet<AssignmentGuid>) -> Result<(), String> {
    let all = view
        .cells
        .iter()
        .flat_map(|cell| cell.machine.containers.iter());
    let truth: BTreeSet<_> = all
        .filter(|(_, container)| expected.contains(&container.assignment))
        .map(|(guid, container)| {
            (
                *guid,
                SocketAddr::new(container.address.host, container.address.port),
            )
        })
        .collect();
    for router in view.routers {
        let Some(routes) = router.serving() else {
            return Err(format!("router {} does not run", router.number));
        };
        let endpoints = routes.iter().flat_map(|route| route.endpoints.iter());
        let served: BTreeSet<_> = endpoints
            .map(|endpoint| (endpoint.instance, endpoint.address))
            .collect();
        if served != truth {
            let (more, less) = (
                served.difference(&truth).count(),
                truth.difference(&served).count(),
            );
            return Err(format!(
                "router {} serves {more} endpoints too many and misses {less}",
                router.number
            ));
        }
    }
    Ok(())
}
