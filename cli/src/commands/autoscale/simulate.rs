//! `autoscale simulate`: rules on an imagined load. It needs no platform.

use cfx_rules::Policy;
use cfx_rules::draw::{svg, terminal};
use cfx_rules::shape::Shape;
use cfx_rules::simulate::{Capacity, simulate as play};
use cfx_rules::timeline::Timeline;
use cfx_rules::units::ONE;

use super::{exchange, parse};
use crate::args::{DrawingFlags, SimulateArgs};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Width of a drawing: what every terminal has.
const COLUMNS: usize = 80;
/// Loads that have a name.
const SHAPES: [(&str, &str); 4] = [
    (
        "flash-sale",
        "constant 100/s for 2m then ramp 100/s to 300/s over 3m \
         then spike 300/s to 6000/s for 1m falling over 5m then constant 100/s for 15m",
    ),
    (
        "ramp",
        "constant 100/s for 2m then ramp 100/s to 3000/s over 10m then constant 3000/s for 5m",
    ),
    (
        "spike",
        "constant 100/s for 2m then spike 100/s to 3000/s for 2m falling over 1m \
         then constant 100/s for 15m",
    ),
    ("day", "sine 50/s to 2000/s over 1d for 2d"),
];

pub(super) fn simulate(context: &Context, args: &SimulateArgs) -> Outcome {
    let policy = policy(args)?;
    let shape = shape(&args.load)?;
    let capacity = Capacity {
        per_instance: i64::from(args.per_instance) * ONE,
        start_delay_s: args.start_time,
        instances: args.instances,
        ..Capacity::default()
    };
    let begin = context.clock.now().as_second();
    let timeline = play(&policy, &shape, &capacity, begin);
    show(context, &timeline, &args.drawing)
}

fn policy(args: &SimulateArgs) -> Outcome<Policy> {
    let mut text = args.rules.join("\n");
    if let Some(file) = &args.policy {
        let more = exchange::read(file)?;
        if more.trim_start().starts_with('{') {
            return exchange::of_policy(&more);
        }
        text = format!("{text}\n{more}");
    }
    parse(&text)
}

/// A load by its name, in words, or as a file of points.
fn shape(text: &str) -> Outcome<Shape> {
    let named = SHAPES.iter().find(|(name, _)| *name == text);
    let text = named.map_or(text, |(_, words)| words);
    let parsed = match text.strip_prefix('@') {
        None => Shape::parse(text),
        Some(file) => {
            let points = exchange::read(file.as_ref())?;
            match points.trim_start().starts_with('[') {
                true => Shape::from_json(&points),
                false => Shape::from_csv(&points),
            }
        }
    };
    parsed.map_err(|error| {
        let names: Vec<_> = SHAPES.iter().map(|(name, _)| *name).collect();
        Failure::new(error.to_string()).next(format!(
            "a load is {}, a sentence such as \"constant 50/s for 5m then spike 50/s to 3000/s \
             for 1m falling over 10m\", or @FILE of points",
            names.join(", ")
        ))
    })
}

/// Print, and draw to a file.
pub(super) fn show(context: &Context, timeline: &Timeline, drawing: &DrawingFlags) -> Outcome {
    if let Some(file) = &drawing.svg {
        std::fs::write(file, svg(timeline)).map_err(|error| {
            Failure::new(format!("cannot write {}: {error}", file.display()))
                .next("check that its folder is yours, and that the disk has room")
        })?;
    }
    let printed = &context.terminal;
    if drawing.json {
        return printed.json(timeline);
    }
    for line in terminal(timeline, COLUMNS).lines() {
        printed.say(line);
    }
    if let Some((fewest, most)) = timeline.extremes() {
        printed.blank();
        printed.say(format!(
            "{fewest} to {most} instances, {}, {} acts.",
            paid(timeline),
            timeline.acts.len()
        ));
    }
    Ok(())
}

/// Instances by time: in hours, or minutes of short plays.
fn paid(timeline: &Timeline) -> String {
    let seconds = timeline.points.iter().map(|point| u64::from(point.wanted));
    let minutes = seconds.sum::<u64>() * u64::from(timeline.step_s) / 60;
    match timeline.instance_hours() {
        0..=9 => format!("{minutes} instance minutes"),
        hours => format!("{hours} instance hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_load_can_be_played() {
        for (name, _) in SHAPES {
            assert!(shape(name).expect(name).seconds() > 600, "{name}");
        }
        let failure = shape("constant fast").expect_err("no rate");
        let next = failure.next_step().expect("a next step");
        assert!(
            next.contains("flash-sale") && next.contains("@FILE"),
            "{next}"
        );
    }

    #[test]
    fn points_come_from_files_of_both_kinds() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("a.csv", "second,rate\n0,10\n60,20\n"),
            ("a.json", "[[0,10],[60,20]]"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let load = shape(&format!("@{}", path.display())).expect(name);
            assert_eq!(load.seconds(), 60, "{name}");
        }
        assert!(shape("@/nowhere/at/all").is_err());
    }
}
