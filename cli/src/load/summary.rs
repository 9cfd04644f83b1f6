//! A tally as numbers: for tables, JSON, charts and thresholds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tally::{Counts, Tally};

/// The generator's own limits: past them what it measured is not what it was told to send.
/// A send-lag above this, milliseconds, at the 99th percentile adds itself to each latency.
const LAG_P99_MAX_MS: f64 = 5.0;
/// Share of the requests that may be dropped: more, and the load was another one.
const DROPPED_MAX: f64 = 0.001;

/// Latencies in milliseconds, from the intended time of each request to the end of its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct LatencyNumbers {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) p9999: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct StatusNumbers {
    pub(crate) count: u64,
    /// Of these, answers that were not expected.
    pub(crate) bad: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Numbers {
    pub(crate) seconds: f64,
    pub(crate) intended: u64,
    pub(crate) answered: u64,
    pub(crate) good: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) dropped: u64,
    pub(crate) cut: u64,
    /// Intended a second.
    pub(crate) intended_rate: f64,
    /// Answered a second.
    pub(crate) rate: f64,
    /// Failed among intended, 0 to 1.
    pub(crate) error_share: f64,
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
    pub(crate) latency_ms: LatencyNumbers,
    pub(crate) statuses: BTreeMap<String, StatusNumbers>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Numbers {
    pub(crate) fn of(counts: &Counts, seconds: f64) -> Self {
        let a_second = |count: u64| per(count, seconds);
        Self {
            seconds,
            intended: counts.intended,
            answered: counts.answered,
            good: counts.good,
            refused: counts.refused,
            failed: counts.failed,
            lost: counts.lost,
            late: counts.late,
            dropped: counts.dropped,
            cut: counts.cut,
            intended_rate: a_second(counts.intended),
            rate: a_second(counts.answered),
            error_share: share(counts.failed, counts.intended),
            connections: counts.connections,
            bytes: counts.bytes,
            latency_ms: latency(counts),
            statuses: statuses(counts),
            errors: counts.errors.clone(),
        }
    }
}

fn latency(counts: &Counts) -> LatencyNumbers {
    let at = |share| counts.latencies.percentile_ms(share);
    LatencyNumbers {
        mean: counts.latencies.mean_ms(),
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: counts.latencies.max_ms(),
    }
}

fn statuses(counts: &Counts) -> BTreeMap<String, StatusNumbers> {
    let numbers = counts.statuses.iter().map(|(status, of_it)| {
        let name = match status {
            0 => "other".to_owned(),
            status => status.to_string(),
        };
        let numbers = StatusNumbers {
            count: of_it.latencies.count(),
            bad: of_it.bad,
            p50_ms: of_it.latencies.percentile_ms(0.5),
            p99_ms: of_it.latencies.percentile_ms(0.99),
        };
        (name, numbers)
    });
    numbers.collect()
}

/// What the generator says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct SelfCheck {
    pub(crate) lag_p50_ms: f64,
    pub(crate) lag_p99_ms: f64,
    pub(crate) lag_max_ms: f64,
    /// Dropped among intended, 0 to 1.
    pub(crate) dropped_share: f64,
    /// Why the run says nothing about the server; empty when it does.
    pub(crate) void: Vec<String>,
}

impl SelfCheck {
    pub(crate) fn of(tally: &Tally) -> Self {
        let total = tally.total();
        let lag_p99_ms = tally.lag.percentile_ms(0.99);
        let dropped_share = share(total.dropped, total.intended);
        let mut void = Vec::new();
        if total.intended == 0 {
            void.push("nothing was sent".to_owned());
        }
        if lag_p99_ms > LAG_P99_MAX_MS {
            void.push(format!(
                "the generator was late itself: {lag_p99_ms:.1} ms at the 99th percentile, {LAG_P99_MAX_MS} ms are allowed"
            ));
        }
        if dropped_share > DROPPED_MAX {
            void.push(format!(
                "{} of {} requests were never sent, because too many were in flight",
                total.dropped, total.intended
            ));
        }
        Self {
            lag_p50_ms: tally.lag.percentile_ms(0.5),
            lag_p99_ms,
            lag_max_ms: tally.lag.max_ms(),
            dropped_share,
            void,
        }
    }

    pub(crate) fn is_void(&self) -> bool {
        !self.void.is_empty()
    }
}

/// One point of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Point {
    /// Begin of the piece of time, seconds from the start.
    pub(crate) at: f64,
    /// Intended a second.
    pub(crate) intended: f64,
    pub(crate) answered: f64,
    pub(crate) failed: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

pub(crate) fn points(tally: &Tally) -> Vec<Point> {
    let width = tally.bucket.as_secs_f64();
    let points = tally
        .buckets
        .iter()
        .zip(0_u32..)
        .map(|(bucket, place)| Point {
            at: f64::from(place) * width,
            intended: per(bucket.intended, width),
            answered: per(bucket.answered, width),
            failed: per(bucket.failed, width),
            p50_ms: bucket.latencies.percentile_ms(0.5),
            p99_ms: bucket.latencies.percentile_ms(0.99),
            max_ms: bucket.latencies.max_ms(),
        });
    points.collect()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    per(part, whole as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_generator_that_was_late_or_dropped_requests_voids_its_run() {
        let run = |lag_ms: u64, dropped: u32| {
            let mut tally = Tally::new(&[Duration::from_secs(10)]);
            for n in 0..1_000 {
                let lag = if n % 50 == 0 { lag_ms } else { 0 };
                tally.intended(Duration::ZERO, Duration::from_millis(lag));
            }
            for _ in 0..dropped {
                tally.dropped(Duration::ZERO);
            }
            SelfCheck::of(&tally).void.len()
        };
        assert_eq!(run(0, 0), 0);
        assert_eq!(run(4, 1), 0);
        assert_eq!(run(6, 0), 1);
        assert_eq!(run(0, 2), 1);
        assert_eq!(run(50, 100), 2);
        assert!(SelfCheck::of(&Tally::new(&[])).is_void(), "nothing sent");
    }
}
