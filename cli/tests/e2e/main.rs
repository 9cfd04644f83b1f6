//! The real binary with a real Docker, over real sockets: what a user would see.
//!
//! The tests run one after the other, most of them on one platform, each in an organisation of its
//! own. They need root and a Docker Engine, and fail with the engine's words where there is none.
//! An argument runs only the tests whose name contains it; `CFX_E2E_KILLS=50` repeats the kills.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests run a real process in real time"
)]
#![allow(
    unreachable_pub,
    reason = "a program of several files, with nothing outside"
)]
#![allow(clippy::disallowed_macros, reason = "this is a test runner: it prints")]

mod autoscale;
mod bad_input;
mod curl;
mod engine;
mod harness;
mod hostile;
mod kill;
mod lifecycle;
mod metrics;
mod processes;
mod rehearsal;
mod roles;
mod sample;
mod sandbox;
mod stack;
mod stock_cf;
mod store;
mod survive;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use harness::Platform;

/// A test on the platform that all share.
type Shared = fn(&Platform);
/// A test that starts platforms of its own.
type Alone = fn();

const SHARED: &[(&str, Shared)] = &[
    (
        "an_app_is_pushed_from_source_routed_logged_and_scaled",
        lifecycle::pushed_routed_logged_and_scaled,
    ),
    (
        "an_app_sees_the_environment_that_cloud_foundry_promises",
        lifecycle::sees_its_environment,
    ),
    (
        "what_an_app_uses_and_answers_is_queried_within_seconds",
        metrics::queried_within_seconds,
    ),
    (
        "a_stopped_app_is_unknown_to_the_router_and_comes_back",
        lifecycle::stops_and_comes_back,
    ),
    (
        "a_docker_image_runs_with_its_own_command",
        lifecycle::docker_image_runs,
    ),
    (
        "one_instance_is_restarted_alone",
        lifecycle::one_instance_is_restarted_alone,
    ),
    (
        "apps_reach_each_other_by_route_and_by_internal_name",
        lifecycle::apps_reach_each_other,
    ),
    (
        "why_explains_an_instance_that_fits_nowhere",
        lifecycle::why_explains,
    ),
    (
        "a_crash_looping_app_is_reported_as_what_it_is",
        hostile::crash_loop,
    ),
    ("a_deaf_app_is_never_healthy_and_says_so", hostile::deaf),
    (
        "an_app_over_its_memory_limit_is_reported_out_of_memory",
        hostile::out_of_memory,
    ),
    ("a_hanging_app_leaves_its_routes", hostile::hanging),
    (
        "a_neighbour_keeps_answering_beside_a_log_flood_and_a_fork_bomb",
        hostile::neighbours,
    ),
    (
        "bad_manifests_are_refused_with_what_to_do",
        bad_input::manifests,
    ),
    ("hostile_requests_to_the_api_leave_no_trace", bad_input::api),
    (
        "hostile_requests_to_the_router_are_refused",
        bad_input::router,
    ),
    (
        "what_belongs_to_others_does_not_exist",
        roles::foreign_resources_do_not_exist,
    ),
    (
        "the_flash_sale_never_oversells_and_closes_when_its_inventory_dies",
        sample::with_its_inventory,
    ),
    (
        "an_app_grows_by_its_rule_under_load_and_shrinks_after_it",
        autoscale::grows_and_shrinks_under_load,
    ),
    (
        "an_autoscaler_runs_as_a_process_of_its_own",
        autoscale::served_alone,
    ),
    ("the_stock_autoscaler_plugin_works", autoscale::stock_plugin),
    (
        "a_rehearsed_sale_is_held_to_what_it_promised_and_reported",
        rehearsal::of_the_sample,
    ),
    (
        "a_load_counts_every_request_and_tells_its_verdict_by_exit_code",
        rehearsal::load,
    ),
    ("the_stock_cf_cli_works", stock_cf::whole_tour),
];

const ALONE: &[(&str, Alone)] = &[
    (
        "a_second_start_in_a_folder_in_use_says_so",
        lifecycle::second_start_in_use,
    ),
    (
        "a_clean_stop_leaves_nothing_and_a_new_start_brings_every_app_back",
        lifecycle::clean_stop_and_return,
    ),
    (
        "the_flash_sale_never_oversells_with_a_redis_of_this_machine",
        sample::with_redis,
    ),
    (
        "a_damaged_store_is_refused_and_its_backup_brings_every_app_back",
        store::damaged_and_restored,
    ),
    (
        "an_app_is_staged_and_runs_in_a_stack_that_a_cell_brings",
        stack::brought_by_a_cell,
    ),
    (
        "apps_run_in_sandboxes_where_there_is_no_engine",
        sandbox::without_an_engine,
    ),
    (
        "the_pools_and_instances_stay_when_engine_and_agent_are_killed",
        survive::engine_and_agent_killed,
    ),
    ("kill_nine_at_any_moment_loses_nothing", kill::any_moment),
    (
        "routes_and_instances_live_on_without_a_controller",
        kill::without_controller,
    ),
];

fn main() -> ExitCode {
    let filter: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |name: &str| filter.is_empty() || filter.iter().any(|f| name.contains(f.as_str()));
    let mut tally = Tally::default();

    let shared: Vec<_> = SHARED.iter().filter(|(name, _)| wanted(name)).collect();
    if !shared.is_empty() {
        let platform = Platform::start(1);
        for (name, test) in shared {
            tally.run(name, || test(&platform));
        }
        tally.run(
            "the_shared_platform_stops_cleanly_and_leaves_no_container",
            || {
                let mut platform = platform;
                platform.stop();
                assert_eq!(
                    platform.containers(),
                    Vec::<String>::new(),
                    "containers were left"
                );
            },
        );
    }
    for (name, test) in ALONE.iter().filter(|(name, _)| wanted(name)) {
        tally.run(name, test);
    }
    tally.close()
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: Vec<String>,
}

impl Tally {
    fn run(&mut self, name: &str, test: impl FnOnce()) {
        let started = std::time::Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(test));
        let seconds = started.elapsed().as_secs_f32();
        match ended {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... ok ({seconds:.1} s)");
            }
            Err(_) => {
                self.failed.push(name.to_owned());
                println!("test {name} ... FAILED ({seconds:.1} s)");
            }
        }
    }

    fn close(self) -> ExitCode {
        let verdict = if self.failed.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!(
            "test result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out",
            self.passed,
            self.failed.len()
        );
        if self.failed.is_empty() && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
