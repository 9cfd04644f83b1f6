//! A platform for tests: its apps, their measurements and its refusals follow a script, its clock
//! moves when told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::clock::{Clock, ManualTime};
use cfx_process::entropy::IdSource;
use cfx_process::telemetry::Metrics;
use cfx_protocol::id::{AppGuid, ClusterGuid, ProcessGuid};
use cfx_rules::Policy;
use cfx_rules::units::{Milli, Second};
use cfx_rules::window::Running;
use cfx_store::lease::Monotonic;
use cfx_store::memory::MemoryStore;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::api::access::{Access, Intent, Verdict};
use crate::edges::Edges;
use crate::events::Events;
use crate::public_api::CallError;
use crate::source::{Question, Series, Source};
use crate::state::policies::Policies;
use crate::state::record::PolicyRecord;
use crate::target::{Change, Target, TargetError, Workload};

/// When every test begins: a whole number of minutes, so that buckets begin there too.
pub(crate) const START: Second = 1_800_000_000;

pub(crate) fn app(number: u128) -> AppGuid {
    AppGuid(Uuid::from_u128(number))
}

/// How a scale request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done, but nobody hears of it.
    DoneUnheard,
    /// Not done, and nobody knows.
    LostUnheard,
    Refused,
}

#[derive(Debug, Default)]
struct Script {
    apps: BTreeMap<AppGuid, Workload>,
    fates: VecDeque<Fate>,
    acts: Vec<(Second, u32, u32)>,
    questions: usize,
    /// The same for every instance.
    values: Vec<(Second, Milli)>,
    verdict: Option<Verdict>,
}

/// The platform; cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    script: Arc<Mutex<Script>>,
    pub(crate) clock: Clock,
    time: ManualTime,
    pub(crate) store: Arc<MemoryStore>,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        let start = Timestamp::from_second(START).expect("in range");
        let (clock, time) = Clock::manual(start);
        let elapsed = clock.clone();
        let monotonic = Monotonic::new(move || elapsed.monotonic());
        Self {
            script: Arc::default(),
            clock,
            time,
            store: Arc::new(MemoryStore::new(ClusterGuid::NIL, monotonic)),
        }
    }

    pub(crate) fn edges(&self) -> Edges {
        Edges {
            clock: self.clock.clone(),
            ids: IdSource::seeded(1),
            store: self.store.clone(),
            source: Arc::new(self.clone()),
            target: Arc::new(self.clone()),
            access: Arc::new(self.clone()),
        }
    }

    pub(crate) async fn policies(&self) -> Policies {
        let events = Arc::new(Events::register(&Metrics::default()));
        let opened = Policies::open(self.store.clone(), events).await;
        opened.expect("reads").0
    }

    /// An app whose instances run since long ago.
    pub(crate) fn has(&self, app: AppGuid, instances: u32) {
        let workload = Workload {
            app,
            name: "shop".to_owned(),
            process: ProcessGuid(app.0),
            instances,
            running: running(0..instances, START - 10_000),
            is_started: true,
            is_disabled: false,
        };
        self.script.lock().apps.insert(app, workload);
    }

    pub(crate) fn change(&self, app: AppGuid, change: impl FnOnce(&mut Workload)) {
        change(self.script.lock().apps.get_mut(&app).expect("an app"));
    }

    pub(crate) fn lacks(&self, app: AppGuid) {
        self.script.lock().apps.remove(&app);
    }

    pub(crate) fn fate(&self, fate: Fate) {
        self.script.lock().fates.push_back(fate);
    }

    pub(crate) fn judge(&self, verdict: Verdict) {
        self.script.lock().verdict = Some(verdict);
    }

    /// One second passes, in which every instance measures this.
    pub(crate) fn second(&self, value: Option<Milli>) {
        self.time.advance(Duration::from_secs(1));
        let now = self.now();
        if let Some(value) = value {
            self.script.lock().values.push((now, value));
        }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.time.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Second {
        self.clock.now().as_second()
    }

    /// When, from how many and to how many apps were scaled.
    pub(crate) fn acts(&self) -> Vec<(Second, u32, u32)> {
        self.script.lock().acts.clone()
    }

    pub(crate) fn instances(&self, app: AppGuid) -> u32 {
        self.script.lock().apps[&app].instances
    }

    /// How often the platform was asked for anything.
    pub(crate) fn questions(&self) -> usize {
        self.script.lock().questions
    }
}

/// Give an app these rules.
pub(crate) async fn attach(policies: &Policies, app: AppGuid, text: &str) {
    let policy = Policy::parse(text).expect(text);
    let record = PolicyRecord {
        text: policy.to_string(),
        imported: None,
        enabled: true,
        pause: None,
        updated_at: START,
    };
    let change = |_: Option<&_>| Ok::<_, String>(Some((record.clone(), policy.clone())));
    policies.change(app, change).await.expect("kept");
}

fn running(indices: std::ops::Range<u32>, since: Second) -> Vec<Running> {
    indices.map(|index| Running { index, since }).collect()
}

fn silent() -> CallError {
    CallError::Unreachable {
        address: "a script".to_owned(),
        detail: "silence".to_owned(),
    }
}

#[async_trait]
impl Target for Scripted {
    async fn workloads(&self, apps: &[AppGuid], _: Second) -> Result<Vec<Workload>, TargetError> {
        let mut script = self.script.lock();
        script.questions += 1;
        let found = apps.iter().filter_map(|app| script.apps.get(app).cloned());
        Ok(found.collect())
    }

    async fn scale(&self, change: &Change) -> Result<(), TargetError> {
        let now = self.now();
        let mut script = self.script.lock();
        let fate = script.fates.pop_front();
        let workload = script.apps.get_mut(&AppGuid(change.process.0));
        let workload = workload.expect("an app");
        if workload.instances != change.from {
            return Err(TargetError::Stale);
        }
        match fate {
            Some(Fate::Refused) => {
                return Err(TargetError::Call(CallError::Refused {
                    what: "the scale".to_owned(),
                    status: StatusCode::UNPROCESSABLE_ENTITY,
                    detail: "the quota is full".to_owned(),
                }));
            }
            Some(Fate::LostUnheard) => return Err(silent().into()),
            Some(Fate::DoneUnheard) | None => {}
        }
        let old = workload.instances;
        workload.instances = change.to;
        workload.running.retain(|it| it.index < change.to);
        workload
            .running
            .extend(running(old..change.to.max(old), now));
        script.acts.push((now - START, change.from, change.to));
        match fate {
            Some(_) => Err(silent().into()),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Source for Scripted {
    async fn read(&self, question: &Question) -> Result<Vec<Series>, CallError> {
        let mut script = self.script.lock();
        script.questions += 1;
        let mut found = Vec::new();
        for (app, _) in &question.apps {
            let Some(workload) = script.apps.get(app) else {
                continue;
            };
            for one in &workload.running {
                let wanted =
                    |at: Second| at > question.after && at <= question.until && at > one.since;
                for metric in &question.metrics {
                    let points = script.values.iter().filter(|(at, _)| wanted(*at));
                    found.push(Series {
                        app: *app,
                        metric: metric.clone(),
                        index: one.index,
                        points: points.copied().collect(),
                    });
                }
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Access for Scripted {
    async fn judge(&self, _: &HeaderValue, _: AppGuid, _: Intent) -> Result<Verdict, CallError> {
        Ok(self.script.lock().verdict.unwrap_or(Verdict::Allowed))
    }
}
