//! What a policy says, as plain data: rules, limits and schedules. Everything that can be written
//! in the language has one value here and one canonical text (`print`).

use jiff::civil::{Date, DateTime, Time};

use crate::units::{Milli, Second};

/// Statements of one app, not yet checked. `check::check` makes a [`crate::Policy`] of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub rules: Vec<Rule>,
    /// `between 10 and 300 instances` on a line of its own.
    pub limits: Option<Range>,
    pub schedules: Vec<Schedule>,
    /// The cool-down of the rule that acted holds back both directions, as in app-autoscaler.
    pub shared_cool_down: bool,
}

/// `scale 40% if CPU >90% for 1h` and what may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub direction: Direction,
    pub amount: Amount,
    pub condition: Condition,
    /// The rule never takes the app out of this range.
    pub between: Option<Range>,
    /// Least change of one act. A rule that holds moves by at least one.
    pub min_step: u32,
    pub max_step: Option<u32>,
    /// The rule may act when this has passed since the last act.
    pub cool_down_s: u32,
    /// A new instance is evidence only after this long.
    pub warm_up_s: u32,
    /// Of the resulting count.
    pub round: Round,
    pub on_missing: OnMissing,
    /// What happens to the evidence when the number of instances changes.
    pub after_scale: Evidence,
    /// What happens when one instance starts again.
    pub after_restart: Evidence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Out,
    In,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// `40%` of the present count.
    Percent(u32),
    /// `by 5`.
    By(u32),
    /// `to 120`.
    To(u32),
}

/// Rounding of the count that results. The default is up for out and down for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    Up,
    /// Half up, as app-autoscaler does.
    Half,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// Do nothing while data is missing, and say so.
    Hold,
    /// Missing data counts as if the comparison held.
    AssumeBreach,
    /// Missing data counts as if the comparison did not hold.
    AssumeOk,
    /// Grow to this many instances. A fallback never shrinks an app.
    Fallback(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    Restart,
    Carry,
}

/// At least `min` and at most `max` instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    pub min: u32,
    pub max: u32,
}

/// A tree of comparisons. `And` and `Or` have at least two parts, and none of their own kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Is(Comparison),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

/// `all of CPU >90% for 1h every 10s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub over: Over,
    pub metric: Metric,
    pub op: Op,
    pub threshold: Milli,
    pub for_s: u32,
    /// Width of a bucket, where the author wants another than [`crate::window::width_s`].
    pub every_s: Option<u32>,
}

/// Which instances must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// Every eligible instance, in every bucket.
    All,
    /// One instance that holds in every bucket.
    Any,
    /// In every bucket, the mean of the instances.
    Avg,
    Min,
    Max,
    /// In every bucket, this percentile of the instances (nearest rank).
    Percentile(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// What is measured on one instance, and in which unit [`Milli`] counts it.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Percent of the CPU entitlement.
    Cpu,
    /// Percent of one core: app-autoscaler's `cpu`.
    CoreCpu,
    /// Percent of the memory quota.
    Memory,
    /// Mebibytes, which Cloud Foundry writes MB.
    MemoryUsed,
    /// Percent of the disk quota.
    Disk,
    /// Mebibytes.
    DiskUsed,
    /// Requests finished per second.
    Throughput,
    /// Milliseconds; the percentile of the requests of one second. A second without requests is 0,
    /// and counts only where a whole bucket has no request: idle is known, it is no hole.
    ResponseTime(Latency),
    /// Requests in flight.
    InFlight,
    /// Crashes of this index in the last minute.
    Crashes,
    /// A gauge that the app sends itself. It stands until the next one, for a minute at most.
    Custom(String),
}

/// The percentiles of response time that the platform keeps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    P50,
    P90,
    P95,
    P99,
}

/// When which limits apply instead of the policy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub when: When,
    /// A name of the IANA time zone database.
    pub zone: String,
    pub keep: Range,
    /// When the schedule begins, grow to this many once.
    pub starting_at: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// `from 2026-11-27 19:55 to 2026-11-27 22:00`.
    Once { start: DateTime, end: DateTime },
    /// `every Mon-Fri 9:00-18:00`. An end that is not after the start is on the next day.
    Every {
        days: Days,
        start: Time,
        end: Time,
        first: Option<Date>,
        last: Option<Date>,
    },
}

/// Days on which a schedule begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    /// Bit 0 is Monday.
    Week(u8),
    /// Bit 1 is the first.
    Month(u32),
}

impl Days {
    pub const EVERY_DAY: Self = Self::Week(0b111_1111);
}

impl Op {
    #[must_use]
    pub fn holds(self, value: Milli, threshold: Milli) -> bool {
        self.holds_for(value, threshold)
    }

    pub(crate) fn holds_for<T: Ord>(self, value: T, threshold: T) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }

    /// Whether more of the metric makes the comparison hold.
    #[must_use]
    pub fn looks_up(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

impl Metric {
    /// Whether n instances with this value would have value × n / k with k: what the projection
    /// test of shrinking assumes.
    #[must_use]
    pub fn spreads(&self) -> bool {
        match self {
            Self::Cpu | Self::CoreCpu | Self::Throughput | Self::InFlight => true,
            Self::ResponseTime(_) | Self::Custom(_) => true,
            Self::Memory | Self::MemoryUsed | Self::Disk | Self::DiskUsed | Self::Crashes => false,
        }
    }

    /// How long a sample stands when no newer one comes, in seconds.
    #[must_use]
    pub fn stands_s(&self) -> u32 {
        match self {
            // Apps are advised to send every 40 s.
            Self::Custom(_) => 60,
            _ => 1,
        }
    }

    /// Whether 0 says that there was nothing to measure.
    #[must_use]
    pub fn zero_is_idle(&self) -> bool {
        matches!(self, Self::ResponseTime(_))
    }

    /// Whether what was seen belongs to the index rather than to one start of it.
    #[must_use]
    pub fn survives_restart(&self) -> bool {
        *self == Self::Crashes
    }
}

impl Condition {
    /// The comparisons, left to right.
    pub fn comparisons(&self) -> Box<dyn Iterator<Item = &Comparison> + '_> {
        match self {
            Self::Is(comparison) => Box::new(std::iter::once(comparison)),
            Self::And(parts) | Self::Or(parts) => {
                Box::new(parts.iter().flat_map(Self::comparisons))
            }
        }
    }

    /// All of them, flat.
    #[must_use]
    pub fn and(parts: Vec<Self>) -> Self {
        Self::flat(parts, Self::And, |part| match part {
            Self::And(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// One of them, flat.
    #[must_use]
    pub fn or(parts: Vec<Self>) -> Self {
        Self::flat(parts, Self::Or, |part| match part {
            Self::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn flat(
        parts: Vec<Self>,
        join: fn(Vec<Self>) -> Self,
        open: fn(Self) -> Result<Vec<Self>, Self>,
    ) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match open(part) {
                Ok(inner) => flat.extend(inner),
                Err(other) => flat.push(other),
            }
        }
        match flat.len() {
            1 => flat.swap_remove(0),
            _ => join(flat),
        }
    }
}

impl Range {
    #[must_use]
    pub fn clamp(self, count: u32) -> u32 {
        count.min(self.max).max(self.min)
    }
}

impl Rule {
    /// A rule with the defaults of the language.
    #[must_use]
    pub fn new(direction: Direction, amount: Amount, condition: Condition) -> Self {
        Self {
            direction,
            amount,
            condition,
            between: None,
            min_step: 1,
            max_step: None,
            cool_down_s: defaults::COOL_DOWN_S,
            warm_up_s: defaults::WARM_UP_S,
            round: Round::of(direction),
            on_missing: OnMissing::Hold,
            after_scale: Evidence::Restart,
            after_restart: Evidence::Restart,
        }
    }
}

impl Round {
    #[must_use]
    pub fn of(direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::Up,
            Direction::In => Self::Down,
        }
    }
}

/// What holds where a rule says nothing.
pub mod defaults {
    use super::{Latency, Range, Second};

    /// Five minutes, as in app-autoscaler.
    pub const COOL_DOWN_S: u32 = 300;
    /// Caches and just-in-time compilers make the first half minute untypical.
    pub const WARM_UP_S: u32 = 30;
    /// Two minutes, as in app-autoscaler.
    pub const FOR_S: u32 = 120;
    /// `response time` without a percentile.
    pub const LATENCY: Latency = Latency::P95;
    /// Where nothing says `between`: the organisation's quota usually ends growth sooner.
    pub const LIMITS: Range = Range { min: 1, max: 1_000 };
    /// Zone of a schedule that names none.
    pub const ZONE: &str = "UTC";
    /// How late samples may come before their absence is a hole.
    pub const LAG_MAX_S: Second = 3;
}
