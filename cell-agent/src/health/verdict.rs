//! What a start's probes mean, and when the next one is due. Pure.

use std::time::Duration;

/// First pause between two probes of a starting instance: fast apps are up in milliseconds.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Longest pause: Cloud Foundry's interval.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A pause is this part of the time since the launch, so that being up is noticed late by no more
/// than that part.
const PAUSE_PART: u32 = 8;
/// With this much of a pause for each instance that is starting, all probes together are at most a
/// thousand a second. One takes some 50 microseconds of CPU: a twentieth of a core.
const PAUSE_EACH: Duration = Duration::from_millis(1);

/// The pause after a probe that failed, `elapsed` after the launch, while so many instances of the
/// cell are starting; never longer than `most`.
#[must_use]
pub fn pause(elapsed: Duration, starting: u32, most: Duration) -> Duration {
    let crowded = PAUSE_EACH.saturating_mul(starting);
    (elapsed / PAUSE_PART)
        .max(crowded)
        .max(PAUSE_MIN)
        .min(PAUSE_MAX)
        .min(most)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartVerdict {
    Up,
    AgainAfter(Duration),
    Never { after_s: u32, detail: String },
}

/// One start, from its launch.
#[derive(Debug)]
pub struct Startup {
    timeout_s: u32,
    launched: Duration,
}

impl Startup {
    #[must_use]
    pub fn new(timeout_s: u32, now: Duration) -> Self {
        Self {
            timeout_s: timeout_s.max(1),
            launched: now,
        }
    }

    /// `starting` is how many instances of the cell are starting, this one included.
    pub fn judge(
        &mut self,
        probe: Result<(), String>,
        now: Duration,
        starting: u32,
    ) -> StartVerdict {
        let Err(detail) = probe else {
            return StartVerdict::Up;
        };
        let elapsed = now.saturating_sub(self.launched);
        let timeout = Duration::from_secs(u64::from(self.timeout_s));
        let Some(left) = timeout.checked_sub(elapsed).filter(|left| !left.is_zero()) else {
            return StartVerdict::Never {
                after_s: self.timeout_s,
                detail,
            };
        };
        StartVerdict::AgainAfter(pause(elapsed, starting, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn pauses_grow_with_time_and_with_the_crowd_and_have_both_ends() {
        let ms = Duration::from_millis;
        for (elapsed_ms, starting, most_ms, pause_ms) in [
            (0, 1, 60_000, 2),
            (15, 1, 60_000, 2),
            (80, 1, 60_000, 10),
            (8_000, 1, 60_000, 1_000),
            (30_000, 1, 60_000, 2_000),
            // A crowd: a thousand probes a second among all.
            (0, 300, 60_000, 300),
            (8_000, 300, 60_000, 1_000),
            (0, 3_000, 60_000, 2_000),
            (0, u32::MAX, 60_000, 2_000),
            // What is left of the start's time, or the interval of readiness.
            (30_000, 300, 500, 500),
            (0, 1, 1, 1),
        ] {
            assert_eq!(
                pause(ms(elapsed_ms), starting, ms(most_ms)),
                ms(pause_ms),
                "{elapsed_ms} ms, {starting} starting"
            );
        }
    }

    #[test]
    fn the_last_probe_is_at_the_timeout_and_its_failure_is_told() {
        let mut startup = Startup::new(60, Duration::ZERO);
        let late = startup.judge(failed(), Duration::from_millis(59_500), 1);
        assert_eq!(late, StartVerdict::AgainAfter(Duration::from_millis(500)));
        let mut startup = Startup::new(1, Duration::from_secs(5));
        let never = startup.judge(failed(), Duration::from_secs(6), 1);
        let detail = "refused".to_owned();
        assert_eq!(never, StartVerdict::Never { after_s: 1, detail });
        assert_eq!(
            startup.judge(Ok(()), Duration::from_secs(6), 1),
            StartVerdict::Up
        );
    }

    #[test]
    fn a_start_costs_a_bounded_number_of_probes() {
        let mut startup = Startup::new(3_600, Duration::ZERO);
        let (mut now, mut probes) = (Duration::ZERO, 0);
        while let StartVerdict::AgainAfter(pause) = startup.judge(failed(), now, 1) {
            now += pause;
            probes += 1;
        }
        assert!(probes < 1_900, "{probes}");
    }
}
