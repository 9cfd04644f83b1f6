//! Measures what instances use, and shows the cell's own metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use cfx_process::telemetry::{METRICS_CONTENT_TYPE, Metrics};
use cfx_protocol::actual::Usage;
use cfx_protocol::cell::{Capacity, entitlement_millicores};
use cfx_protocol::desired::Work;
use cfx_protocol::id::{AssignmentGuid, CellGuid, InstanceGuid};
use cfx_protocol::metrics::{CellMetrics, InstanceSample};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{mpsc, watch};

use crate::agent::Message;
use crate::agent::picture::Picture;
use crate::execute::{Executor, Standing};
use crate::hooks::Tools;
use crate::link::EARLY_MAX;
use crate::runtime::Sample;

/// Samples at once: enough to keep the disks' answers coming, and not so many that a start waits.
const SAMPLES_AT_ONCE: usize = 8;
/// How full a volume is is measured in one round of so many; it changes slowly, and asking takes a
/// thread.
const DISK_ROUNDS: u64 = 5;

/// Samples every instance at a rhythm, at the ends of seconds.
#[derive(Debug)]
pub struct Sampler {
    pub tools: Tools,
    pub executor: Executor,
    pub every: Duration,
    pub cell: CellGuid,
    pub messages: mpsc::Sender<Message>,
    /// What the controller gets.
    pub seconds: mpsc::Sender<CellMetrics>,
}

/// The reading before, to tell rates by.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    cpu: Duration,
    log_bytes: u64,
    disk_bytes: u64,
    oom_kills: u64,
}

impl Sampler {
    pub async fn run(self) {
        let mut before: BTreeMap<InstanceGuid, Reading> = BTreeMap::new();
        let mut shipped = 0;
        for round in 0.. {
            self.tools.clock.sleep(self.until_next()).await;
            let second = self.second();
            let answers = self.tools.runtime.ping().await.is_ok();
            let armed = self
                .executor
                .standing()
                .into_iter()
                .filter(|one| one.log_bytes().is_some() && one.exit().is_none());
            let measured: Vec<_> = stream::iter(armed)
                .map(|standing| self.measure(standing, &before, round))
                .buffer_unordered(SAMPLES_AT_ONCE)
                .filter_map(std::future::ready)
                .collect()
                .await;
            let mut now = BTreeMap::new();
            let mut samples = Vec::with_capacity(measured.len());
            let mut for_controller = Vec::with_capacity(measured.len());
            for one in measured {
                let name = one.standing.order.name();
                let last = before.get(&name);
                self.mind_memory(&one, last);
                let usage = self.usage(&one, last);
                for_controller.extend(sample(&one, &usage, last.is_some()));
                samples.push((one.standing.assignment(), one.standing.order.start, usage));
                now.insert(name, one.reading);
            }
            before = now;
            if second > shipped {
                shipped = second;
                self.ship(second, for_controller);
            }
            if self.send(answers, samples).await.is_err() {
                return;
            }
        }
    }

    /// Rounds begin at whole multiples of the rhythm, so that all cells speak of the same seconds.
    fn until_next(&self) -> Duration {
        let rhythm = i128::try_from(self.every.as_nanos()).unwrap_or(1).max(1);
        let passed = self.tools.clock.now().as_nanosecond().rem_euclid(rhythm);
        Duration::from_nanos(u64::try_from(rhythm - passed).unwrap_or(0))
    }

    /// The second that has just ended.
    fn second(&self) -> i64 {
        let now = self.tools.clock.now();
        now.checked_add(EARLY_MAX).unwrap_or(now).as_second()
    }

    /// Never waits: whoever takes seconds may be behind, and then this one is lost.
    fn ship(&self, at: i64, samples: Vec<InstanceSample>) {
        let cell = self.cell;
        if self
            .seconds
            .try_send(CellMetrics { cell, at, samples })
            .is_err()
        {
            tracing::debug!(at, "a second of metrics could not be shipped");
        }
    }

    /// An app of which the kernel killed a part would go on without it.
    fn mind_memory(&self, one: &Measured, before: Option<&Reading>) {
        let killed = one.reading.oom_kills > before.map_or(0, |before| before.oom_kills);
        let is_staging = matches!(one.standing.order.spec.work, Work::Staging(_));
        // A staging fails by itself, and says more about it.
        if killed && !is_staging {
            self.executor.out_of_memory(one.standing.order.name());
        }
    }

    fn usage(&self, one: &Measured, before: Option<&Reading>) -> Usage {
        let entitled = entitled(&self.tools.capacity, &one.standing);
        let rates = rates(before, &one.reading, entitled);
        Usage {
            sampled_at: self.tools.clock.now(),
            cpu: rates.cpu,
            cpu_entitlement: rates.of_entitlement,
            memory_bytes: one.sample.memory_bytes,
            disk_bytes: one.reading.disk_bytes,
            log_rate_bytes: rates.log_bytes,
            pids: one.sample.pids,
        }
    }

    async fn send(
        &self,
        answers: bool,
        samples: Vec<(AssignmentGuid, u32, Usage)>,
    ) -> Result<(), mpsc::error::SendError<Message>> {
        self.messages.send(Message::RuntimeAnswers(answers)).await?;
        self.messages.send(Message::Sampled(samples)).await
    }

    async fn measure(
        &self,
        standing: Arc<Standing>,
        before: &BTreeMap<InstanceGuid, Reading>,
        round: u64,
    ) -> Option<Measured> {
        let name = standing.order.name();
        let Ok(sample) = self.tools.runtime.sample(name).await else {
            // Perhaps it has ended and nobody has noticed.
            self.executor.look_at(name);
            return None;
        };
        let (_, spread) = name.0.as_u64_pair();
        let is_due = round.wrapping_add(spread).is_multiple_of(DISK_ROUNDS);
        let disk_bytes = match before.get(&name) {
            Some(before) if !is_due => before.disk_bytes,
            _ => self.tools.ground.volume_used(name).await.unwrap_or(0),
        };
        let reading = Reading {
            at: self.tools.clock.monotonic(),
            cpu: sample.cpu,
            log_bytes: standing.log_bytes().unwrap_or(0),
            disk_bytes,
            oom_kills: sample.oom_kills,
        };
        Some(Measured {
            standing,
            sample,
            reading,
        })
    }
}

struct Measured {
    standing: Arc<Standing>,
    sample: Sample,
    reading: Reading,
}

/// What the controller gets of it; only processes have series.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a rate is not negative"
)]
fn sample(one: &Measured, usage: &Usage, has_rate: bool) -> Option<InstanceSample> {
    let order = &one.standing.order;
    if !matches!(order.spec.work, Work::Process { .. }) {
        return None;
    }
    Some(InstanceSample {
        assignment: order.assignment.guid,
        start: order.start,
        cpu_millipercent: has_rate.then(|| (usage.cpu * 100_000.0).round() as u32),
        memory_bytes: usage.memory_bytes,
        disk_bytes: usage.disk_bytes,
        pids: usage.pids,
        log_rate_bytes: usage.log_rate_bytes,
    })
}

#[derive(Debug, PartialEq)]
struct Rates {
    cpu: f64,
    of_entitlement: f64,
    log_bytes: u64,
}

/// Cores that an instance is entitled to.
fn entitled(capacity: &Capacity, standing: &Standing) -> f64 {
    let memory_mb = standing.order.spec.limits.memory_mb;
    f64::from(entitlement_millicores(capacity, memory_mb)) / 1_000.0
}

/// Without a reading before there is no rate yet.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "rates of one second are far below 2^52 and not negative"
)]
fn rates(before: Option<&Reading>, now: &Reading, entitled: f64) -> Rates {
    let elapsed = before.map(|before| now.at.saturating_sub(before.at).as_secs_f64());
    let (Some(before), Some(elapsed)) = (before, elapsed.filter(|elapsed| *elapsed > 0.0)) else {
        return Rates {
            cpu: 0.0,
            of_entitlement: 0.0,
            log_bytes: 0,
        };
    };
    let cpu = now.cpu.saturating_sub(before.cpu).as_secs_f64() / elapsed;
    let logged = now.log_bytes.saturating_sub(before.log_bytes) as f64 / elapsed;
    Rates {
        cpu,
        of_entitlement: cpu / entitled,
        log_bytes: logged as u64,
    }
}

/// `/metrics` and `/healthz`.
pub fn endpoints(metrics: Metrics, picture: watch::Receiver<Arc<Picture>>) -> Router {
    let show = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], text) }
    };
    let health = move || {
        let picture = picture.borrow().clone();
        async move {
            match (picture.changes > 0, picture.runtime_answers) {
                (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
                (true, false) => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the runtime does not answer\n",
                )
                    .into_response(),
                (true, true) => (StatusCode::OK, "ok\n").into_response(),
            }
        }
    };
    Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(health))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_told_against_a_core_and_against_the_entitlement() {
        let reading = |ms: u64, cpu_ms: u64, log_bytes| Reading {
            at: Duration::from_millis(ms),
            cpu: Duration::from_millis(cpu_ms),
            log_bytes,
            disk_bytes: 0,
            oom_kills: 0,
        };
        let before = reading(1_000, 500, 10);
        let rates = rates(Some(&before), &reading(3_000, 1_500, 2_010), 0.25);
        assert_eq!(
            rates,
            Rates {
                cpu: 0.5,
                of_entitlement: 2.0,
                log_bytes: 1_000
            }
        );
        let first = super::rates(None, &before, 0.25);
        assert_eq!(first.cpu, 0.0);
    }
}
