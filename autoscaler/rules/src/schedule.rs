//! Which limits apply at a moment.
//!
//! Precedence: specific dates over recurring schedules over the policy's own limits. Several of a
//! kind combine to the greatest least and the smallest most; where those cross, the least wins.
//!
//! A window is a stretch of real time between two readings of the wall clock. A reading that the
//! clock skips (spring) stands for the moment of the jump. A reading that comes twice (autumn)
//! begins a window the first time and ends it the second: the doubled hour belongs to it.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::ast::{Days, Range, When};
use crate::decision::LimitsFrom;
use crate::policy::{CheckedSchedule, Policy};
use crate::state::Begun;
use crate::units::Second;

/// The limits at a moment, and the schedules that make them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    pub limits: Range,
    pub from: LimitsFrom,
    /// Every schedule that is active, whether its limits win or not.
    pub(crate) begun: Vec<Begun>,
    /// `starting at` of those whose limits win.
    pub(crate) starting: Vec<(Begun, u32)>,
}

/// The limits that apply at `now`.
#[must_use]
pub fn limits_at(policy: &Policy, now: Second) -> Active {
    let active: Vec<(&CheckedSchedule, Begun)> = policy
        .schedules
        .iter()
        .filter_map(|one| {
            let (start, _) = occurrence(&one.schedule.when, &one.zone, now)?;
            let schedule = one.key;
            Some((
                one,
                Begun {
                    schedule,
                    at: start,
                },
            ))
        })
        .collect();
    let once = |one: &CheckedSchedule| matches!(one.schedule.when, When::Once { .. });
    let any_once = active.iter().any(|(one, _)| once(one));
    let winning = || active.iter().filter(|(one, _)| once(one) == any_once);
    let texts: Vec<Arc<str>> = winning().map(|(one, _)| one.text.clone()).collect();
    let from = match (any_once, texts.is_empty()) {
        (_, true) => LimitsFrom::Policy,
        (true, false) => LimitsFrom::SpecificDate(texts),
        (false, false) => LimitsFrom::Recurring(texts),
    };
    let limits = winning().map(|(one, _)| one.schedule.keep).reduce(combine);
    let starting = winning().filter_map(|(one, begun)| Some((*begun, one.schedule.starting_at?)));
    Active {
        limits: limits.unwrap_or(policy.limits),
        from,
        starting: starting.collect(),
        begun: active.iter().map(|(_, begun)| *begun).collect(),
    }
}

fn combine(a: Range, b: Range) -> Range {
    let min = a.min.max(b.min);
    Range {
        min,
        max: a.max.min(b.max).max(min),
    }
}

/// The occurrence that `now` lies in: its first second, and the first after it.
#[must_use]
pub fn occurrence(when: &When, zone: &TimeZone, now: Second) -> Option<(Second, Second)> {
    let within =
        |(start, end): (Second, Second)| (start <= now && now < end).then_some((start, end));
    match when {
        When::Once { start, end } => within((
            moment(*start, zone, Edge::Start)?,
            moment(*end, zone, Edge::End)?,
        )),
        When::Every {
            days,
            start,
            end,
            first,
            last,
        } => {
            let today = zone.to_datetime(Timestamp::from_second(now).ok()?).date();
            // It may have begun yesterday.
            [Some(today), today.yesterday().ok()]
                .into_iter()
                .flatten()
                .filter(|day| days.contains(*day))
                .filter(|day| first.is_none_or(|first| first <= *day))
                .filter(|day| last.is_none_or(|last| *day <= last))
                .find_map(|day| within(window(day, *start, *end, zone)?))
        }
    }
}

fn window(day: Date, start: Time, end: Time, zone: &TimeZone) -> Option<(Second, Second)> {
    let last = if end <= start {
        day.tomorrow().ok()?
    } else {
        day
    };
    Some((
        moment(day.to_datetime(start), zone, Edge::Start)?,
        moment(last.to_datetime(end), zone, Edge::End)?,
    ))
}

#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

/// When the wall clock reads this. `None` only at the ends of the calendar.
fn moment(reading: DateTime, zone: &TimeZone, edge: Edge) -> Option<Second> {
    let ambiguous = zone.to_ambiguous_timestamp(reading);
    let at = match (ambiguous.offset(), edge) {
        (AmbiguousOffset::Unambiguous { .. }, _) => ambiguous.unambiguous().ok()?,
        (AmbiguousOffset::Gap { .. }, _) => {
            let before = ambiguous.earlier().ok()?.checked_sub(1.second()).ok()?;
            zone.following(before).next()?.timestamp()
        }
        (AmbiguousOffset::Fold { .. }, Edge::Start) => ambiguous.earlier().ok()?,
        (AmbiguousOffset::Fold { .. }, Edge::End) => ambiguous.later().ok()?,
    };
    Some(at.as_second())
}

impl Days {
    /// Whether a schedule with these days begins on this one.
    #[must_use]
    pub fn contains(self, day: Date) -> bool {
        match self {
            Self::Week(bits) => bits & (1 << day.weekday().to_monday_zero_offset()) != 0,
            Self::Month(bits) => bits & (1 << day.day()) != 0,
        }
    }
}

#[cfg(test)]
mod tests;
