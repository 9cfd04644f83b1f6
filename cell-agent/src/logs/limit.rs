//! An app's log rate limit. Pure: a bucket that holds one second's worth of bytes.

use std::time::Duration;

/// Between two notices that lines are being dropped.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// What to do with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Drop,
    /// Drop it and tell the user: the first of a second.
    DropWithNotice,
}

#[derive(Debug)]
pub struct RateLimit {
    /// Bytes per second; none is unlimited.
    limit: Option<u64>,
    available: u64,
    refilled_at: Duration,
    noticed_at: Option<Duration>,
}

impl RateLimit {
    #[must_use]
    pub fn new(limit: Option<u64>, now: Duration) -> Self {
        Self {
            limit,
            available: limit.unwrap_or(0),
            refilled_at: now,
            noticed_at: None,
        }
    }

    pub fn judge(&mut self, bytes: u64, now: Duration) -> Verdict {
        let Some(limit) = self.limit else {
            return Verdict::Pass;
        };
        self.refill(limit, now);
        if bytes <= self.available && limit > 0 {
            self.available -= bytes;
            return Verdict::Pass;
        }
        let due = self
            .noticed_at
            .is_none_or(|last| now.saturating_sub(last) >= NOTICE_EVERY);
        if due {
            self.noticed_at = Some(now);
            return Verdict::DropWithNotice;
        }
        Verdict::Drop
    }

    fn refill(&mut self, limit: u64, now: Duration) {
        let elapsed = now.saturating_sub(self.refilled_at);
        let earned = u128::from(limit) * elapsed.as_micros() / 1_000_000;
        if earned > 0 {
            let earned = u64::try_from(earned).unwrap_or(u64::MAX);
            self.available = self.available.saturating_add(earned).min(limit);
            self.refilled_at = now;
        }
    }
}

/// What the user reads; Cloud Foundry's words.
#[must_use]
pub fn notice(limit: u64) -> String {
    format!("app instance exceeded log rate limit ({limit} bytes/sec)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_second_s_worth_passes_and_the_rest_is_dropped_with_one_notice_a_second() {
        let mut limit = RateLimit::new(Some(100), ms(0));
        assert_eq!(limit.judge(100, ms(0)), Verdict::Pass);
        assert_eq!(limit.judge(1, ms(0)), Verdict::DropWithNotice);
        assert_eq!(limit.judge(90, ms(500)), Verdict::Drop);
        assert_eq!(limit.judge(50, ms(500)), Verdict::Pass);
        assert_eq!(limit.judge(90, ms(1_000)), Verdict::DropWithNotice);
    }

    #[test]
    fn idle_time_earns_no_more_than_one_second() {
        let mut limit = RateLimit::new(Some(100), ms(0));
        assert_eq!(limit.judge(101, ms(60_000)), Verdict::DropWithNotice);
        assert_eq!(limit.judge(100, ms(60_000)), Verdict::Pass);
    }

    #[test]
    fn no_limit_passes_all_and_a_limit_of_zero_nothing() {
        assert_eq!(
            RateLimit::new(None, ms(0)).judge(u64::MAX, ms(0)),
            Verdict::Pass
        );
        assert_eq!(
            RateLimit::new(Some(0), ms(0)).judge(0, ms(9)),
            Verdict::DropWithNotice
        );
    }
}
