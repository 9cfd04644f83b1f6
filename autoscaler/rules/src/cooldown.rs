//! When a rule may act again.
//!
//! A rule waits for its own cool-down after the last act of any rule, in either direction: a short
//! one on the way out and a long one on the way in let an app grow quickly and shrink slowly, and
//! it never turns round sooner than the turning rule allows. With `one cool down for both
//! directions` the cool-down of the rule that acted counts instead, as in app-autoscaler.
//! Schedules and limits neither wait nor make wait.

use crate::ast::Rule;
use crate::policy::Policy;
use crate::state::State;
use crate::units::Second;

/// Until when the rule must wait; `None` when it may act.
pub(crate) fn waits_until(
    rule: &Rule,
    policy: &Policy,
    state: &State,
    now: Second,
) -> Option<Second> {
    let last = state.last_act?;
    let length = if policy.document().shared_cool_down {
        last.cool_down_s
    } else {
        rule.cool_down_s
    };
    let until = last.at + Second::from(length);
    (now < until).then_some(until)
}
