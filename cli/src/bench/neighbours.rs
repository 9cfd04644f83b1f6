//! `bench neighbours`: how long an app's answers take while the app beside it takes all it can.

use std::time::Duration;

use super::lab::{Deployed, Lab, Size};
use super::{Reading, load, percentile, show};
use crate::args::BenchNeighboursArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);
/// After an attacker was pushed, and after it was deleted: what begins or ends is over by then.
const SETTLE: Duration = Duration::from_secs(2);
/// Volumes and networks made ahead.
const READY: u32 = 4;
/// Memory and disk of the attacker.
const LIMIT: &str = "64M";
/// Answers that one measurement must have at least: below this there is no p99.
const ANSWERS_MIN: usize = 200;

/// Each takes one thing until it meets its limit, and again.
const ATTACKS: [(&str, &str); 7] = [
    (
        "spins on every core",
        "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait",
    ),
    (
        "forks until it may not",
        "while :; do f() { f | f & }; f 2>/dev/null; sleep 0.2; done",
    ),
    (
        "allocates until it is killed",
        "while :; do tail /dev/zero; done",
    ),
    (
        "fills its disk",
        "while :; do cat /dev/zero >~/fill; rm -f ~/fill; done 2>/dev/null",
    ),
    (
        "makes files until it may not",
        "while :; do i=0; while : >~/$((i += 1)); do :; done; rm -f ~/[0-9]*; done 2>/dev/null",
    ),
    (
        "opens files until it may not",
        "while :; do (while exec {f}</dev/null; do :; done) 2>/dev/null; done",
    ),
    ("floods its log", "while :; do yes; done"),
];

pub(super) async fn bench(context: &Context, args: &BenchNeighboursArgs) -> Outcome {
    let size = Size {
        instances: 4,
        runtime: args.runtime,
        warm: 0,
        ready: READY,
    };
    let progress = context.terminal.progress("beginning");
    let measured = Lab::with(context, size, &progress, async |lab| {
        let victim = lab.push().await?;
        progress.message("quiet");
        context.clock.sleep(SETTLE).await;
        let quiet = p99(context, &victim, args.seconds).await?;
        let mut times = Vec::new();
        for (what, command) in ATTACKS {
            progress.message(&format!("a neighbour {what}"));
            lab.attack(command, LIMIT).await?;
            context.clock.sleep(SETTLE).await;
            times.push((what, p99(context, &victim, args.seconds).await?));
            lab.end_attack().await?;
            context.clock.sleep(SETTLE).await;
        }
        Ok((quiet, times))
    });
    let (quiet, times) = measured.await?;
    drop(progress);
    let readings: Vec<Reading> = times
        .into_iter()
        .map(|(what, time)| {
            Reading::new(
                "neighbours",
                format!("99 % of answers while a neighbour {what}"),
                "s",
                "the same with a quiet neighbourhood",
                vec![time],
                vec![quiet],
            )
        })
        .collect();
    show(context, &readings, args.json)
}

/// The time within which 99 of 100 answers came, seconds. Every question must be answered.
async fn p99(context: &Context, victim: &Deployed, seconds: u32) -> Outcome<f64> {
    let request = load::get(&victim.host);
    let clock = &context.clock;
    let deadline = clock.monotonic() + Duration::from_secs(seconds.into());
    let (mut connection, mut times) = (None, Vec::new());
    while clock.monotonic() < deadline {
        let began = clock.monotonic();
        let answer = load::ask_once(&mut connection, victim.router, &request).await;
        if !matches!(answer, Ok(load::OK)) {
            return Err(Failure::new(format!(
                "an answer failed ({answer:?}): neighbours must not matter"
            )));
        }
        times.push(clock.monotonic().saturating_sub(began).as_secs_f64());
        clock.sleep(PAUSE).await;
    }
    if times.len() < ANSWERS_MIN {
        let count = times.len();
        return Err(Failure::new(format!(
            "{count} answers in {seconds} s are too few: {ANSWERS_MIN} tell a p99"
        ))
        .next("measure longer, with --seconds"));
    }
    times.sort_by(f64::total_cmp);
    Ok(percentile(&times, 99))
}
