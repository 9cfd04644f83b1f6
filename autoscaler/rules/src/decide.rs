//! The one function behind live evaluation, dry run, simulation and backtest.
//!
//! Precedence: the operator's pause, then limits (specific date over recurring over the policy's
//! own), then rules that scale out, the largest of them, then rules that scale in, which must all
//! agree and pass the projection test.

use crate::ast::{Amount, Direction, OnMissing, Range};
use crate::cooldown;
use crate::decision::{Arithmetic, Decision, Outcome, RuleRecord, Verdict, WhyNot};
use crate::evaluate::{self, View};
use crate::policy::{CheckedRule, Policy};
use crate::projection::{self, Shrink};
use crate::schedule::{self, Active};
use crate::state::State;
use crate::units::Second;
use crate::window::Window;
use crate::{arithmetic, digest};

/// What is to be done now, and why; and the state to keep **once it is done**. When the act
/// fails, keep the old state: the next tick then decides the same again.
///
/// Equal arguments give equal results. `now` never runs backwards for one app. A window that was
/// made for another policy is taken for what it has in common with this one.
#[must_use]
pub fn decide(state: &State, window: &Window, policy: &Policy, now: Second) -> (Decision, State) {
    if !window.fits(policy) {
        let mut fitting = window.clone();
        fitting.retarget(policy);
        return decide(state, &fitting, policy, now);
    }
    let size = window.size();
    let mut next = state.clone();
    next.observe(size, now);
    let active = schedule::limits_at(policy, now);
    let view = View {
        window,
        state: &next,
        now,
    };
    let rules: Vec<RuleRecord> = policy
        .rules
        .iter()
        .map(|rule| record(rule, size, active.limits, view))
        .collect();
    let (to, outcome) = outcome(&Scene {
        policy,
        view,
        active: &active,
        rules: &rules,
        size,
    });
    let decision = Decision {
        at: now,
        from: size,
        to,
        inputs: inputs(state, window, policy, now),
        limits: active.limits,
        limits_from: active.from,
        rules,
        outcome,
    };
    next.follow(&decision, policy, active.begun);
    (decision, next)
}

/// What one rule says, and what it would make of the count.
fn record(checked: &CheckedRule, size: u32, limits: Range, view: View<'_>) -> RuleRecord {
    let rule = &checked.rule;
    let verdict = evaluate::evaluate(checked, view);
    let wants = match (&verdict, rule.on_missing) {
        (Verdict::Holds | Verdict::Assumed(_), _) => Some(arithmetic::apply(rule, size, limits)),
        (Verdict::Fallback(_), OnMissing::Fallback(count)) => Some(arithmetic::apply_amount(
            rule,
            Amount::To(count),
            size,
            limits,
        )),
        _ => None,
    };
    RuleRecord {
        text: checked.text.clone(),
        direction: rule.direction,
        verdict,
        wants,
    }
}

/// All that an outcome depends on.
struct Scene<'a> {
    policy: &'a Policy,
    view: View<'a>,
    active: &'a Active,
    rules: &'a [RuleRecord],
    size: u32,
}

fn outcome(scene: &Scene<'_>) -> (u32, Outcome) {
    let held = |why: WhyNot| (scene.size, Outcome::Held(why));
    if let Some(pause) = &scene.view.state.pause
        && pause.until.is_none_or(|until| scene.view.now < until)
    {
        return held(WhyNot::Paused {
            until: pause.until,
            reason: pause.reason.clone(),
        });
    }
    if scene.size == 0 {
        return held(WhyNot::NotStarted);
    }
    let (floor, schedule_began) = scene.within_limits();
    if floor < scene.size {
        return (floor, Outcome::Limits { schedule_began });
    }
    match scene.out() {
        Some(Ok((rule, arithmetic))) if arithmetic.to > floor => {
            (arithmetic.to, Outcome::Rule { rule, arithmetic })
        }
        _ if floor > scene.size => (floor, Outcome::Limits { schedule_began }),
        Some(Ok(_)) => held(WhyNot::NoRuleHolds),
        Some(Err(why)) => held(why),
        None => match scene.shrink() {
            Ok((rule, arithmetic)) => (arithmetic.to, Outcome::Rule { rule, arithmetic }),
            Err(why) => held(why),
        },
    }
}

impl Scene<'_> {
    /// The count that limits and schedules ask for, and whether a schedule has just begun.
    fn within_limits(&self) -> (u32, bool) {
        let known = &self.view.state.begun;
        let fresh = self.active.starting.iter();
        let starting = fresh
            .filter(|(begun, _)| !known.contains(begun))
            .map(|(_, count)| *count)
            .max();
        let begun = self.active.begun.iter().any(|one| !known.contains(one));
        let wanted = self.size.max(starting.unwrap_or(0));
        (self.active.limits.clamp(wanted), begun)
    }

    /// The largest of the out-rules that hold and may act; or why those that hold do not act.
    /// `None` when none holds.
    fn out(&self) -> Option<Result<(usize, Arithmetic), WhyNot>> {
        let mut best: Option<(usize, Arithmetic)> = None;
        let mut why = None;
        for (place, arithmetic) in self.holding(Direction::Out) {
            let waits = self.waits_until(place);
            if arithmetic.to <= self.size {
                why = why.or(Some(WhyNot::AtLimit { rule: place }));
            } else if let Some(until) = waits {
                why = Some(WhyNot::CoolDown { rule: place, until });
            } else if best.is_none_or(|(_, known)| arithmetic.to > known.to) {
                best = Some((place, arithmetic));
            }
        }
        best.map(Ok).or_else(|| why.map(Err))
    }

    /// The most careful of the in-rules, when all of them hold and nothing else forbids it.
    fn shrink(&self) -> Result<(usize, Arithmetic), WhyNot> {
        let mut best: Option<(usize, Arithmetic)> = None;
        for (place, arithmetic) in self.holding(Direction::In) {
            if best.is_none_or(|(_, known)| arithmetic.to > known.to) {
                best = Some((place, arithmetic));
            }
        }
        let Some((holds, arithmetic)) = best else {
            return Err(if self.rules.is_empty() {
                WhyNot::NoRules
            } else {
                WhyNot::NoRuleHolds
            });
        };
        if let Some(does_not) = self.find(Direction::In, |record| record.wants.is_none()) {
            return Err(WhyNot::NotAllQuiet { holds, does_not });
        }
        let blind = |record: &RuleRecord| {
            matches!(record.verdict, Verdict::Undecided(_) | Verdict::Fallback(_))
        };
        if let Some(undecided) = self.find(Direction::Out, blind) {
            return Err(WhyNot::OutUndecided { holds, undecided });
        }
        if arithmetic.to >= self.size {
            return Err(WhyNot::AtLimit { rule: holds });
        }
        if let Some(until) = self.waits_until(holds) {
            return Err(WhyNot::CoolDown { rule: holds, until });
        }
        let shrink = Shrink {
            rule: holds,
            from: self.size,
            to: arithmetic.to,
        };
        match projection::forbids(shrink, self.policy, self.view) {
            Some(why) => Err(why),
            None => Ok((holds, arithmetic)),
        }
    }

    /// The rules of this direction that want something. A fallback that wants nothing is no rule
    /// that holds.
    fn holding(&self, direction: Direction) -> impl Iterator<Item = (usize, Arithmetic)> + '_ {
        let rules = self.rules.iter().enumerate();
        rules.filter_map(move |(place, record)| {
            let arithmetic = record.wants.filter(|_| record.direction == direction)?;
            let idle = matches!(record.verdict, Verdict::Fallback(_)) && arithmetic.to <= self.size;
            (!idle).then_some((place, arithmetic))
        })
    }

    fn find(&self, direction: Direction, test: impl Fn(&RuleRecord) -> bool) -> Option<usize> {
        let mut rules = self.rules.iter();
        rules.position(|record| record.direction == direction && test(record))
    }

    fn waits_until(&self, place: usize) -> Option<Second> {
        let View { state, now, .. } = self.view;
        cooldown::waits_until(&self.policy.rules[place].rule, self.policy, state, now)
    }
}

/// A digest of the arguments.
fn inputs(state: &State, window: &Window, policy: &Policy, now: Second) -> u64 {
    let parts = [policy.fingerprint, state.digest(), window.digest()];
    let [policy, state, window] = parts.map(u64::cast_signed);
    digest::mix(&[policy, state, window, now])
}
