//! Rules that scale apps: making them, asking what they did and why, trying them out.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::value::{duration, moment};

/// Scale apps by rule: `scale 40% if CPU >90% for 1h`
#[derive(Debug, Args)]
#[command(after_help = "\
A rule is a sentence. Without a quantifier it means all instances, and CPU is the share of an
instance's entitlement:
  scale 40% if CPU >90% for 1h
  scale in 20% if CPU <20% for 30m
  scale by 5 if any of in-flight >100 for 10s, cool down 1m
  scale to 120 if throughput >500 for 5s, between 10 and 300 instances
  from 2026-11-27 19:55 to 2026-11-27 22:00 Asia/Shanghai keep 200 to 400

First steps:
  cfx autoscale add shop \"scale 40% if CPU >90% for 1h\" \"scale in 20% if CPU <20% for 30m\"
  cfx autoscale explain shop
  cfx autoscale simulate \"scale 40% if CPU >90% for 1m\" --load flash-sale")]
pub(crate) struct AutoscaleArgs {
    #[command(subcommand)]
    pub(crate) command: AutoscaleCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AutoscaleCommand {
    Add(AddRuleArgs),
    Remove(RemoveRuleArgs),
    Rules(RulesArgs),
    /// Switch an app's rules on
    Enable(SwitchArgs),
    /// Switch an app's rules off: nothing is watched
    Disable(SwitchArgs),
    Pause(PauseArgs),
    /// End a pause
    Resume(SwitchArgs),
    Explain(ExplainArgs),
    History(HistoryArgs),
    Simulate(SimulateArgs),
    Backtest(BacktestArgs),
    Import(ImportArgs),
    Export(ExportArgs),
}

/// Add rules or schedules to an app
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx autoscale add shop \"scale 40% if CPU >90% for 1h\"
  cfx autoscale add shop \"scale in 20% if CPU <20% for 30m\" \"between 2 and 300 instances\"
  cfx autoscale add shop \"every Mon-Fri 9:00-18:00 Europe/Berlin keep 10 to 50\"")]
pub(crate) struct AddRuleArgs {
    pub(crate) app: String,
    #[arg(required = true, value_name = "RULE")]
    pub(crate) rules: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a rule from an app, or all of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx autoscale remove shop 2      the second one that `cfx autoscale rules shop` shows
  cfx autoscale remove shop --all")]
pub(crate) struct RemoveRuleArgs {
    pub(crate) app: String,
    /// Its number in `cfx autoscale rules`
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) number: Option<u32>,
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show an app's rules and schedules
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    pub(crate) app: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// An app whose rules are switched.
#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    pub(crate) app: String,
}

/// Hold an app's rules for a while; they go on watching
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx autoscale pause shop            until `cfx autoscale resume shop`
  cfx autoscale pause shop --for 2h")]
pub(crate) struct PauseArgs {
    pub(crate) app: String,
    /// For how long, such as 90s, 30m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) length: Option<u32>,
    /// What those are told who ask why nothing happens
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// Tell what the rules decided, and why
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx autoscale explain shop
  cfx autoscale explain shop --at 10m                    ten minutes ago
  cfx autoscale explain shop --at 2026-11-27T20:00:05Z")]
pub(crate) struct ExplainArgs {
    pub(crate) app: String,
    /// A time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<Moment>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A point in time as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    /// Seconds.
    Ago(u32),
}

impl Moment {
    pub(crate) fn second(self, now: Timestamp) -> i64 {
        match self {
            Self::At(at) => at.as_second(),
            Self::Ago(seconds) => now.as_second() - i64::from(seconds),
        }
    }
}

/// List how an app was scaled
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    pub(crate) app: String,
    /// How many, newest first
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) max: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of everything that draws load, instances and acts.
#[derive(Debug, Clone, Args)]
pub(crate) struct DrawingFlags {
    /// Draw to an SVG file too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Try rules on an imagined load
#[derive(Debug, Args)]
#[command(after_help = "\
The load is in requests a second of the whole app. An instance serves --per-instance of them with
all of its CPU entitlement; what is beyond that is lost.

Examples:
  cfx autoscale simulate \"scale 40% if CPU >90% for 20s cool down 30s\" --load flash-sale
  cfx autoscale simulate \"scale 40% if CPU >90% for 1m\" --load \"constant 50/s for 5m then spike 50/s to 3000/s for 1m falling over 10m\"
  cfx autoscale simulate --policy policy.json --load ramp --svg ramp.svg
  cfx autoscale simulate --policy rules.txt --load @points.csv")]
pub(crate) struct SimulateArgs {
    #[arg(required_unless_present = "policy", value_name = "RULE")]
    pub(crate) rules: Vec<String>,
    /// Rules from a file: sentences, one a line, or an app-autoscaler policy in JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// flash-sale, ramp, spike, day, a sentence such as "ramp 50/s to 3000/s over 10m", or @FILE
    #[arg(long, value_name = "SHAPE", default_value = "flash-sale")]
    pub(crate) load: String,
    /// Requests a second that one instance serves
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) per_instance: u32,
    /// Instances at the beginning
    #[arg(short = 'i', long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) instances: u32,
    /// Seconds from the decision to a running instance
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) start_time: u32,
    #[command(flatten)]
    pub(crate) drawing: DrawingFlags,
}

/// Try rules on what an app really did
#[derive(Debug, Args)]
#[command(after_help = "\
Without rules, those that the app has.

Examples:
  cfx autoscale backtest shop --from 6h
  cfx autoscale backtest shop \"scale 40% if CPU >80% for 5m\" --from 2026-11-27T18:00:00Z --to 1h --svg shop.svg")]
pub(crate) struct BacktestArgs {
    pub(crate) app: String,
    #[arg(value_name = "RULE")]
    pub(crate) rules: Vec<String>,
    /// A time, or how long ago
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = moment)]
    pub(crate) from: Moment,
    /// A time, or how long ago [default: now]
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = moment)]
    pub(crate) to: Moment,
    #[command(flatten)]
    pub(crate) drawing: DrawingFlags,
}

/// Give an app the rules of a file, in place of those it has
#[derive(Debug, Args)]
#[command(after_help = "\
A file that begins with { is an app-autoscaler policy and keeps that policy's meaning; any other
holds sentences, one a line.

Example:
  cfx autoscale import shop policy.json")]
pub(crate) struct ImportArgs {
    pub(crate) app: String,
    pub(crate) file: PathBuf,
}

/// Print an app's rules: as sentences, or as an app-autoscaler policy
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    pub(crate) app: String,
    /// As an app-autoscaler policy, which can say less than sentences
    #[arg(long)]
    pub(crate) policy: bool,
    /// Write to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
