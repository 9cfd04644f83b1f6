//! Many worlds under faults, and worlds with planted bugs.

use cfx_simulation::mutant::Mutant;
use cfx_simulation::run;

/// Worlds in a normal test run; `cargo sim` runs as many as there is time for.
const SEEDS: u64 = 80;
/// A planted bug must be caught within this many worlds.
const SEEDS_PER_MUTANT: u64 = 60;

#[test]
fn no_world_breaks_a_promise() {
    for seed in 0..SEEDS {
        let outcome = run(seed, None);
        if let Some(violation) = outcome.violation {
            let last = outcome.last_lines.join("\n");
            panic!("{violation}\nreplay it: cargo sim --seed {seed} --trace\n{last}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_world_to_the_last_line() {
    for seed in [1, 2, 3, 5, 8, 13] {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!(
            (first.hash, first.events),
            (second.hash, second.events),
            "seed {seed}"
        );
        assert_eq!(first.last_lines, second.last_lines, "seed {seed}");
        assert!(first.events > 1_000, "seed {seed} is an empty world");
    }
}

fn caught_by(mutant: Mutant) -> &'static str {
    let caught = (0..SEEDS_PER_MUTANT).find_map(|seed| run(seed, Some(mutant)).violation);
    let violation = caught.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
    violation.rule.split_whitespace().next().unwrap_or_default()
}

#[test]
fn followers_of_any_token_are_caught() {
    assert_eq!(caught_by(Mutant::IgnoreTokens), "I6");
}

#[test]
fn intents_that_are_not_durable_are_caught() {
    assert_eq!(caught_by(Mutant::LoseIntents), "I3");
}

#[test]
fn addresses_that_are_reused_at_once_are_caught() {
    assert_eq!(caught_by(Mutant::ReuseAddresses), "I5");
}

#[test]
fn instances_that_are_trusted_too_early_are_caught() {
    assert!(["I4", "I5"].contains(&caught_by(Mutant::TrustStarting)));
}

#[test]
fn tables_that_are_confirmed_before_they_are_served_are_caught() {
    assert_eq!(caught_by(Mutant::AcknowledgeEarly), "I4");
}

#[test]
fn instances_that_are_called_gone_too_early_are_caught() {
    assert_eq!(caught_by(Mutant::ReportGoneEarly), "I3");
}

#[test]
fn crashes_without_a_back_off_are_caught() {
    assert_eq!(caught_by(Mutant::NoBackOff), "I12");
}

#[test]
fn agents_that_forget_what_they_ran_are_caught() {
    // What is forgotten shows in many ways; which one comes first is up to the seeds.
    assert!(caught_by(Mutant::ForgetOnRestart).starts_with('I'));
}

#[test]
fn tasks_that_are_started_twice_are_caught() {
    assert_eq!(caught_by(Mutant::RestartTasks), "I11");
}

#[test]
fn cells_that_are_given_more_than_they_have_are_caught() {
    assert_eq!(caught_by(Mutant::Overcommit), "I7");
}
