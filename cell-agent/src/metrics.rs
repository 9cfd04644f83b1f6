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
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{mpsc, watch};

use crate::agent::Message;
use crate::agent::picture::Picture;
use crate::execute::{Executor, Standing};
use crate::hooks::Tools;
use crate::runtime::Sample;

/// Samples at once.
const SAMPLES_AT_ONCE: usize = 8;

/// Samples every instance at a rhythm.
#[derive(Debug)]
pub struct Sampler {
    pub tools: Tools,
    pub executor: Executor,
    pub every: Duration,
    pub messages: mpsc::Sender<Message>,
}

/// The reading before, to tell rates by.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    cpu: Duration,
    log_bytes: u64,
}

impl Sampler {
    pub async fn run(self) {
        let mut before: BTreeMap<InstanceGuid, Reading> = BTreeMap::new();
        loop {
            self.tools.clock.sleep(self.every).await;
            let answers = self.tools.runtime.ping().await.is_ok();
            let armed = self
                .executor
                .standing()
                .into_iter()
                .filter(|one| one.log_bytes().is_some() && one.exit().is_none());
            let measured: Vec<_> = stream::iter(armed)
                .map(|standing| self.measure(standing))
                .buffer_unordered(SAMPLES_AT_ONCE)
                .filter_map(std::future::ready)
                .collect()
                .await;
            let mut now = BTreeMap::new();
            let mut samples = Vec::with_capacity(measured.len());
            for one in measured {
                let name = one.standing.order.name();
                samples.push(self.sample(&one, before.get(&name)));
                now.insert(name, one.reading);
            }
            before = now;
            if self.send(answers, samples).await.is_err() {
                return;
            }
        }
    }

    fn sample(&self, one: &Measured, before: Option<&Reading>) -> (AssignmentGuid, u32, Usage) {
        let entitled = entitled(&self.tools.capacity, &one.standing);
        let rates = rates(before, &one.reading, entitled);
        let usage = Usage {
            sampled_at: self.tools.clock.now(),
            cpu: rates.cpu,
            cpu_entitlement: rates.of_entitlement,
            memory_bytes: one.sample.memory_bytes,
            disk_bytes: one.disk_bytes,
            log_rate_bytes: rates.log_bytes,
            pids: one.sample.pids,
        };
        (one.standing.assignment(), one.standing.order.start, usage)
    }

    async fn send(
        &self,
        answers: bool,
        samples: Vec<(AssignmentGuid, u32, Usage)>,
    ) -> Result<(), mpsc::error::SendError<Message>> {
        self.messages.send(Message::RuntimeAnswers(answers)).await?;
        self.messages.send(Message::Sampled(samples)).await
    }

    async fn measure(&self, standing: Arc<Standing>) -> Option<Measured> {
        let name = standing.order.name();
        let Ok(sample) = self.tools.runtime.sample(name).await else {
            // Perhaps it has ended and nobody has noticed.
            self.executor.look_at(name);
            return None;
        };
        let disk_bytes = self.tools.ground.volume_used(name).await.unwrap_or(0);
        let reading = Reading {
            at: self.tools.clock.monotonic(),
            cpu: sample.cpu,
            log_bytes: standing.log_bytes().unwrap_or(0),
        };
        Some(Measured {
            standing,
            sample,
            disk_bytes,
            reading,
        })
    }
}

struct Measured {
    standing: Arc<Standing>,
    sample: Sample,
    disk_bytes: u64,
    reading: Reading,
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
