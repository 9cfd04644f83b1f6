//! A rehearsal of a great day: `rehearse`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::load::{SendingFlags, time};
use crate::load::{Rate, Threshold};

/// Rehearse a flash sale, a ramp or a spike on an app, and write a report
#[derive(Debug, Args)]
#[command(after_help = "\
Profiles: `flash-sale` (shoppers who look, reserve, pay or not, and come back when it is sold out:
baseline, countdown, jump, storm, tail), `ramp`, `spike`, or a YAML file of your own, see
`cfx rehearse --example-profile`.

The flash sale needs an app with the API of sample-apps/flash-sale; the rehearsal opens the sale, so
never point it at a sale with customers in it.

Exit codes: 0 everything held; 1 it could not run; 3 something did not hold; 4 the run is void,
because the generator itself was late or had to drop requests.

Examples:
  cfx rehearse flash-sale
  cfx rehearse flash-sale --base 20/s --factor 100 --scale 0.5 --stock 2000
  cfx rehearse shop --profile ramp --fail-if 'p99 > 300ms' --report shop.html
  cfx rehearse shop --profile friday.yml --phase jump=20s")]
pub(crate) struct RehearseArgs {
    /// The app
    #[arg(required_unless_present = "example_profile")]
    pub(crate) app: Option<String>,
    /// flash-sale, ramp, spike, or a file
    #[arg(long, default_value = "flash-sale", value_name = "PROFILE")]
    pub(crate) profile: String,
    /// Visitors a second before it begins
    #[arg(long, default_value = "4/s", value_name = "RATE")]
    pub(crate) base: Rate,
    /// How many times as many come at the jump (flash-sale, spike) or in the end (ramp)
    #[arg(long, default_value_t = 40.0, value_name = "N")]
    pub(crate) factor: f64,
    /// Multiplies all rates: 0.5 on a small machine
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    pub(crate) scale: f64,
    /// Length of a phase, such as storm=30s; may be given again
    #[arg(long, value_name = "PHASE=TIME", value_parser = phase)]
    pub(crate) phase: Vec<(String, Duration)>,
    /// Items on sale [default: four for ten shoppers that are to come]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) stock: Option<u32>,
    /// Close a sale that is open and begin a new one; its orders are gone
    #[arg(long)]
    pub(crate) reset_sale: bool,
    /// So many instances must be routable at once at some time
    #[arg(long, value_name = "N")]
    pub(crate) want_instances: Option<u32>,
    /// Longest from the decision to scale until all are routable
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = time)]
    pub(crate) routable_within: Duration,
    /// What must not be, such as 'p99 > 500ms' or 'jump: errors > 1%' [default: 'lost > 0']
    #[arg(long, value_name = "LINE")]
    pub(crate) fail_if: Vec<Threshold>,
    /// The same seed gives the same visitors at the same times
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sending: SendingFlags,
    /// The report [default: rehearsal-APP-TIME.html; the same as .json beside it]
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a profile file to begin with
    #[arg(long)]
    pub(crate) example_profile: bool,
}

fn phase(text: &str) -> Result<(String, Duration), String> {
    let (name, length) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no length of a phase: write storm=30s"))?;
    Ok((name.trim().to_owned(), time(length.trim())?))
}
