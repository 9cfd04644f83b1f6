//! Times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `Mon 23 Nov 14:03:05 CET 2026`, in the user's time zone.
pub(crate) fn local_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system())
        .strftime("%a %d %b %H:%M:%S %Z %Y")
        .to_string()
}

/// `2026-11-23T14:03:05.12+0100`, as log lines carry it; out of nanoseconds since 1970.
pub(crate) fn log_time(nanoseconds: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(at) => at
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%dT%H:%M:%S.%2f%z")
            .to_string(),
        Err(_) => nanoseconds.to_string(),
    }
}

/// `2026-11-23T13:03:05Z`.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
