//! `from 2026-11-27 19:55 to 22:00 Asia/Shanghai keep 200 to 400`, and what repeats.

use jiff::civil::{Date, Time};

use super::cursor::{Cursor, is_word_char};
use super::{ParseError, instances};
use crate::ast::{Days, Range, Schedule, When, defaults};
use crate::grammar;

/// What follows the word `from`.
pub(super) fn once(cursor: &mut Cursor) -> Result<Schedule, ParseError> {
    let first = date(cursor)?;
    let start = first.to_datetime(time(cursor)?.0);
    if !cursor.one_of(&["to", "until", "-"]) {
        return Err(cursor.stuck());
    }
    let at = cursor.at();
    let named = date(cursor).ok();
    if named.is_none() {
        cursor.back_to(at);
    }
    let (end, midnight) = time(cursor)?;
    // Without a date the end is the next reading of that time.
    let same_day = named.unwrap_or(first);
    let wraps = midnight || (named.is_none() && end <= start.time());
    let last = if wraps {
        same_day.tomorrow().ok()
    } else {
        Some(same_day)
    };
    let Some(last) = last else {
        return Err(cursor.error("the calendar ends here".to_owned(), Vec::new()));
    };
    let end = last.to_datetime(end);
    finish(cursor, |_| Ok(When::Once { start, end }))
}

/// What follows the word `every`.
pub(super) fn every(cursor: &mut Cursor) -> Result<Schedule, ParseError> {
    let days = days(cursor)?;
    let (start, _) = time(cursor)?;
    if !["-", "–", "to"].iter().any(|sign| cursor.sign(sign)) {
        return Err(cursor.stuck());
    }
    let (end, _) = time(cursor)?;
    finish(cursor, |cursor| {
        let mut bound = |word: &str| cursor.phrase(word).then(|| date(cursor)).transpose();
        Ok(When::Every {
            days,
            start,
            end,
            first: bound("from")?,
            last: bound("until")?,
        })
    })
}

/// Zone, bounds and what is kept.
fn finish(
    cursor: &mut Cursor,
    when: impl FnOnce(&mut Cursor) -> Result<When, ParseError>,
) -> Result<Schedule, ParseError> {
    let zone = zone(cursor);
    let when = when(cursor)?;
    if !cursor.phrase("keep") {
        return Err(cursor.stuck());
    }
    let min = cursor.number("a number of instances")?;
    let max = if cursor.phrase("to") {
        cursor.number("a number of instances")?
    } else {
        min
    };
    instances(cursor);
    let starting_at = cursor
        .phrase("starting at")
        .then(|| cursor.number("a number of instances"))
        .transpose()?;
    instances(cursor);
    Ok(Schedule {
        when,
        zone,
        keep: Range { min, max },
        starting_at,
    })
}

fn zone(cursor: &mut Cursor) -> String {
    cursor.skip_blanks();
    let at = cursor.at();
    let zone = cursor.run(|c| is_word_char(c) || matches!(c, '/' | '+' | '-'));
    let word = ["from", "until", "keep"];
    if zone.is_empty() || word.iter().any(|word| zone.eq_ignore_ascii_case(word)) {
        cursor.back_to(at);
        cursor.miss("a time zone such as Asia/Shanghai");
        return defaults::ZONE.to_owned();
    }
    zone
}

/// `2026-11-27`.
fn date(cursor: &mut Cursor) -> Result<Date, ParseError> {
    cursor.skip_blanks();
    let at = cursor.at();
    let text = cursor.run(|c| c.is_ascii_digit() || c == '-');
    text.parse().map_err(|_| {
        cursor.back_to(at);
        cursor.wanted("a date such as 2026-11-27")
    })
}

/// `9:00`, or `24:00`, which is midnight at the end of the day.
fn time(cursor: &mut Cursor) -> Result<(Time, bool), ParseError> {
    if cursor.peek() == Some('T') {
        cursor.back_to(cursor.at() + 1);
    }
    cursor.skip_blanks();
    let at = cursor.at();
    let text = cursor.run(|c| c.is_ascii_digit() || c == ':');
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute): (i8, i8) = (hour.parse().ok()?, minute.parse().ok()?);
        if (hour, minute) == (24, 0) {
            return Some((Time::midnight(), true));
        }
        Some((Time::new(hour, minute, 0, 0).ok()?, false))
    });
    parsed.ok_or_else(|| {
        cursor.back_to(at);
        cursor.wanted("a time such as 9:00")
    })
}

fn days(cursor: &mut Cursor) -> Result<Days, ParseError> {
    if cursor.phrase("day") {
        return Ok(Days::EVERY_DAY);
    }
    if cursor.one_of(&["weekday", "workday"]) {
        return Ok(Days::Week(0b001_1111));
    }
    if cursor.phrase("weekend") {
        return Ok(Days::Week(0b110_0000));
    }
    cursor.skip_blanks();
    if cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        let bits = list(cursor, day_of_month, 31)?;
        return match cursor.one_of(&["of the month", "of month"]) {
            true => Ok(Days::Month(bits)),
            false => Err(cursor.stuck()),
        };
    }
    let bits = list(cursor, weekday, 6)?;
    Ok(Days::Week(u8::try_from(bits).unwrap_or(0)))
}

/// `Mon-Fri,Sun` as bits. A range may run over the end, as `Fri-Mon` does; `last` is followed by
/// the first that the reader knows.
fn list(
    cursor: &mut Cursor,
    read: fn(&mut Cursor) -> Result<u8, ParseError>,
    last: u8,
) -> Result<u32, ParseError> {
    let first = u8::from(last == 31);
    let mut bits = 0;
    loop {
        let mut day = read(cursor)?;
        let end = if cursor.sign("-") { read(cursor)? } else { day };
        loop {
            bits |= 1 << day;
            if day == end {
                break;
            }
            day = if day == last { first } else { day + 1 };
        }
        if !cursor.sign(",") {
            return Ok(bits);
        }
    }
}

fn weekday(cursor: &mut Cursor) -> Result<u8, ParseError> {
    const LONG: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    for day in 0..7_u8 {
        let at = usize::from(day);
        if cursor.one_of(&[grammar::WEEKDAYS[at], LONG[at]]) {
            return Ok(day);
        }
    }
    Err(cursor.wanted("day"))
}

fn day_of_month(cursor: &mut Cursor) -> Result<u8, ParseError> {
    cursor.skip_blanks();
    let at = cursor.at();
    let day = cursor.number("a day of the month, 1 to 31")?;
    // `1st`, `15th`.
    let ordinal = cursor.at();
    if !["st", "nd", "rd", "th"].contains(&cursor.run(char::is_alphabetic).as_str()) {
        cursor.back_to(ordinal);
    }
    match u8::try_from(day) {
        Ok(day) if (1..=31).contains(&day) => Ok(day),
        _ => {
            cursor.back_to(at);
            Err(cursor.wanted("a day of the month, 1 to 31"))
        }
    }
}
