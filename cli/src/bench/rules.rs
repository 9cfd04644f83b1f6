//! `bench rules`: rules evaluated in a CPU-second, and a week played back.
//!
//! Time is that of this thread's CPU: other work on the machine does not count.

use std::hint::black_box;

use cfx_rules::ast::Metric;
use cfx_rules::backtest::{Recording, Series, backtest};
use cfx_rules::units::{Milli, Second};
use cfx_rules::window::Running;
use cfx_rules::{Policy, State, Window, decide};

use super::child::timed;
use super::{Reading, show};
use crate::args::BenchRulesArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The rule for great days, and the one that takes back what it gave.
const POLICY: &str = "scale 40% if CPU >90% for 1h; scale in 20% if CPU <20% for 30m; \
                      between 2 and 300 instances";
const RULES: u32 = 2;
const HOUR: Second = 3_600;
/// Samples before the hour: what is late, and the hole that may be there.
const BEFORE: Second = 60;
/// Any time will do; this one is a Friday.
const NOW: Second = 1_795_809_600;
/// Decisions of one measurement times instances.
const WORK: u32 = 400_000;
/// CPU of instances, thousandths of a percent.
const BUSY: Milli = 95_000;
const CALM: Milli = 50_000;
const LOW: Milli = 30_000;
/// Buckets of an hour that a loop looks at.
const BUCKETS: usize = 360;
const MINUTES_OF_WEEK: i64 = 7 * 1_440;

pub(super) fn bench(context: &Context, args: &BenchRulesArgs) -> Outcome {
    let policy = Policy::parse(POLICY)
        .map_err(|error| Failure::new(format!("the bench mistyped: {error}")))?;
    let mut readings = Vec::new();
    for instances in [10, 250] {
        for (load, cpu) in [("calm", CALM), ("all busy for the hour", BUSY)] {
            let _progress = context.terminal.progress(load);
            let window = window(&policy, instances, cpu)?;
            let (mut rates, mut floors) = (Vec::new(), Vec::new());
            for _ in 0..args.rounds {
                rates.push(rate(&policy, &window, instances)?);
                floors.push(loop_rate(instances, cpu)?);
            }
            let what = format!("rules of {instances} instances, {load}");
            let is = "a bare loop over every bucket of the hour until one does not hold";
            readings.push(Reading::new(
                "rules",
                what,
                "a CPU-second",
                is,
                rates,
                floors,
            ));
        }
    }
    for instances in [4, 100] {
        let _progress = context.terminal.progress("a week");
        let recording = week(instances);
        let (mut times, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            times.push(timed(|| backtest(&policy, &recording, 2))?.1);
            floors.push(timed(|| highest(&recording))?.1);
        }
        let what = format!("a week of minutes of {instances} instances played back");
        let is = "a bare loop over its samples";
        readings.push(Reading::new("rules", what, "s", is, times, floors));
    }
    show(context, &readings, args.json)
}

/// An hour of samples of every instance, one a second.
fn window(policy: &Policy, instances: u32, cpu: Milli) -> Outcome<Window> {
    let mut window = Window::new(policy);
    let since = NOW - 9 * HOUR;
    let running: Vec<Running> = (0..instances)
        .map(|index| Running { index, since })
        .collect();
    window.roster(instances, &running);
    for at in NOW - HOUR - BEFORE..=NOW {
        for index in 0..instances {
            let kept = window.push(index, &Metric::Cpu, at, cpu);
            kept.map_err(|error| Failure::new(format!("a sample was not kept: {error}")))?;
        }
    }
    Ok(window)
}

/// Rules in a CPU-second. Busy instances must lead to an act, calm ones to none.
fn rate(policy: &Policy, window: &Window, instances: u32) -> Outcome<f64> {
    let (state, rounds) = (State::default(), WORK / instances);
    let mut acts = 0;
    let ((), seconds) = timed(|| {
        for _ in 0..rounds {
            let (decision, _) = decide(&state, window, policy, NOW);
            acts += u32::from(decision.to != decision.from);
        }
    })?;
    if acts != 0 && acts != rounds {
        return Err(Failure::new(format!("{acts} acts in {rounds} decisions")));
    }
    Ok(f64::from(rounds * RULES) / seconds)
}

/// As fast as anybody could who looks at the hour anew.
fn loop_rate(instances: u32, cpu: Milli) -> Outcome<f64> {
    let samples: Vec<Vec<Milli>> = (0..instances).map(|_| vec![cpu; BUCKETS]).collect();
    let rounds = WORK / instances;
    let ((), seconds) = timed(|| {
        for _ in 0..rounds {
            for threshold in [90_000, 20_000] {
                let above = |values: &Vec<Milli>| values.iter().all(|value| *value > threshold);
                black_box(black_box(&samples).iter().all(above));
            }
        }
    })?;
    Ok(f64::from(rounds * RULES) / seconds)
}

/// Every day busy for ten hours, then low.
fn week(instances: u32) -> Recording {
    let value = |minute: i64| if minute % 1_440 < 600 { BUSY } else { LOW };
    let series = |index| Series {
        index,
        metric: Metric::Cpu,
        points: (1..=MINUTES_OF_WEEK)
            .map(|minute| (NOW + minute * 60, value(minute)))
            .collect(),
    };
    Recording {
        step_s: 60,
        series: (0..instances).map(series).collect(),
    }
}

fn highest(recording: &Recording) -> Option<Milli> {
    let points = recording.series.iter().flat_map(|series| &series.points);
    points.map(|(_, value)| *value).max()
}
