//! What a policy would have done with recorded metrics.
//!
//! The recorded app had its own number of instances, the policy may want another. Then the load is
//! spread anew: what follows the load (CPU, throughput, requests in flight) is multiplied by
//! recorded / played instances; everything else is taken as it was. Instance j plays recorded
//! instance j modulo their number, so skew stays.

use crate::ast::{Latency, Metric};
use crate::policy::Policy;
use crate::stage::Stage;
use crate::timeline::Timeline;
use crate::units::{Milli, Second, milli_from_text};

/// Most recorded values, which take 16 bytes each while a backtest runs.
pub const VALUES_MAX: usize = 20_000_000;
/// Most instances that a recording may have.
const RECORDED_INSTANCES_MAX: u32 = crate::window::INSTANCES_MAX;
/// Mebibyte, in bytes.
const MIB: i64 = 1 << 20;

/// Metrics of the past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// Seconds between two samples.
    pub step_s: u32,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub index: u32,
    pub metric: Metric,
    /// Rising in time.
    pub points: Vec<(Second, Milli)>,
}

/// The text is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    #[error(
        "line {0}: write `time,instance,metric,value` with Unix seconds, such as 1795809600,0,cpu_entitlement,93.5"
    )]
    Line(usize),
    #[error("a recording has {VALUES_MAX} values at most")]
    TooMany,
    #[error("the recording is empty")]
    Empty,
}

impl Recording {
    /// Lines `time,instance,metric,value`, with the series' names of log-cache. A first line of
    /// words is skipped, and so are metrics that no rule can look at.
    pub fn from_csv(text: &str) -> Result<Self, RecordingError> {
        let mut recording = Self {
            step_s: 60,
            series: Vec::new(),
        };
        let mut count = 0_usize;
        for (at, line) in text.lines().enumerate() {
            let begins_with_digit = line.starts_with(|c: char| c.is_ascii_digit());
            if line.trim().is_empty() || (at == 0 && !begins_with_digit) {
                continue;
            }
            let (time, index, name, value) = row(line).ok_or(RecordingError::Line(at + 1))?;
            count += 1;
            if count > VALUES_MAX {
                return Err(RecordingError::TooMany);
            }
            if let Some((metric, value)) = measured(name, value) {
                recording.add(index, metric, time, value);
            }
        }
        if recording.series.is_empty() {
            return Err(RecordingError::Empty);
        }
        for series in &mut recording.series {
            series.points.sort_unstable_by_key(|(at, _)| *at);
        }
        recording.step_s = recording.smallest_step();
        Ok(recording)
    }

    fn add(&mut self, index: u32, metric: Metric, at: Second, value: Milli) {
        // Recordings list one series after the other, or one instant after the other.
        let known = self.series.iter_mut().rev();
        match known
            .into_iter()
            .find(|one| one.index == index && one.metric == metric)
        {
            Some(series) => series.points.push((at, value)),
            None => self.series.push(Series {
                index,
                metric,
                points: vec![(at, value)],
            }),
        }
    }

    fn smallest_step(&self) -> u32 {
        let pairs = self
            .series
            .iter()
            .flat_map(|series| series.points.windows(2));
        let steps = pairs
            .map(|pair| pair[1].0 - pair[0].0)
            .filter(|step| *step > 0);
        steps
            .min()
            .and_then(|step| u32::try_from(step).ok())
            .unwrap_or(1)
    }
}

fn row(line: &str) -> Option<(Second, u32, &str, &str)> {
    let mut fields = line.split(',').map(str::trim);
    let row = (
        fields.next()?.parse().ok()?,
        fields
            .next()?
            .parse()
            .ok()
            .filter(|index| *index < RECORDED_INSTANCES_MAX)?,
        fields.next()?,
        fields.next()?,
    );
    fields.next().is_none().then_some(row)
}

/// The metric of a series of log-cache, and its value in the metric's unit.
fn measured(name: &str, value: &str) -> Option<(Metric, Milli)> {
    let metric = Metric::of_series(name)?;
    let value = match metric {
        // Bytes, counted in whole ones so that large memories fit.
        Metric::MemoryUsed | Metric::DiskUsed => milli_from_text(value)? / MIB,
        _ => milli_from_text(value)?,
    };
    Some((metric, value))
}

impl Metric {
    /// The metric that a series of log-cache holds. `memory_percent` and `disk_percent` are
    /// used / quota, which no series holds by itself.
    #[must_use]
    pub fn of_series(name: &str) -> Option<Self> {
        Some(match name {
            "cpu_entitlement" => Self::Cpu,
            "cpu" => Self::CoreCpu,
            "memory" => Self::MemoryUsed,
            "memory_percent" => Self::Memory,
            "disk" => Self::DiskUsed,
            "disk_percent" => Self::Disk,
            "http_requests" => Self::Throughput,
            "http_in_flight" => Self::InFlight,
            "http_latency_p50" => Self::ResponseTime(Latency::P50),
            "http_latency_p90" => Self::ResponseTime(Latency::P90),
            "http_latency_p95" => Self::ResponseTime(Latency::P95),
            "http_latency_p99" => Self::ResponseTime(Latency::P99),
            "memory_quota" | "disk_quota" | "pids" | "container_age" | "http_errors" => {
                return None;
            }
            // A counter since the start, while rules look at the crashes of the last minute.
            "crashes" => return None,
            other => Self::Custom(other.to_owned()),
        })
    }

    fn follows_load(&self) -> bool {
        matches!(
            self,
            Self::Cpu | Self::CoreCpu | Self::Throughput | Self::InFlight
        )
    }
}

/// Play the recording. Instances that the policy adds run after `start_delay_s`.
#[must_use]
pub fn backtest(policy: &Policy, recording: &Recording, start_delay_s: u32) -> Timeline {
    let step_s = recording.step_s.max(1);
    let ends = |series: &Series| Some((series.points.first()?.0, series.points.last()?.0));
    let spans: Vec<_> = recording.series.iter().filter_map(ends).collect();
    let begin = spans.iter().map(|(first, _)| *first).min().unwrap_or(0);
    let end = spans.iter().map(|(_, last)| *last).max().unwrap_or(0);
    let mut players = Players::new(policy, recording);
    let mut stage = None;
    let mut now = begin;
    while now <= end && !spans.is_empty() {
        players.advance(now);
        // The play begins with as many instances as the recording does.
        let stage = stage.get_or_insert_with(|| {
            Stage::new(policy, step_s, players.recorded(), start_delay_s, begin)
        });
        stage.enter(now);
        let running = stage.running();
        players.play(stage, now, running);
        stage.tick(now, players.load(), 0);
        now += Second::from(step_s);
    }
    let (points, acts) = stage.map_or_else(Default::default, |stage| (stage.points, stage.acts));
    Timeline {
        step_s,
        load_unit: players.load_unit(),
        points,
        acts,
        notes: players.notes(),
    }
}

/// The recorded values at one moment, metric by metric.
struct Players<'a> {
    parts: Vec<Part<'a>>,
    metrics: Vec<Metric>,
}

struct Part<'a> {
    metric: &'a Metric,
    /// Each recorded series, and how far it has been read.
    series: Vec<(&'a [(Second, Milli)], usize)>,
    now: Vec<Milli>,
}

impl<'a> Players<'a> {
    fn new(policy: &Policy, recording: &'a Recording) -> Self {
        let mut metrics: Vec<Metric> = policy.needs().iter().map(|n| n.metric.clone()).collect();
        metrics.sort_unstable();
        metrics.dedup();
        let mut parts: Vec<Part<'a>> = Vec::new();
        for series in &recording.series {
            let points = (series.points.as_slice(), 0);
            match parts.iter_mut().find(|part| *part.metric == series.metric) {
                Some(part) => part.series.push(points),
                None => parts.push(Part {
                    metric: &series.metric,
                    series: vec![points],
                    now: Vec::new(),
                }),
            }
        }
        // What follows the load comes first: it is shown as the load.
        parts.sort_by_key(|part| {
            (
                *part.metric != Metric::Throughput,
                !part.metric.follows_load(),
            )
        });
        Self { parts, metrics }
    }

    /// Read on: of each series the newest value since the last moment.
    fn advance(&mut self, now: Second) {
        for part in &mut self.parts {
            part.now.clear();
            for (points, read) in &mut part.series {
                let mut newest = None;
                while let Some((_, value)) = points.get(*read).filter(|(at, _)| *at <= now) {
                    newest = Some(*value);
                    *read += 1;
                }
                part.now.extend(newest);
            }
        }
    }

    /// Instances that were recorded at this moment.
    fn recorded(&self) -> u32 {
        let most = self.parts.iter().map(|part| part.now.len()).max();
        u32::try_from(most.unwrap_or(0).max(1)).unwrap_or(u32::MAX)
    }

    fn play(&self, stage: &mut Stage<'_>, at: Second, running: u32) {
        for part in self
            .parts
            .iter()
            .filter(|part| self.metrics.contains(part.metric))
        {
            let recorded = i64::try_from(part.now.len()).unwrap_or(i64::MAX);
            for (index, value) in (0..running).zip(part.now.iter().cycle()) {
                let played = if part.metric.follows_load() {
                    let all = i128::from(*value) * i128::from(recorded);
                    Milli::try_from(all / i128::from(running.max(1))).unwrap_or(Milli::MAX)
                } else {
                    *value
                };
                stage.feed(index, part.metric, at, played);
            }
        }
    }

    /// The whole app's throughput, or whatever else was recorded first.
    fn load(&self) -> Milli {
        let first = self.parts.first();
        first.map_or(0, |part| {
            part.now.iter().fold(0, |sum, v| sum.saturating_add(*v))
        })
    }

    fn load_unit(&self) -> String {
        match self.parts.first().map(|part| part.metric) {
            Some(Metric::Throughput) => "requests/s".to_owned(),
            Some(metric) => format!("{metric} {}, all instances", metric.unit()),
            None => String::new(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let recorded = |metric: &&Metric| self.parts.iter().any(|part| part.metric == *metric);
        let missing = self.metrics.iter().filter(|metric| !recorded(metric));
        missing
            .map(|metric| format!("{metric} was not recorded: rules about it see no data"))
            .collect()
    }
}
