//! When requests are meant to be sent: decided by a seed before anything is sent, whatever the
//! answers do.
//!
//! Pure. A Poisson process of changing rate is a Poisson process of rate 1 on the scale of expected
//! requests, so each gap is one exponential number and the curve's inverse places it. Threads draw
//! the same schedule and each takes every n-th of it: it does not depend on how many there are.

use std::sync::Arc;
use std::time::Duration;

use cfx_process::entropy::IdSource;

use super::rate::Curve;

/// How requests of one rate lie in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// As many people who know nothing of each other come.
    Poisson,
    /// One like the other.
    Even,
}

/// A number in `0..1`.
pub(crate) fn unit(dice: &IdSource) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let bits = (dice.number() >> 11) as f64;
    bits / 9_007_199_254_740_992.0
}

/// Waiting time until what happens once in `mean` seconds on average.
pub(crate) fn exponential(dice: &IdSource, mean: f64) -> f64 {
    -mean * (1.0 - unit(dice)).ln()
}

/// One thread's part of the schedule.
#[derive(Debug)]
pub(crate) struct Arrivals {
    curve: Arc<Curve>,
    spacing: Spacing,
    dice: IdSource,
    mass: f64,
    number: u64,
    share: Share,
}

/// Which of the arrivals are ours: all whose number leaves `index` when divided by `of`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) index: u64,
    pub(crate) of: u64,
}

impl Arrivals {
    pub(crate) fn new(curve: Arc<Curve>, spacing: Spacing, seed: u64, share: Share) -> Self {
        Self {
            curve,
            spacing,
            dice: IdSource::seeded(seed),
            mass: 0.0,
            number: 0,
            share,
        }
    }
}

/// Its number in the whole schedule, and when.
impl Iterator for Arrivals {
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mass = match self.spacing {
                Spacing::Poisson => {
                    self.mass += exponential(&self.dice, 1.0);
                    self.mass
                }
                // In the middle of its own unit: half a gap before the first and after the last.
                #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
                Spacing::Even => self.number as f64 + 0.5,
            };
            let number = self.number;
            self.number += 1;
            // The curve's end ends it, for everyone.
            if number % self.share.of == self.share.index {
                let at = self.curve.instant_of(mass)?;
                return Some((number, Duration::from_secs_f64(at)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rate::Segment;
    use super::*;

    fn all(curve: &Arc<Curve>, spacing: Spacing, seed: u64, of: u64) -> Vec<(u64, Duration)> {
        let parts = (0..of)
            .flat_map(|index| Arrivals::new(Arc::clone(curve), spacing, seed, Share { index, of }));
        let mut all: Vec<_> = parts.collect();
        all.sort();
        all
    }

    #[test]
    fn even_spacing_is_exact() {
        let curve = Arc::new(Curve::new([Segment::constant(2.0, 4.0)]));
        let millis: Vec<u128> = all(&curve, Spacing::Even, 1, 1)
            .iter()
            .map(|(_, at)| at.as_millis())
            .collect();
        assert_eq!(millis, [125, 375, 625, 875, 1125, 1375, 1625, 1875]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the curve: in each fifth of the time the count is what the rate adds up to,
        /// within six standard deviations of a Poisson count.
        #[test]
        fn as_many_come_as_the_rate_adds_up_to(
            seed in any::<u64>(), from in 0.0..2_000.0_f64, to in 0.0..2_000.0_f64,
            peak in 1.0..3_000.0_f64, tau in 1.0..20.0_f64,
        ) {
            let curve = Arc::new(Curve::new([
                Segment::line(10.0, from, to),
                Segment::decay(10.0, peak, 1.0, tau),
            ]));
            let times: Vec<f64> = all(&curve, Spacing::Poisson, seed, 1)
                .iter().map(|(_, at)| at.as_secs_f64()).collect();
            for fifth in 0..5_u32 {
                let (begin, end) = (f64::from(fifth) * 4.0, f64::from(fifth + 1) * 4.0);
                let count = times.iter().filter(|at| (begin..end).contains(*at)).count();
                let expected = curve.expected(end) - curve.expected(begin);
                let off = (count as f64 - expected).abs();
                prop_assert!(off <= 6.0 * expected.sqrt() + 6.0, "{count} instead of {expected}");
            }
        }

        #[test]
        fn the_schedule_is_in_order_and_the_same_for_any_number_of_threads(
            seed in any::<u64>(), threads in 2..7_u64, is_even in any::<bool>(),
        ) {
            let spacing = if is_even { Spacing::Even } else { Spacing::Poisson };
            let curve = Arc::new(Curve::new([Segment::line(3.0, 10.0, 90.0)]));
            let alone = all(&curve, spacing, seed, 1);
            prop_assert!(alone.windows(2).all(|pair| pair[0].1 <= pair[1].1));
            prop_assert_eq!(&alone, &all(&curve, spacing, seed, threads));
            prop_assert_eq!(&alone, &all(&curve, spacing, seed, 1));
        }
    }

    #[test]
    fn gaps_of_a_poisson_process_vary_as_they_should() {
        let curve = Arc::new(Curve::new([Segment::constant(100.0, 100.0)]));
        let times: Vec<f64> = all(&curve, Spacing::Poisson, 7, 1)
            .iter()
            .map(|(_, at)| at.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        // The standard deviation of exponential gaps is their mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05);
    }
}
