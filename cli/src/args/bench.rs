//! Measuring, with a floor beside each number.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::RuntimeFlag;

/// Measure the platform, with a floor measured in the same run beside each number
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx bench start -n 300    scale to 300 instances that answer, and back, against `docker run`
  cfx bench warm            one more instance, command to first answer
  cfx bench neighbours      an app's answers while the app beside it takes all it can
  cfx bench push            push of a small app to its first answer, against `docker run`
  cfx bench idle            memory of a whole idle platform, against a bare process
  cfx bench router --json   requests a CPU-second, against a direct connection
  cfx bench load            what `cfx load` measures, against a server of known delay
  cfx bench planner         placements a CPU-second, against a bare heap
  cfx bench controller      250,000 instances made durable and dispatched to 1,000 cells
  cfx bench rules           rules evaluated a CPU-second, and a week played back")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Start(BenchStartArgs),
    Warm(BenchWarmArgs),
    Neighbours(BenchNeighboursArgs),
    Push(BenchPushArgs),
    Idle(BenchIdleArgs),
    Router(BenchRouterArgs),
    Load(BenchLoadArgs),
    Planner(BenchPlannerArgs),
    Controller(BenchControllerArgs),
    Rules(BenchRulesArgs),
    /// A process that only waits: the floor of `idle`
    #[command(hide = true)]
    Bare,
    /// A server of short answers: what `router` asks
    #[command(hide = true)]
    Backend,
    /// A server of known delay: what `load` measures
    #[command(hide = true)]
    Delayed {
        #[arg(long)]
        micros: u32,
    },
    /// A router with one route: the subject of `router`
    #[command(hide = true)]
    Proxy {
        #[arg(long)]
        backend: SocketAddr,
    },
}

/// Scale a small app until every instance answers, and back under load, on a platform of its own
#[derive(Debug, Args)]
#[command(after_help = "\
The app is busybox's web server, padded to 8 MiB. CPU and memory are those of the platform and of
the container engine with everything they have started.")]
pub(crate) struct BenchStartArgs {
    /// Instances
    #[arg(short = 'n', long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(2..=3_900))]
    pub(crate) instances: u32,
    /// What they run on
    #[arg(long, default_value = "auto")]
    pub(crate) runtime: RuntimeFlag,
    /// Instances made ahead, whose first process waits
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) warm: u32,
    /// Volumes and networks made ahead
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=4_000))]
    pub(crate) ready: u32,
    /// How often; medians are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// Starts of the floor, one after the other; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) floor: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// One more instance, from the command to its first answer, on a platform of its own
#[derive(Debug, Args)]
pub(crate) struct BenchWarmArgs {
    /// How often; p50 and p90 are shown
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) repeats: u32,
    /// Instances made ahead, whose first process waits
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) warm: u32,
    /// What it runs on
    #[arg(long, default_value = "auto")]
    pub(crate) runtime: RuntimeFlag,
    /// Starts of the floor, one after the other; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) floor: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// How long an app's answers take while the app beside it takes all it can
#[derive(Debug, Args)]
#[command(after_help = "\
The neighbour spins, forks, allocates, writes, opens files and floods its log, one after the other,
each until it meets its limit and again. The floor is the same app with a quiet neighbourhood.")]
pub(crate) struct BenchNeighboursArgs {
    /// What they run on
    #[arg(long, default_value = "auto")]
    pub(crate) runtime: RuntimeFlag,
    /// Length of each measurement, seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub(crate) seconds: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Push a small app until its first answer; the floor is `docker run` of the same command
#[derive(Debug, Args)]
#[command(after_help = "It pushes to the targeted space and deletes what it pushed.")]
pub(crate) struct BenchPushArgs {
    /// How often; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Memory of a whole idle platform of its own; the floor is a process that only waits
#[derive(Debug, Args)]
pub(crate) struct BenchIdleArgs {
    /// Seconds from ready to the reading
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) settle: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Requests a CPU-second through a router; the floor is a direct connection to the same server
#[derive(Debug, Args)]
pub(crate) struct BenchRouterArgs {
    /// How often; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seconds of each reading
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) seconds: u32,
    /// Connections at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the load generator measures at a server of known delay; beside it what is known, and what
/// `wrk` says when it is on PATH
#[derive(Debug, Args)]
#[command(after_help = "\
The ratio is to be within 0.95 and 1.05 for latencies, within 0.98 and 1.02 for rates.")]
pub(crate) struct BenchLoadArgs {
    /// Requests a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) rate: u32,
    /// The server's delay, milliseconds
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) delay: u32,
    /// How often; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seconds of each reading
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) seconds: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Placements a CPU-second in one core; the floor is a heap that knows no constraint
#[derive(Debug, Args)]
#[command(after_help = "Each choice of a sample is compared with a scan of every cell.")]
pub(crate) struct BenchPlannerArgs {
    /// How often; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) cells: u32,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) zones: u32,
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) apps: u32,
    /// Instances of all apps together
    #[arg(long, default_value_t = 250_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) instances: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Rules evaluated in a CPU-second, and a week of samples played back
#[derive(Debug, Args)]
pub(crate) struct BenchRulesArgs {
    /// How often; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// A real controller on a real store with scripted cells; the floor is the store alone
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing runs: the cells answer at once that what they were told to run is healthy."
)]
pub(crate) struct BenchControllerArgs {
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) cells: u32,
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) apps: u32,
    /// Instances of all apps together
    #[arg(long, default_value_t = 250_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) instances: u32,
    /// Print JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}
