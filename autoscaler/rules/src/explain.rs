//! A decision in calm English sentences, for `cfx autoscale explain` and for the history.
//!
//! The first sentence says what was done, or that nothing was, and why. Then each rule says where
//! it stands. Times are UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::ast::{Direction, Metric, Op};
use crate::decision::{
    Arithmetic, Cause, Clamp, Decision, Finding, LimitsFrom, Outcome, RuleRecord, Verdict, WhyNot,
};
use crate::units::{Milli, Second, duration_text, milli_text};

/// Everything: the first sentence, the limits where they are not the policy's, and each rule.
#[must_use]
pub fn explain(decision: &Decision) -> String {
    let mut lines = vec![summary(decision)];
    if let Some(line) = limits(decision) {
        lines.push(line);
    }
    for (place, record) in decision.rules.iter().enumerate() {
        lines.push(format!("Rule {}: {}", place + 1, rule(record)));
    }
    lines.join("\n")
}

/// What was done and why, in one sentence.
#[must_use]
pub fn summary(decision: &Decision) -> String {
    let (from, to) = (decision.from, decision.to);
    match &decision.outcome {
        Outcome::Rule { rule, arithmetic } => {
            let record = decision.rules.get(*rule);
            let because = record.map_or_else(String::new, |record| because(record, *rule));
            let sums = sums(arithmetic, from);
            format!(
                "Scaled {} from {from} to {to}: {because}{sums}.",
                way(from, to)
            )
        }
        Outcome::Limits { schedule_began } => {
            let range = format!("{} to {}", decision.limits.min, decision.limits.max);
            let source = source(&decision.limits_from);
            let began = if *schedule_began {
                ", which has just begun,"
            } else {
                ""
            };
            format!(
                "Scaled {} from {from} to {to}: {source}{began} keeps {range} instances.",
                way(from, to)
            )
        }
        Outcome::Held(why) => format!("Held at {from}: {}.", why_not(why, decision)),
    }
}

fn way(from: u32, to: u32) -> &'static str {
    if to > from { "out" } else { "in" }
}

fn because(record: &RuleRecord, place: usize) -> String {
    let rule = place + 1;
    let text = &record.text;
    match &record.verdict {
        Verdict::Fallback(finding) => {
            format!(
                "rule {rule} (`{text}`) falls back, because {}",
                cause(finding)
            )
        }
        Verdict::Assumed(finding) => format!(
            "rule {rule} (`{text}`) holds, as it assumes a breach while data is missing: {}",
            cause(finding)
        ),
        _ => format!("rule {rule} holds (`{text}`)"),
    }
}

/// How the count came about, where it is not plain.
fn sums(sums: &Arithmetic, from: u32) -> String {
    let mut text = String::new();
    let whole = i64::from(sums.rounded) * 100;
    if sums.raw_hundredths != whole {
        let raw = milli_text(sums.raw_hundredths.saturating_mul(10));
        text.push_str(&format!("; {raw} makes {}", sums.rounded));
    } else if sums.rounded != sums.to {
        text.push_str(&format!("; it asks for {}", sums.rounded));
    }
    let limit = match sums.clamped_by {
        None => return text,
        Some(Clamp::LeastStep) => format!("a change is at least {}", sums.to.abs_diff(from)),
        Some(Clamp::MostStep) => format!("a change is at most {}", sums.to.abs_diff(from)),
        Some(Clamp::RuleLimits) => format!("the rule stops at {}", sums.to),
        Some(Clamp::Limits) => format!("the limit is {}", sums.to),
    };
    text.push_str(&format!(", and {limit}"));
    text
}

fn why_not(why: &WhyNot, decision: &Decision) -> String {
    match why {
        WhyNot::Paused { until, reason } => {
            let until = until.map_or_else(String::new, |at| format!(" until {}", clock(at)));
            let reason = if reason.is_empty() {
                ""
            } else {
                &format!(" ({reason})")
            };
            format!("scaling is paused{until}{reason}")
        }
        WhyNot::NotStarted => "the app wants no instance".to_owned(),
        WhyNot::NoRules => "there are no rules".to_owned(),
        WhyNot::NoRuleHolds => no_rule_holds(decision),
        WhyNot::CoolDown { rule, until } => format!(
            "rule {} holds, but waits until {} after the last act",
            rule + 1,
            clock(*until)
        ),
        WhyNot::AtLimit { rule } => format!(
            "rule {} holds, but the limits are {} to {}",
            rule + 1,
            decision.limits.min,
            decision.limits.max
        ),
        WhyNot::NotAllQuiet { holds, does_not } => format!(
            "rule {} would scale in, but rule {} does not agree{}",
            holds + 1,
            does_not + 1,
            finding_of(decision, *does_not)
        ),
        WhyNot::OutUndecided { holds, undecided } => format!(
            "rule {} would scale in, but nobody knows whether rule {} holds{}",
            holds + 1,
            undecided + 1,
            finding_of(decision, *undecided)
        ),
        WhyNot::Projection { .. } | WhyNot::ProjectionUnknown { .. } => projection(why),
    }
}

fn projection(why: &WhyNot) -> String {
    match why {
        WhyNot::Projection {
            holds,
            against,
            metric,
            now,
            then,
            threshold,
            to,
        } => format!(
            "rule {} would scale in to {to}, but {} would rise from {} to {} and rule {} scales out at {}",
            holds + 1,
            name(metric),
            amount(metric, *now),
            amount(metric, *then),
            against + 1,
            amount(metric, *threshold)
        ),
        WhyNot::ProjectionUnknown { holds, against } => format!(
            "rule {} would scale in, but the last minute is missing, so nobody knows whether rule {} would scale out again",
            holds + 1,
            against + 1
        ),
        _ => String::new(),
    }
}

/// The reason of the first rule stands for all: it is the one that was written first.
fn no_rule_holds(decision: &Decision) -> String {
    let first = decision.rules.iter().find_map(|record| {
        let finding = record.verdict.finding()?;
        Some(format!(
            "{}, and the rule wants {}",
            seen(finding),
            wants(record, finding)
        ))
    });
    first.unwrap_or_else(|| "no rule holds".to_owned())
}

/// What the rule asks for: `all above 90 % for 1h`, or its condition where that is longer.
fn wants(record: &RuleRecord, finding: &Finding) -> String {
    let condition = condition(&record.text);
    let (_, window) = condition.split_once(" for ").unwrap_or(("", condition));
    let quantified = [" of ", " and ", " or "]
        .iter()
        .any(|word| condition.contains(word));
    match finding.cause {
        Cause::Value { op, threshold, .. } if !quantified => {
            let limit = amount(&finding.metric, threshold);
            format!("all {} {limit} for {window}", side(op))
        }
        _ if !quantified => format!("all instances at `{condition}`"),
        _ => format!("`{condition}`"),
    }
}

/// The part of a rule's canonical sentence that says when, without what may follow it.
#[must_use]
pub fn condition(rule: &str) -> &str {
    const CLAUSES: [&str; 9] = [
        " between ",
        " at least ",
        " at most ",
        " cool down ",
        " warm up ",
        " round ",
        " on missing ",
        " carry evidence",
        " forgive restarts",
    ];
    let (_, condition) = rule.split_once(" if ").unwrap_or(("", rule));
    let end = CLAUSES
        .iter()
        .filter_map(|clause| condition.find(clause))
        .min();
    &condition[..end.unwrap_or(condition.len())]
}

fn finding_of(decision: &Decision, place: usize) -> String {
    let record = decision.rules.get(place);
    let finding = record.and_then(|record| record.verdict.finding());
    finding.map_or_else(String::new, |finding| format!(": {}", cause(finding)))
}

fn limits(decision: &Decision) -> Option<String> {
    let range = format!("{} to {}", decision.limits.min, decision.limits.max);
    match &decision.limits_from {
        LimitsFrom::Policy => None,
        from => Some(format!("Limits are {range} now: {}.", source(from))),
    }
}

fn source(from: &LimitsFrom) -> String {
    match from {
        LimitsFrom::Policy => "the policy".to_owned(),
        LimitsFrom::Recurring(texts) | LimitsFrom::SpecificDate(texts) => {
            let quoted = texts.iter().map(|text| format!("`{text}`"));
            let all: Vec<String> = quoted.collect();
            let word = if all.len() == 1 {
                "the schedule"
            } else {
                "schedules"
            };
            format!("{word} {}", all.join(" with "))
        }
    }
}

/// Where one rule stands.
#[must_use]
pub fn rule(record: &RuleRecord) -> String {
    let stand = match &record.verdict {
        Verdict::Holds => "holds".to_owned(),
        Verdict::Assumed(finding) => format!("is assumed to hold: {}", cause(finding)),
        Verdict::Fallback(finding) => format!("falls back: {}", cause(finding)),
        Verdict::DoesNot(finding) => format!("does not hold: {}", cause(finding)),
        Verdict::Undecided(finding) => format!("is undecided: {}", cause(finding)),
    };
    let wish = match (record.wants, record.direction) {
        (Some(arithmetic), Direction::Out) => format!(" It asks for {} or more.", arithmetic.to),
        (Some(arithmetic), Direction::In) => format!(" It asks for {} or fewer.", arithmetic.to),
        (None, _) => String::new(),
    };
    format!("`{}` {stand}.{wish}", record.text)
}

/// What spoke against a comparison, as a clause.
#[must_use]
pub fn cause(finding: &Finding) -> String {
    let metric = &finding.metric;
    match finding.cause {
        Cause::Value {
            instance,
            at,
            value,
            op,
            threshold,
        } => {
            let (who, at) = (who(instance), clock(at));
            let (value, limit) = (amount(metric, value), amount(metric, threshold));
            format!(
                "{who} was at {value} of {} at {at}, not {} {limit}",
                name(metric),
                side(op)
            )
        }
        Cause::Young {
            instance,
            since,
            has_s,
            needs_s,
        } => format!(
            "instance {instance} counts only since {}, when it had started and warmed up, which is {} of {}",
            clock(since),
            duration_text(has_s),
            duration_text(needs_s)
        ),
        Cause::EvidenceRestarted {
            since,
            has_s,
            needs_s,
        } => format!(
            "the number of instances changed at {}, so there is evidence of {} of {}",
            clock(since),
            duration_text(has_s),
            duration_text(needs_s)
        ),
        Cause::Hole {
            instance,
            at,
            seconds,
        } => format!(
            "{} has no {} for {} up to {}",
            who(instance),
            name(metric),
            duration_text(seconds),
            clock(at)
        ),
        Cause::Sparse {
            instance,
            present,
            of,
        } => format!(
            "{} has {} in only {present} of {of} buckets",
            who(instance),
            name(metric)
        ),
        Cause::NobodyYet => "no instance has started and warmed up yet".to_owned(),
        Cause::NobodySends => format!("no instance sends {}", name(metric)),
    }
}

/// Likewise, without saying what it should have been.
fn seen(finding: &Finding) -> String {
    match finding.cause {
        Cause::Value {
            instance,
            at,
            value,
            ..
        } => {
            let (who, at) = (who(instance), clock(at));
            let metric = &finding.metric;
            format!(
                "{who} was at {} of {} at {at}",
                amount(metric, value),
                name(metric)
            )
        }
        _ => cause(finding),
    }
}

fn who(instance: Option<u32>) -> String {
    instance.map_or_else(|| "the app".to_owned(), |index| format!("instance {index}"))
}

fn side(op: Op) -> &'static str {
    match op {
        Op::Above => "above",
        Op::AtLeast => "at least",
        Op::Below => "below",
        Op::AtMost => "at most",
    }
}

fn name(metric: &Metric) -> String {
    match metric {
        Metric::Crashes => "crashes a minute".to_owned(),
        Metric::InFlight => "requests in flight".to_owned(),
        other => other.to_string(),
    }
}

fn amount(metric: &Metric, value: Milli) -> String {
    let number = milli_text(value);
    match metric.unit() {
        "" => number,
        "/s" => format!("{number}/s"),
        unit => format!("{number} {unit}"),
    }
}

/// `20:14:05`.
fn clock(at: Second) -> String {
    match Timestamp::from_second(at) {
        Ok(at) => at
            .to_zoned(TimeZone::UTC)
            .time()
            .strftime("%H:%M:%S")
            .to_string(),
        Err(_) => at.to_string(),
    }
}

impl Verdict {
    /// What spoke against the rule.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Holds => None,
            Self::Assumed(finding)
            | Self::Fallback(finding)
            | Self::DoesNot(finding)
            | Self::Undecided(finding) => Some(finding),
        }
    }
}
