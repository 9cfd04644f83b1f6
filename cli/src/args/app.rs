//! Apps: looking at them, changing them, their logs, events and environment.

use clap::{Args, ValueEnum};

use super::value::{amount, rate};

/// List the apps of the targeted space
#[derive(Debug, Args)]
pub(crate) struct AppsArgs {
    /// Only those whose labels match, such as env=prod
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) labels: Option<String>,
    /// Do not ask how many instances run
    #[arg(long)]
    pub(crate) no_stats: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show an app, its routes and its instances
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    pub(crate) app: String,
    /// Print its guid and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) guid: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Change or show how many instances an app has, and what each may use
#[derive(Debug, Args)]
#[command(after_help = "\
Changing memory, disk or log rate restarts the app.

Examples:
  cfx scale shop              show it
  cfx scale shop -i 10        ten instances
  cfx scale shop -m 512M -f   more memory, without asking")]
pub(crate) struct ScaleArgs {
    pub(crate) app: String,
    /// Number of instances
    #[arg(short = 'i', long, value_name = "N")]
    pub(crate) instances: Option<u32>,
    /// Memory of an instance, such as 256M
    #[arg(short = 'm', value_name = "AMOUNT", value_parser = amount)]
    pub(crate) memory: Option<String>,
    /// Disk of an instance, such as 1G
    #[arg(short = 'k', value_name = "AMOUNT", value_parser = amount)]
    pub(crate) disk: Option<String>,
    /// Log bytes a second of an instance, such as 16K; -1 for no limit
    #[arg(short = 'l', value_name = "RATE", value_parser = rate, allow_hyphen_values = true)]
    pub(crate) log_rate: Option<String>,
    /// Process to scale
    #[arg(long, default_value = "web", value_name = "TYPE")]
    pub(crate) process: String,
    /// Restart without asking
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
}

/// Start an app; stages it first when its newest package is not staged
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    pub(crate) app: String,
}

/// Stop an app
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    pub(crate) app: String,
}

/// How instances are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyFlag {
    /// New instances take over one after another; nothing is down
    Rolling,
    /// Stop, then start
    Null,
}

/// Flags of everything that can replace instances gently.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RolloutFlags {
    /// How instances are replaced
    #[arg(long)]
    pub(crate) strategy: Option<StrategyFlag>,
    /// Instances replaced at once
    #[arg(long, value_name = "N", requires = "strategy",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_in_flight: Option<u32>,
    /// Return when the first new instance is healthy
    #[arg(long)]
    pub(crate) no_wait: bool,
}

impl RolloutFlags {
    pub(crate) fn is_rolling(&self) -> bool {
        self.strategy == Some(StrategyFlag::Rolling)
    }
}

/// Stop all instances of an app, then start them again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx restart shop
  cfx restart shop --strategy rolling   without downtime")]
pub(crate) struct RestartArgs {
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) rollout: RolloutFlags,
}

/// Stage an app's newest package again, and restart the app with the result
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx restage shop
  cfx restage shop --strategy rolling   without downtime")]
pub(crate) struct RestageArgs {
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) rollout: RolloutFlags,
}

/// Delete an app
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cfx delete shop -r -f")]
pub(crate) struct DeleteArgs {
    pub(crate) app: String,
    /// Without asking
    #[arg(short = 'f')]
    pub(crate) force: bool,
    /// Its routes too
    #[arg(short = 'r')]
    pub(crate) routes: bool,
}

/// Restart one instance of an app
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cfx restart-app-instance shop 3")]
pub(crate) struct RestartAppInstanceArgs {
    pub(crate) app: String,
    pub(crate) index: u32,
    /// Process it belongs to
    #[arg(long, default_value = "web", value_name = "TYPE")]
    pub(crate) process: String,
}

/// Follow an app's log
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx logs shop            until Ctrl-C
  cfx logs shop --recent   what there is, and no more")]
pub(crate) struct LogsArgs {
    pub(crate) app: String,
    /// Print what there is and end
    #[arg(long)]
    pub(crate) recent: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what happened to an app
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    pub(crate) app: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show an app's environment
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    pub(crate) app: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Set an environment variable of an app
#[derive(Debug, Args)]
#[command(after_help = "\
The app sees it after a restart.

Example:
  cfx set-env shop CURRENCY EUR && cfx restart shop --strategy rolling")]
pub(crate) struct SetEnvArgs {
    pub(crate) app: String,
    pub(crate) name: String,
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
}

/// Remove an environment variable of an app
#[derive(Debug, Args)]
pub(crate) struct UnsetEnvArgs {
    pub(crate) app: String,
    pub(crate) name: String,
}
