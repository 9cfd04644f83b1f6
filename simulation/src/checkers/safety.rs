//! Safety: what must hold at every event. Each rule is a function of its own; `RULES` lists them.

use std::time::Duration;

use cfx_cloud_controller::state::Link;
use cfx_cloud_controller::state::app::{App, DesiredState};
use cfx_cloud_controller::state::deployment::Deployment;
use cfx_cloud_controller::state::process::Process;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AppGuid, ProcessGuid};
use cfx_protocol::link::CELL_SUSPECT_MS;

use super::history::JUMP_NOTICED;
use super::{View, Violation};
use crate::cell::machine::Phase;
use crate::trace::{Author, Change, Fact, IntentFact};
use crate::users::Wanted;

type Rule = fn(&View<'_>, &Fact) -> Result<(), String>;

const RULES: &[(&str, Rule)] = &[
    ("I1 acknowledged writes are kept", kept),
    ("I3 an instance that runs has an intent", owned),
    (
        "I4 nothing that serves is stopped before another serves",
        replaced_first,
    ),
    ("I4 requests in flight are finished", finished),
    ("I5 no request reaches another instance", addressed),
    ("I6 tokens only grow", ordered),
    ("I7 no cell holds more than it has", fits),
    ("I8 I9 instances are placed where they may be", placed_well),
    (
        "I10 nothing is stopped that durable state does not stop",
        ordered_to_stop,
    ),
    ("I11 what runs once starts once", once),
    ("I12 crashes are counted and waited for", backed_off),
];

/// What a controller may believe of a cell is at most this old: lost after 5 s, and messages that
/// were held up.
const BELIEF_MAX: Duration = Duration::from_secs(9);
/// A router in trouble may serve an old table for this long after.
const TROUBLE_ECHO: Duration = Duration::from_secs(40);
/// The agent's wait after the third crash doubles at most this often.
const DOUBLINGS_MAX: u32 = 5;

/// The first rule that a fact breaks.
pub fn safety(view: &View<'_>, fact: &Fact) -> Result<(), Violation> {
    for (rule, judge) in RULES {
        if let Err(why) = judge(view, fact) {
            return Err(Violation {
                rule,
                at: view.now,
                why,
            });
        }
    }
    Ok(())
}

/// Whenever the durable state has changed, and after each start.
fn kept(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    if !matches!(fact, Fact::Intended { .. } | Fact::Note(_)) || !view.controller.is_running() {
        return Ok(());
    }
    for (app, allowed) in view.promised {
        let found = found(view, *app);
        if !allowed.contains(&found) {
            return Err(format!(
                "app {app} is {found:?}; its user was told {allowed:?}"
            ));
        }
    }
    Ok(())
}

fn found(view: &View<'_>, guid: AppGuid) -> Wanted {
    let (app, process) = (
        view.state.get::<App>(&guid),
        view.state.get::<Process>(&ProcessGuid(guid.0)),
    );
    Wanted {
        exists: app.is_some(),
        started: app.is_some_and(|app| app.desired_state == DesiredState::Started),
        instances: process.map_or(0, |process| process.instances),
    }
}

fn owned(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    match fact {
        // A task goes with its app, intent and all; its cell is told by that.
        Fact::Intended {
            intent,
            author: Author::User,
            ..
        } if intent.runs_once => Ok(()),
        Fact::Made {
            cell, assignment, ..
        } => {
            let is_known = view.intents.known.contains_key(assignment);
            if is_known || view.history.tasks.contains(assignment) {
                return Ok(());
            }
            Err(format!(
                "cell {cell} makes {assignment}, for which there is no intent"
            ))
        }
        Fact::Intended {
            intent,
            change: Change::Forgotten,
            ..
        } => {
            let all = view
                .cells
                .iter()
                .flat_map(|cell| cell.machine.containers.values());
            // What has run once needs no intent to be cleared away.
            let is_over =
                |phase| intent.runs_once && matches!(phase, Phase::Ended { .. } | Phase::Waiting);
            let mut left =
                all.filter(|it| it.assignment == intent.assignment && !is_over(it.phase));
            match left.next() {
                Some(left) => Err(format!(
                    "the intent of {} is gone, its container is {:?}",
                    intent.assignment, left.phase
                )),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn replaced_first(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let Fact::Intended {
        intent,
        change: Change::Unrouted,
        author: Author::Platform,
    } = fact
    else {
        return Ok(());
    };
    if is_asked_for(view, intent) || !serves(view, intent) {
        return Ok(());
    }
    let since = view.now.saturating_sub(BELIEF_MAX);
    let served = view
        .intents
        .at(intent.work, intent.index)
        .any(|(other, phase)| {
            let is_other = other.assignment != intent.assignment && *phase == Change::Placed;
            is_other && view.history.listened_since(other.assignment, since)
        });
    if served {
        return Ok(());
    }
    Err(format!(
        "index {} of {} is unrouted on cell {} and no other one serves",
        intent.index, intent.work, intent.cell
    ))
}

/// Did users ask for its end?
fn is_asked_for(view: &View<'_>, intent: &IntentFact) -> bool {
    let Some(process) = view.state.get::<Process>(&intent.work) else {
        return true;
    };
    let app = view.state.get::<App>(&process.app);
    let runs = app.is_some_and(|app| app.desired_state == DesiredState::Started);
    let is_current = process
        .running
        .as_ref()
        .is_some_and(|it| it.version == intent.version);
    let mut deployments = view
        .state
        .linked::<Deployment>(Link::DeploymentsOf(process.app.0));
    let is_rolling = deployments.any(|it| it.status.is_active());
    !runs || intent.index >= process.instances || (!is_current && !is_rolling)
}

fn serves(view: &View<'_>, intent: &IntentFact) -> bool {
    let Some(cell) = view.cells.get(intent.cell) else {
        return false;
    };
    let mut here = cell.machine.containers.iter();
    let listens =
        here.find(|(_, it)| it.assignment == intent.assignment && it.phase == Phase::Listening);
    // The controller had the time to hear of it.
    let known_by = view.now.saturating_sub(BELIEF_MAX);
    let since = listens.and_then(|(guid, _)| cell.agent()?.healthy_since.get(guid));
    since.is_some_and(|since| *since <= known_by)
}

fn finished(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    match fact {
        Fact::Interrupted { router, assignment } if !is_excused(view, *router) => Err(format!(
            "router {router} has a request in {assignment}, which is told to stop"
        )),
        _ => Ok(()),
    }
}

/// A router that cannot hear the controller is waited for only so long.
fn is_excused(view: &View<'_>, router: usize) -> bool {
    let trouble = view.history.router_trouble[router];
    let is_recent = trouble.is_some_and(|at| view.now < at + TROUBLE_ECHO);
    is_recent || view.scenario.weather.loss_percent > 0
}

fn addressed(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let Fact::Delivered {
        router,
        endpoint,
        to,
    } = fact
    else {
        return Ok(());
    };
    match to {
        Some(receiver) if !receiver.is_meant => Err(format!(
            "router {router} sends to {} at {}, and {} answers",
            endpoint.instance, endpoint.address, receiver.assignment
        )),
        None if view.scenario.is_calm => Err(format!(
            "nothing is wrong, and nobody answers at {}",
            endpoint.address
        )),
        _ => Ok(()),
    }
}

fn ordered(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let (followed, token, who) = match fact {
        Fact::CellFollowed { cell, token } => (
            view.history.cell_tokens[*cell],
            token,
            format!("cell {cell}"),
        ),
        Fact::RouterFollowed { router, token } => (
            view.history.router_tokens[*router],
            token,
            format!("router {router}"),
        ),
        _ => return Ok(()),
    };
    let older =
        |followed: &Token| (token.epoch, token.revision) < (followed.epoch, followed.revision);
    match followed.filter(older) {
        Some(followed) => Err(format!("{who} follows {token} after {followed}")),
        None => Ok(()),
    }
}

fn fits(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let Fact::Intended {
        intent,
        change: Change::Placed,
        ..
    } = fact
    else {
        return Ok(());
    };
    let Some(cell) = view.cells.get(intent.cell) else {
        return Err(format!(
            "{} is placed on an unknown cell",
            intent.assignment
        ));
    };
    let here = view
        .intents
        .known
        .values()
        .filter(|(other, _)| other.cell == intent.cell);
    let (memory, count) = here.fold((0, 0), |(memory, count), (other, _)| {
        (memory + u64::from(other.memory_mb), count + 1)
    });
    if memory > cell.shape.memory_mb || count > cell.shape.slots {
        let (has, slots) = (cell.shape.memory_mb, cell.shape.slots);
        return Err(format!(
            "cell {} holds {memory} of {has} MiB, {count} of {slots} slots",
            intent.cell
        ));
    }
    Ok(())
}

fn placed_well(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let Fact::Intended {
        intent,
        change: Change::Placed,
        author: Author::Platform,
    } = fact
    else {
        return Ok(());
    };
    let is_new = !view.history.listening.contains_key(&intent.assignment);
    let Some(cell) = view.cells.get(intent.cell).filter(|_| is_new) else {
        return Ok(());
    };
    if !cell.shape.has_stack || cell.shape.is_tagged {
        return Err(format!(
            "cell {} may not take {}",
            intent.cell, intent.assignment
        ));
    }
    let heard = view.heard[intent.cell].unwrap_or_default();
    let silence = view.now.saturating_sub(heard);
    if silence >= Duration::from_millis(CELL_SUSPECT_MS) && view.controller.is_running() {
        return Err(format!(
            "cell {} was chosen after {silence:?} of silence",
            intent.cell
        ));
    }
    Ok(())
}

fn ordered_to_stop(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let Fact::Stopping {
        cell, assignment, ..
    } = fact
    else {
        return Ok(());
    };
    match view.intents.known.get(assignment) {
        // A task ends by itself, and is then cleared away.
        Some((intent, _)) if intent.runs_once => Ok(()),
        Some((_, phase @ (Change::Placed | Change::Unrouted))) => Err(format!(
            "cell {cell} stops {assignment}, whose intent is {phase:?}"
        )),
        _ => Ok(()),
    }
}

fn backed_off(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    match fact {
        Fact::Crashed { cell, report, ran } => {
            let before = view.history.crashes.get(&report.assignment);
            let since = before.map_or(Duration::ZERO, |crash| crash.at);
            if is_confused(view, *cell, since) || before.is_some_and(|crash| crash.jumped) {
                return Ok(());
            }
            let rested = ran.is_some_and(|ran| ran > view.scenario.back_off.reset_after);
            let expected = before.filter(|_| !rested).map_or(0, |crash| crash.count) + 1;
            if report.crashes == expected {
                return Ok(());
            }
            let (name, counted) = (report.assignment, report.crashes);
            Err(format!(
                "crash {expected} of {name} is counted as {counted}; it ran {ran:?}"
            ))
        }
        Fact::Made {
            cell, assignment, ..
        } => {
            let crash = view.history.crashes.get(assignment);
            let Some(crash) = crash.filter(|crash| crash.cell == *cell && !crash.jumped) else {
                return Ok(());
            };
            let due = crash.at + wait(view.scenario.back_off.first, crash.count);
            // Timestamps are cut to microseconds here and there.
            let is_early = view.now + Duration::from_millis(1) < due;
            if is_early && !is_confused(view, *cell, crash.at) {
                return Err(format!(
                    "{assignment} starts {:?} too early",
                    due - view.now
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Nobody could notice that the cell's wall clock jumped, or nobody has had the time to.
fn is_confused(view: &View<'_>, cell: usize, since: Duration) -> bool {
    let unnoticed = view.history.jumped_unnoticed[cell].is_some_and(|at| at >= since);
    unnoticed || view.history.jumped[cell].is_some_and(|at| view.now < at + JUMP_NOTICED)
}

/// A task gets its command once, whatever becomes of agents and cells.
fn once(view: &View<'_>, fact: &Fact) -> Result<(), String> {
    let Fact::Armed {
        cell, assignment, ..
    } = fact
    else {
        return Ok(());
    };
    let runs_once = view.history.tasks.contains(assignment);
    if runs_once && view.history.armed.contains_key(assignment) {
        return Err(format!(
            "cell {cell} starts the task {assignment} a second time"
        ));
    }
    Ok(())
}

/// Cloud Foundry's rule, written again: twice at once, then doubling up to 32 times the first wait.
fn wait(first: Duration, crashes: u32) -> Duration {
    match crashes.checked_sub(3) {
        None => Duration::ZERO,
        Some(doublings) => first * 2_u32.pow(doublings.min(DOUBLINGS_MAX)),
    }
}
