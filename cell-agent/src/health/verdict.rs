//! What a start's probes mean. Pure.

use std::time::Duration;

/// First pause between two probes of a starting instance: fast apps are up in milliseconds.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Longest pause: Cloud Foundry's interval.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A pause is this part of the time since the launch, so that being up is noticed late by no more
/// than that part.
const PAUSE_PART: u32 = 8;

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

    pub fn judge(&mut self, probe: Result<(), String>, now: Duration) -> StartVerdict {
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
        let pause = (elapsed / PAUSE_PART).clamp(PAUSE_MIN, PAUSE_MAX);
        StartVerdict::AgainAfter(pause.min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn probing_begins_within_milliseconds_and_never_pauses_longer_than_cloud_foundry() {
        let mut startup = Startup::new(60, Duration::ZERO);
        for (elapsed_ms, pause_ms) in [
            (0, 2),
            (80, 10),
            (8_000, 1_000),
            (30_000, 2_000),
            (59_500, 500),
        ] {
            assert_eq!(
                startup.judge(failed(), Duration::from_millis(elapsed_ms)),
                StartVerdict::AgainAfter(Duration::from_millis(pause_ms)),
            );
        }
    }

    #[test]
    fn the_last_probe_is_at_the_timeout_and_its_failure_is_told() {
        let mut startup = Startup::new(1, Duration::from_secs(5));
        let never = startup.judge(failed(), Duration::from_secs(6));
        let detail = "refused".to_owned();
        assert_eq!(never, StartVerdict::Never { after_s: 1, detail });
        assert_eq!(
            startup.judge(Ok(()), Duration::from_secs(6)),
            StartVerdict::Up
        );
    }

    #[test]
    fn a_start_costs_a_bounded_number_of_probes() {
        let mut startup = Startup::new(3_600, Duration::ZERO);
        let (mut now, mut probes) = (Duration::ZERO, 0);
        while let StartVerdict::AgainAfter(pause) = startup.judge(failed(), now) {
            now += pause;
            probes += 1;
        }
        assert!(probes < 1_900, "{probes}");
    }
}
