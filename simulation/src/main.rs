//! `cargo sim`: runs worlds, tells calmly how they went, and fails if a promise was broken.

#![allow(
    clippy::disallowed_macros,
    reason = "this program's output is for people and scripts"
)]

use std::process::ExitCode;

use cfx_simulation::mutant::Mutant;
use cfx_simulation::run;
use cfx_simulation::scenario::Scenario;
use cfx_simulation::shrink::shrink;
use cfx_simulation::world::{Outcome, World};
use clap::{Parser, ValueEnum};

/// Simulates the whole platform under faults, one world for each seed.
#[derive(Debug, Parser)]
#[command(name = "cargo sim")]
struct Args {
    /// How many worlds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one world only.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print everything that happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Find out which of its faults are needed to break the promise.
    #[arg(long, requires = "seed", conflicts_with = "trace")]
    shrink: bool,
    /// Only these of its faults, by number.
    #[arg(long, requires = "seed", value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// Plant a bug, to see that it is caught.
    #[arg(long)]
    mutant: Option<Mutant>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let caught = match args.seed {
        Some(seed) if args.shrink => usize::from(shrunk(seed, &args)),
        Some(seed) => usize::from(one(seed, &args)),
        None => many(&args),
    };
    if caught == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// True: a promise was broken.
fn one(seed: u64, args: &Args) -> bool {
    let mut scenario = Scenario::draw(seed, args.mutant);
    if let Some(only) = &args.only {
        scenario = scenario.with_only(only);
    }
    let mut world = World::new(scenario, args.mutant);
    if args.trace {
        println!("{:#?}", world.scenario);
        world.around.trace.spoken = Some(|line| println!("{line}"));
    }
    let outcome = world.run();
    if outcome.violation.is_some() {
        tell(&outcome, args);
        return true;
    }
    println!(
        "seed {seed}: {} events, {} requests, {} commands; all as wanted {:.1} s after the faults stopped; trace {:016x}",
        outcome.events,
        outcome.requests,
        outcome.commands,
        outcome.settled_after.as_secs_f64(),
        outcome.hash,
    );
    false
}

/// True: a promise was broken.
fn shrunk(seed: u64, args: &Args) -> bool {
    let Some(shrunk) = shrink(seed, args.mutant) else {
        println!("seed {seed} breaks no promise");
        return false;
    };
    let faults = Scenario::draw(seed, args.mutant).faults;
    let (needed, of) = (shrunk.needed.len(), shrunk.of);
    println!(
        "seed {seed}: {needed} of {of} faults are needed ({} worlds tried)",
        shrunk.worlds
    );
    for number in &shrunk.needed {
        let planned = &faults[*number];
        let (at, lasts) = (planned.at.as_secs_f64(), planned.lasts.as_secs_f64());
        println!(
            "  {number}: {} at {at:.3} s for {lasts:.3} s",
            planned.fault
        );
    }
    let numbers: Vec<_> = shrunk.needed.iter().map(ToString::to_string).collect();
    println!(
        "replay it: {} --only {} --trace",
        command(seed, args),
        numbers.join(",")
    );
    true
}

/// How many worlds broke a promise.
fn many(args: &Args) -> usize {
    let (mut events, mut requests, mut slowest, mut broken) = (0, 0, (0.0, 0), 0);
    for seed in args.from..args.from + args.seeds {
        let outcome = run(seed, args.mutant);
        events += outcome.events;
        requests += outcome.requests;
        let settled = outcome.settled_after.as_secs_f64();
        if outcome.violation.is_some() {
            broken += 1;
            tell(&outcome, args);
        } else if settled > slowest.0 {
            slowest = (settled, seed);
        }
    }
    println!(
        "{} worlds, {events} events, {requests} requests: {broken} broke a promise",
        args.seeds
    );
    println!("slowest to settle: {:.1} s (seed {})", slowest.0, slowest.1);
    broken
}

fn tell(outcome: &Outcome, args: &Args) {
    let Some(violation) = &outcome.violation else {
        return;
    };
    println!("\nseed {} broke a promise: {violation}", outcome.seed);
    println!("replay it: {} --trace", command(outcome.seed, args));
    if args.seed.is_none() || !args.trace {
        println!("the last of what happened:");
        for line in &outcome.last_lines {
            println!("  {line}");
        }
    }
}

/// What to type to see this world again.
fn command(seed: u64, args: &Args) -> String {
    let mutant = args.mutant.and_then(|mutant| mutant.to_possible_value());
    let mutant = mutant.map(|value| format!(" --mutant {}", value.get_name()));
    format!("cargo sim --seed {seed}{}", mutant.unwrap_or_default())
}
