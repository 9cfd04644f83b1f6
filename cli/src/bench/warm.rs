//! `bench warm`: one more instance, from the command to its first answer.

use std::time::Duration;

use super::floor;
use super::lab::{Lab, Size};
use super::{Reading, answers, percentile, show};
use crate::args::BenchWarmArgs;
use crate::context::Context;
use crate::failure::Outcome;

/// Longest that one start, or one stop, may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Volumes and networks made ahead.
const READY: u32 = 8;
/// After a stop, before the next start: the pools of the cell fill up again.
const REST: Duration = Duration::from_millis(1_500);
/// Between two looks at something that takes as long.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn bench(context: &Context, args: &BenchWarmArgs) -> Outcome {
    let size = Size {
        instances: 4,
        runtime: args.runtime,
        warm: args.warm,
        ready: READY,
    };
    let progress = context.terminal.progress("beginning");
    let measured = Lab::with(context, size, &progress, async |lab| {
        progress.message("measuring");
        measure(context, args, lab).await
    });
    let (times, floor) = measured.await?;
    drop(progress);
    let (floor_is, floor) = floor.map_or(("", 0.0), |floor| (floor.is, floor.seconds));
    let mut sorted = times.clone();
    sorted.sort_by(f64::total_cmp);
    let readings = [("p50", 50), ("p90", 90)].map(|(name, part)| {
        let count = times.len();
        let measure = format!("one more instance, command to first answer, {name} of {count}");
        Reading {
            values: times.clone(),
            ..Reading::new(
                "warm",
                measure,
                "s",
                floor_is,
                vec![percentile(&sorted, part)],
                vec![floor],
            )
        }
    });
    show(context, &readings, args.json)
}

async fn measure(
    context: &Context,
    args: &BenchWarmArgs,
    lab: &Lab,
) -> Outcome<(Vec<f64>, Option<floor::Floor>)> {
    let (deployed, clock) = (lab.push().await?, &context.clock);
    let mut times = Vec::new();
    clock.sleep(REST * args.warm).await;
    for _ in 0..args.repeats {
        let began = clock.monotonic();
        deployed.scale(2).await?;
        let ended = answers::all(&deployed, 1..2, clock, TIMEOUT).await?;
        times.push(ended.saturating_sub(began).as_secs_f64());
        deployed.scale(1).await?;
        answers::none(&deployed, 1, clock, TIMEOUT).await?;
        while deployed.running().await? != (1, 1) {
            clock.sleep(LOOK).await;
        }
        clock.sleep(REST).await;
    }
    let floor = floor::measure(context, args.runtime, lab.pid(), args.floor).await;
    Ok((times, floor))
}
