//! What the instances of a process do: every wanted one is listed, seen or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::actual::InstanceReport;
use cfx_protocol::desired::FDS_MAX;
use cfx_protocol::instance::InstanceState;
use cfx_protocol::v3::process::{
    InstancePort, InstanceStats, ProcessInstance, ProcessInstances, Stats, Usage,
};
use jiff::Timestamp;

use super::error::Answer;
use super::process::{find, log_rate};
use super::request::Call;
use super::response::{self, seconds};
use crate::state::app::{App, DesiredState};
use crate::state::deployment::Deployment;
use crate::state::intent::{Intent, IntentPhase};
use crate::state::process::{Process, RunningVersion};
use crate::state::{Link, State};

const MIB: u64 = 1024 * 1024;
/// The port that every app is told to listen on.
const PORT_INTERNAL: u16 = 8_080;
const DOWN: &str = "DOWN";
const STARTING: &str = "STARTING";

pub(super) async fn stats(call: Call) -> Answer {
    let (app, process) = find(&call)?;
    let now = call.context.clock.now();
    let seen = seen(&call, &app, &process);
    let resources = (0..process.instances)
        .map(|index| present(&call, &process, index, seen.get(&index), now))
        .collect();
    response::ok(Stats { resources })
}

pub(super) async fn list(call: Call) -> Answer {
    let (_, process) = find(&call)?;
    let path = format!("/v3/processes/{}", process.guid);
    response::ok(ProcessInstances {
        process_instances: summaries(&call, &process),
        links: [
            (
                "self".to_owned(),
                call.base.link(&format!("{path}/process_instances")),
            ),
            ("process".to_owned(), call.base.link(&path)),
        ]
        .into(),
    })
}

/// Every wanted instance in few words.
pub(super) fn summaries(call: &Call, process: &Process) -> Vec<ProcessInstance> {
    let Some(app) = call.state.get::<App>(&process.app) else {
        return Vec::new();
    };
    let now = call.context.clock.now();
    let seen = seen(call, app, process);
    let summary = |index| {
        let seen = seen.get(&index);
        ProcessInstance {
            index,
            state: word(seen).to_owned(),
            since: seen.and_then(Seen::since).map(|since| elapsed(since, now)),
        }
    };
    (0..process.instances).map(summary).collect()
}

/// One wanted instance that has a place.
struct Seen {
    running: bool,
    report: Option<Arc<InstanceReport>>,
}

impl Seen {
    /// Of those that share an index while one replaces another, the better one is shown.
    fn rank(&self) -> u8 {
        let state = self.report.as_ref().map(|report| &report.state);
        let by_state = match state {
            Some(InstanceState::Running { ready: true, .. }) => 5,
            Some(InstanceState::Running { ready: false, .. }) => 4,
            Some(InstanceState::Starting { .. } | InstanceState::Ready) => 3,
            Some(InstanceState::Preparing) | None => 2,
            Some(InstanceState::Crashed { .. }) => 1,
            Some(InstanceState::Stopping { .. } | InstanceState::Gone) => 0,
        };
        // One that is to run before one that is being ended.
        by_state + if self.running { 10 } else { 0 }
    }

    fn since(&self) -> Option<Timestamp> {
        match &self.report.as_ref()?.state {
            InstanceState::Starting { since }
            | InstanceState::Running { since, .. }
            | InstanceState::Crashed { since, .. }
            | InstanceState::Stopping { since } => Some(*since),
            InstanceState::Preparing | InstanceState::Ready | InstanceState::Gone => None,
        }
    }
}

fn seen(call: &Call, app: &App, process: &Process) -> BTreeMap<u32, Seen> {
    let mut best: BTreeMap<u32, Seen> = BTreeMap::new();
    if app.desired_state == DesiredState::Stopped {
        return best;
    }
    let instances = call.context.observed.instances();
    // After a restart what was there before is no answer to how the app does now; while a
    // deployment rolls, it still serves.
    let version = process.running.as_ref().map(|running| running.version);
    let rolls = is_rolling(&call.state, process);
    let shown = |intent: &&Intent| {
        intent.phase != IntentPhase::Stop && (rolls || Some(intent.version) == version)
    };
    for intent in call.state.intents_of(process.guid).filter(shown) {
        let report = instances.get(&intent.assignment);
        let candidate = Seen {
            running: intent.phase == IntentPhase::Run,
            report: report.map(|(_, report)| report.clone()),
        };
        let present = best.get(&intent.index);
        if present.is_none_or(|present| present.rank() < candidate.rank()) {
            best.insert(intent.index, candidate);
        }
    }
    best
}

fn is_rolling(state: &State, process: &Process) -> bool {
    let mut deployments = state.linked::<Deployment>(Link::DeploymentsOf(process.app.0));
    deployments.any(|it| it.process == process.guid && it.status.is_active())
}

fn word(seen: Option<&Seen>) -> &'static str {
    match seen {
        None => DOWN,
        Some(seen) if !seen.running => "STOPPING",
        Some(Seen { report: None, .. }) => STARTING,
        Some(Seen {
            report: Some(report),
            ..
        }) => report.state.v3_name(),
    }
}

fn present(
    call: &Call,
    process: &Process,
    index: u32,
    seen: Option<&Seen>,
    now: Timestamp,
) -> InstanceStats {
    let report = seen.and_then(|seen| seen.report.as_deref());
    let (memory_mb, disk_mb, log_rate_bytes) = sizes(process);
    let address = report.and_then(|report| report.address);
    InstanceStats {
        kind: process.process_type.clone(),
        index,
        state: word(seen).to_owned(),
        routable: report.map(|report| report.state.is_routable()),
        instance_guid: report.map(|report| report.instance),
        usage: seen.map(|_| usage(report, now)),
        host: address.map(|address| address.host.to_string()),
        instance_internal_ip: address.map(|address| address.internal_ip.to_string()),
        instance_ports: address.map_or_else(Vec::new, |address| vec![port(address.port)]),
        uptime: seen
            .and_then(Seen::since)
            .map_or(0, |since| elapsed(since, now)),
        mem_quota: u64::from(memory_mb) * MIB,
        disk_quota: u64::from(disk_mb) * MIB,
        log_rate_limit: log_rate(log_rate_bytes),
        fds_quota: FDS_MAX,
        isolation_segment: None,
        details: details(call, process, index, report),
    }
}

/// Of what runs, if anything does: the process's own numbers may be for the next version.
fn sizes(process: &Process) -> (u32, u32, Option<u64>) {
    let of =
        |running: &RunningVersion| (running.memory_mb, running.disk_mb, running.log_rate_bytes);
    process.running.as_ref().map_or(
        (process.memory_mb, process.disk_mb, process.log_rate_bytes),
        of,
    )
}

fn usage(report: Option<&InstanceReport>, now: Timestamp) -> Usage {
    let sample = report.and_then(|report| report.usage);
    match sample {
        None => Usage {
            time: seconds(now),
            cpu: 0.0,
            cpu_entitlement: 0.0,
            mem: 0,
            disk: 0,
            log_rate: 0,
        },
        Some(sample) => Usage {
            time: seconds(sample.sampled_at),
            cpu: sample.cpu,
            cpu_entitlement: sample.cpu_entitlement,
            mem: sample.memory_bytes,
            disk: sample.disk_bytes,
            log_rate: sample.log_rate_bytes,
        },
    }
}

fn port(external: u16) -> InstancePort {
    InstancePort {
        external,
        internal: PORT_INTERNAL,
        external_tls_proxy_port: None,
        internal_tls_proxy_port: None,
    }
}

/// Why it does not run: its crash, or the planner's reason.
fn details(
    call: &Call,
    process: &Process,
    index: u32,
    report: Option<&InstanceReport>,
) -> Option<String> {
    match report.map(|report| &report.state) {
        Some(InstanceState::Crashed { reason, .. }) => Some(reason.to_string()),
        Some(_) => None,
        None => call.context.platform.insight.details(process.guid, index),
    }
}

/// Whole seconds; a clock that went back gives 0.
fn elapsed(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - since.as_second()).unwrap_or(0)
}
