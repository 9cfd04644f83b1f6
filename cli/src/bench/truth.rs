//! `bench load`: does the generator tell the truth? Measured beside known, and beside `wrk`.

use std::sync::Arc;
use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use tokio::process::Command;

use super::child::Subject;
use super::{Reading, show};
use crate::args::BenchLoadArgs;
use crate::client::Trust;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::load::{
    self, Curve, LatencyNumbers, Live, Numbers, OneRequest, Plan, Rules, Segment, SelfCheck,
    Spacing, Target, Template,
};

/// Share of requests on a connection of their own: both ways are to be right.
const NEW_SHARE: f64 = 0.5;
const IN_FLIGHT_MAX: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of `wrk`, which asks again as soon as it was answered.
const WRK_CONNECTIONS: u32 = 4;
/// Runs that may void themselves in a row.
const TRIES: u32 = 5;

/// What one run measured.
struct Run {
    rate: f64,
    latency: LatencyNumbers,
}

pub(super) async fn bench(context: &Context, args: &BenchLoadArgs) -> Outcome {
    let micros = (args.delay * 1_000).to_string();
    let (server, address) = Subject::start(&["bench", "delayed", "--micros", &micros], &[]).await?;
    let url = format!("http://{address}/");
    let mut runs = Vec::new();
    for round in 1..=args.rounds {
        let what = format!("round {round} of {}", args.rounds);
        let progress = context.terminal.progress(&what);
        runs.push(measure(context, &url, args.rate.into(), args.seconds).await?);
        drop(progress);
    }
    let mut readings = beside_known(args, &runs);
    match wrk(&url, args.seconds).await {
        Some(wrk) => {
            let ours = measure(context, &url, wrk.rate, args.seconds).await?;
            readings.extend(beside_wrk(&ours, &wrk));
        }
        None => context
            .terminal
            .note("wrk is not on PATH; install it for a second opinion"),
    }
    server.end().await?;
    show(context, &readings, args.json)
}

/// A run that voids itself is done again.
async fn measure(context: &Context, url: &str, rate: f64, seconds: u32) -> Outcome<Run> {
    for _ in 0..TRIES {
        if let Some(run) = attempt(context, url, rate, seconds).await? {
            return Ok(run);
        }
    }
    Err(Failure::new(format!("{TRIES} runs in a row were void"))
        .next("let the machine come to rest, or lower --rate"))
}

/// None when the generator says of itself that the run is void.
async fn attempt(context: &Context, url: &str, rate: f64, seconds: u32) -> Outcome<Option<Run>> {
    let rules = Rules {
        trust: Trust::System,
        connect_to: None,
        allow_remote: false,
    };
    let curve = Curve::new([Segment::constant(seconds.into(), rate)]);
    let plan = Plan {
        target: Arc::new(Target::resolve(url, &rules).await?),
        phases: vec![curve.duration()],
        curve: Arc::new(curve),
        spacing: Spacing::Even,
        seed: 1,
        in_flight_max: IN_FLIGHT_MAX,
        timeout: TIMEOUT,
    };
    let visitors = OneRequest {
        templates: vec![Template::get("/")],
        new_share: NEW_SHARE,
        seed: 1,
        dice: IdSource::seeded(1),
    };
    let (live, stop) = (Arc::new(Live::new()), Shutdown::new());
    let running = load::start(&plan, &context.clock, vec![visitors], &live, &stop)?;
    let ran = running.ended().await?;
    if let Some(why) = SelfCheck::of(&ran.tally).void.first() {
        context
            .terminal
            .note(format!("A void run is done again: {why}."));
        return Ok(None);
    }
    let numbers = Numbers::of(&ran.tally.total(), seconds.into());
    match numbers.failed {
        0 => Ok(Some(Run {
            rate: numbers.rate,
            latency: numbers.latency_ms,
        })),
        failed => Err(Failure::new(format!("{failed} requests failed"))),
    }
}

fn beside_known(args: &BenchLoadArgs, runs: &[Run]) -> Vec<Reading> {
    let known_rate = vec![f64::from(args.rate); runs.len()];
    let known_ms = vec![f64::from(args.delay); runs.len()];
    let of = |value: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(value).collect() };
    let latency = |name: &str, value| {
        Reading::new(
            "load",
            name,
            "ms",
            "the server's delay",
            of(value),
            known_ms.clone(),
        )
    };
    vec![
        Reading::new(
            "load",
            "answers a second",
            "req/s",
            "the rate that was asked for",
            of(|run| run.rate),
            known_rate,
        ),
        latency("latency p50", |run| run.latency.p50),
        latency("latency p90", |run| run.latency.p90),
        latency("latency p99", |run| run.latency.p99),
    ]
}

fn beside_wrk(ours: &Run, wrk: &Run) -> Vec<Reading> {
    let reading = |name: &str, unit, ours, theirs| {
        Reading::new(
            "load",
            name,
            unit,
            "wrk at the same rate",
            vec![ours],
            vec![theirs],
        )
    };
    vec![
        reading("answers a second", "req/s", ours.rate, wrk.rate),
        reading("latency p50", "ms", ours.latency.p50, wrk.latency.p50),
        reading("latency p99", "ms", ours.latency.p99, wrk.latency.p99),
    ]
}

/// None when there is no `wrk`, or it says what we do not understand.
async fn wrk(url: &str, seconds: u32) -> Option<Run> {
    let connections = format!("-c{WRK_CONNECTIONS}");
    let duration = format!("-d{seconds}s");
    let arguments = ["wrk", "-t1", &connections, &duration, "--latency", url];
    // As the generator itself runs; where that is not allowed, as it comes.
    for before in [&["chrt", "--fifo", "10"][..], &[]] {
        let words: Vec<&str> = before.iter().chain(&arguments).copied().collect();
        let output = Command::new(words[0]).args(&words[1..]).output().await;
        let text = output.ok().map(|output| output.stdout);
        let run = text.and_then(|text| read_wrk(&String::from_utf8_lossy(&text)));
        if run.is_some() {
            return run;
        }
    }
    None
}

fn read_wrk(text: &str) -> Option<Run> {
    let after = |label: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(label))?;
        line.trim_start()[label.len()..].split_whitespace().next()
    };
    let latency = LatencyNumbers {
        p50: milliseconds(after("50%")?)?,
        p99: milliseconds(after("99%")?)?,
        ..LatencyNumbers::default()
    };
    Some(Run {
        rate: after("Requests/sec:")?.parse().ok()?,
        latency,
    })
}

/// `20.31ms`, `812.00us`, `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1_000.0)] {
        if let Some(digits) = text.strip_suffix(unit) {
            return digits.parse::<f64>().ok().map(|value| value * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::read_wrk;

    #[test]
    fn what_wrk_prints_is_understood() {
        let text = "Running 5s test @ http://127.0.0.1:1/\n  1 threads and 4 connections\n  \
                    Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency    20.30ms  135us\n  \
                    Latency Distribution\n     50%   20.31ms\n     75%   20.35ms\n     90%   20.44ms\n     \
                    99%   812.00us\n  985 requests in 5.00s\nRequests/sec:    196.87\nTransfer/sec: 23KB\n";
        let run = read_wrk(text).expect("understood");
        assert!((run.rate - 196.87).abs() < 1e-9);
        assert!((run.latency.p50 - 20.31).abs() < 1e-9);
        assert!((run.latency.p99 - 0.812).abs() < 1e-9);
        assert!(read_wrk("no such host").is_none());
    }
}
