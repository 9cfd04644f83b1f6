//! `cargo sim`: runs worlds, tells calmly how they went, and fails if a promise was broken.

#![allow(
    clippy::disallowed_macros,
    reason = "this program's output is for people and scripts"
)]

use std::process::ExitCode;

use cfx_simulation::mutant::Mutant;
use cfx_simulation::run;
use cfx_simulation::scenario::Scenario;
use cfx_simulation::world::{Outcome, World};
use clap::Parser;

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
    /// Plant a bug, to see that it is caught.
    #[arg(long)]
    mutant: Option<Mutant>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let caught = match args.seed {
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
    let mut world = World::new(Scenario::draw(seed, args.mutant), args.mutant);
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
    let mutant = args.mutant.map(|mutant| {
        let name = clap::ValueEnum::to_possible_value(&mutant);
        format!(
            " --mutant {}",
            name.map_or_else(String::new, |name| name.get_name().to_owned())
        )
    });
    println!("\nseed {} broke a promise: {violation}", outcome.seed);
    println!(
        "replay it: cargo sim --seed {}{} --trace",
        outcome.seed,
        mutant.unwrap_or_default()
    );
    if args.seed.is_none() || !args.trace {
        println!("the last of what happened:");
        for line in &outcome.last_lines {
            println!("  {line}");
        }
    }
}
