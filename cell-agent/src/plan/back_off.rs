//! When a crashed instance is started again. Cloud Foundry's rule: twice at once, then after 30 s,
//! doubling up to 16 minutes, and never again after 200 crashes in a row. An instance that ran for
//! more than five minutes before it crashed begins a new row.

use std::time::Duration;

use jiff::Timestamp;

/// Crashes in a row after which an instance is given up.
pub const CRASHES_MAX: u32 = 200;
/// Crashes in a row that are answered by a start at once.
const CRASHES_IMMEDIATE: u32 = 2;
/// Longest wait, in units of the first.
const CAP_FACTOR: u32 = 32;

/// The times of the rule. Tests may scale them; the counts are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// The wait after the third crash; the longest is 32 times this.
    pub first: Duration,
    /// Running for longer than this ends a row of crashes.
    pub reset_after: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(30),
            reset_after: Duration::from_secs(5 * 60),
        }
    }
}

impl BackOff {
    /// Crashes in a row, of an instance that has been running since `running_since`.
    #[must_use]
    pub fn crashes(&self, crashes: u32, running_since: Option<Timestamp>, now: Timestamp) -> u32 {
        let ran = running_since.map(|since| now.duration_since(since).unsigned_abs());
        match ran {
            Some(ran) if ran > self.reset_after => 0,
            _ => crashes,
        }
    }

    /// When to start again after the `crash`-th crash in a row, from 1; none: never.
    #[must_use]
    pub fn retry_at(&self, crash: u32, now: Timestamp) -> Option<Timestamp> {
        if crash >= CRASHES_MAX {
            return None;
        }
        let wait = if crash <= CRASHES_IMMEDIATE {
            Duration::ZERO
        } else {
            let doublings = crash - CRASHES_IMMEDIATE - 1;
            let factor = 2_u32.checked_pow(doublings).unwrap_or(CAP_FACTOR);
            self.first.saturating_mul(factor.min(CAP_FACTOR))
        };
        Some(now.checked_add(wait).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_cloud_foundry() {
        let now = Timestamp::UNIX_EPOCH;
        for (crash, wait_s) in [
            (1, Some(0)),
            (2, Some(0)),
            (3, Some(30)),
            (4, Some(60)),
            (5, Some(120)),
            (6, Some(240)),
            (7, Some(480)),
            (8, Some(960)),
            (9, Some(960)),
            (199, Some(960)),
            (200, None),
            (u32::MAX, None),
        ] {
            let due = BackOff::default().retry_at(crash, now);
            assert_eq!(due.map(Timestamp::as_second), wait_s, "crash {crash}");
        }
    }

    #[test]
    fn five_minutes_of_running_end_a_row_of_crashes_and_less_does_not() {
        let rule = BackOff::default();
        let since = Timestamp::UNIX_EPOCH;
        let after = |seconds: u64| since + Duration::from_secs(seconds);
        assert_eq!(rule.crashes(7, Some(since), after(300)), 7);
        assert_eq!(rule.crashes(7, Some(since), after(301)), 0);
        assert_eq!(rule.crashes(7, None, after(9_000)), 7, "it never ran");
    }

    #[test]
    fn a_clock_far_ahead_does_not_overflow() {
        assert_eq!(
            BackOff::default().retry_at(8, Timestamp::MAX),
            Some(Timestamp::MAX)
        );
    }
}
