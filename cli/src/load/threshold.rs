//! What must not happen: `p99 > 200ms`, `errors > 0.1%`, `storm: lost > 0`.
//!
//! Pure: one grammar for flags and profile files.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::summary::Numbers;

/// Longest text of one, characters.
const TEXT_MAX: usize = 120;
const METRICS: &str = "p50 p90 p95 p99 p99.9 p99.99 mean max errors lost dropped late count rate";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    P50,
    P90,
    P95,
    P99,
    P999,
    P9999,
    Mean,
    Max,
    Errors,
    Lost,
    Dropped,
    Late,
    Count,
    Rate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    Milliseconds(f64),
    /// 0 to 1.
    Share(f64),
    Count(f64),
}

/// One line that a run must not cross.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    /// The phase it looks at; the whole run when there is none.
    pub(crate) phase: Option<String>,
    metric: Metric,
    comparison: Comparison,
    limit: Limit,
}

/// What became of a threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Judged {
    pub(crate) threshold: String,
    /// What had to hold, in words: `p99 at most 200ms`.
    pub(crate) promise: String,
    pub(crate) value: String,
    pub(crate) is_crossed: bool,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.chars().count() > TEXT_MAX {
            return Err(format!("a threshold has at most {TEXT_MAX} characters"));
        }
        let (phase, rest) = match text.split_once(':') {
            Some((phase, rest)) => (Some(phase.trim().to_owned()), rest),
            None => (None, text),
        };
        if phase.as_ref().is_some_and(String::is_empty) {
            return Err(format!("`{text}` names no phase before the colon"));
        }
        let (name, comparison, limit) =
            split(rest).ok_or_else(|| format!("`{text}` does not compare: write `p99 > 200ms`"))?;
        let metric = metric(name)
            .ok_or_else(|| format!("`{name}` is not measured; there are: {METRICS}"))?;
        Ok(Self {
            phase,
            metric,
            comparison,
            limit: metric.limit(limit)?,
        })
    }
}

/// The two sides and what stands between them.
fn split(text: &str) -> Option<(&str, Comparison, &str)> {
    let signs = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::Above),
        ("<", Comparison::Below),
    ];
    let (sign, comparison) = signs.into_iter().find(|(sign, _)| text.contains(sign))?;
    let (left, right) = text.split_once(sign)?;
    Some((left.trim(), comparison, right.trim()))
}

fn metric(name: &str) -> Option<Metric> {
    Some(match name {
        "p50" | "median" => Metric::P50,
        "p90" => Metric::P90,
        "p95" => Metric::P95,
        "p99" => Metric::P99,
        "p99.9" | "p999" => Metric::P999,
        "p99.99" | "p9999" => Metric::P9999,
        "mean" => Metric::Mean,
        "max" => Metric::Max,
        "errors" => Metric::Errors,
        "lost" => Metric::Lost,
        "dropped" => Metric::Dropped,
        "late" => Metric::Late,
        "count" => Metric::Count,
        "rate" => Metric::Rate,
        _ => return None,
    })
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::P9999 => "p99.99",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Errors => "errors",
            Self::Lost => "lost",
            Self::Dropped => "dropped",
            Self::Late => "late",
            Self::Count => "count",
            Self::Rate => "rate",
        }
    }

    fn is_time(self) -> bool {
        !matches!(
            self,
            Self::Errors | Self::Lost | Self::Dropped | Self::Late | Self::Count | Self::Rate
        )
    }

    fn limit(self, text: &str) -> Result<Limit, String> {
        if self.is_time() {
            let wrong = || format!("`{text}` is not a time: write 200ms or 1.5s");
            return milliseconds(text)
                .map(Limit::Milliseconds)
                .ok_or_else(wrong);
        }
        let wrong = || format!("`{text}` is not an amount for {}", self.name());
        if let Some(percent) = text.strip_suffix('%') {
            let is_share = !matches!(self, Self::Count | Self::Rate);
            let percent = number(percent).filter(|_| is_share).ok_or_else(wrong)?;
            return Ok(Limit::Share(percent / 100.0));
        }
        let text = match self {
            Self::Rate => text.strip_suffix("/s").unwrap_or(text),
            _ => text,
        };
        number(text).map(Limit::Count).ok_or_else(wrong)
    }

    /// The measured value, in the limit's own unit.
    fn value(self, numbers: &Numbers, limit: Limit) -> f64 {
        let latency = &numbers.latency_ms;
        let count = match self {
            Self::P50 => return latency.p50,
            Self::P90 => return latency.p90,
            Self::P95 => return latency.p95,
            Self::P99 => return latency.p99,
            Self::P999 => return latency.p999,
            Self::P9999 => return latency.p9999,
            Self::Mean => return latency.mean,
            Self::Max => return latency.max,
            Self::Rate => return numbers.rate,
            Self::Count => numbers.answered,
            Self::Errors => numbers.failed,
            Self::Lost => numbers.lost,
            Self::Dropped => numbers.dropped,
            Self::Late => numbers.late,
        };
        match limit {
            Limit::Share(_) => super::summary::share(count, numbers.intended),
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            _ => count as f64,
        }
    }
}

/// `200ms`, `1.5s`, `300us`.
fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("ms", 1.0), ("us", 0.001), ("µs", 0.001), ("s", 1_000.0)] {
        if let Some(digits) = text.strip_suffix(unit) {
            return number(digits).map(|value| value * factor);
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value)
}

impl Threshold {
    /// Hold it against the numbers of its phase, or of the whole run.
    pub(crate) fn judge(&self, numbers: &Numbers) -> Judged {
        let value = self.metric.value(numbers, self.limit);
        let (Limit::Milliseconds(limit) | Limit::Share(limit) | Limit::Count(limit)) = self.limit;
        let is_crossed = match self.comparison {
            Comparison::Above => value > limit,
            Comparison::AtLeast => value >= limit,
            Comparison::Below => value < limit,
            Comparison::AtMost => value <= limit,
        };
        Judged {
            threshold: self.to_string(),
            promise: self.promise(),
            value: shown(self.limit, value),
            is_crossed,
        }
    }
}

impl Threshold {
    fn promise(&self) -> String {
        let words = match self.comparison {
            Comparison::Above => "at most",
            Comparison::AtLeast => "below",
            Comparison::Below => "at least",
            Comparison::AtMost => "above",
        };
        let phase = self.phase.as_ref().map(|phase| format!(" in {phase}"));
        let name = self.metric.name();
        format!(
            "{name} {words} {}{}",
            self.limit_text(),
            phase.unwrap_or_default()
        )
    }

    fn limit_text(&self) -> String {
        let (Limit::Milliseconds(limit) | Limit::Share(limit) | Limit::Count(limit)) = self.limit;
        shown(self.limit, limit)
    }
}

fn shown(unit: Limit, value: f64) -> String {
    match unit {
        Limit::Milliseconds(_) => format!("{}ms", trimmed(value)),
        Limit::Share(_) => format!("{}%", trimmed(value * 100.0)),
        Limit::Count(_) => trimmed(value),
    }
}

/// At most three decimals, and none that say nothing.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(phase) = &self.phase {
            write!(f, "{phase}: ")?;
        }
        let sign = match self.comparison {
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
        };
        write!(f, "{} {sign} {}", self.metric.name(), self.limit_text())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> Numbers {
        let mut numbers = Numbers {
            intended: 1_000,
            answered: 990,
            failed: 20,
            lost: 10,
            rate: 99.0,
            ..Numbers::default()
        };
        numbers.latency_ms.p99 = 150.0;
        numbers.latency_ms.max = 2_000.0;
        numbers
    }

    #[test]
    fn what_crosses_a_threshold_and_what_does_not() {
        for (text, is_crossed) in [
            ("p99 > 200ms", false),
            ("p99 > 149.9ms", true),
            ("p99>0.1s", true),
            ("max >= 2s", true),
            ("max > 2s", false),
            ("errors > 2%", false),
            ("errors >= 2%", true),
            ("errors > 19", true),
            ("lost > 0", true),
            ("dropped > 0", false),
            ("rate < 100/s", true),
            ("rate < 99", false),
            ("count <= 990", true),
            ("storm: p99 > 1us", true),
        ] {
            let threshold: Threshold = text.parse().expect(text);
            assert_eq!(threshold.judge(&numbers()).is_crossed, is_crossed, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_can() {
        for (text, hint) in [
            ("", "p99 > 200ms"),
            ("p99", "p99 > 200ms"),
            ("p98 > 1ms", "p99.9"),
            ("p99 > 200", "200ms"),
            ("p99 > -1ms", "200ms"),
            ("errors > many", "amount"),
            ("rate > 5%", "amount"),
            (": p99 > 1ms", "phase"),
            ("p99 > infs", "200ms"),
        ] {
            let error = text.parse::<Threshold>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    proptest! {
        /// What is printed means the same when it is read again.
        #[test]
        fn printing_and_reading_agree(
            metric in 0..14_usize, sign in 0..4_usize, thousandths in 0..10_000_000_u64, is_share in any::<bool>(),
        ) {
            let name = METRICS.split(' ').nth(metric).expect("one of them");
            let sign = [">", ">=", "<", "<="][sign];
            let value = trimmed(thousandths as f64 / 1_000.0);
            let can_share = matches!(name, "errors" | "lost" | "dropped" | "late");
            let unit = match name {
                name if name.starts_with('p') || matches!(name, "mean" | "max") => "ms",
                _ if can_share && is_share => "%",
                _ => "",
            };
            let text = format!("{name} {sign} {value}{unit}");
            let threshold: Threshold = text.parse().expect("valid");
            prop_assert_eq!(threshold.to_string(), text);
            prop_assert_eq!(threshold.to_string().parse::<Threshold>(), Ok(threshold));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            if let Ok(threshold) = text.parse::<Threshold>() {
                prop_assert!(!threshold.to_string().is_empty());
            }
        }
    }
}
