//! The CPU that loud logs may cost, read and shipped together. Past it readers and shipper pause, the
//! pipes fill, and the writers wait; readers of quiet instances are not charged and never pause.

use std::time::Duration;

use parking_lot::Mutex;

/// What may be saved up.
const BURST: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Budget {
    /// Of one core.
    millicores: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// CPU time that may be spent, microseconds; below zero it is owed.
    available_us: i64,
    refilled_at: Duration,
}

impl Budget {
    #[must_use]
    pub fn new(millicores: u32, now: Duration) -> Self {
        let available_us = i64::try_from(BURST.as_micros()).unwrap_or(i64::MAX);
        Self {
            millicores: millicores.max(1),
            state: Mutex::new(State {
                available_us,
                refilled_at: now,
            }),
        }
    }

    /// Account for `spent` and tell how long to pause.
    #[must_use]
    pub fn charge(&self, spent: Duration, now: Duration) -> Duration {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let rate = i64::from(self.millicores);
        let mut state = self.state.lock();
        let elapsed = micros(now.saturating_sub(state.refilled_at));
        let earned = elapsed.saturating_mul(rate) / 1_000;
        state.refilled_at = now;
        state.available_us = state
            .available_us
            .saturating_add(earned)
            .min(micros(BURST))
            .saturating_sub(micros(spent));
        let owed = u64::try_from(state.available_us.saturating_neg()).unwrap_or(0);
        Duration::from_micros(owed.saturating_mul(1_000) / u64::from(self.millicores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_core_makes_a_busy_reader_pause_three_quarters_of_the_time() {
        let budget = Budget::new(250, Duration::ZERO);
        let (mut now, mut busy) = (Duration::ZERO, Duration::ZERO);
        let step = Duration::from_millis(1);
        while now < Duration::from_secs(20) {
            now += step;
            busy += step;
            now += budget.charge(step, now);
        }
        let share = busy.as_secs_f64() / now.as_secs_f64();
        assert!((0.24..0.27).contains(&share), "{share}");
    }
}
