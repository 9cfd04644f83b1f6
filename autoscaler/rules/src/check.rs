//! From what is written to what can be decided on: ranges, limits, time zones, and what must be
//! kept of the samples.

use std::sync::Arc;

use jiff::tz::TimeZoneDatabase;

use crate::ast::{
    Amount, Comparison, Condition, Direction, Document, Metric, OnMissing, Over, Range, Rule,
    Schedule, When, defaults,
};
use crate::digest;
use crate::policy::{Asked, CheckedRule, CheckedSchedule, Leaf, Policy};
use crate::units::{ONE, VALUE_MAX};
use crate::window::{Aspect, Mark, Need};

/// Most rules of an app: a decision record names each, and nobody can follow more.
pub const RULES_MAX: usize = 32;
/// Most schedules of an app.
pub const SCHEDULES_MAX: usize = 100;
/// Most comparisons of a rule.
pub const COMPARISONS_MAX: usize = 8;
/// Longest `for`, in seconds: the platform keeps samples for days, but a rule that looks back
/// further than a day is a schedule.
pub const FOR_MAX_S: u32 = 86_400;
/// Widest bucket, in seconds.
pub const EVERY_MAX_S: u32 = 3_600;
/// Most buckets of a window, which bounds the memory of an instance to 30 KiB a comparison.
pub const BUCKETS_MAX: u32 = 3_600;
/// Longest cool-down and warm-up, in seconds.
pub const WAIT_MAX_S: u32 = 86_400;
/// Largest percentage or step.
pub const AMOUNT_MAX: u32 = 1_000_000;
/// Most instances that a limit may name.
pub const INSTANCES_MAX: u32 = 1_000_000;
/// Longest name of a custom metric, as in app-autoscaler.
pub const NAME_CHARS_MAX: usize = 100;
/// The projection looks at the mean of this long, in seconds.
const PROJECTION_S: u32 = 60;

/// The policy is well formed but makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("{count} rules are too many: an app may have {RULES_MAX}")]
    TooManyRules { count: usize },
    #[error("{count} schedules are too many: an app may have {SCHEDULES_MAX}")]
    TooManySchedules { count: usize },
    #[error("`{subject}`: {problem}")]
    Senseless { subject: String, problem: String },
}

/// The policy that the document describes.
pub fn check(document: Document) -> Result<Policy, CheckError> {
    if document.rules.len() > RULES_MAX {
        let count = document.rules.len();
        return Err(CheckError::TooManyRules { count });
    }
    if document.schedules.len() > SCHEDULES_MAX {
        let count = document.schedules.len();
        return Err(CheckError::TooManySchedules { count });
    }
    let limits = limits(&document)?;
    let mut needs = Vec::new();
    let mut rules = Vec::with_capacity(document.rules.len());
    for rule in &document.rules {
        check_rule(rule)?;
        rules.push(checked(rule, &mut needs));
    }
    let schedules = document.schedules.iter().map(check_schedule);
    Ok(Policy {
        schedules: schedules.collect::<Result<_, _>>()?,
        fingerprint: digest::of_text(&document.to_string()),
        document,
        limits,
        marks: marks(&rules, &needs),
        rules,
        needs,
    })
}

/// The first comparison that looks at each need.
fn marks(rules: &[CheckedRule], needs: &[Need]) -> Vec<Option<Mark>> {
    let mut marks = vec![None; needs.len()];
    for rule in rules {
        mark(&rule.asked, needs, &mut marks);
    }
    marks
}

fn mark(asked: &Asked, needs: &[Need], marks: &mut [Option<Mark>]) {
    match asked {
        Asked::And(parts) | Asked::Or(parts) => {
            parts.iter().for_each(|part| mark(part, needs, marks));
        }
        Asked::Is(leaf) if needs[leaf.need].aspect != Aspect::Mean => {
            marks[leaf.need].get_or_insert_with(|| Mark::of(&leaf.comparison));
        }
        Asked::Is(_) => {}
    }
}

/// The policy's own, or as wide as its rules', or the default.
fn limits(document: &Document) -> Result<Range, CheckError> {
    let ranges = document.rules.iter().filter_map(|rule| rule.between);
    let hull = ranges.reduce(|a, b| Range {
        min: a.min.min(b.min),
        max: a.max.max(b.max),
    });
    let limits = document.limits.or(hull).unwrap_or(defaults::LIMITS);
    check_range(limits, &limits.to_string())?;
    Ok(limits)
}

fn check_rule(rule: &Rule) -> Result<(), CheckError> {
    let subject = rule.to_string();
    let senseless = |problem: String| {
        Err(CheckError::Senseless {
            subject: subject.clone(),
            problem,
        })
    };
    if let Some(range) = rule.between {
        check_range(range, &subject)?;
    }
    let (Amount::Percent(amount) | Amount::By(amount) | Amount::To(amount)) = rule.amount;
    if amount == 0 || amount > AMOUNT_MAX {
        return senseless(format!("the amount must be 1 to {AMOUNT_MAX}"));
    }
    if rule.min_step == 0 || rule.max_step.is_some_and(|most| most < rule.min_step) {
        return senseless("`at least` must be 1 or more, and no more than `at most`".to_owned());
    }
    if rule.cool_down_s > WAIT_MAX_S || rule.warm_up_s > WAIT_MAX_S {
        return senseless("a cool-down or warm-up may last a day at most".to_owned());
    }
    if let OnMissing::Fallback(count) = rule.on_missing
        && (count == 0 || count > INSTANCES_MAX || rule.direction == Direction::In)
    {
        return senseless(format!(
            "a fallback is 1 to {INSTANCES_MAX} instances, of a rule that scales out: missing data never shrinks an app"
        ));
    }
    let count = rule.condition.comparisons().count();
    if count > COMPARISONS_MAX {
        return senseless(format!(
            "{count} comparisons are too many: a rule may have {COMPARISONS_MAX}"
        ));
    }
    for comparison in rule.condition.comparisons() {
        if let Some(problem) = problem(comparison) {
            return senseless(problem);
        }
    }
    Ok(())
}

fn problem(comparison: &Comparison) -> Option<String> {
    let Comparison {
        threshold, for_s, ..
    } = *comparison;
    if threshold.abs() > VALUE_MAX * ONE {
        return Some(format!("a threshold is {VALUE_MAX} at most"));
    }
    if !(1..=FOR_MAX_S).contains(&for_s) {
        return Some("`for` is 1s to 1d".to_owned());
    }
    if let Some(every) = comparison.every_s
        && (!(1..=EVERY_MAX_S).contains(&every) || every > for_s)
    {
        return Some("`every` is 1s to 1h, and no longer than `for`".to_owned());
    }
    if Need::of(comparison).buckets > BUCKETS_MAX {
        return Some(format!(
            "`every` is too fine: a window may have {BUCKETS_MAX} steps"
        ));
    }
    if matches!(comparison.over, Over::Percentile(p) if !(1..=99).contains(&p)) {
        return Some("percentiles are p1 to p99".to_owned());
    }
    match &comparison.metric {
        Metric::Custom(name) if !is_metric_name(name) => Some(format!(
            "a metric's name has 1 to {NAME_CHARS_MAX} letters, digits and `_`"
        )),
        _ => None,
    }
}

/// Whether app-autoscaler takes this as the name of a metric.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.len());
    fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn checked(rule: &Rule, needs: &mut Vec<Need>) -> CheckedRule {
    CheckedRule {
        asked: asked(&rule.condition, rule.direction, &mut 0, needs),
        rule: rule.clone(),
        text: Arc::from(rule.to_string()),
    }
}

fn asked(
    condition: &Condition,
    direction: Direction,
    position: &mut usize,
    needs: &mut Vec<Need>,
) -> Asked {
    let mut all = |parts: &[Condition]| {
        let parts = parts.iter();
        parts
            .map(|part| asked(part, direction, position, needs))
            .collect()
    };
    match condition {
        Condition::And(parts) => Asked::And(all(parts)),
        Condition::Or(parts) => Asked::Or(all(parts)),
        Condition::Is(comparison) => {
            let projects = direction == Direction::Out
                && comparison.op.looks_up()
                && comparison.metric.spreads();
            let leaf = Leaf {
                position: *position,
                need: place(Need::of(comparison), needs),
                projected: projects.then(|| place(projection(comparison), needs)),
                comparison: comparison.clone(),
            };
            *position += 1;
            Asked::Is(leaf)
        }
    }
}

/// Comparisons that look at the same share it.
fn place(need: Need, needs: &mut Vec<Need>) -> usize {
    let known = needs.iter().position(|known| *known == need);
    known.unwrap_or_else(|| {
        needs.push(need);
        needs.len() - 1
    })
}

/// The mean of the last minute, in buckets no wider than the rule's own.
fn projection(comparison: &Comparison) -> Need {
    let width_s = Need::of(comparison).width_s.min(10);
    Need {
        metric: comparison.metric.clone(),
        aspect: Aspect::Mean,
        width_s,
        buckets: PROJECTION_S / width_s,
    }
}

fn check_range(range: Range, subject: &str) -> Result<(), CheckError> {
    if range.min >= 1 && range.min <= range.max && range.max <= INSTANCES_MAX {
        return Ok(());
    }
    Err(CheckError::Senseless {
        subject: subject.to_owned(),
        problem: format!(
            "the least is 1 or more, the most is no less than that and {INSTANCES_MAX} at most"
        ),
    })
}

fn check_schedule(schedule: &Schedule) -> Result<CheckedSchedule, CheckError> {
    let subject = schedule.to_string();
    let senseless = |problem: &str| CheckError::Senseless {
        subject: subject.clone(),
        problem: problem.to_owned(),
    };
    check_range(schedule.keep, &subject)?;
    if let Some(count) = schedule.starting_at
        && schedule.keep.clamp(count) != count
    {
        return Err(senseless("`starting at` lies outside what is kept"));
    }
    match &schedule.when {
        When::Once { start, end } if start >= end => {
            return Err(senseless("it ends before it begins"));
        }
        When::Every {
            first: Some(first),
            last: Some(last),
            ..
        } if first > last => {
            return Err(senseless("its last day is before its first"));
        }
        When::Every { .. } | When::Once { .. } => {}
    }
    // The bundled database: the same answer on machines that have none, or another one.
    let zone = TimeZoneDatabase::bundled()
        .get(&schedule.zone)
        .map_err(|_| senseless("no such time zone: write one such as Asia/Shanghai or UTC"))?;
    Ok(CheckedSchedule {
        schedule: schedule.clone(),
        key: digest::of_text(&subject),
        text: Arc::from(subject),
        zone,
    })
}
