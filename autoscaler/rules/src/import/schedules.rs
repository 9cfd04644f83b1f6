//! `schedules`: recurring ones and specific dates.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::field::{Fields, Reader};
use crate::ast::{Days, Range, Schedule, When};
use crate::check::INSTANCES_MAX;
use crate::units::Second;

pub(super) fn read(
    fields: &Fields<'_>,
    now: Option<Second>,
    notes: &mut Vec<String>,
    reader: &mut Reader,
) -> Vec<Schedule> {
    let Some(fields) = fields.object("schedules", reader) else {
        return Vec::new();
    };
    let zone = zone(&fields, notes, reader);
    let local = zone.as_ref().and_then(|(_, zone)| now_in(zone, now));
    let name = zone.map(|(name, _)| name).unwrap_or_default();
    if fields.get("recurring_schedule").is_none() && fields.get("specific_date").is_none() {
        let problem = "needs recurring_schedule or specific_date";
        reader.error(fields.path("recurring_schedule"), problem);
    }
    let mut schedules = Vec::new();
    for (kind, read) in [
        (
            "recurring_schedule",
            recurring as fn(&Fields<'_>, _, &mut Reader) -> Option<When>,
        ),
        ("specific_date", specific_date),
    ] {
        let mut same_kind: Vec<Schedule> = Vec::new();
        for one in fields.objects(kind, reader) {
            let (when, keep) = (read(&one, local, reader), keep(&one, reader));
            let (Some(when), Some((keep, starting_at))) = (when, keep) else {
                continue;
            };
            if same_kind.iter().any(|other| overlap(&other.when, &when)) {
                reader.error(one.path("start"), "overlaps with another one of its kind");
            }
            let zone = name.clone();
            same_kind.push(Schedule {
                when,
                zone,
                keep,
                starting_at,
            });
        }
        schedules.append(&mut same_kind);
    }
    schedules
}

/// Some of app-autoscaler's names carry a blank at the end, with which no zone can be found.
fn zone(
    fields: &Fields<'_>,
    notes: &mut Vec<String>,
    reader: &mut Reader,
) -> Option<(String, TimeZone)> {
    let given = fields.required_text("timezone", reader)?;
    let name = given.trim();
    if name != given {
        notes.push(format!("{} is read as {name}", fields.path("timezone")));
    }
    match TimeZoneDatabase::bundled().get(name) {
        Ok(zone) => Some((name.to_owned(), zone)),
        Err(_) => {
            reader.error(
                fields.path("timezone"),
                "is no time zone; write one such as Asia/Shanghai",
            );
            None
        }
    }
}

fn now_in(zone: &TimeZone, now: Option<Second>) -> Option<DateTime> {
    Some(zone.to_datetime(Timestamp::from_second(now?).ok()?))
}

fn recurring(fields: &Fields<'_>, now: Option<DateTime>, reader: &mut Reader) -> Option<When> {
    let (start, end) = (
        time(fields, "start_time", reader),
        time(fields, "end_time", reader),
    );
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        reader.error(fields.path("end_time"), "must be after start_time");
    }
    let (first, last) = (
        date(fields, "start_date", reader),
        date(fields, "end_date", reader),
    );
    for (name, bound) in [("start_date", first), ("end_date", last)] {
        if let (Some(bound), Some(now)) = (bound, now)
            && bound < now.date()
        {
            reader.error(fields.path(name), "is in the past");
        }
    }
    if let (Some(first), Some(last)) = (first, last)
        && first > last
    {
        reader.error(fields.path("end_date"), "must not be before start_date");
    }
    let days = days(fields, reader);
    Some(When::Every {
        days: days?,
        start: start?,
        end: end?,
        first,
        last,
    })
}

fn days(fields: &Fields<'_>, reader: &mut Reader) -> Option<Days> {
    let given = |name: &str| fields.get(name).is_some();
    let (name, most) = match (given("days_of_week"), given("days_of_month")) {
        (true, false) => ("days_of_week", 7),
        (false, true) => ("days_of_month", 31),
        _ => {
            let problem = "must be there, or days_of_month, and not both";
            reader.error(fields.path("days_of_week"), problem);
            return None;
        }
    };
    let numbers = fields.get(name).and_then(|value| value.as_array());
    let numbers = numbers.filter(|numbers| !numbers.is_empty());
    let mut bits: u32 = 0;
    for number in numbers.into_iter().flatten() {
        match number.as_u64().filter(|day| (1..=most).contains(day)) {
            Some(day) => bits |= 1 << day,
            None => bits = u32::MAX,
        }
    }
    if bits == 0 || bits == u32::MAX {
        let problem = format!("must be a list of days from 1 to {most}");
        reader.error(fields.path(name), &problem);
        return None;
    }
    Some(match name {
        // Ours begin at bit 0.
        "days_of_week" => Days::Week(u8::try_from(bits >> 1).unwrap_or(0)),
        _ => Days::Month(bits),
    })
}

fn specific_date(fields: &Fields<'_>, now: Option<DateTime>, reader: &mut Reader) -> Option<When> {
    let mut read = |name: &str| {
        let what = "a moment such as 2026-11-27T19:55";
        if fields.get(name).is_none() {
            reader.error(fields.path(name), "is missing");
        }
        fields.parsed(name, what, moment, reader)
    };
    let (start, end) = (read("start_date_time")?, read("end_date_time")?);
    if end <= start {
        reader.error(
            fields.path("end_date_time"),
            "must be after start_date_time",
        );
    }
    if now.is_some_and(|now| start <= now) {
        reader.error(fields.path("start_date_time"), "is in the past");
    }
    Some(When::Once { start, end })
}

fn keep(fields: &Fields<'_>, reader: &mut Reader) -> Option<(Range, Option<u32>)> {
    let most = i64::from(INSTANCES_MAX);
    let min = fields.count("instance_min_count", 1..=most, reader);
    let max = fields.count("instance_max_count", 1..=most, reader);
    let initial = fields.integer_if_any("initial_min_instance_count", 0..=most, reader);
    let initial = initial
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count > 0);
    let range = Range {
        min: min?,
        max: max?,
    };
    if range.min > range.max {
        reader.error(
            fields.path("instance_min_count"),
            "must not exceed instance_max_count",
        );
    }
    if initial.is_some_and(|count| count < range.min || count > range.max) {
        let problem = "must lie between instance_min_count and instance_max_count";
        reader.error(fields.path("initial_min_instance_count"), problem);
    }
    Some((range, initial))
}

fn time(fields: &Fields<'_>, name: &str, reader: &mut Reader) -> Option<Time> {
    if fields.get(name).is_none() {
        reader.error(fields.path(name), "is missing");
    }
    fields.parsed(name, "a time such as 09:00", clock, reader)
}

fn date(fields: &Fields<'_>, name: &str, reader: &mut Reader) -> Option<Date> {
    fields.parsed(
        name,
        "a date such as 2026-11-27",
        |text| text.parse().ok(),
        reader,
    )
}

fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn moment(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once('T')?;
    Some(date.parse::<Date>().ok()?.to_datetime(clock(time)?))
}

/// Whether two of a kind meet. Days of the week and of the month are not compared, as in
/// app-autoscaler.
fn overlap(a: &When, b: &When) -> bool {
    match (a, b) {
        (When::Once { start: a, end: b }, When::Once { start: c, end: d }) => a <= d && c <= b,
        (
            When::Every {
                days: a_days,
                start: a,
                end: b,
                first: a_first,
                last: a_last,
            },
            When::Every {
                days: b_days,
                start: c,
                end: d,
                first: b_first,
                last: b_last,
            },
        ) => {
            let days = match (a_days, b_days) {
                (Days::Week(a), Days::Week(b)) => a & b != 0,
                (Days::Month(a), Days::Month(b)) => a & b != 0,
                _ => false,
            };
            let before = |end: &Option<Date>, start: &Option<Date>| matches!((end, start), (Some(end), Some(start)) if end < start);
            days && a <= d && c <= b && !before(a_last, b_first) && !before(b_last, a_first)
        }
        _ => false,
    }
}
