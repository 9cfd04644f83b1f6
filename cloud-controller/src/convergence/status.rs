//! What the platform tells about itself: its state on one page, its cells, and why each instance
//! is where it is or nowhere. Reads only; the types are those of `/cfx/v1`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cfx_planner::plan::{Mode, Unplaced as PlanUnplaced};
use cfx_process::clock::Clock;
use cfx_protocol::actual::InstanceReport;
use cfx_protocol::id::CellGuid;
use cfx_protocol::instance::InstanceState;
use cfx_protocol::v3::platform::{
    AppCounts, CellCounts, CellList, CellName, CellState, CellStatus, InstanceCounts, Reserved,
    RouterStatus, RuledOut, Unplaced, Why, WhyCrash, WhyInstance,
};
use jiff::Timestamp;

use super::insight::Insight;
use crate::cells::observed::{CellStatus as Observation, Instances};
use crate::cells::{Liveness, Observed};
use crate::routing::Routers;
use crate::state::app::{App, DesiredState};
use crate::state::build::Build;
use crate::state::intent::{Intent, IntentChunk, IntentPhase};
use crate::state::process::Process;
use crate::state::task::Task;
use crate::state::{Link, State};

const DOWN: &str = "DOWN";

/// Sees everything; cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    pub insight: Insight,
    pub routers: Routers,
    pub observed: Observed,
    pub started_at: Timestamp,
}

impl Platform {
    /// All cells, by name.
    #[must_use]
    pub fn cells(&self, state: &State, clock: &Clock) -> CellList {
        let reserved = reserved(state);
        let cell = |it: Observation| cell_status(&it, &reserved, clock);
        let mut cells: Vec<_> = self.observed.cells().into_iter().map(cell).collect();
        cells.sort_by(|a, b| (&a.name, a.guid).cmp(&(&b.name, b.guid)));
        CellList { cells }
    }

    #[must_use]
    pub fn cell_counts(&self, clock: &Clock) -> CellCounts {
        let mut counts = CellCounts::default();
        for cell in self.observed.cells() {
            *match cell_state(&cell, clock) {
                CellState::Ready => &mut counts.ready,
                CellState::Suspect => &mut counts.suspect,
                CellState::Lost => &mut counts.lost,
                CellState::Draining => &mut counts.draining,
                CellState::Unhealthy => &mut counts.unhealthy,
            } += 1;
        }
        counts
    }

    #[must_use]
    pub fn routers(&self) -> Vec<RouterStatus> {
        let routers = self.routers.all().into_iter();
        let status = routers.map(|(guid, it)| RouterStatus {
            guid,
            acknowledged: it.acknowledged,
            connected: it.streams > 0,
        });
        status.collect()
    }

    #[must_use]
    pub fn counts(&self, state: &State) -> (AppCounts, InstanceCounts) {
        let (mut apps, mut counts) = (AppCounts::default(), InstanceCounts::default());
        let instances = self.observed.instances();
        for app in state.all::<App>() {
            if app.desired_state == DesiredState::Stopped {
                apps.stopped += 1;
                continue;
            }
            apps.started += 1;
            for process in state.linked::<Process>(Link::ProcessesOf(app.guid.0)) {
                count(state, &instances, process, &mut counts);
            }
        }
        (apps, counts)
    }

    /// What needs an operator's eye, in sentences.
    #[must_use]
    pub fn problems(&self, clock: &Clock) -> Vec<String> {
        let cells = self.cell_counts(clock);
        let mut problems = Vec::new();
        if let Mode::Static { silent, of } = self.insight.mode() {
            problems.push(format!(
                "{silent} of {of} cells fell silent at once; their instances are not replaced \
                 until cells return or are removed"
            ));
        }
        if cells.ready == 0 {
            problems.push("no cell is ready: nothing can be staged or started".to_owned());
        }
        for (count, what) in [
            (cells.lost, "cells do not answer"),
            (cells.unhealthy, "cells have a runtime that does not answer"),
        ] {
            if count > 0 {
                problems.push(format!("{count} {what}"));
            }
        }
        if !self.routers().iter().any(|router| router.connected) {
            problems.push("no router is connected".to_owned());
        }
        problems
    }

    /// Why each instance of an app is where it is; of one index, if one is asked for.
    #[must_use]
    pub fn why(&self, state: &State, app: &App, index: Option<u32>) -> Why {
        let mut processes: Vec<_> = state
            .linked::<Process>(Link::ProcessesOf(app.guid.0))
            .collect();
        processes.sort_by(|a, b| a.process_type.cmp(&b.process_type));
        let instances = self.observed.instances();
        let mut answer = Vec::new();
        for process in processes {
            let wanted = 0..process.instances;
            for index in wanted.filter(|it| index.is_none_or(|only| only == *it)) {
                answer.push(self.why_one(state, &instances, app, process, index));
            }
        }
        Why {
            app: app.guid,
            name: app.name.clone(),
            state: match app.desired_state {
                DesiredState::Started => "STARTED".to_owned(),
                DesiredState::Stopped => "STOPPED".to_owned(),
            },
            instances: answer,
        }
    }

    fn why_one(
        &self,
        state: &State,
        instances: &Instances,
        app: &App,
        process: &Process,
        index: u32,
    ) -> WhyInstance {
        let unplaced = self.insight.unplaced(process.guid, index);
        // What is wanted and has no place is of more interest than what it is to replace.
        let intent = shown_intent(state, instances, process, index)
            .filter(|intent| intent.phase == IntentPhase::Run || unplaced.is_none());
        let unplaced = unplaced.filter(|_| intent.is_none());
        let report = intent.and_then(|it| report_of(instances, it));
        WhyInstance {
            process_type: process.process_type.clone(),
            index,
            state: word(intent, report).to_owned(),
            since: report.and_then(|report| since(&report.state)),
            cell: intent.map(|intent| self.cell_name(intent.cell)),
            instance: report.map(|report| report.instance),
            address: report
                .and_then(|report| report.address)
                .map(|address| SocketAddr::new(address.host, address.port)),
            reason: self.reason(app, process, intent, unplaced.as_ref()),
            crash: report.and_then(crash),
            unplaced: unplaced.map(present),
            usage: report.and_then(|report| report.usage),
        }
    }

    fn reason(
        &self,
        app: &App,
        process: &Process,
        intent: Option<&Intent>,
        unplaced: Option<&PlanUnplaced>,
    ) -> String {
        if let Some(intent) = intent {
            return match intent.phase {
                IntentPhase::Run => self.insight.placed(intent.assignment).unwrap_or_else(|| {
                    "it was placed before this controller started, and runs on".to_owned()
                }),
                IntentPhase::Unroute { .. } => {
                    "it is ending: routers let go of it, then it is stopped".to_owned()
                }
                IntentPhase::Stop => "it is ending: its cell was told to stop it".to_owned(),
            };
        }
        if app.desired_state == DesiredState::Stopped {
            return "the app is stopped".to_owned();
        }
        match (&process.running, unplaced) {
            (None, _) => "the app was not started since it was pushed".to_owned(),
            (Some(_), Some(unplaced)) if unplaced.cells == 0 => "there is no cell".to_owned(),
            (Some(_), Some(_)) => "no cell can take it".to_owned(),
            (Some(_), None) => "it is about to be placed".to_owned(),
        }
    }

    fn cell_name(&self, guid: CellGuid) -> CellName {
        let registration = self.observed.cell(guid).map(|cell| cell.registration);
        CellName {
            guid,
            name: registration
                .as_ref()
                .map_or_else(|| guid.to_string(), |it| it.name.clone()),
            zone: registration.map(|it| it.zone.clone()).unwrap_or_default(),
        }
    }
}

fn cell_state(cell: &Observation, clock: &Clock) -> CellState {
    match cell.liveness(clock.monotonic()) {
        Liveness::Lost => CellState::Lost,
        Liveness::Suspect => CellState::Suspect,
        Liveness::Alive if !cell.healthy => CellState::Unhealthy,
        Liveness::Alive if cell.draining => CellState::Draining,
        Liveness::Alive => CellState::Ready,
    }
}

fn cell_status(
    cell: &Observation,
    reserved: &BTreeMap<CellGuid, Reserved>,
    clock: &Clock,
) -> CellStatus {
    let registration = &cell.registration;
    let silence = clock.monotonic().saturating_sub(cell.heard);
    CellStatus {
        guid: registration.guid,
        name: registration.name.clone(),
        zone: registration.zone.clone(),
        runtime: registration.runtime.clone(),
        version: registration.version.clone(),
        state: cell_state(cell, clock),
        address: registration.address,
        stacks: registration.stacks.clone(),
        tags: registration.tags.clone(),
        capacity: registration.capacity,
        reserved: reserved
            .get(&registration.guid)
            .copied()
            .unwrap_or_default(),
        usage: cell.usage,
        last_report_at: clock.now().checked_sub(silence).ok(),
    }
}

/// What all intents hold, by cell.
fn reserved(state: &State) -> BTreeMap<CellGuid, Reserved> {
    let of_processes = state.all::<IntentChunk>().flat_map(|it| it.intents.iter());
    let of_tasks = state.all::<Task>().filter_map(|it| it.intent.as_ref());
    let of_builds = state.all::<Build>().filter_map(|it| it.intent.as_ref());
    let mut all: BTreeMap<CellGuid, Reserved> = BTreeMap::new();
    for intent in of_processes.chain(of_tasks).chain(of_builds) {
        let held = all.entry(intent.cell).or_default();
        held.memory_mb += u64::from(intent.memory_mb);
        held.disk_mb += u64::from(intent.disk_mb);
        held.slots += 1;
    }
    all
}

fn count(state: &State, instances: &Instances, process: &Process, counts: &mut InstanceCounts) {
    counts.desired += process.instances;
    for index in 0..process.instances {
        let intent = shown_intent(state, instances, process, index);
        let report = intent.and_then(|it| report_of(instances, it));
        *match word(intent, report) {
            "RUNNING" => &mut counts.running,
            "CRASHED" => &mut counts.crashed,
            DOWN | "STOPPING" => &mut counts.down,
            _ => &mut counts.starting,
        } += 1;
    }
}

/// Of the intents that share an index while one replaces another: one that runs before one that
/// ends, and among them the one that serves.
fn shown_intent<'a>(
    state: &'a State,
    instances: &Instances,
    process: &Process,
    index: u32,
) -> Option<&'a Intent> {
    let intents = state.intents_of(process.guid);
    intents
        .filter(|intent| intent.index == index && intent.phase != IntentPhase::Stop)
        .max_by_key(|intent| {
            let report = report_of(instances, intent);
            let serves = report.is_some_and(|report| report.state.is_routable());
            (intent.phase == IntentPhase::Run, serves)
        })
}

fn report_of<'a>(instances: &'a Instances, intent: &Intent) -> Option<&'a Arc<InstanceReport>> {
    let (cell, report) = instances.get(&intent.assignment)?;
    (*cell == intent.cell).then_some(report)
}

fn word(intent: Option<&Intent>, report: Option<&Arc<InstanceReport>>) -> &'static str {
    match (intent, report) {
        (None, _) => DOWN,
        (Some(intent), _) if intent.phase != IntentPhase::Run => "STOPPING",
        (Some(_), None) => "STARTING",
        (Some(_), Some(report)) => report.state.v3_name(),
    }
}

fn since(state: &InstanceState) -> Option<Timestamp> {
    match state {
        InstanceState::Starting { since }
        | InstanceState::Running { since, .. }
        | InstanceState::Crashed { since, .. }
        | InstanceState::Stopping { since } => Some(*since),
        InstanceState::Preparing | InstanceState::Ready | InstanceState::Gone => None,
    }
}

fn crash(report: &Arc<InstanceReport>) -> Option<WhyCrash> {
    let InstanceState::Crashed {
        since,
        reason,
        next_retry_at,
    } = &report.state
    else {
        return None;
    };
    Some(WhyCrash {
        reason: reason.to_string(),
        at: *since,
        crashes: report.crashes,
        next_retry_at: *next_retry_at,
    })
}

fn present(unplaced: PlanUnplaced) -> Unplaced {
    let ruled_out = unplaced.ruled_out.iter().map(|it| RuledOut {
        constraint: it.constraint.as_str().to_owned(),
        cells: it.cells,
        detail: it.detail.clone(),
    });
    Unplaced {
        cells: unplaced.cells,
        ruled_out: ruled_out.collect(),
    }
}
