//! What is said about acts and decisions beside the sentences of the rules themselves.

use cfx_rules::Decision;
use cfx_rules::decision::{Clamp, Outcome};
use cfx_rules::explain::explain;
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
            let condition = text
                .split_once(" if ")
                .map_or(text, |(_, condition)| condition);
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
