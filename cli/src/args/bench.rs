//! Measuring, with a floor beside each number.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

/// Measure the platform, with a floor measured in the same run beside each number
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx bench push            push of a small app to its first answer, against `docker run`
  cfx bench idle            memory of a whole idle platform, against a bare process
  cfx bench router --json   requests a CPU-second, against a direct connection
  cfx bench planner         placements a CPU-second, against a bare heap
  cfx bench controller      250,000 instances made durable and dispatched to 1,000 cells")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Push(BenchPushArgs),
    Idle(BenchIdleArgs),
    Router(BenchRouterArgs),
    Planner(BenchPlannerArgs),
    Controller(BenchControllerArgs),
    /// A process that only waits: the floor of `idle`
    #[command(hide = true)]
    Bare,
    /// A server of short answers: what `router` asks
    #[command(hide = true)]
    Backend,
    /// A router with one route: the subject of `router`
    #[command(hide = true)]
    Proxy {
        #[arg(long)]
        backend: SocketAddr,
    },
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
