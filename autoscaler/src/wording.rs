//! What is said about acts and decisions beside the sentences of the rules themselves.

use cfx_rules::Decision;
use cfx_rules::decision::{Clamp, Outcome};
use cfx_rules::explain::{condition, explain};
use cfx_rules::units::Second;
use jiff::Timestamp;

use crate::state::record::DecisionRecord;

pub(crate) const STALE: &str =
    "it was scaled by somebody else in the meantime; their number stands and is looked at anew";

pub(crate) fn refused(detail: &str) -> String {
    format!("the platform refused it: {detail}")
}

pub(crate) fn breaker_open(until: Second) -> String {
    let until = Timestamp::from_second(until).unwrap_or(Timestamp::MAX);
    format!("the platform refused it several times in a row; nothing is tried before {until}")
}

/// One line in the manner of app-autoscaler: `+2 instance(s) because CPU >90% for 1h`.
pub(crate) fn reason(decision: &Decision) -> String {
    let change = i64::from(decision.to) - i64::from(decision.from);
    let because = match &decision.outcome {
        Outcome::Rule { rule, arithmetic } => {
            let text = decision.rules.get(*rule).map_or("", |rule| &rule.text);
            let condition = condition(text);
            match arithmetic.clamped_by {
                Some(Clamp::Limits | Clamp::RuleLimits) => {
                    format!("{condition}, limited to {} instances", decision.to)
                }
                Some(Clamp::LeastStep | Clamp::MostStep) | None => condition.to_owned(),
            }
        }
        Outcome::Limits {
            schedule_began: true,
        } => "a schedule began".to_owned(),
        Outcome::Limits {
            schedule_began: false,
        } => format!(
            "limited by {} to {} instances",
            decision.limits.min, decision.limits.max
        ),
        Outcome::Held(_) => "nothing was to be done".to_owned(),
    };
    format!("{change:+} instance(s) because {because}")
}

/// What somebody reads who asks why.
pub(crate) fn told(record: &DecisionRecord) -> String {
    let mut text = explain(&record.decision);
    if let Some(not_done) = &record.not_done {
        text.push_str("\nIt was not done: ");
        text.push_str(not_done);
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_quotes_the_condition_alone() {
        for (rule, quoted) in [
            ("scale 40% if CPU >90% for 1h", "CPU >90% for 1h"),
            (
                "scale in by 2 if CPU <20% for 30m and memory <50% for 5m cool down 1m warm up 5s",
                "CPU <20% for 30m and memory <50% for 5m",
            ),
            (
                "scale to 9 if crashes >2 for 1m between 2 and 9 instances",
                "crashes >2 for 1m",
            ),
        ] {
            let policy = cfx_rules::Policy::parse(rule).expect(rule);
            assert_eq!(condition(&policy.to_string()), quoted);
        }
    }
}
