//! What a policy would do under a load. The same `decide` as on the real platform, over a simple
//! and honest model of an app:
//!
//! - the load is spread evenly over the instances that run; a new one runs after `start_delay_s`;
//! - CPU is proportional to the share, 100 % at the capacity; what is beyond that is lost;
//! - response time is that of a queue, `base / (1 - utilisation)`, up to a ceiling, for every
//!   percentile alike; requests in flight follow from it (Little's law);
//! - memory stays at a fixed level. Metrics of the app's own, amounts of memory and disk, and
//!   crashes are not modelled; rules about them see no data, and a note says so.

use crate::ast::Metric;
use crate::policy::Policy;
use crate::shape::Shape;
use crate::stage::Stage;
use crate::timeline::Timeline;
use crate::units::{Milli, ONE, Second};

/// Most decisions of a simulation; a longer load is looked at in larger steps.
pub const TICKS_MAX: u32 = 20_000;
/// Response time of an instance that is full, as a multiple of an idle one's.
const RESPONSE_TIME_FACTOR_MAX: i64 = 100;
/// Utilisation is counted in thousandths.
const FULL: i64 = 1_000;

/// The app of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Requests per second that one instance serves with all of its CPU entitlement.
    pub per_instance: Milli,
    /// From a decision to a routable instance.
    pub start_delay_s: u32,
    /// Response time of an idle instance, in milliseconds.
    pub response_ms: u32,
    /// Percent of the memory quota.
    pub memory_percent: u32,
    /// Instances at the beginning.
    pub instances: u32,
}

impl Default for Capacity {
    /// A hundred requests per second, two seconds to start: a small web app on this platform.
    fn default() -> Self {
        Self {
            per_instance: 100 * ONE,
            start_delay_s: 2,
            response_ms: 20,
            memory_percent: 50,
            instances: 1,
        }
    }
}

/// Play the load from `begin` on; it matters for schedules.
#[must_use]
pub fn simulate(policy: &Policy, shape: &Shape, capacity: &Capacity, begin: Second) -> Timeline {
    let step_s = step_s(shape.seconds());
    let delay = capacity.start_delay_s;
    let mut stage = Stage::new(policy, step_s, capacity.instances, delay, begin);
    let metrics = stage.metrics().to_vec();
    for tick in 1..=shape.seconds().div_ceil(step_s) {
        let second = tick * step_s;
        let now = begin + Second::from(second);
        stage.enter(now);
        let load = shape.rate(second);
        let running = stage.running();
        let model = Model::of(capacity, load, running);
        for metric in &metrics {
            if let Some(value) = model.value(metric) {
                for index in 0..running {
                    stage.feed(index, metric, now, value);
                }
            }
        }
        stage.tick(now, load, model.lost(load, running));
    }
    Timeline {
        step_s,
        load_unit: "requests/s".to_owned(),
        points: stage.points,
        acts: stage.acts,
        notes: notes(&metrics, step_s),
    }
}

/// The finest step that keeps the number of decisions bounded.
fn step_s(seconds: u32) -> u32 {
    const STEPS: [u32; 9] = [1, 2, 5, 10, 20, 30, 60, 120, 300];
    let fits = |step: &u32| seconds.div_ceil(*step) <= TICKS_MAX;
    STEPS
        .into_iter()
        .find(fits)
        .unwrap_or_else(|| seconds.div_ceil(TICKS_MAX))
}

fn notes(metrics: &[Metric], step_s: u32) -> Vec<String> {
    let idle = Model {
        share: 0,
        served: 0,
        busy: 0,
        response: 0,
        memory: 0,
    };
    let unknown = metrics.iter().filter(|metric| idle.value(metric).is_none());
    let mut notes: Vec<String> = unknown
        .map(|metric| format!("{metric} is not modelled: rules about it see no data"))
        .collect();
    if step_s > 1 {
        notes.push(format!(
            "looked at every {step_s} s, so that the whole load is seen at once"
        ));
    }
    notes
}

/// One instance in one second.
struct Model {
    share: Milli,
    served: Milli,
    /// Utilisation, in thousandths.
    busy: i64,
    response: Milli,
    memory: Milli,
}

impl Model {
    fn of(capacity: &Capacity, load: Milli, running: u32) -> Self {
        let most = capacity.per_instance.max(1);
        let share = load / i64::from(running.max(1));
        let served = share.min(most);
        let busy = served.saturating_mul(FULL) / most;
        let base = i64::from(capacity.response_ms) * ONE;
        let free = (FULL - busy).max(FULL / RESPONSE_TIME_FACTOR_MAX);
        // Without a request there is no response time.
        let response = if served == 0 { 0 } else { base * FULL / free };
        let memory = i64::from(capacity.memory_percent) * ONE;
        Self {
            share,
            served,
            busy,
            response,
            memory,
        }
    }

    fn value(&self, metric: &Metric) -> Option<Milli> {
        match metric {
            // A thousandth of the utilisation is a tenth of a percent.
            Metric::Cpu | Metric::CoreCpu => Some(self.busy * (ONE / 10)),
            Metric::Throughput => Some(self.served),
            Metric::ResponseTime(_) => Some(self.response),
            Metric::InFlight => {
                let product = i128::from(self.served) * i128::from(self.response);
                Milli::try_from(product / 1_000_000).ok()
            }
            Metric::Memory | Metric::Disk => Some(self.memory),
            Metric::MemoryUsed | Metric::DiskUsed | Metric::Crashes | Metric::Custom(_) => None,
        }
    }

    fn lost(&self, load: Milli, running: u32) -> Milli {
        if running == 0 {
            return load;
        }
        (self.share - self.served).saturating_mul(i64::from(running))
    }
}
