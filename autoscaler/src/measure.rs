//! From series of the platform to the metrics that rules speak of: which names to ask for, and what
//! a rule's metric is made of.

use std::collections::BTreeSet;

use cfx_rules::ast::{Latency, Metric};
use cfx_rules::units::{Milli, ONE, Second};

/// Bytes of a mebibyte.
const MIB: i128 = 1024 * 1024;
const PERCENT: i128 = 100;
const REQUESTS: &str = "http_requests";
/// Over how many seconds crashes are counted.
const CRASHES_OVER_S: Second = 60;

/// Samples of one thing: second and value.
pub(crate) type Points = Vec<(Second, Milli)>;

/// How a metric comes out of series of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// The series as it is.
    Plain(&'static str),
    /// The first in percent of the second.
    Share(&'static str, &'static str),
    /// A series of bytes in mebibytes.
    Mebibytes(&'static str),
    /// How much a counter grew in the last minute.
    Growth(&'static str),
    /// A series that exists in seconds with requests only; in a second without any it is 0.
    Latency(&'static str),
    /// The app sends it to the autoscaler itself.
    OfTheApp,
}

pub(crate) fn recipe(metric: &Metric) -> Recipe {
    match metric {
        Metric::Cpu => Recipe::Plain("cpu_entitlement"),
        Metric::CoreCpu => Recipe::Plain("cpu"),
        Metric::Memory => Recipe::Share("memory", "memory_quota"),
        Metric::MemoryUsed => Recipe::Mebibytes("memory"),
        Metric::Disk => Recipe::Share("disk", "disk_quota"),
        Metric::DiskUsed => Recipe::Mebibytes("disk"),
        Metric::Throughput => Recipe::Plain(REQUESTS),
        Metric::ResponseTime(Latency::P50) => Recipe::Latency("http_latency_p50"),
        Metric::ResponseTime(Latency::P90) => Recipe::Latency("http_latency_p90"),
        Metric::ResponseTime(Latency::P95) => Recipe::Latency("http_latency_p95"),
        Metric::ResponseTime(Latency::P99) => Recipe::Latency("http_latency_p99"),
        Metric::InFlight => Recipe::Plain("http_in_flight"),
        Metric::Crashes => Recipe::Growth("crashes"),
        Metric::Custom(_) => Recipe::OfTheApp,
    }
}

impl Recipe {
    /// The series to ask for.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let (first, second) = match self {
            Self::Plain(name) | Self::Mebibytes(name) | Self::Growth(name) => (Some(name), None),
            Self::Share(part, whole) => (Some(part), Some(whole)),
            Self::Latency(name) => (Some(name), Some(REQUESTS)),
            Self::OfTheApp => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// Seconds before the first wanted sample that it needs beside.
    pub(crate) fn looks_back_s(self) -> Second {
        match self {
            Self::Growth(_) => CRASHES_OVER_S,
            _ => 0,
        }
    }

    /// The metric's samples of one instance, after the second `after`, from all its series.
    pub(crate) fn samples<'a>(
        self,
        series: impl Fn(&str) -> Option<&'a [(Second, Milli)]>,
        after: Second,
    ) -> Vec<(Second, Milli)> {
        let of = |name: &str| series(name).unwrap_or_default();
        let all: Vec<_> = match self {
            Self::Plain(name) => of(name).to_vec(),
            Self::Mebibytes(name) => of(name)
                .iter()
                .map(|(at, bytes)| (*at, narrow(i128::from(*bytes) / MIB)))
                .collect(),
            Self::Share(part, whole) => shares(of(part), of(whole)),
            Self::Growth(name) => growth(of(name)),
            Self::Latency(name) => with_idle(of(name), of(REQUESTS)),
            Self::OfTheApp => Vec::new(),
        };
        all.into_iter().filter(|(at, _)| *at > after).collect()
    }
}

/// The names of all series that these metrics are made of.
pub(crate) fn names<'a>(metrics: impl Iterator<Item = &'a Metric>) -> BTreeSet<String> {
    let names = metrics.flat_map(|metric| recipe(metric).names());
    names.map(str::to_owned).collect()
}

fn shares(part: &[(Second, Milli)], whole: &[(Second, Milli)]) -> Vec<(Second, Milli)> {
    let share = |(at, part): &(Second, Milli)| {
        let found = whole.binary_search_by_key(at, |(at, _)| *at).ok()?;
        let whole = i128::from(whole[found].1);
        let share = (i128::from(*part) * PERCENT * i128::from(ONE)).checked_div(whole)?;
        Some((*at, narrow(share)))
    };
    part.iter().filter_map(share).collect()
}

/// The latencies, and 0 for each second that is known to have had no request.
fn with_idle(latencies: &[(Second, Milli)], requests: &[(Second, Milli)]) -> Points {
    let idle = requests.iter().filter(|(_, count)| *count == 0);
    let mut all: Points = latencies.iter().chain(idle).copied().collect();
    all.sort_unstable_by_key(|(at, _)| *at);
    all
}

/// A counter that began anew grew by what it shows.
fn growth(counter: &[(Second, Milli)]) -> Vec<(Second, Milli)> {
    let grown = |(at, value): &(Second, Milli)| {
        let from = counter.partition_point(|(earlier, _)| *earlier < *at - CRASHES_OVER_S);
        let before = counter.get(from).map_or(*value, |(_, before)| *before);
        (
            *at,
            if *value >= before {
                *value - before
            } else {
                *value
            },
        )
    };
    counter.iter().map(grown).collect()
}

fn narrow(value: i128) -> Milli {
    Milli::try_from(value).unwrap_or(Milli::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: Milli = 1024 * 1024 * 1024 * ONE;

    #[test]
    fn memory_is_a_share_of_its_quota_at_the_same_second() {
        let memory: &[_] = &[(10, GIB / 2), (11, GIB / 4), (12, GIB)];
        let quota: &[_] = &[(10, GIB), (12, GIB)];
        let series = |name: &str| match name {
            "memory" => Some(memory),
            "memory_quota" => Some(quota),
            _ => None,
        };
        let samples = recipe(&Metric::Memory).samples(series, 9);
        assert_eq!(
            samples,
            [(10, 50_000), (12, 100_000)],
            "a hole stays a hole"
        );
        let used = recipe(&Metric::MemoryUsed).samples(series, 10);
        assert_eq!(used, [(11, 256_000), (12, 1_024_000)]);
    }

    #[test]
    fn a_quota_of_nothing_is_no_evidence() {
        let points: &[_] = &[(10, 0)];
        let samples = recipe(&Metric::Disk).samples(|_| Some(points), 0);
        assert_eq!(samples, []);
    }

    #[test]
    fn a_second_without_requests_is_an_answer_and_one_that_nobody_knows_is_none() {
        let latency: &[_] = &[(10, 40_000), (13, 60_000)];
        let requests: &[_] = &[(10, 2_000), (11, 0), (13, 1_000)];
        let series = |name: &str| match name {
            "http_latency_p99" => Some(latency),
            "http_requests" => Some(requests),
            _ => None,
        };
        let samples = recipe(&Metric::ResponseTime(Latency::P99)).samples(series, 9);
        assert_eq!(samples, [(10, 40_000), (11, 0), (13, 60_000)]);
    }

    #[test]
    fn crashes_are_counted_over_the_last_minute() {
        let counter: &[_] = &[(0, 2_000), (50, 3_000), (61, 5_000), (62, 1_000)];
        let samples = recipe(&Metric::Crashes).samples(|_| Some(counter), 0);
        assert_eq!(samples, [(50, 1_000), (61, 2_000), (62, 1_000)]);
    }
}
