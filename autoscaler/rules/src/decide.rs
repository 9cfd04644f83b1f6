//! The one function behind live evaluation, dry run, simulation and backtest.

use crate::decision::{Decision, LimitsFrom, Outcome, WhyNot};
use crate::policy::Policy;
use crate::state::State;
use crate::units::Second;
use crate::window::Window;

/// What is to be done now, and why; and the state to keep **once it is done**. When the act
/// fails, keep the old state: the next tick then decides the same again.
///
/// Equal arguments give equal results. `now` never runs backwards for one app.
#[must_use]
pub fn decide(state: &State, window: &Window, policy: &Policy, now: Second) -> (Decision, State) {
    let size = window.size();
    let decision = Decision {
        at: now,
        from: size,
        to: size,
        inputs: policy.fingerprint,
        limits: policy.limits(),
        limits_from: LimitsFrom::Policy,
        rules: Vec::new(),
        outcome: Outcome::Held(WhyNot::NoRules),
    };
    (decision, state.clone())
}
