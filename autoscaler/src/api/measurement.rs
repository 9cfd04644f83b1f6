//! `aggregated_metric_histories` and `metrics`: what rules look at, shown and taken in.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::response::IntoResponse;
use cfx_protocol::id::AppGuid;
use cfx_rules::ast::{Latency, Metric};
use cfx_rules::check::is_metric_name;
use cfx_rules::units::{Milli, ONE, Second, milli_from_text};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::access::Intent;
use super::call::{self, Call};
use super::credential;
use super::error::{Answer, ApiError};
use super::page::Range;
use crate::measure::{Recipe, names, recipe};
use crate::source::{Question, Series};
use crate::state::SAMPLES;
use crate::state::journal::{Journal, Sample};

/// Width of an aggregate, seconds, as app-autoscaler has it.
const AGGREGATE_S: Second = 40;
/// What is shown when nobody says from when, and the longest range, seconds.
const RANGE_DEFAULT_S: Second = 3_600;
const RANGE_MAX_S: Second = 86_400;
/// How many instances an answer is cut for; nobody looks at more at a time.
const INSTANCES_ASSUMED: u32 = 100;
const NS: i64 = 1_000_000_000;
/// Measurements in one request of an app.
const METRICS_MAX: usize = 100;
/// Largest index of an instance that may send some.
const INDEX_MAX: u32 = cfx_rules::window::INSTANCES_MAX;

/// The mean of all instances over a while.
#[derive(Debug, Serialize)]
struct Aggregate {
    app_id: AppGuid,
    name: String,
    unit: &'static str,
    value: String,
    timestamp: i64,
}

pub(crate) async fn list(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    let name = call.param("metric").to_owned();
    if !is_metric_name(&name) {
        return Err(ApiError::BadRequest(
            "a metric's name has 1 to 100 letters, digits and _".to_owned(),
        ));
    }
    let range = Range::of(&call)?;
    let until = range.end_ns.div_euclid(NS).min(call.now());
    let after = match range.start_ns {
        0 => until - RANGE_DEFAULT_S,
        start => start.div_euclid(NS).max(until - RANGE_MAX_S),
    };
    let (metric, unit) = named(&name);
    let samples = match recipe(&metric) {
        Recipe::OfTheApp => sent(&call, &metric).await?,
        recipe => measured(&call, recipe, &metric, after, until).await?,
    };
    let aggregate = |(bucket, (sum, count)): (Second, (i128, i128))| Aggregate {
        app_id: call.app,
        name: name.clone(),
        unit,
        value: ceiled(sum, count),
        timestamp: (bucket + 1) * AGGREGATE_S * NS,
    };
    let mut buckets: BTreeMap<Second, (i128, i128)> = BTreeMap::new();
    for (at, value) in samples {
        let (sum, count) = buckets.entry((at - 1).div_euclid(AGGREGATE_S)).or_default();
        *sum += i128::from(value);
        *count += 1;
    }
    let all = buckets.into_iter().map(aggregate).collect();
    range.answer(&call, all, |aggregate| aggregate.timestamp)
}

/// Whole units, rounded up, as app-autoscaler does.
fn ceiled(sum: i128, count: i128) -> String {
    let scale = count.max(1) * i128::from(ONE);
    let whole = sum.div_euclid(scale) + i128::from(sum.rem_euclid(scale) != 0);
    whole.to_string()
}

/// What app-autoscaler's names mean, and their units.
fn named(name: &str) -> (Metric, &'static str) {
    match name {
        "cpu" => (Metric::CoreCpu, "%"),
        "cpuutil" => (Metric::Cpu, "%"),
        "memoryused" => (Metric::MemoryUsed, "MB"),
        "memoryutil" => (Metric::Memory, "%"),
        "disk" => (Metric::DiskUsed, "MB"),
        "diskutil" => (Metric::Disk, "%"),
        "throughput" => (Metric::Throughput, "rps"),
        "responsetime" => (Metric::ResponseTime(Latency::P90), "ms"),
        other => (Metric::Custom(other.to_owned()), ""),
    }
}

async fn measured(
    call: &Call,
    recipe: Recipe,
    metric: &Metric,
    after: Second,
    until: Second,
) -> Result<Vec<(Second, Milli)>, ApiError> {
    let question = Question {
        apps: vec![(call.app, INSTANCES_ASSUMED)],
        metrics: names([metric].into_iter()),
        after: after - recipe.looks_back_s(),
        until,
    };
    let found = call.context.edges.source.read(&question).await;
    let found = found.map_err(ApiError::Platform)?;
    let mut of_instance: BTreeMap<u32, Vec<&Series>> = BTreeMap::new();
    for series in &found {
        of_instance.entry(series.index).or_default().push(series);
    }
    let mut samples = Vec::new();
    for series in of_instance.into_values() {
        let points = |name: &str| {
            let mut named = series.iter().filter(|it| it.metric == name);
            named.next().map(|it| it.points.as_slice())
        };
        samples.extend(recipe.samples(points, after));
    }
    Ok(samples)
}

/// What the app sent; a few seconds late, because it is read from disk.
async fn sent(call: &Call, metric: &Metric) -> Result<Vec<(Second, Milli)>, ApiError> {
    let prefix = format!("{SAMPLES}{}/", call.app);
    let loaded = call.context.edges.store.load(&prefix).await;
    let entries = loaded
        .map_err(|error| ApiError::Store(error.into()))?
        .entries;
    let (_, samples) = Journal::open(&entries).map_err(ApiError::Store)?;
    let own = samples
        .into_iter()
        .filter(|sample| sample.metric == *metric);
    Ok(own.map(|sample| (sample.at, sample.value)).collect())
}

/// `POST metrics`, as app-autoscaler's clients send it.
#[derive(Debug, Deserialize)]
struct Sent {
    instance_index: u32,
    metrics: Vec<SentMetric>,
}

#[derive(Debug, Deserialize)]
struct SentMetric {
    name: String,
    value: serde_json::Number,
}

pub(crate) async fn receive(call: Call, body: Bytes) -> Answer {
    credential::admit(&call).await?;
    let Sent {
        instance_index: index,
        metrics,
    } = call::json(&body)?;
    let wrong = |text: String| ApiError::BadRequest(text);
    if index >= INDEX_MAX || metrics.len() > METRICS_MAX {
        return Err(wrong(format!(
            "instance_index must be below {INDEX_MAX}, and metrics at most {METRICS_MAX}"
        )));
    }
    let known = call.context.policies.get(call.app);
    let known = known.ok_or_else(ApiError::no_policy)?;
    let at = call.now();
    let mut samples = Vec::with_capacity(metrics.len());
    for SentMetric { name, value } in metrics {
        let metric = Metric::Custom(name.clone());
        let needs = known.policy.needs();
        if !needs.iter().any(|need| need.metric == metric) {
            return Err(wrong(format!(
                "no rule of this app looks at the metric {name}; add one that does"
            )));
        }
        let value = milli_from_text(&value.to_string());
        let value = value.ok_or_else(|| wrong(format!("the value of {name} is too large")))?;
        samples.push(Sample {
            index,
            metric,
            at,
            value,
        });
    }
    if !call.context.latest.is_leading() {
        return Err(ApiError::Conflict(
            "another autoscaler takes measurements; send it there".to_owned(),
        ));
    }
    if !call.context.inbox.put(call.app, samples) {
        return Err(ApiError::TooMany);
    }
    Ok(Json(json!({})).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_rounded_up_to_whole_units() {
        for (sum, count, text) in [
            (1_000, 1, "1"),
            (1_001, 1, "2"),
            (3_000, 2, "2"),
            (0, 3, "0"),
            (-1_500, 1, "-1"),
        ] {
            assert_eq!(ceiled(sum, count), text);
        }
    }
}
