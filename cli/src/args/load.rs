//! Load for testers: `load`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::{HeaderName, Method};

use crate::load::{LoadShape, Rate, Spacing, Threshold};

/// Longest time that a flag may give: a day.
const TIME_MAX: Duration = Duration::from_secs(86_400);

/// Send requests at given times, whatever the answers do, and measure
#[derive(Debug, Args)]
#[command(after_help = "\
An open model: each request has its time before the first answer is there, and its latency runs from
that time. A server that stalls is charged for everyone who came meanwhile.

Exit codes: 0 all is well; 1 it could not run; 3 a --fail-if line was crossed; 4 the run is void,
because the generator itself was late or had to drop requests.

{number} in the path, in headers and in the body is the request's number; {key} a text of its own.

Examples:
  cfx load http://shop.apps.localhost:8080/ --rate 200/s --duration 30s --connections-new 50%
  cfx load URL --profile ramp:50/s..500/s --duration 2m --fail-if 'p99 > 200ms' --fail-if 'errors > 0.1%'
  cfx load URL/orders -X POST -H 'Idempotency-Key: {key}' -d '{\"item\": {number}}' --expect 201,409")]
pub(crate) struct LoadArgs {
    /// Where to
    pub(crate) url: String,
    /// Requests a second
    #[arg(long, default_value = "50/s", value_name = "RATE")]
    pub(crate) rate: Rate,
    /// How long, such as 30s or 5m
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) duration: Duration,
    /// constant, ramp:FROM..TO, spike:PEAK (from --rate), or steps:A,B,C
    #[arg(long, default_value = "constant", value_name = "SHAPE")]
    pub(crate) profile: LoadShape,
    /// As many people come, or one like the other
    #[arg(long, value_enum, default_value_t = SpacingFlag::Poisson, value_name = "HOW")]
    pub(crate) spacing: SpacingFlag,
    /// The same seed gives the same times
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Method; GET, or POST with -d
    #[arg(short = 'X', value_name = "METHOD")]
    pub(crate) method: Option<Method>,
    /// Header to add, such as 'Accept: text/html'
    #[arg(short = 'H', value_name = "HEADER", value_parser = header)]
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Body
    #[arg(short = 'd', value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// Statuses that are well [default: all below 400]
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) expect: Vec<u16>,
    /// What must not be, such as 'p99 > 200ms', 'errors > 0.1%', 'rate < 190/s'
    #[arg(long, value_name = "LINE")]
    pub(crate) fail_if: Vec<Threshold>,
    #[command(flatten)]
    pub(crate) sending: SendingFlags,
    /// Accept any certificate
    #[arg(long, conflicts_with = "ca_cert")]
    pub(crate) skip_ssl_validation: bool,
    /// PEM file of the authority to trust
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How requests are sent, by `load` and `rehearse`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SendingFlags {
    /// Share of requests on a connection of their own [default: 0%; 50% in a rehearsal]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) connections_new: Option<f64>,
    /// Threads that send
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Requests on their way at once; more wait for a second and are then dropped
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    /// Time for an answer
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Connect here, whatever the URL's host resolves to
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) connect_to: Option<SocketAddr>,
    /// Load machines beyond this one: only those that you may load
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpacingFlag {
    Poisson,
    Even,
}

impl From<SpacingFlag> for Spacing {
    fn from(flag: SpacingFlag) -> Self {
        match flag {
            SpacingFlag::Poisson => Self::Poisson,
            SpacingFlag::Even => Self::Even,
        }
    }
}

/// `500ms`, `30s`, `5m`, `1h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write 500ms, 30s or 5m");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds: f64 = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let longest = TIME_MAX.as_secs_f64();
    let time = number * seconds;
    if !time.is_finite() || time <= 0.0 || time > longest {
        return Err(format!("`{text}` is not between 0 and 24h"));
    }
    Ok(Duration::from_secs_f64(time))
}

/// `50%` or `0.5`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (digits, of) = match text.strip_suffix('%') {
        Some(digits) => (digits, 100.0),
        None => (text, 1.0),
    };
    let share = digits.trim().parse::<f64>().ok().map(|number| number / of);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("`{text}` is no share: write 50%"))
}

fn header(text: &str) -> Result<(HeaderName, String), String> {
    let wrong = || format!("`{text}` is no header: write 'Name: value'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let value = value.trim();
    http::HeaderValue::try_from(value).map_err(|_| wrong())?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    Ok((name, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_read_with_their_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                time(text).map(|time| time.as_millis()),
                Ok(millis),
                "{text}"
            );
        }
        for text in ["", "5", "s", "-1s", "0s", "25h", "1d", "infs", "nans"] {
            assert!(time(text).is_err(), "{text}");
        }
        for (text, value) in [("50%", 0.5), ("0", 0.0), ("1", 1.0), ("0.25", 0.25)] {
            assert_eq!(share(text), Ok(value), "{text}");
        }
        for text in ["", "101%", "-1%", "50", "half"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
