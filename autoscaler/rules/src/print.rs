//! The canonical text of everything that can be written. Reading it back gives the same value.

use std::fmt::{self, Display, Formatter, Write};

use jiff::civil::Time;

use crate::ast::{
    Amount, Comparison, Condition, Days, Direction, Document, Evidence, Latency, Metric, OnMissing,
    Op, Over, Range, Round, Rule, Schedule, When, defaults,
};
use crate::grammar;
use crate::units::{duration_text, milli_text};

impl Display for Document {
    /// One statement a line, without a last line end.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        lines.extend(self.limits.map(|limits| limits.to_string()));
        if self.shared_cool_down {
            lines.push(grammar::SHARED_COOL_DOWN.to_owned());
        }
        lines.extend(self.schedules.iter().map(ToString::to_string));
        f.write_str(&lines.join("\n"))
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("scale ")?;
        if self.direction == Direction::In {
            f.write_str("in ")?;
        }
        write!(f, "{} if {}", self.amount, self.condition)?;
        if let Some(range) = self.between {
            write!(f, " {range}")?;
        }
        match (self.min_step, self.max_step) {
            (1, None) => {}
            (least, None) => write!(f, " at least {least} each time")?,
            (1, Some(most)) => write!(f, " at most {most} each time")?,
            (least, Some(most)) => {
                write!(f, " at least {least} each time at most {most} each time")?;
            }
        }
        if self.cool_down_s != defaults::COOL_DOWN_S {
            write!(f, " cool down {}", duration_text(self.cool_down_s))?;
        }
        if self.warm_up_s != defaults::WARM_UP_S {
            write!(f, " warm up {}", duration_text(self.warm_up_s))?;
        }
        if self.round != Round::of(self.direction) {
            write!(f, " round {}", self.round)?;
        }
        match self.on_missing {
            OnMissing::Hold => {}
            OnMissing::AssumeBreach => f.write_str(" on missing assume breach")?,
            OnMissing::AssumeOk => f.write_str(" on missing assume ok")?,
            OnMissing::Fallback(count) => write!(f, " on missing fallback {count}")?,
        }
        if self.after_scale == Evidence::Carry {
            f.write_str(" carry evidence")?;
        }
        if self.after_restart == Evidence::Carry {
            f.write_str(" forgive restarts")?;
        }
        Ok(())
    }
}

impl Display for Amount {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::By(count) => write!(f, "by {count}"),
            Self::To(count) => write!(f, "to {count}"),
        }
    }
}

impl Display for Round {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Half => "half",
            Self::Down => "down",
        })
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "between {} and {} instances", self.min, self.max)
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(comparison) => comparison.fmt(f),
            // `and` binds closer than `or`, so only an `or` within an `and` needs parentheses.
            Self::And(parts) => joined(f, parts, " and ", |part| matches!(part, Self::Or(_))),
            Self::Or(parts) => joined(f, parts, " or ", |_| false),
        }
    }
}

fn joined(
    f: &mut Formatter<'_>,
    parts: &[Condition],
    word: &str,
    wrap: fn(&Condition) -> bool,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        if wrap(part) {
            write!(f, "({part})")?;
        } else {
            part.fmt(f)?;
        }
    }
    Ok(())
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.over != Over::All {
            write!(f, "{} of ", self.over)?;
        }
        let threshold = milli_text(self.threshold);
        let unit = self.metric.unit();
        write!(f, "{} {}{threshold}{unit}", self.metric, self.op)?;
        write!(f, " for {}", duration_text(self.for_s))?;
        if let Some(every) = self.every_s {
            write!(f, " every {}", duration_text(every))?;
        }
        Ok(())
    }
}

impl Display for Over {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Any => f.write_str("any"),
            Self::Avg => f.write_str("avg"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::Percentile(p) => write!(f, "p{p}"),
        }
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        })
    }
}

impl Metric {
    /// What follows a number of this metric, as the language writes it.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Cpu | Self::CoreCpu | Self::Memory | Self::Disk => "%",
            Self::MemoryUsed | Self::DiskUsed => "MB",
            Self::Throughput => "/s",
            Self::ResponseTime(_) => "ms",
            Self::InFlight | Self::Crashes | Self::Custom(_) => "",
        }
    }
}

impl Display for Metric {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("CPU"),
            Self::CoreCpu => f.write_str("core CPU"),
            Self::Memory | Self::MemoryUsed => f.write_str("memory"),
            Self::Disk | Self::DiskUsed => f.write_str("disk"),
            Self::Throughput => f.write_str("throughput"),
            Self::ResponseTime(latency) => write!(f, "{latency} response time"),
            Self::InFlight => f.write_str("in-flight"),
            Self::Crashes => f.write_str("crashes"),
            Self::Custom(name) if name == grammar::QUEUE_DEPTH => f.write_str("queue depth"),
            Self::Custom(name) if grammar::is_word(name) => write!(f, "metric {name}"),
            Self::Custom(name) => f.write_str(name),
        }
    }
}

impl Display for Latency {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
        })
    }
}

impl Display for Schedule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let zone = &self.zone;
        match &self.when {
            When::Once { start, end } => {
                let (first, last) = (start.date(), end.date());
                write!(f, "from {first} {} to ", clock(start.time()))?;
                // Without its date an end is the next reading of that time.
                if first != last || end <= start {
                    write!(f, "{last} ")?;
                }
                write!(f, "{} {zone}", clock(end.time()))?;
            }
            When::Every {
                days,
                start,
                end,
                first,
                last,
            } => {
                write!(f, "every {days} {}-{} {zone}", clock(*start), clock(*end))?;
                if let Some(first) = first {
                    write!(f, " from {first}")?;
                }
                if let Some(last) = last {
                    write!(f, " until {last}")?;
                }
            }
        }
        write!(f, " keep {} to {}", self.keep.min, self.keep.max)?;
        if let Some(count) = self.starting_at {
            write!(f, " starting at {count}")?;
        }
        Ok(())
    }
}

fn clock(time: Time) -> String {
    format!("{}:{:02}", time.hour(), time.minute())
}

impl Display for Days {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EVERY_DAY => f.write_str("day"),
            Self::Week(bits) => {
                let name = |day: u8| grammar::WEEKDAYS[usize::from(day)].to_owned();
                f.write_str(&runs(u32::from(bits), 0..=6, name))
            }
            Self::Month(bits) => {
                f.write_str(&runs(bits, 1..=31, |day| day.to_string()))?;
                f.write_str(" of the month")
            }
        }
    }
}

/// `Mon-Fri,Sun`: runs of set bits, longer than two as ranges.
fn runs(bits: u32, days: std::ops::RangeInclusive<u8>, name: impl Fn(u8) -> String) -> String {
    let mut text = String::new();
    let last = *days.end();
    let set = |day: u8| day <= last && bits & (1 << day) != 0;
    let mut day = *days.start();
    while day <= last {
        if !set(day) {
            day += 1;
            continue;
        }
        let mut end = day;
        while set(end + 1) {
            end += 1;
        }
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(comma);
        text.push_str(&name(day));
        if end > day {
            let written = write!(
                text,
                "{}{}",
                if end == day + 1 { "," } else { "-" },
                name(end)
            );
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        day = end + 1;
    }
    text
}
