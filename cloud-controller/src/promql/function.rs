//! What is made of many numbers. A point that stands for many samples counts as many.

use super::ast::{Function, Operator};
use super::evaluate::Point;

/// Over the points of a time; none when there are too few.
pub(super) fn apply(
    function: Function,
    parameter: f64,
    points: &[Point],
    after_ms: i64,
    until_ms: i64,
) -> Option<f64> {
    let last = points.last()?;
    let count = || {
        let counts = points.iter().map(|point| f64::from(point.count));
        counts.sum::<f64>()
    };
    let sum = || points.iter().map(|point| point.sum).sum::<f64>();
    Some(match function {
        Function::Rate => growth(points, after_ms, until_ms)? / seconds(until_ms - after_ms),
        Function::Increase => growth(points, after_ms, until_ms)?,
        Function::SumOverTime => sum(),
        Function::AvgOverTime => sum() / count(),
        Function::MinOverTime => points.iter().map(|it| it.min).fold(f64::INFINITY, f64::min),
        Function::MaxOverTime => {
            let all = points.iter().map(|it| it.max);
            all.fold(f64::NEG_INFINITY, f64::max)
        }
        Function::CountOverTime => count(),
        Function::LastOverTime => last.value(),
        Function::QuantileOverTime => {
            let values: Vec<f64> = points.iter().map(Point::value).collect();
            quantile(parameter, &values)
        }
    })
}

/// Of a group of series.
pub(super) fn reduce(operator: Operator, parameter: f64, values: &[f64]) -> f64 {
    let sum = || values.iter().sum::<f64>();
    let count = number(values.len());
    match operator {
        Operator::Sum => sum(),
        Operator::Avg => sum() / count,
        Operator::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        Operator::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Operator::Count => count,
        Operator::Quantile => quantile(parameter, values),
        // They choose among series instead.
        Operator::TopK | Operator::BottomK => f64::NAN,
    }
}

/// Between the two nearest, as Prometheus does it.
fn quantile(of: f64, values: &[f64]) -> f64 {
    if values.is_empty() || of.is_nan() {
        return f64::NAN;
    }
    if of < 0.0 {
        return f64::NEG_INFINITY;
    }
    if of > 1.0 {
        return f64::INFINITY;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = of * number(sorted.len() - 1);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the number of values"
    )]
    let low = rank.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let weight = rank - rank.floor();
    sorted[low] * (1.0 - weight) + sorted[high] * weight
}

/// How much a counter grew, its restarts aside, carried on to the ends of the time as Prometheus
/// does it: by half an interval at most, and never below zero.
fn growth(points: &[Point], after_ms: i64, until_ms: i64) -> Option<f64> {
    let [first, .., last] = points else {
        return None;
    };
    let mut grown = last.value() - first.value();
    for pair in points.windows(2) {
        if pair[1].value() < pair[0].value() {
            grown += pair[0].value();
        }
    }
    let sampled = seconds(last.at_ms - first.at_ms);
    let interval = sampled / number(points.len() - 1);
    let mut before = seconds(first.at_ms - after_ms);
    let mut behind = seconds(until_ms - last.at_ms);
    let far = interval * 1.1;
    if before >= far {
        before = interval / 2.0;
    }
    if grown > 0.0 && first.value() >= 0.0 {
        before = before.min(sampled * (first.value() / grown));
    }
    if behind >= far {
        behind = interval / 2.0;
    }
    Some(grown * (sampled + before + behind) / sampled)
}

#[allow(clippy::cast_precision_loss, reason = "times are far below 2^52")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}
