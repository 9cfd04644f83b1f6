//! `scaling_rules`.

use super::field::{Fields, Reader};
use crate::ast::{
    Amount, Comparison, Condition, Direction, Latency, Metric, Op, Over, Round, Rule, defaults,
};
use crate::check::{self, AMOUNT_MAX};
use crate::units::{ONE, VALUE_MAX};

/// Bounds of durations, in seconds.
const SECONDS: std::ops::RangeInclusive<i64> = 60..=3_600;

/// Names of app-autoscaler, ours, and the thresholds that it takes.
const METRICS: &[(&str, Metric, i64, i64)] = &[
    ("memoryused", Metric::MemoryUsed, 0, VALUE_MAX),
    ("memoryutil", Metric::Memory, 1, 100),
    ("cpu", Metric::CoreCpu, 1, 100),
    ("cpuutil", Metric::Cpu, 1, 100),
    ("disk", Metric::DiskUsed, 1, 2_048),
    ("diskutil", Metric::Disk, 1, 100),
    ("throughput", Metric::Throughput, 0, VALUE_MAX),
    (
        "responsetime",
        Metric::ResponseTime(Latency::P90),
        0,
        VALUE_MAX,
    ),
];

const OPERATORS: &[(&str, Op)] = &[
    ("<", Op::Below),
    (">", Op::Above),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
];

pub(super) fn read(fields: &Fields<'_>, notes: &mut Vec<String>, reader: &mut Reader) -> Vec<Rule> {
    let rules = fields.objects("scaling_rules", reader);
    rules
        .iter()
        .filter_map(|one| rule(one, notes, reader))
        .collect()
}

fn rule(fields: &Fields<'_>, notes: &mut Vec<String>, reader: &mut Reader) -> Option<Rule> {
    let metric = fields.required_text("metric_type", reader);
    let known = metric
        .as_ref()
        .and_then(|name| METRICS.iter().find(|row| row.0 == name));
    if let Some(name) = &metric
        && !check::is_metric_name(name)
    {
        let problem = "must be 1 to 100 letters, digits and _";
        reader.error(fields.path("metric_type"), problem);
    }
    let range = known.map_or(-VALUE_MAX..=VALUE_MAX, |row| row.2..=row.3);
    let threshold = fields.integer("threshold", range, reader);
    let operator = fields.required_text("operator", reader);
    let op = operator.and_then(|text| {
        let op = OPERATORS.iter().find(|(sign, _)| *sign == text);
        if op.is_none() {
            reader.error(fields.path("operator"), "must be one of <, >, <=, >=");
        }
        op.map(|(_, op)| *op)
    });
    let adjustment = adjustment(fields, reader);
    let for_s = fields.integer_if_any("breach_duration_secs", SECONDS, reader);
    let cool_down_s = fields.integer_if_any("cool_down_secs", SECONDS, reader);
    if fields.get("stats_window_secs").is_some() {
        notes.push(format!("{} is ignored", fields.path("stats_window_secs")));
    }
    let (direction, amount) = adjustment?;
    let metric = known.map_or_else(|| metric.map(Metric::Custom), |row| Some(row.1.clone()))?;
    let seconds = |given: Option<i64>, default: u32| {
        given.and_then(|s| u32::try_from(s).ok()).unwrap_or(default)
    };
    let comparison = Comparison {
        over: Over::Avg,
        metric,
        op: op?,
        threshold: threshold? * ONE,
        for_s: seconds(for_s, defaults::FOR_S),
        every_s: None,
    };
    Some(Rule {
        round: Round::Half,
        cool_down_s: seconds(cool_down_s, defaults::COOL_DOWN_S),
        ..Rule::new(direction, amount, Condition::Is(comparison))
    })
}

/// `+40%`, `-1`.
fn adjustment(fields: &Fields<'_>, reader: &mut Reader) -> Option<(Direction, Amount)> {
    let text = fields.required_text("adjustment", reader)?;
    let parsed = || {
        let (direction, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (Direction::Out, rest),
            ("-", rest) => (Direction::In, rest),
            _ => return None,
        };
        let (digits, percent) = match rest.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (rest, false),
        };
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        let count: u32 = digits
            .parse()
            .ok()
            .filter(|count| plain && *count <= AMOUNT_MAX)?;
        let amount = if percent {
            Amount::Percent(count)
        } else {
            Amount::By(count)
        };
        Some((direction, amount))
    };
    let adjustment = parsed();
    if adjustment.is_none() {
        let problem = "must be a step such as +1 or -2, or a percentage such as +40%";
        reader.error(fields.path("adjustment"), problem);
    }
    adjustment
}

/// The name that app-autoscaler has for a metric.
pub(super) fn name_of(metric: &Metric) -> Option<&str> {
    if let Metric::Custom(name) = metric {
        let reserved = METRICS.iter().any(|row| row.0 == name);
        return (!reserved).then_some(name);
    }
    let same = |row: &&(&str, Metric, i64, i64)| match (&row.1, metric) {
        (Metric::ResponseTime(_), Metric::ResponseTime(_)) => true,
        (known, metric) => known == metric,
    };
    METRICS.iter().find(same).map(|row| row.0)
}

/// The thresholds that app-autoscaler takes for a metric.
pub(super) fn thresholds_of(metric: &Metric) -> (i64, i64) {
    let row = METRICS.iter().find(|row| row.1 == *metric);
    row.map_or((-VALUE_MAX, VALUE_MAX), |row| (row.2, row.3))
}

pub(super) fn operator_of(op: Op) -> &'static str {
    let row = OPERATORS.iter().find(|(_, known)| *known == op);
    row.map_or("", |(sign, _)| sign)
}
