//! Takes in what cells and routers measured: only what each may speak of, under the names that the
//! state gives to it.
//!
//! A cell speaks of the assignments that were given to it, a router of the instances that were in
//! its table. Anything else is passed over and counted.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::actual::Usage;
use cfx_protocol::cell::{Capacity, entitlement_millicores};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid, InstanceGuid, RouterGuid};
use cfx_protocol::instance::InstanceState;
use cfx_protocol::metrics::{CellMetrics, InstanceSample, InstanceTraffic, RouterMetrics};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::journal::Journal;
use super::series::{Facts, Kind};
use super::traffic::{Passed, Second, Traffic, is_near};
use super::{Entry, Identity, MetricsHistory};
use crate::cells::Observed;
use crate::cells::observed::Instances;
use crate::routing::Publisher;
use crate::state::intent::{Intent, IntentChunk};
use crate::state::process::Process;
use crate::state::{State, StateHandle};

/// Between looks at what has become known or is to be sealed.
const ROUND: Duration = Duration::from_millis(250);
/// What is known of assignments and endpoints is looked up anew at most this often.
const LOOKED_UP_MIN: Duration = Duration::from_millis(500);
/// How long after it left the table an instance may still answer requests: as long as one may take.
const ROUTED_LATELY: Duration = Duration::from_secs(900);

/// Shared by the internal endpoints and the task; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Intake(Arc<Shared>);

/// What an intake is made of.
#[derive(Debug)]
pub struct Parts {
    pub history: MetricsHistory,
    pub state: StateHandle,
    pub observed: Observed,
    pub publisher: Publisher,
    pub clock: Clock,
    /// Where sealed minutes are kept; none keeps them in memory only.
    pub journal: Option<PathBuf>,
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    traffic: Mutex<Traffic>,
    placed: Mutex<Placements>,
    routed: Mutex<Routed>,
}

/// Where each assignment belongs, as of a revision of the state.
#[derive(Debug, Default)]
struct Placements {
    revision: Option<u64>,
    looked_up: Duration,
    all: Arc<HashMap<AssignmentGuid, Placed>>,
}

#[derive(Debug, Clone)]
struct Placed {
    process: Arc<Process>,
    process_type: Arc<str>,
    intent: Intent,
}

/// The instances that routers may speak of.
#[derive(Debug, Default)]
struct Routed {
    token: Option<Token>,
    looked_up: Duration,
    instances: BTreeMap<InstanceGuid, Endpoint>,
}

#[derive(Debug, Clone)]
struct Endpoint {
    identity: Identity,
    /// When it was last in the table.
    seen: Duration,
}

/// The other side's clock is too far from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the second {at} is not near {now}, the controller's time: set the clock of the machine")]
pub struct OutOfTime {
    pub at: i64,
    pub now: i64,
}

impl Intake {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.now().as_second();
        Self(Arc::new(Shared {
            parts,
            traffic: Mutex::new(Traffic::new(now)),
            placed: Mutex::default(),
            routed: Mutex::default(),
        }))
    }

    /// What the instances of a cell used.
    pub fn cell(&self, cell: CellGuid, batch: CellMetrics) -> Result<(), OutOfTime> {
        let shared = &*self.0;
        let now = shared.parts.clock.now();
        let at = batch.at;
        if !is_near(at, now.as_second()) {
            let now = now.as_second();
            return Err(OutOfTime { at, now });
        }
        let Some(status) = shared.parts.observed.cell(cell) else {
            return Ok(());
        };
        let capacity = status.registration.capacity;
        let placed = shared.placements();
        let instances = shared.parts.observed.instances();
        let mut entries = Vec::with_capacity(batch.samples.len());
        let mut measured = Vec::with_capacity(batch.samples.len());
        for sample in batch.samples {
            let known = placed.get(&sample.assignment);
            let Some(placed) = known.filter(|placed| placed.intent.cell == cell) else {
                continue;
            };
            let entry = entry(placed, &sample, &capacity, &instances);
            let entitlement = entry.facts.map_or(0, |facts| facts.entitlement_millicores);
            let instance = entry.identity.instance;
            measured.push((
                sample.assignment,
                instance,
                usage(&sample, entitlement, now),
            ));
            entries.push(entry);
        }
        shared.parts.history.write(at, entries);
        shared.parts.observed.measured(cell, measured);
        Ok(())
    }

    /// What a router saw.
    pub fn router(&self, router: RouterGuid, batch: RouterMetrics) -> Result<(), OutOfTime> {
        debug_assert_eq!(router, batch.router, "the caller has checked who speaks");
        let now = self.0.parts.clock.now().as_second();
        let at = batch.at;
        let taken = self.0.traffic.lock().take(batch, now);
        if taken == Err(Passed::OutOfTime) && !is_near(at, now) {
            return Err(OutOfTime { at, now });
        }
        self.0.settle(now);
        Ok(())
    }

    /// Until the shutdown, and then what is to be kept is on disk.
    pub async fn run(self, shutdown: Shutdown) {
        let mut journal = self.open_journal().await;
        let clock = self.0.parts.clock.clone();
        while shutdown.or(clock.sleep(ROUND)).await.is_some() {
            let now = clock.now().as_second();
            self.0.settle(now);
            if self.0.parts.history.is_due(now) {
                journal = self.keep(journal, now, MetricsHistory::seal).await;
            }
        }
        let now = clock.now().as_second();
        self.keep(journal, now, MetricsHistory::seal_everything)
            .await;
    }

    async fn open_journal(&self) -> Option<Journal> {
        let path = self.0.parts.journal.clone()?;
        let history = self.0.parts.history.clone();
        let now = self.0.parts.clock.now().as_second();
        let open = move || {
            let opened = Journal::open(&path, &history, now);
            opened.map_err(|error| {
                tracing::error!(
                    path = %path.display(), %error,
                    "metrics cannot be kept on disk: make room and restart, or they end with this controller"
                );
            })
        };
        tokio::task::spawn_blocking(open).await.ok()?.ok()
    }

    async fn keep(
        &self,
        journal: Option<Journal>,
        now: i64,
        seal: fn(&MetricsHistory, i64) -> Vec<u8>,
    ) -> Option<Journal> {
        let history = self.0.parts.history.clone();
        let work = move || {
            let records = seal(&history, now);
            let mut journal = journal?;
            if let Err(error) = journal.append(&records, &history) {
                tracing::warn!(%error, "a minute of metrics is not on disk");
            }
            Some(journal)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(journal) => journal,
            Err(error) => {
                tracing::error!(%error, "keeping metrics panicked");
                None
            }
        }
    }
}

impl Shared {
    fn settle(&self, now: i64) {
        let known = self.traffic.lock().settle(now);
        if known.is_empty() {
            return;
        }
        let mut routed = self.routed.lock();
        self.look_up_endpoints(&mut routed);
        for second in known {
            let entries = entries_of(&routed, &second);
            self.parts.history.write(second.at, entries);
        }
    }

    fn placements(&self) -> Arc<HashMap<AssignmentGuid, Placed>> {
        let state = self.parts.state.read();
        let now = self.parts.clock.monotonic();
        let mut placed = self.placed.lock();
        let is_fresh = now.saturating_sub(placed.looked_up) < LOOKED_UP_MIN;
        let is_known = placed.revision.is_some() && is_fresh;
        if !is_known && placed.revision != Some(state.revision) {
            *placed = Placements {
                revision: Some(state.revision),
                looked_up: now,
                all: Arc::new(placements(&state)),
            };
        }
        placed.all.clone()
    }

    fn look_up_endpoints(&self, routed: &mut Routed) {
        let now = self.parts.clock.monotonic();
        let Some(published) = self.parts.publisher.published() else {
            return;
        };
        let is_fresh = now.saturating_sub(routed.looked_up) < LOOKED_UP_MIN;
        if routed.token.is_some() && is_fresh {
            return;
        }
        if routed.token == Some(published.token) {
            let last = routed.looked_up;
            let here = routed.instances.values_mut();
            here.filter(|it| it.seen == last)
                .for_each(|it| it.seen = now);
            routed.looked_up = now;
            return;
        }
        let state = self.parts.state.read();
        for endpoint in published.table.values().flat_map(|route| &route.endpoints) {
            if let Some(known) = routed.instances.get_mut(&endpoint.instance) {
                known.seen = now;
                continue;
            }
            let process = state.get::<Process>(&endpoint.process);
            let process_type = process.map_or("", |process| process.process_type.as_str());
            let identity = Identity {
                app: endpoint.app,
                process: endpoint.process,
                process_type: process_type.into(),
                instance: endpoint.instance,
                index: endpoint.index,
            };
            let seen = Endpoint {
                identity,
                seen: now,
            };
            routed.instances.insert(endpoint.instance, seen);
        }
        routed
            .instances
            .retain(|_, it| now.saturating_sub(it.seen) < ROUTED_LATELY);
        routed.token = Some(published.token);
        routed.looked_up = now;
    }
}

fn placements(state: &State) -> HashMap<AssignmentGuid, Placed> {
    let mut all = HashMap::new();
    for chunk in state.all::<IntentChunk>() {
        // Tasks and stagings have no series.
        let Some(process) = state.get::<Process>(&chunk.process) else {
            continue;
        };
        let process_type: Arc<str> = process.process_type.as_str().into();
        for intent in &chunk.intents {
            let placed = Placed {
                process: process.clone(),
                process_type: process_type.clone(),
                intent: intent.clone(),
            };
            all.insert(intent.assignment, placed);
        }
    }
    all
}

fn entry(
    placed: &Placed,
    sample: &InstanceSample,
    capacity: &Capacity,
    instances: &Instances,
) -> Entry {
    let intent = &placed.intent;
    let instance = intent.assignment.instance(sample.start);
    let report = instances.get(&intent.assignment).map(|(_, report)| report);
    let running_since = report.filter(|report| report.instance == instance);
    let running_since = running_since.and_then(|report| match report.state {
        InstanceState::Running { since, .. } => Some(since.as_second()),
        _ => None,
    });
    let facts = Facts {
        memory_mb: intent.memory_mb,
        disk_mb: intent.disk_mb,
        entitlement_millicores: entitlement_millicores(capacity, intent.memory_mb),
        running_since,
    };
    let mut values = vec![
        (Kind::MemoryKib, kib(sample.memory_bytes)),
        (Kind::DiskKib, kib(sample.disk_bytes)),
        (Kind::Pids, sample.pids),
    ];
    values.extend(sample.cpu_millipercent.map(|cpu| (Kind::Cpu, cpu)));
    Entry {
        identity: Identity {
            app: placed.process.app,
            process: placed.process.guid,
            process_type: placed.process_type.clone(),
            instance,
            index: intent.index,
        },
        facts: Some(facts),
        starts: Some((intent.assignment, sample.start)),
        values,
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
}

fn usage(sample: &InstanceSample, entitlement_millicores: u32, now: Timestamp) -> Usage {
    let cpu = f64::from(sample.cpu_millipercent.unwrap_or(0)) / 100_000.0;
    Usage {
        sampled_at: now,
        cpu,
        cpu_entitlement: cpu * 1_000.0 / f64::from(entitlement_millicores.max(1)),
        memory_bytes: sample.memory_bytes,
        disk_bytes: sample.disk_bytes,
        log_rate_bytes: sample.log_rate_bytes,
        pids: sample.pids,
    }
}

/// Whoever is routable and was not asked has had no request; that is known, too.
fn entries_of(routed: &Routed, second: &Second) -> Vec<Entry> {
    let none = InstanceTraffic::default();
    let mut entries = Vec::with_capacity(routed.instances.len());
    for (guid, endpoint) in &routed.instances {
        let is_routable = endpoint.seen == routed.looked_up;
        let traffic = match second.instances.get(guid) {
            Some(traffic) => traffic,
            None if is_routable => &none,
            None => continue,
        };
        entries.push(Entry {
            identity: endpoint.identity.clone(),
            facts: None,
            starts: None,
            values: numbers(traffic),
        });
    }
    entries
}

fn numbers(traffic: &InstanceTraffic) -> Vec<(Kind, u32)> {
    let mut values = vec![
        (Kind::Requests, traffic.requests),
        (Kind::Errors, traffic.errors),
        (Kind::InFlight, traffic.in_flight),
    ];
    for (kind, percent) in [
        (Kind::P50, 50),
        (Kind::P90, 90),
        (Kind::P95, 95),
        (Kind::P99, 99),
    ] {
        let latency = traffic.latencies.percentile_us(percent);
        values.extend(latency.map(|us| (kind, u32::try_from(us).unwrap_or(u32::MAX))));
    }
    values
}
