//! Golden scenarios: the rule that the platform is named for, on simulated time. Each prints one
//! line a decision that says something new, so a change of behaviour is a change of this text.

use cfx_rules::ast::Metric;
use cfx_rules::decision::Outcome;
use cfx_rules::units::Second;
use cfx_rules::window::Running;
use cfx_rules::{Policy, State, Window, decide, explain};

/// 2026-11-27 20:00:00 UTC.
const T0: Second = 1_795_809_600;
const HOUR: Second = 3_600;
const RULE: &str = "scale 40% if CPU >90% for 1h; between 10 and 400 instances";

/// An app on simulated time: everybody's CPU at one value, with exceptions.
struct World {
    policy: Policy,
    window: Window,
    state: State,
    running: Vec<Running>,
    story: Vec<String>,
}

impl World {
    fn new(policy: &str, size: u32) -> Self {
        let policy = Policy::parse(policy).expect("a policy");
        let mut window = Window::new(&policy);
        let since = T0 - 4 * HOUR;
        let running: Vec<Running> = (0..size).map(|index| Running { index, since }).collect();
        window.roster(size, &running);
        Self {
            policy,
            window,
            state: State::default(),
            running,
            story: Vec::new(),
        }
    }

    /// One second: samples of all, then a decision.
    fn second(&mut self, now: Second, cpu: impl Fn(u32, Second) -> Option<i64>) {
        for one in &self.running {
            if let Some(value) = cpu(one.index, now) {
                self.window
                    .push(one.index, &Metric::Cpu, now, value * 1_000)
                    .ok();
            }
        }
        // Every tenth second, and every one around a full hour.
        if now % 10 == 0 || (now + 15) % HOUR < 30 {
            self.decide(now);
        }
    }

    fn decide(&mut self, now: Second) {
        let (decision, next) = decide(&self.state, &self.window, &self.policy, now);
        self.state = next;
        if decision.to != decision.from {
            self.story
                .push(format!("{}: {}", clock(now), explain::summary(&decision)));
            self.scale(decision.to, now);
        }
        assert!(matches!(decision.outcome, Outcome::Held(_)) == (decision.to == decision.from));
    }

    fn scale(&mut self, size: u32, now: Second) {
        self.running.truncate(size as usize);
        let first = u32::try_from(self.running.len()).expect("few");
        self.running.extend((first..size).map(|index| Running {
            index,
            since: now + 2,
        }));
        self.window.roster(size, &self.running);
    }

    fn restart(&mut self, index: u32, now: Second) {
        self.running[index as usize].since = now;
        let size = self.window.size();
        self.window.roster(size, &self.running);
    }

    /// What the present decision says.
    fn say(&mut self, now: Second) {
        let (decision, _) = decide(&self.state, &self.window, &self.policy, now);
        self.story
            .push(format!("{}: {}", clock(now), explain(&decision)));
    }

    fn story(&self) -> String {
        self.story.join("\n")
    }
}

fn clock(at: Second) -> String {
    let at = (at - T0).rem_euclid(24 * HOUR) + 20 * HOUR;
    format!("{:02}:{:02}:{:02}", at / HOUR % 24, at / 60 % 60, at % 60)
}

/// At 50 % until T0, above 90 % afterwards.
fn busy(now: Second) -> i64 {
    if now > T0 { 93 } else { 50 }
}

#[test]
fn all_above_ninety_for_an_hour_scales_by_forty_percent_once_and_not_a_second_earlier() {
    let mut world = World::new(RULE, 250);
    for now in T0 - 60..T0 + HOUR {
        world.second(now, |_, now| Some(busy(now)));
    }
    assert!(world.story.is_empty(), "nothing before the hour is full");
    world.say(T0 + HOUR - 1);
    for now in T0 + HOUR..T0 + 2 * HOUR {
        world.second(now, |_, now| Some(busy(now)));
    }
    world.say(T0 + 2 * HOUR - 1);
    insta::assert_snapshot!(world.story(), @r#"
    20:59:59: Held at 250: instance 0 was at 50 % of CPU at 20:00:00, and the rule wants all above 90 % for 1h.
    Rule 1: `scale 40% if CPU >90% for 1h` does not hold: instance 0 was at 50 % of CPU at 20:00:00, not above 90 %.
    21:00:00: Scaled out from 250 to 350: rule 1 holds (`scale 40% if CPU >90% for 1h`).
    21:59:59: Held at 350: the number of instances changed at 21:00:00, so there is evidence of 59m50s of 1h, and the rule wants all instances at `CPU >90% for 1h`.
    Rule 1: `scale 40% if CPU >90% for 1h` does not hold: the number of instances changed at 21:00:00, so there is evidence of 59m50s of 1h.
    "#);
}

#[test]
fn one_instance_at_eighty_nine_holds_everything() {
    let mut world = World::new(RULE, 250);
    let at = T0 + 14 * 60 + 5;
    for now in T0 - 60..=T0 + HOUR + 60 {
        let cpu = |index, now| {
            Some(if (index, now) == (17, at) {
                89
            } else {
                busy(now)
            })
        };
        world.second(now, cpu);
    }
    world.say(T0 + HOUR + 60);
    insta::assert_snapshot!(world.story(), @r#"
    21:01:00: Held at 250: instance 17 was at 89 % of CPU at 20:14:10, and the rule wants all above 90 % for 1h.
    Rule 1: `scale 40% if CPU >90% for 1h` does not hold: instance 17 was at 89 % of CPU at 20:14:10, not above 90 %.
    "#);
}

#[test]
fn a_hole_is_neither_true_nor_false() {
    let mut world = World::new(RULE, 50);
    let hole = T0 + 600..T0 + 650;
    for now in T0 - 60..=T0 + HOUR + 60 {
        let silent = |index, now| index == 3 && hole.contains(&now);
        world.second(now, |index, now| (!silent(index, now)).then(|| busy(now)));
    }
    world.say(T0 + HOUR + 60);
    insta::assert_snapshot!(world.story(), @r#"
    21:01:00: Held at 50: instance 3 has no CPU for 40s up to 20:10:40, and the rule wants all instances at `CPU >90% for 1h`.
    Rule 1: `scale 40% if CPU >90% for 1h` is undecided: instance 3 has no CPU for 40s up to 20:10:40.
    "#);
}

#[test]
fn samples_that_only_just_began_are_no_hour() {
    let mut world = World::new(RULE, 50);
    for now in T0 + 1..T0 + HOUR {
        world.second(now, |_, now| Some(busy(now)));
    }
    assert!(world.story.is_empty(), "nothing before the hour is full");
    world.say(T0 + HOUR - 1);
    world.second(T0 + HOUR, |_, now| Some(busy(now)));
    insta::assert_snapshot!(world.story(), @r#"
    20:59:59: Held at 50: instance 0 has no CPU for 30s up to 20:00:00, and the rule wants all instances at `CPU >90% for 1h`.
    Rule 1: `scale 40% if CPU >90% for 1h` is undecided: instance 0 has no CPU for 30s up to 20:00:00.
    21:00:00: Scaled out from 50 to 70: rule 1 holds (`scale 40% if CPU >90% for 1h`).
    "#);
}

#[test]
fn two_missing_buckets_are_overlooked() {
    let mut world = World::new(RULE, 10);
    let hole = T0 + 601..=T0 + 620;
    for now in T0 - 60..=T0 + HOUR {
        let silent = |index, now| index == 3 && hole.contains(&now);
        world.second(now, |index, now| (!silent(index, now)).then(|| busy(now)));
    }
    assert_eq!(world.window.size(), 14);
}

#[test]
fn too_many_small_holes_make_it_undecided_too() {
    let mut world = World::new(RULE, 10);
    for now in T0 - 60..=T0 + HOUR + 60 {
        // Every eighth bucket of ten seconds is missing.
        let silent = |index, now: Second| index == 3 && (now - 1) / 10 % 8 == 0;
        world.second(now, |index, now| (!silent(index, now)).then(|| busy(now)));
    }
    world.say(T0 + HOUR + 60);
    insta::assert_snapshot!(world.story(), @r#"
    21:01:00: Held at 10: instance 3 has CPU in only 315 of 360 buckets, and the rule wants all instances at `CPU >90% for 1h`.
    Rule 1: `scale 40% if CPU >90% for 1h` is undecided: instance 3 has CPU in only 315 of 360 buckets.
    "#);
}

#[test]
fn a_restarted_instance_needs_an_hour_of_its_own() {
    let mut world = World::new(RULE, 50);
    for now in T0 - 60..=T0 + HOUR + 60 {
        if now == T0 + 1_800 {
            world.restart(42, now);
        }
        world.second(now, |_, now| Some(busy(now)));
    }
    world.say(T0 + HOUR + 60);
    for now in T0 + HOUR + 61..=T0 + 2 * HOUR {
        world.second(now, |_, now| Some(busy(now)));
    }
    insta::assert_snapshot!(world.story(), @r#"
    21:01:00: Held at 50: instance 42 counts only since 20:30:30, when it had started and warmed up, which is 30m30s of 1h, and the rule wants all instances at `CPU >90% for 1h`.
    Rule 1: `scale 40% if CPU >90% for 1h` does not hold: instance 42 counts only since 20:30:30, when it had started and warmed up, which is 30m30s of 1h.
    21:30:30: Scaled out from 50 to 70: rule 1 holds (`scale 40% if CPU >90% for 1h`).
    "#);
}

#[test]
fn forgiven_restarts_and_carried_evidence_are_for_who_wants_them() {
    let mut world = World::new(
        "scale 40% if CPU >90% for 1h carry evidence forgive restarts; between 10 and 400 instances",
        10,
    );
    for now in T0 - 60..=T0 + HOUR + 600 {
        if now == T0 + 1_800 {
            world.restart(4, now);
        }
        world.second(now, |_, now| Some(busy(now)));
    }
    insta::assert_snapshot!(world.story(), @r#"
    21:00:00: Scaled out from 10 to 14: rule 1 holds (`scale 40% if CPU >90% for 1h carry evidence forgive restarts`).
    21:05:00: Scaled out from 14 to 20: rule 1 holds (`scale 40% if CPU >90% for 1h carry evidence forgive restarts`); 19.6 makes 20.
    21:10:00: Scaled out from 20 to 28: rule 1 holds (`scale 40% if CPU >90% for 1h carry evidence forgive restarts`).
    "#);
}

#[test]
fn an_average_looks_past_one_calm_instance() {
    let mut world = World::new(
        "scale 40% if avg of CPU >90% for 1h; between 10 and 400 instances",
        50,
    );
    for now in T0 - 60..=T0 + HOUR {
        world.second(now, |index, now| {
            Some(if index == 7 { 20 } else { busy(now) })
        });
    }
    insta::assert_snapshot!(world.story(), @"21:00:00: Scaled out from 50 to 70: rule 1 holds (`scale 40% if avg of CPU >90% for 1h`).");
}

#[test]
fn shrinking_needs_all_quiet_and_room_for_the_load() {
    let policy = "scale 40% if CPU >90% for 1m; scale in 50% if CPU <60% for 1m cool down 2m; between 2 and 400 instances";
    let mut world = World::new(policy, 8);
    for now in T0..T0 + 200 {
        world.second(now, |_, _| Some(50));
    }
    world.say(T0 + 200);
    for now in T0 + 201..T0 + 1_000 {
        world.second(now, |_, _| Some(20));
    }
    world.say(T0 + 1_000);
    insta::assert_snapshot!(world.story(), @r#"
    20:03:20: Held at 8: rule 2 would scale in to 4, but CPU would rise from 50 % to 100 % and rule 1 scales out at 90 %.
    Rule 1: `scale 40% if CPU >90% for 1m` does not hold: instance 0 was at 50 % of CPU at 20:03:19, not above 90 %.
    Rule 2: `scale in 50% if CPU <60% for 1m cool down 2m` holds. It asks for 4 or fewer.
    20:03:30: Scaled in from 8 to 4: rule 2 holds (`scale in 50% if CPU <60% for 1m cool down 2m`).
    20:05:30: Scaled in from 4 to 2: rule 2 holds (`scale in 50% if CPU <60% for 1m cool down 2m`).
    20:16:40: Held at 2: rule 2 holds, but the limits are 2 to 400.
    Rule 1: `scale 40% if CPU >90% for 1m` does not hold: instance 0 was at 20 % of CPU at 20:16:39, not above 90 %.
    Rule 2: `scale in 50% if CPU <60% for 1m cool down 2m` holds. It asks for 2 or fewer.
    "#);
}

#[test]
fn a_missing_instance_keeps_the_app_from_shrinking() {
    let policy = "scale 40% if CPU >90% for 1m; scale in 50% if avg of memory <60% for 1m; between 2 and 400 instances";
    let mut world = World::new(policy, 8);
    for now in T0..T0 + 200 {
        for index in 0..8 {
            world.window.push(index, &Metric::Memory, now, 10_000).ok();
        }
        world.second(now, |index, _| (index != 5).then_some(95));
    }
    world.say(T0 + 200);
    insta::assert_snapshot!(world.story(), @r#"
    20:03:20: Held at 8: rule 2 would scale in, but nobody knows whether rule 1 holds: instance 5 has no CPU for 1m up to 20:03:17.
    Rule 1: `scale 40% if CPU >90% for 1m` is undecided: instance 5 has no CPU for 1m up to 20:03:17.
    Rule 2: `scale in 50% if avg of memory <60% for 1m` holds. It asks for 4 or fewer.
    "#);
}

#[test]
fn missing_data_does_what_the_rule_says() {
    for (clause, size) in [
        ("on missing hold", 10),
        ("on missing assume ok", 10),
        ("on missing assume breach", 14),
        ("on missing fallback 25", 25),
        ("on missing fallback 5", 10),
    ] {
        let policy = format!("scale 40% if CPU >90% for 1m {clause}; between 2 and 400 instances");
        let mut world = World::new(&policy, 10);
        for now in T0..T0 + 100 {
            world.second(now, |index, _| (index != 5).then_some(95));
        }
        assert_eq!(world.window.size(), size, "{clause}");
    }
}

#[test]
fn an_app_that_only_just_starts_misses_no_data() {
    for clause in ["on missing assume breach", "on missing fallback 25"] {
        let policy = format!("scale 40% if CPU >90% for 10s {clause}; between 2 and 400 instances");
        let mut world = World::new(&policy, 10);
        world.running.clear();
        world.window.roster(10, &[]);
        for now in T0..T0 + 100 {
            world.second(now, |_, _| Some(95));
        }
        assert_eq!(world.window.size(), 10, "{clause}");
        let policy = format!("scale 40% if queue depth >5 for 10s {clause}");
        let mut world = World::new(&policy, 10);
        world.decide(T0);
        assert_ne!(
            world.window.size(),
            10,
            "a gauge that nobody sends is missing: {clause}"
        );
    }
}

#[test]
fn a_pause_outranks_everything_and_ends_by_itself() {
    let mut world = World::new(
        "scale 40% if CPU >90% for 1m; between 20 and 400 instances",
        10,
    );
    world.state.pause(Some(T0 + 300), "release in progress");
    for now in T0..T0 + 310 {
        world.second(now, |_, _| Some(95));
        if now == T0 + 200 {
            world.say(now);
        }
    }
    insta::assert_snapshot!(world.story(), @r#"
    20:03:20: Held at 10: scaling is paused until 20:05:00 (release in progress).
    Rule 1: `scale 40% if CPU >90% for 1m` holds. It asks for 20 or more.
    20:05:00: Scaled out from 10 to 20: the policy keeps 20 to 400 instances.
    "#);
}

#[test]
fn the_largest_of_several_wishes_wins_and_steps_bound_it() {
    let policy = "scale by 2 if CPU >50% for 1m
        scale 100% if any of CPU >90% for 1m at most +5 each time
        scale in by 1 if min of CPU <99% for 1m
        between 2 and 400 instances";
    let mut world = World::new(policy, 10);
    for now in T0..T0 + 62 {
        world.second(now, |index, _| Some(if index == 3 { 95 } else { 60 }));
    }
    world.say(T0 + 62);
    insta::assert_snapshot!(world.story(), @r#"
    20:01:00: Scaled out from 10 to 15: rule 2 holds (`scale 100% if any of CPU >90% for 1m at most 5 each time`); it asks for 20, and a change is at most 5.
    20:01:02: Held at 15: the number of instances changed at 20:01:00, so there is evidence of 1s of 1m, and the rule wants all instances at `CPU >50% for 1m`.
    Rule 1: `scale by 2 if CPU >50% for 1m` does not hold: the number of instances changed at 20:01:00, so there is evidence of 1s of 1m.
    Rule 2: `scale 100% if any of CPU >90% for 1m at most 5 each time` does not hold: the number of instances changed at 20:01:00, so there is evidence of 1s of 1m.
    Rule 3: `scale in by 1 if min of CPU <99% for 1m` does not hold: the number of instances changed at 20:01:00, so there is evidence of 1s of 1m.
    "#);
}

#[test]
fn a_flash_sale_schedule_keeps_its_floor_and_ends() {
    let policy = "scale in 50% if CPU <20% for 1m cool down 1m
        between 10 and 300 instances
        every day 0:00-0:00 UTC keep 12 to 20
        from 2026-11-27 20:01 to 20:05 keep 200 to 400 starting at 250";
    let mut world = World::new(policy, 10);
    for now in T0..T0 + 420 {
        world.second(now, |_, _| Some(5));
    }
    insta::assert_snapshot!(world.story(), @r#"
    20:00:00: Scaled out from 10 to 12: the schedule `every day 0:00-0:00 UTC keep 12 to 20`, which has just begun, keeps 12 to 20 instances.
    20:01:00: Scaled out from 12 to 250: the schedule `from 2026-11-27 20:01 to 20:05 UTC keep 200 to 400 starting at 250`, which has just begun, keeps 200 to 400 instances.
    20:02:00: Scaled in from 250 to 200: rule 1 holds (`scale in 50% if CPU <20% for 1m cool down 1m`); it asks for 125, and the limit is 200.
    20:05:00: Scaled in from 200 to 20: the schedule `every day 0:00-0:00 UTC keep 12 to 20` keeps 12 to 20 instances.
    20:06:00: Scaled in from 20 to 12: rule 1 holds (`scale in 50% if CPU <20% for 1m cool down 1m`); it asks for 10, and the limit is 12.
    "#);
}

#[test]
fn fast_rules_decide_within_two_seconds_of_the_spike() {
    let policy = "scale to 120 if throughput >100/s for 1s; between 2 and 400 instances";
    let policy = Policy::parse(policy).expect("a policy");
    let mut window = Window::new(&policy);
    let since = T0 - HOUR;
    let running: Vec<Running> = (0..2).map(|index| Running { index, since }).collect();
    window.roster(2, &running);
    let mut state = State::default();
    for now in T0..T0 + 60 {
        let load = if now > T0 + 30 { 900_000 } else { 50_000 };
        for index in 0..2 {
            // The routers' report of a second is half a second late; it is there with the next.
            window
                .push(index, &Metric::Throughput, now - 1, load)
                .expect("kept");
        }
        let (decision, next) = decide(&state, &window, &policy, now);
        state = next;
        if decision.to != decision.from {
            assert_eq!((decision.to, now - T0), (120, 31));
            return;
        }
    }
    panic!("the spike was not seen");
}

#[test]
fn a_window_that_was_made_for_another_policy_is_no_accident() {
    let mut world = World::new(
        "scale 40% if CPU >90% for 1m; between 2 and 400 instances",
        10,
    );
    for now in T0..T0 + 59 {
        world.second(now, |_, _| Some(95));
    }
    // The same comparison stands second now, and its samples are found again.
    world.policy = Policy::parse(
        "scale 10% if avg of memory >90% for 1m; scale 50% if CPU >90% for 1m; between 2 and 400 instances",
    )
    .expect("a policy");
    assert!(!world.window.fits(&world.policy));
    world.decide(T0 + 59);
    assert_eq!(world.window.size(), 10, "a minute is not full");
    for index in 0..10 {
        world
            .window
            .push(index, &Metric::Cpu, T0 + 59, 95_000)
            .expect("kept");
    }
    world.decide(T0 + 59);
    assert_eq!(world.window.size(), 15);
    world.window.retarget(&world.policy);
    assert!(world.window.fits(&world.policy));
}
