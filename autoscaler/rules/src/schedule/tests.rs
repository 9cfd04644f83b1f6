//! Test vectors: over midnight, over the change of the clocks, and who outranks whom. The moments
//! are given in UTC, so that each vector says what the zone makes of a wall clock.

use jiff::Timestamp;

use super::{limits_at, occurrence};
use crate::Policy;
use crate::ast::Range;
use crate::units::Second;

fn second(text: &str) -> Second {
    text.parse::<Timestamp>().expect("a moment").as_second()
}

/// Begin and end of the occurrence at this moment, in UTC.
fn window(schedule: &str, at: &str) -> Option<(String, String)> {
    let policy = Policy::parse(&format!("{schedule} keep 5 to 9")).expect("a schedule");
    let one = &policy.schedules[0];
    let (start, end) = occurrence(&one.schedule.when, &one.zone, second(at))?;
    let text = |at| Timestamp::from_second(at).expect("a moment").to_string();
    Some((text(start), text(end)))
}

fn check(schedule: &str, vectors: &[(&str, Option<(&str, &str)>)]) {
    for (at, wanted) in vectors {
        let wanted = wanted.map(|(start, end)| (start.to_owned(), end.to_owned()));
        assert_eq!(window(schedule, at), wanted, "{schedule} at {at}");
    }
}

#[test]
fn a_specific_date_is_read_in_its_zone_and_ends_exclusively() {
    let sale = Some(("2026-11-27T11:55:00Z", "2026-11-27T14:00:00Z"));
    check(
        "from 2026-11-27 19:55 to 22:00 Asia/Shanghai",
        &[
            ("2026-11-27T11:54:59Z", None),
            ("2026-11-27T11:55:00Z", sale),
            ("2026-11-27T13:59:59Z", sale),
            ("2026-11-27T14:00:00Z", None),
        ],
    );
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    // 2026-11-27 is a Friday.
    let night = Some(("2026-11-27T21:00:00Z", "2026-11-28T05:00:00Z"));
    check(
        "every Fri 22:00-6:00 Europe/Berlin",
        &[
            ("2026-11-27T20:59:59Z", None),
            ("2026-11-27T21:00:00Z", night),
            ("2026-11-28T04:59:59Z", night),
            ("2026-11-28T05:00:00Z", None),
            ("2026-11-28T21:30:00Z", None),
            ("2026-11-27T00:30:00Z", None),
        ],
    );
    check(
        "every day 0:00-24:00 Asia/Tokyo",
        &[(
            "2026-11-27T15:00:00Z",
            Some(("2026-11-27T15:00:00Z", "2026-11-28T15:00:00Z")),
        )],
    );
}

#[test]
fn a_working_day_moves_with_summer_time() {
    check(
        "every Mon-Fri 9:00-18:00 Europe/Berlin",
        &[
            (
                "2026-03-27T08:30:00Z",
                Some(("2026-03-27T08:00:00Z", "2026-03-27T17:00:00Z")),
            ),
            (
                "2026-03-30T07:30:00Z",
                Some(("2026-03-30T07:00:00Z", "2026-03-30T16:00:00Z")),
            ),
            ("2026-03-28T08:30:00Z", None),
        ],
    );
}

#[test]
fn a_reading_that_the_clock_skips_stands_for_the_jump() {
    // Berlin jumps from 2:00 to 3:00 at 2026-03-29T01:00Z.
    let from_jump = Some(("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"));
    check(
        "every Sun 2:30-4:00 Europe/Berlin",
        &[
            ("2026-03-29T00:59:59Z", None),
            ("2026-03-29T01:00:00Z", from_jump),
            ("2026-03-29T01:59:59Z", from_jump),
            ("2026-03-29T02:00:00Z", None),
        ],
    );
    let to_jump = Some(("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"));
    check(
        "every Sun 1:00-2:30 Europe/Berlin",
        &[
            ("2026-03-29T00:59:59Z", to_jump),
            ("2026-03-29T01:00:00Z", None),
        ],
    );
    // Wholly inside the gap: it does not take place.
    check(
        "every Sun 2:10-2:50 Europe/Berlin",
        &[("2026-03-29T01:00:00Z", None)],
    );
    // New York skips the same reading on another day.
    check(
        "every Sun 2:30-4:00 America/New_York",
        &[(
            "2026-03-08T07:00:00Z",
            Some(("2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z")),
        )],
    );
}

#[test]
fn an_hour_that_comes_twice_belongs_to_the_window_twice() {
    // Berlin goes back from 3:00 to 2:00 at 2026-10-25T01:00Z.
    let night = Some(("2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z"));
    check(
        "every Sun 2:30-4:00 Europe/Berlin",
        &[
            ("2026-10-25T00:29:59Z", None),
            ("2026-10-25T00:30:00Z", night),
            ("2026-10-25T01:15:00Z", night),
            ("2026-10-25T02:59:59Z", night),
            ("2026-10-25T03:00:00Z", None),
        ],
    );
    let until = Some(("2026-10-24T23:00:00Z", "2026-10-25T01:30:00Z"));
    check(
        "every Sun 1:00-2:30 Europe/Berlin",
        &[
            ("2026-10-25T00:45:00Z", until),
            ("2026-10-25T01:29:59Z", until),
            ("2026-10-25T01:30:00Z", None),
        ],
    );
}

#[test]
fn days_of_the_month_and_bounds_are_kept() {
    let spring = "every 1,31 of the month 10:00-11:00 UTC from 2026-03-15 until 2026-05-31";
    check(
        spring,
        &[
            ("2026-03-01T10:30:00Z", None),
            (
                "2026-03-31T10:30:00Z",
                Some(("2026-03-31T10:00:00Z", "2026-03-31T11:00:00Z")),
            ),
            ("2026-04-30T10:30:00Z", None),
            (
                "2026-05-31T10:30:00Z",
                Some(("2026-05-31T10:00:00Z", "2026-05-31T11:00:00Z")),
            ),
            ("2026-06-01T10:30:00Z", None),
        ],
    );
    // February has no 31st.
    check(
        "every 31 of the month 10:00-11:00 UTC",
        &[("2026-02-28T10:30:00Z", None)],
    );
}

#[test]
fn a_specific_date_outranks_recurring_schedules_and_those_the_policy() {
    let policy = Policy::parse(
        "between 2 and 50 instances
         every day 8:00-20:00 keep 4 to 40
         every day 10:00-12:00 keep 6 to 30
         every day 11:00-13:00 keep 35 to 60
         from 2026-11-27 11:30 to 14:00 keep 200 to 400
         from 2026-11-27 13:00 to 13:30 keep 1 to 300",
    )
    .expect("a policy");
    for (at, min, max) in [
        ("07:59", 2, 50),
        ("08:00", 4, 40),
        ("10:00", 6, 30),
        // Least and most cross: the least wins.
        ("11:00", 35, 35),
        ("11:30", 200, 400),
        ("13:00", 200, 300),
        ("13:45", 200, 400),
        ("14:00", 4, 40),
        ("20:00", 2, 50),
    ] {
        let active = limits_at(&policy, second(&format!("2026-11-27T{at}:00Z")));
        assert_eq!(active.limits, Range { min, max }, "at {at}");
    }
}
