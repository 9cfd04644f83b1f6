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
  cfx bench load            what `cfx load` measures, against a server of known delay")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Push(BenchPushArgs),
    Idle(BenchIdleArgs),
    Router(BenchRouterArgs),
    Load(BenchLoadArgs),
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
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
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
