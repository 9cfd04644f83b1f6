//! Latencies in microseconds, merged without loss.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told apart, microseconds: ten minutes.
const TIME_MAX_US: u64 = 600_000_000;

/// Counts of times. Two of one precision merge exactly.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// Three significant digits: 0.1 % apart.
    pub(crate) fn fine() -> Self {
        Self::of_digits(3)
    }

    /// Two: 1 % apart, a tenth of the memory; for the many small ones.
    pub(crate) fn coarse() -> Self {
        Self::of_digits(2)
    }

    fn of_digits(digits: u8) -> Self {
        let made = Histogram::new_with_bounds(1, TIME_MAX_US, digits);
        // The bounds are constants that the library takes; a test makes both.
        Self(made.unwrap_or_else(|error| unreachable!("bounds of a histogram: {error}")))
    }

    /// What is longer than the longest counts as the longest.
    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // Fails only when a value is beyond the bounds; those are the same, of whichever digits.
        let merged = self.0.add(&other.0);
        debug_assert!(merged.is_ok(), "histograms of other bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds below which this share (0 to 1) lies; 0 when there are none.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        milliseconds(self.0.value_at_quantile(share))
    }

    pub(crate) fn max_ms(&self) -> f64 {
        milliseconds(self.0.max())
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.0.mean() / 1_000.0
    }
}

fn milliseconds(micros: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "at most ten minutes")]
    let micros = micros as f64;
    micros / 1_000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_one_has_no_percentiles() {
        for empty in [Latencies::fine(), Latencies::coarse()] {
            assert!(empty.percentile_ms(0.99).abs() < f64::EPSILON);
            assert_eq!(empty.count(), 0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merged_parts_are_the_whole(
            times in prop::collection::vec((1..700_000_000_u64, 0..4_usize), 1..300),
        ) {
            let mut whole = Latencies::fine();
            let mut parts = vec![Latencies::fine(); 4];
            for (micros, part) in times {
                let time = Duration::from_micros(micros);
                whole.record(time);
                parts[part].record(time);
            }
            let mut merged = Latencies::fine();
            for part in &parts {
                merged.merge(part);
            }
            prop_assert_eq!(merged.0, whole.0);
        }

        #[test]
        fn a_percentile_is_within_a_thousandth_of_the_sorted_list(
            mut micros in prop::collection::vec(1..600_000_000_u64, 1..300), share in 0.01..1.0_f64,
        ) {
            let mut latencies = Latencies::fine();
            for one in &micros {
                latencies.record(Duration::from_micros(*one));
            }
            micros.sort_unstable();
            #[allow(clippy::cast_possible_truncation, reason = "at most 300")]
            let rank = ((share * micros.len() as f64).ceil() as usize).clamp(1, micros.len());
            let exact = micros[rank - 1] as f64 / 1_000.0;
            let told = latencies.percentile_ms(share);
            prop_assert!((told - exact).abs() <= exact * 0.001 + 0.001, "{told} is not {exact}");
        }
    }
}
