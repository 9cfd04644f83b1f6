//! `autoscale backtest`: rules on what an app really did, out of log-cache.

use std::collections::BTreeMap;

use cfx_protocol::quantity::format_bytes;
use cfx_rules::Policy;
use cfx_rules::ast::Metric;
use cfx_rules::backtest::{Recording, Series, backtest as play};
use cfx_rules::units::{Milli, Second, milli_from_text};
use serde::Deserialize;

use super::{parse, rules, simulate};
use crate::args::BacktestArgs;
use crate::client::{Api, query};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Log-cache keeps every second for so long, then every ten, then every minute: the step of a
/// question must not be finer.
const SECONDS_KEPT_S: Second = 600;
const TENS_KEPT_S: Second = 6 * 3_600;
/// Steps of one question: what an answer of a few hundred instances fits.
const STEPS_MAX: Second = 2_000;
/// Instances that start anew take this long on the platform, seconds.
const START_S: u32 = 2;
const MIB: Milli = 1 << 20;

#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Matrix>,
}

#[derive(Debug, Deserialize)]
struct Matrix {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

pub(super) async fn backtest(context: &Context, args: &BacktestArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let policy = if args.rules.is_empty() {
        let kept = rules::of(&space.api, &app).await?.ok_or_else(|| {
            Failure::new(format!("app {} has no rules", app.name))
                .next("name some: `cfx autoscale backtest APP \"scale 40% if CPU >90% for 5m\"`")
        })?;
        parse(&kept.statements.join("\n"))?
    } else {
        parse(&args.rules.join("\n"))?
    };
    let now = context.clock.now();
    let (from, to) = (args.from.second(now), args.to.second(now));
    if from >= to {
        return Err(Failure::new("the range ends before it begins")
            .next("for example --from 2h --to 1h: from two hours ago to one"));
    }
    let step = match now.as_second() - from {
        ..=SECONDS_KEPT_S => 1,
        ..=TENS_KEPT_S => 10,
        _ => 60,
    };
    let span = Span { from, to, step };
    let recording = record(&space.api, &app.guid, &policy, span).await?;
    let values: usize = recording.series.iter().map(|it| it.points.len()).sum();
    if values == 0 {
        return Err(Failure::new("nothing is kept of that time")
            .next("log-cache keeps a week at most; --from 1h looks at the last hour"));
    }
    context.terminal.trace(format!(
        "{values} values, {}",
        format_bytes(values as u64 * 16)
    ));
    let timeline = play(&policy, &recording, START_S);
    simulate::show(context, &timeline, &args.drawing)
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: Second,
    to: Second,
    step: Second,
}

/// What the rules look at, and the throughput, because it is what a reader knows as load.
async fn record(api: &Api, app: &str, policy: &Policy, span: Span) -> Outcome<Recording> {
    let mut metrics: Vec<Metric> = policy.needs().iter().map(|it| it.metric.clone()).collect();
    metrics.push(Metric::Throughput);
    metrics.sort();
    metrics.dedup();
    let mut series: BTreeMap<(u32, Metric), BTreeMap<Second, Milli>> = BTreeMap::new();
    for metric in metrics {
        let Some(expression) = expression(&metric, app) else {
            continue;
        };
        let mut from = span.from;
        while from < span.to {
            let to = (from + span.step * STEPS_MAX).min(span.to);
            for found in ask(api, &expression, Span { from, to, ..span }).await? {
                let index = found.metric.get("instance_id");
                let Some(index) = index.and_then(|text| text.parse().ok()) else {
                    continue;
                };
                let kept = series.entry((index, metric.clone())).or_default();
                kept.extend(found.values.iter().filter_map(|it| point(&metric, it)));
            }
            from = to;
        }
    }
    Ok(Recording {
        step_s: u32::try_from(span.step).unwrap_or(1),
        series: series
            .into_iter()
            .map(|((index, metric), points)| Series {
                index,
                metric,
                points: points.into_iter().collect(),
            })
            .collect(),
    })
}

async fn ask(api: &Api, expression: &str, span: Span) -> Outcome<Vec<Matrix>> {
    let path = format!(
        "/api/v1/query_range?query={}&start={}&end={}&step={}",
        query::encode(expression),
        span.from,
        span.to,
        span.step
    );
    let answer: Answer = api.get(&path).await?;
    Ok(answer.data.result)
}

/// The PromQL of a rule's metric; none for what log-cache does not hold.
fn expression(metric: &Metric, app: &str) -> Option<String> {
    let of = |name: &str| format!("{name}{{source_id=\"{app}\",process_type=\"web\"}}");
    Some(match metric {
        Metric::Cpu => of("cpu_entitlement"),
        Metric::CoreCpu => of("cpu"),
        Metric::Memory => format!("{} / {} * 100", of("memory"), of("memory_quota")),
        Metric::MemoryUsed => of("memory"),
        Metric::Disk => format!("{} / {} * 100", of("disk"), of("disk_quota")),
        Metric::DiskUsed => of("disk"),
        Metric::Throughput => of("http_requests"),
        Metric::ResponseTime(latency) => of(&format!("http_latency_{latency}")),
        Metric::InFlight => of("http_in_flight"),
        Metric::Crashes | Metric::Custom(_) => return None,
    })
}

fn point(metric: &Metric, (at, text): &(f64, String)) -> Option<(Second, Milli)> {
    let value = milli_from_text(text)?;
    let value = match metric {
        Metric::MemoryUsed | Metric::DiskUsed => value / MIB,
        _ => value,
    };
    #[allow(clippy::cast_possible_truncation, reason = "whole seconds fit")]
    let at = *at as Second;
    Some((at, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_asked_for_by_its_series_or_not_at_all() {
        let ask = |metric: Metric| expression(&metric, "GUID");
        let web = "{source_id=\"GUID\",process_type=\"web\"}";
        assert_eq!(ask(Metric::Cpu), Some(format!("cpu_entitlement{web}")));
        let share = format!("memory{web} / memory_quota{web} * 100");
        assert_eq!(ask(Metric::Memory), Some(share));
        assert_eq!(ask(Metric::Custom("jobs".to_owned())), None);
    }

    #[test]
    fn bytes_become_mebibytes_and_nonsense_no_point() {
        let at = |text: &str| (5.0, text.to_owned());
        let used = point(&Metric::MemoryUsed, &at("10485760"));
        assert_eq!(used, Some((5, 10_000)));
        assert_eq!(point(&Metric::Cpu, &at("NaN")), None);
    }
}
