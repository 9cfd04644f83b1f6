//! What holds for every policy, load and accident, tried on seeded worlds: instances that start,
//! restart and fall silent, loads that rise and fall, rules of all kinds.

use std::collections::BTreeMap;

use cfx_rules::ast::{Direction, Metric};
use cfx_rules::decision::{Decision, Outcome};
use cfx_rules::units::Second;
use cfx_rules::window::Running;
use cfx_rules::{Policy, State, Window, decide};
use proptest::prelude::*;

/// Seconds that a world lasts.
const LENGTH_S: Second = 160;
const BEGIN: Second = 1_795_809_600;

/// Small numbers from a seed, without any ambient randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let sides = u64::try_from(of.len()).expect("few");
        of[usize::try_from(self.roll(sides)).expect("few")]
    }
}

fn policy(dice: &mut Dice) -> Policy {
    let mut lines = Vec::new();
    for _ in 0..=dice.roll(2) {
        lines.push(format!(
            "scale {} if {}CPU >{}% for {}s cool down {}s warm up {}s {}",
            dice.pick(&["40%", "by 3", "to 9", "100%"]),
            dice.pick(&["", "any of ", "avg of ", "max of ", "p75 of "]),
            60 + dice.roll(30),
            1 + dice.roll(12),
            dice.roll(30),
            dice.roll(8),
            dice.pick(&[
                "",
                "on missing fallback 6",
                "on missing assume ok",
                "at most 2",
                "round half",
                "carry evidence",
                "on missing assume breach",
                "forgive restarts",
            ]),
        ));
    }
    for _ in 0..dice.roll(3) {
        lines.push(format!(
            "scale in {} if {}CPU <{}% for {}s cool down {}s",
            dice.pick(&["20%", "by 1", "to 2", "50%"]),
            dice.pick(&["", "avg of ", "min of "]),
            20 + dice.roll(40),
            1 + dice.roll(12),
            dice.roll(30),
        ));
    }
    lines.push(format!(
        "between {} and {} instances",
        1 + dice.roll(3),
        4 + dice.roll(20)
    ));
    if dice.roll(4) == 0 {
        lines.push("one cool down for both directions".to_owned());
    }
    if dice.roll(3) == 0 {
        // 2026-11-27 20:00 UTC is the beginning.
        lines.push("from 2026-11-27 20:01 to 20:02 keep 5 to 8 starting at 7".to_owned());
    }
    Policy::parse(&lines.join("\n")).expect("a policy")
}

/// A world that can be played from its seed again and again.
struct World {
    policy: Policy,
    window: Window,
    state: State,
    since: BTreeMap<u32, Second>,
    /// All samples, so that a window can be made anew.
    history: Vec<(u32, Second, i64)>,
    dice: Dice,
    level: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let policy = policy(&mut dice);
        let size = 1 + u32::try_from(dice.roll(8)).expect("few");
        let mut world = Self {
            window: Window::new(&policy),
            policy,
            state: State::default(),
            since: (0..size).map(|index| (index, BEGIN - 100)).collect(),
            history: Vec::new(),
            dice,
            level: 50,
        };
        world.enter();
        world
    }

    fn enter(&mut self) {
        let size = u32::try_from(self.since.len()).expect("few");
        let running = self.since.iter().map(|(index, since)| Running {
            index: *index,
            since: *since,
        });
        self.window.roster(size, &running.collect::<Vec<_>>());
    }

    /// What happens in one second, short of the decision.
    fn happen(&mut self, now: Second) {
        if self.dice.roll(25) == 0 {
            self.level = self.dice.roll(100);
        }
        if self.dice.roll(40) == 0 {
            let size = u64::try_from(self.since.len()).expect("few");
            let index = u32::try_from(self.dice.roll(size)).expect("few");
            // Two starts within three seconds are told as one.
            if self.since[&index] < now - 5 {
                self.since.insert(index, now - 1);
                self.enter();
            }
        }
        for (index, since) in &self.since {
            let value = i64::try_from(self.level + self.dice.roll(10)).expect("small") * 1_000;
            if self.dice.roll(30) > 0 && *since < now {
                self.window
                    .push(*index, &Metric::Cpu, now, value)
                    .expect("kept");
                self.history.push((*index, now, value));
            }
        }
    }

    fn decide(&self, now: Second) -> (Decision, State) {
        decide(&self.state, &self.window, &self.policy, now)
    }

    fn act(&mut self, decision: &Decision, next: State) {
        self.state = next;
        if decision.to != decision.from {
            self.since.retain(|index, _| *index < decision.to);
            for index in decision.from..decision.to {
                self.since.insert(index, decision.at + 1);
            }
            self.enter();
        }
    }

    /// The window as a new process would make it from recorded samples, in another order.
    fn rebuilt(&self, seen: impl Fn(u32, Second, i64) -> i64) -> Window {
        let mut window = Window::new(&self.policy);
        let size = u32::try_from(self.since.len()).expect("few");
        let running = self.since.iter().map(|(index, since)| Running {
            index: *index,
            since: *since,
        });
        window.roster(size, &running.collect::<Vec<_>>());
        for (index, at, value) in self.history.iter().rev() {
            // What is too old or of another start is refused, here as there.
            window
                .push(*index, &Metric::Cpu, *at, seen(*index, *at, *value))
                .ok();
        }
        window
    }
}

fn decisions(seed: u64) -> Vec<Decision> {
    let mut world = World::new(seed);
    let mut all = Vec::new();
    for now in BEGIN..BEGIN + LENGTH_S {
        world.happen(now);
        let (decision, next) = world.decide(now);
        world.act(&decision, next);
        all.push(decision);
    }
    all
}

fn cool_down_s(
    policy: &Policy,
    decision: &Decision,
    last: Option<u32>,
) -> Option<(Direction, u32)> {
    let Outcome::Rule { rule, .. } = decision.outcome else {
        return None;
    };
    let rule = &policy.rules()[rule];
    let shared = policy.document().shared_cool_down;
    let length = if shared {
        last.unwrap_or(0)
    } else {
        rule.cool_down_s
    };
    Some((rule.direction, length))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn no_act_leaves_the_limits_and_every_act_has_its_direction(seed in any::<u64>()) {
        for decision in decisions(seed) {
            let held = matches!(decision.outcome, Outcome::Held(_));
            prop_assert_eq!(held, decision.to == decision.from);
            if !held {
                let limits = decision.limits;
                prop_assert!((limits.min..=limits.max).contains(&decision.to), "{:?}", decision);
            }
            if let Outcome::Rule { rule, .. } = decision.outcome {
                let out = decision.rules[rule].direction == Direction::Out;
                prop_assert_eq!(out, decision.to > decision.from);
            }
        }
    }

    #[test]
    fn no_rule_acts_inside_its_cool_down_least_of_all_the_other_way(seed in any::<u64>()) {
        let policy = World::new(seed).policy;
        let mut last: Option<(Second, u32)> = None;
        for decision in decisions(seed) {
            let before = last.map(|(_, length)| length);
            if let Some((_, length)) = cool_down_s(&policy, &decision, before) {
                if let Some((at, _)) = last {
                    prop_assert!(decision.at >= at + Second::from(length), "{:?}", decision);
                }
                let Outcome::Rule { rule, .. } = decision.outcome else { unreachable!() };
                last = Some((decision.at, policy.rules()[rule].cool_down_s));
            }
        }
    }

    #[test]
    fn equal_arguments_give_equal_decisions(seed in any::<u64>()) {
        prop_assert_eq!(decisions(seed), decisions(seed));
    }

    #[test]
    fn killed_at_any_tick_the_next_decision_is_the_same(seed in any::<u64>(), every in 1..7_i64) {
        let mut world = World::new(seed);
        for now in BEGIN..BEGIN + LENGTH_S {
            world.happen(now);
            let (decision, next) = world.decide(now);
            if now % every == 0 {
                let state: State = serde_json::from_str(&serde_json::to_string(&world.state)?)?;
                let window: Window = serde_json::from_str(&serde_json::to_string(&world.window)?)?;
                let policy: Policy = serde_json::from_str(&serde_json::to_string(&world.policy)?)?;
                prop_assert_eq!(&decide(&state, &window, &policy, now).0, &decision);
                // And with a window that is made from recorded samples, in another order.
                prop_assert_eq!(&decide(&state, &world.rebuilt(|_, _, value| value), &policy, now).0, &decision);
                world.state = state;
                world.window = window;
            }
            world.act(&decision, next);
            prop_assert!(serde_json::to_string(&world.state)?.len() < 4_096);
        }
    }

    #[test]
    fn more_of_the_metric_never_means_fewer_instances(
        seed in any::<u64>(), more in 0..60_000_i64, one in any::<bool>(),
    ) {
        let mut world = World::new(seed);
        for now in BEGIN..BEGIN + LENGTH_S {
            world.happen(now);
            let (decision, next) = world.decide(now);
            if now % 9 == 0 {
                // All samples, or those of one instance in the last seconds.
                let lifts = |index: u32, at| !one || (index == 0 && at > now - 20);
                let higher = world.rebuilt(|index, at, value| {
                    if lifts(index, at) { value + more } else { value }
                });
                let (lifted, _) = decide(&world.state, &higher, &world.policy, now);
                prop_assert!(lifted.to >= decision.to, "{:?}\nlifted {:?}", decision, lifted);
            }
            world.act(&decision, next);
        }
    }
}

#[test]
fn worlds_are_lively_enough_to_prove_something() {
    let (mut out, mut inward, mut by_limits) = (0, 0, 0);
    for seed in 0..60 {
        for decision in decisions(seed) {
            match decision.outcome {
                Outcome::Rule { .. } if decision.to > decision.from => out += 1,
                Outcome::Rule { .. } => inward += 1,
                Outcome::Limits { .. } => by_limits += 1,
                Outcome::Held(_) => {}
            }
        }
    }
    assert!(
        out > 40 && inward > 10 && by_limits > 10,
        "{out} out, {inward} in, {by_limits} by limits"
    );
}
