//! The way out. What app-autoscaler cannot say is left out or said as nearly as it can, and each
//! difference is listed, so that the caller may refuse.

use serde_json::{Map, Value, json};

use super::Extras;
use super::rules::{name_of, operator_of, thresholds_of};
use crate::ast::{
    Amount, Comparison, Condition, Days, Direction, Evidence, Latency, Metric, OnMissing, Over,
    Round, Rule, Schedule, When,
};
use crate::policy::Policy;
use crate::units::ONE;

/// A policy for app-autoscaler.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    pub json: Value,
    /// What it does not say, or says otherwise; empty when it says all.
    pub differences: Vec<String>,
}

/// Write the policy as app-autoscaler has it.
#[must_use]
pub fn export(policy: &Policy, extras: &Extras) -> Exported {
    let mut differences = Vec::new();
    let limits = policy.limits();
    let mut top = Map::new();
    if extras.versioned {
        top.insert("schema-version".to_owned(), json!("0.1"));
    }
    if let Some(kind) = &extras.credential_type {
        top.insert("credential-type".to_owned(), json!(kind));
    }
    top.insert("instance_min_count".to_owned(), json!(limits.min));
    top.insert("instance_max_count".to_owned(), json!(limits.max));
    let rules = policy.rules().iter().enumerate();
    let rules: Vec<Value> = rules
        .filter_map(|(at, one)| rule(at, one, &mut differences))
        .collect();
    if !rules.is_empty() && !policy.document().shared_cool_down {
        differences.push("a cool-down would hold back both directions".to_owned());
    }
    let schedules = schedules(policy.schedules(), &mut differences);
    if !rules.is_empty() || schedules.is_none() {
        top.insert("scaling_rules".to_owned(), json!(rules));
    }
    if let Some(schedules) = schedules {
        top.insert("schedules".to_owned(), schedules);
    }
    if let Some(configuration) = configuration(extras) {
        top.insert("configuration".to_owned(), configuration);
    }
    Exported {
        json: Value::Object(top),
        differences,
    }
}

fn configuration(extras: &Extras) -> Option<Value> {
    let mut configuration = Map::new();
    if let Some(from) = &extras.allow_from {
        let strategy = json!({ "metric_submission_strategy": { "allow_from": from } });
        configuration.insert("custom_metrics".to_owned(), strategy);
    }
    if let Some(guid) = &extras.app_guid {
        configuration.insert("app_guid".to_owned(), json!(guid));
    }
    (!configuration.is_empty()).then_some(Value::Object(configuration))
}

fn rule(at: usize, rule: &Rule, differences: &mut Vec<String>) -> Option<Value> {
    let mut differs = |what: &str| differences.push(format!("rule {}: {what}", at + 1));
    let Condition::Is(comparison) = &rule.condition else {
        differs("is left out: it has several comparisons");
        return None;
    };
    let Some(metric) = name_of(&comparison.metric) else {
        differs(&format!(
            "is left out: there is no metric for {}",
            comparison.metric
        ));
        return None;
    };
    let sign = if rule.direction == Direction::Out {
        '+'
    } else {
        '-'
    };
    let adjustment = match rule.amount {
        Amount::Percent(percent) => format!("{sign}{percent}%"),
        Amount::By(count) => format!("{sign}{count}"),
        Amount::To(_) => {
            differs("is left out: there is no way to name a target");
            return None;
        }
    };
    for what in clauses(rule, comparison) {
        differs(what);
    }
    let (least, most) = thresholds_of(&comparison.metric);
    let threshold = comparison.threshold.div_euclid(ONE).clamp(least, most);
    if threshold * ONE != comparison.threshold {
        differs(&format!("the threshold becomes {threshold}"));
    }
    let mut seconds = |name: &str, given: u32| {
        let fits = given.clamp(60, 3_600);
        if fits != given {
            differs(&format!("the {name} becomes {fits} seconds"));
        }
        fits
    };
    Some(json!({
        "metric_type": metric,
        "threshold": threshold,
        "operator": operator_of(comparison.op),
        "breach_duration_secs": seconds("duration", comparison.for_s),
        "cool_down_secs": seconds("cool-down", rule.cool_down_s),
        "adjustment": adjustment,
    }))
}

/// Clauses that have no counterpart.
fn clauses(rule: &Rule, comparison: &Comparison) -> Vec<&'static str> {
    let defaults = Rule::new(rule.direction, rule.amount, rule.condition.clone());
    let latency = &comparison.metric;
    let cases = [
        (
            comparison.over != Over::Avg,
            "the average of the instances counts",
        ),
        (comparison.every_s.is_some(), "`every` is dropped"),
        (rule.round != Round::Half, "counts round half up"),
        (rule.between.is_some(), "its own limits are dropped"),
        (
            rule.min_step != 1 || rule.max_step.is_some(),
            "least and most steps are dropped",
        ),
        (
            rule.warm_up_s != defaults.warm_up_s,
            "new instances count at once",
        ),
        (
            rule.on_missing != OnMissing::Hold,
            "missing data is skipped",
        ),
        (
            rule.after_restart == Evidence::Carry,
            "restarts are not looked at",
        ),
        (
            matches!(latency, Metric::ResponseTime(l) if *l != Latency::P90),
            "the response time is an average of the slowest requests",
        ),
    ];
    cases
        .into_iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, what)| what)
        .collect()
}

fn schedules(all: &[Schedule], differences: &mut Vec<String>) -> Option<Value> {
    let zone = &all.first()?.zone;
    let (mut recurring, mut dates) = (Vec::new(), Vec::new());
    for one in all {
        let mut leave_out = |why: &str| differences.push(format!("`{one}` is left out: {why}"));
        if one.zone != *zone {
            leave_out("all schedules have one time zone");
            continue;
        }
        let mut fields = Map::new();
        match &one.when {
            When::Once { start, end } => {
                fields.insert("start_date_time".to_owned(), json!(moment(start)));
                fields.insert("end_date_time".to_owned(), json!(moment(end)));
            }
            When::Every { start, end, .. } if start >= end => {
                leave_out("none may run over midnight");
                continue;
            }
            When::Every {
                days,
                start,
                end,
                first,
                last,
            } => {
                let (name, list) = numbers(*days);
                fields.insert(name.to_owned(), json!(list));
                fields.insert(
                    "start_time".to_owned(),
                    json!(clock(start.hour(), start.minute())),
                );
                fields.insert(
                    "end_time".to_owned(),
                    json!(clock(end.hour(), end.minute())),
                );
                for (name, date) in [("start_date", first), ("end_date", last)] {
                    if let Some(date) = date {
                        fields.insert(name.to_owned(), json!(date.to_string()));
                    }
                }
            }
        }
        fields.insert("instance_min_count".to_owned(), json!(one.keep.min));
        fields.insert("instance_max_count".to_owned(), json!(one.keep.max));
        if let Some(count) = one.starting_at {
            fields.insert("initial_min_instance_count".to_owned(), json!(count));
        }
        match one.when {
            When::Once { .. } => dates.push(Value::Object(fields)),
            When::Every { .. } => recurring.push(Value::Object(fields)),
        }
    }
    let mut schedules = Map::new();
    schedules.insert("timezone".to_owned(), json!(zone));
    for (name, list) in [("recurring_schedule", recurring), ("specific_date", dates)] {
        if !list.is_empty() {
            schedules.insert(name.to_owned(), Value::Array(list));
        }
    }
    (schedules.len() > 1).then_some(Value::Object(schedules))
}

fn numbers(days: Days) -> (&'static str, Vec<u32>) {
    let (name, bits, most) = match days {
        Days::Week(bits) => ("days_of_week", u32::from(bits) << 1, 7),
        Days::Month(bits) => ("days_of_month", bits, 31),
    };
    (
        name,
        (1..=most).filter(|day| bits & (1 << day) != 0).collect(),
    )
}

fn moment(at: &jiff::civil::DateTime) -> String {
    format!("{}T{}", at.date(), clock(at.hour(), at.minute()))
}

fn clock(hour: i8, minute: i8) -> String {
    format!("{hour:02}:{minute:02}")
}
