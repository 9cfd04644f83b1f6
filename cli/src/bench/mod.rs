//! Real numbers, each with a floor measured in the same run.
//!
//! The subjects run as processes of their own (this same binary), so that what they cost can be
//! read from the kernel and nothing else is counted.

mod answers;
mod backend;
mod child;
mod controller;
mod cost;
mod delayed;
mod floor;
mod idle;
mod lab;
mod load;
mod neighbours;
mod phases;
mod planner;
mod push;
mod router;
mod rules;
mod start;
mod truth;
mod warm;

use serde::Serialize;

use crate::args::{BenchArgs, BenchCommand};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Table;

pub(crate) async fn bench(context: &Context, args: BenchArgs) -> Outcome {
    match args.what {
        BenchCommand::Push(args) => push::bench(context, &args).await,
        BenchCommand::Start(args) => Box::pin(start::bench(context, &args)).await,
        BenchCommand::Warm(args) => Box::pin(warm::bench(context, &args)).await,
        BenchCommand::Neighbours(args) => Box::pin(neighbours::bench(context, &args)).await,
        BenchCommand::Idle(args) => idle::bench(context, &args).await,
        BenchCommand::Router(args) => router::bench(context, &args).await,
        BenchCommand::Load(args) => Box::pin(truth::bench(context, &args)).await,
        BenchCommand::Delayed { micros } => delayed::serve(context, micros).await,
        BenchCommand::Planner(args) => planner::bench(context, &args),
        BenchCommand::Rules(args) => rules::bench(context, &args),
        BenchCommand::Controller(args) => controller::bench(context, &args).await,
        BenchCommand::Bare => idle::bare(context).await,
        BenchCommand::Backend => backend::serve(context).await,
        BenchCommand::Proxy { backend } => router::proxy(context, backend).await,
    }
}

/// Does it need all of the machine's threads?
pub(crate) fn is_threaded(args: &BenchArgs) -> bool {
    matches!(
        args.what,
        BenchCommand::Bare
            | BenchCommand::Proxy { .. }
            | BenchCommand::Router(_)
            | BenchCommand::Controller(_)
    )
}

/// One number and its floor.
#[derive(Debug, Serialize)]
struct Reading {
    bench: &'static str,
    /// What was measured, and how often.
    measure: String,
    unit: &'static str,
    value: f64,
    floor: f64,
    /// What the floor is.
    floor_is: &'static str,
    /// `value / floor`.
    ratio: f64,
    /// All values, in their order.
    values: Vec<f64>,
    floors: Vec<f64>,
}

impl Reading {
    fn new(
        bench: &'static str,
        measure: impl Into<String>,
        unit: &'static str,
        floor_is: &'static str,
        values: Vec<f64>,
        floors: Vec<f64>,
    ) -> Self {
        let (value, floor) = (median(&values), median(&floors));
        Self {
            bench,
            measure: measure.into(),
            unit,
            value,
            floor,
            floor_is,
            ratio: if floor == 0.0 { 0.0 } else { value / floor },
            values,
            floors,
        }
    }
}

/// A table for people, or one JSON object a line.
fn show(context: &Context, readings: &[Reading], as_json: bool) -> Outcome {
    let terminal = &context.terminal;
    if as_json {
        for reading in readings {
            let line = serde_json::to_string(reading).map_err(|error| {
                crate::failure::Failure::new(format!("cannot print JSON: {error}"))
            })?;
            terminal.say(line);
        }
        return Ok(());
    }
    let mut table = Table::new(["measure", "value", "floor", "ratio", "the floor is"]);
    for reading in readings {
        let [floor, ratio, floor_is] = if reading.floor == 0.0 {
            Default::default()
        } else {
            [
                quantity(reading.floor, reading.unit),
                format!("{:.2}", reading.ratio),
                reading.floor_is.to_owned(),
            ]
        };
        let value = quantity(reading.value, reading.unit);
        table.row([reading.measure.clone(), value, floor, ratio, floor_is]);
    }
    terminal.table(&table);
    Ok(())
}

/// A number with its unit; what is short of a second, in milliseconds.
fn quantity(value: f64, unit: &str) -> String {
    let (value, unit) = match unit {
        "s" if value < 1.0 => (value * 1_000.0, "ms"),
        _ => (value, unit),
    };
    let decimals = if value >= 100.0 { 0 } else { 2 };
    format!("{value:.decimals$} {unit}").trim_end().to_owned()
}

/// The value that so many of 100 do not exceed; there is at least one.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (length, middle) if length % 2 == 1 => sorted[middle],
        (_, middle) => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_of_a_second_is_told_in_milliseconds() {
        for (value, unit, text) in [
            (1.543, "s", "1.54 s"),
            (0.028_99, "s", "28.99 ms"),
            (0.000_66, "s", "0.66 ms"),
            (0.213, "s", "213 ms"),
            (5_800.0, "", "5800"),
            (2.4, "MiB", "2.40 MiB"),
        ] {
            assert_eq!(quantity(value, unit), text);
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        for (values, middle) in [
            (vec![], 0.0),
            (vec![3.0], 3.0),
            (vec![9.0, 1.0, 2.0], 2.0),
            (vec![4.0, 1.0, 2.0, 3.0], 2.5),
        ] {
            assert!((median(&values) - middle).abs() < f64::EPSILON);
        }
    }
}
