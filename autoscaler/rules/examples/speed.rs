//! Measures what the issue asks for: rules evaluated per second on one core, and a week of
//! one-minute samples played back. Run with
//! `cargo run --release -p cfx-rules --example speed`.

// An example has nobody else to measure time and to print.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::time::Instant;

use cfx_rules::ast::Metric;
use cfx_rules::backtest::{Recording, Series, backtest};
use cfx_rules::shape::Shape;
use cfx_rules::simulate::{Capacity, simulate};
use cfx_rules::units::Second;
use cfx_rules::window::Running;
use cfx_rules::{Policy, State, Window, decide};

const T0: Second = 1_795_809_600;
const HOUR: Second = 3_600;

fn main() {
    for (instances, load) in [(10, "calm"), (10, "busy"), (250, "calm"), (250, "busy")] {
        rules_per_second(instances, load == "busy", load);
    }
    week(4);
    week(100);
    let shape = Shape::parse("sine 100/s to 9000/s over 1d for 7d").expect("a shape");
    let policy = Policy::parse(
        "scale 40% if CPU >80% for 5m; scale in 20% if CPU <40% for 30m; between 2 and 300 instances",
    )
    .expect("a policy");
    let begin = Instant::now();
    let timeline = simulate(&policy, &shape, &Capacity::default(), T0);
    report(
        "simulated a week of load",
        begin,
        &format!(
            "{} decisions, {} acts",
            timeline.points.len(),
            timeline.acts.len()
        ),
    );
}

/// The hour-long rule and its in-rule, with an hour of samples of every instance. When all are
/// busy, the whole hour must be looked at.
fn rules_per_second(instances: u32, busy: bool, load: &str) {
    let text = "scale 40% if CPU >90% for 1h; scale in 20% if CPU <20% for 30m";
    let policy = Policy::parse(text).expect("a policy");
    let mut window = Window::new(&policy);
    let since = T0 - 9 * HOUR;
    let running: Vec<Running> = (0..instances)
        .map(|index| Running { index, since })
        .collect();
    window.roster(instances, &running);
    let cpu = if busy { 95_000 } else { 50_000 };
    for at in T0 - HOUR - 60..=T0 {
        for index in 0..instances {
            window.push(index, &Metric::Cpu, at, cpu).expect("kept");
        }
    }
    let state = State::default();
    let rounds: u32 = 400_000 / instances;
    let begin = Instant::now();
    let mut acts = 0;
    for _ in 0..rounds {
        let (decision, _) = decide(&state, &window, &policy, T0);
        acts += u32::from(decision.to != decision.from);
    }
    let rules = f64::from(rounds) * 2.0 / begin.elapsed().as_secs_f64();
    println!(
        "{load}, {instances} instances: {rules:.0} rules a second, {acts} acts in {rounds} decisions, {} KiB of samples",
        window.bytes() / 1_024
    );
}

fn week(instances: u32) {
    let value = |minute: i64| if minute % 1_440 < 600 { 95_000 } else { 30_000 };
    let series = |index| Series {
        index,
        metric: Metric::Cpu,
        points: (1..=7 * 1_440)
            .map(|minute| (T0 + minute * 60, value(minute)))
            .collect(),
    };
    let recording = Recording {
        step_s: 60,
        series: (0..instances).map(series).collect(),
    };
    let text = "scale 40% if CPU >90% for 1h; scale in 20% if CPU <20% for 30m; between 2 and 300 instances";
    let policy = Policy::parse(text).expect("a policy");
    let begin = Instant::now();
    let timeline = backtest(&policy, &recording, 2);
    let what = format!(
        "{} decisions, {} acts",
        timeline.points.len(),
        timeline.acts.len()
    );
    report(
        &format!("played back a week of minutes of {instances} instances"),
        begin,
        &what,
    );
}

fn report(what: &str, begin: Instant, result: &str) {
    println!(
        "{what} in {:.0} ms: {result}",
        begin.elapsed().as_secs_f64() * 1_000.0
    );
}
