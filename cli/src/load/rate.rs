//! How many requests a second are meant at each moment: constant, ramps, jumps, decays.
//!
//! Pure. A curve knows its own integral and the inverse of it, so arrivals can be drawn exactly
//! instead of by small steps of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// More a second than one machine can send: past it a number is a slip of the finger.
pub(crate) const RATE_MAX: f64 = 1_000_000.0;
/// Halvings that find an instant to far below a nanosecond of a day.
const HALVINGS: u32 = 64;

/// Requests a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Rate(pub(crate) f64);

/// `200/s`, `12000/m`, `200` (a second).
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, seconds) = match text.split_once('/') {
            None => (text, 1.0),
            Some((number, "s" | "sec" | "second")) => (number, 1.0),
            Some((number, "m" | "min" | "minute")) => (number, 60.0),
            Some((number, "h" | "hour")) => (number, 3_600.0),
            Some((_, unit)) => return Err(format!("`{unit}` is no unit of time: write 200/s")),
        };
        let number: f64 = number
            .trim()
            .parse()
            .map_err(|_| format!("`{text}` is not a rate: write 200/s or 600/m"))?;
        let rate = number / seconds;
        if !rate.is_finite() || !(0.0..=RATE_MAX).contains(&rate) {
            return Err(format!("a rate is from 0 to {RATE_MAX} a second"));
        }
        Ok(Self(rate))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.fract().abs() < f64::EPSILON {
            write!(f, "{:.0}/s", self.0)
        } else {
            write!(f, "{:.2}/s", self.0)
        }
    }
}

/// How the rate goes within a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// Straight from one rate to the other; the same rate twice is constant.
    Line { from: f64, to: f64 },
    /// Towards `to`, by a factor of e every `tau` seconds.
    Decay { from: f64, to: f64, tau: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Segment {
    pub(crate) seconds: f64,
    pub(crate) shape: Shape,
}

impl Segment {
    pub(crate) fn constant(seconds: f64, rate: f64) -> Self {
        Self::line(seconds, rate, rate)
    }

    pub(crate) fn line(seconds: f64, from: f64, to: f64) -> Self {
        let shape = Shape::Line { from, to };
        Self { seconds, shape }
    }

    pub(crate) fn decay(seconds: f64, from: f64, to: f64, tau: f64) -> Self {
        let shape = Shape::Decay { from, to, tau };
        Self { seconds, shape }
    }

    fn rate(&self, at: f64) -> f64 {
        match self.shape {
            Shape::Line { from, to } => from + (to - from) * at / self.seconds,
            Shape::Decay { from, to, tau } => to + (from - to) * (-at / tau).exp(),
        }
    }

    /// Requests expected in the segment's first `at` seconds.
    fn expected(&self, at: f64) -> f64 {
        match self.shape {
            Shape::Line { from, to } => from * at + (to - from) * at * at / (2.0 * self.seconds),
            Shape::Decay { from, to, tau } => to * at - (from - to) * tau * (-at / tau).exp_m1(),
        }
    }

    /// When `expected` reaches `mass`, which it does within the segment.
    fn instant_of(&self, mass: f64) -> f64 {
        if let Shape::Line { from, to } = self.shape {
            // The stable root of the parabola: no difference of near numbers in it.
            let slope = (to - from) / self.seconds;
            let root = (from * from + 2.0 * slope * mass).max(0.0).sqrt();
            let at = 2.0 * mass / (from + root);
            return if at.is_finite() {
                at.min(self.seconds)
            } else {
                0.0
            };
        }
        let (mut low, mut high) = (0.0, self.seconds);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.expected(middle) < mass {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// Segments, one after the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Curve {
    segments: Vec<Segment>,
}

impl Curve {
    /// Segments without length are left out.
    pub(crate) fn new(segments: impl IntoIterator<Item = Segment>) -> Self {
        let segments = segments.into_iter();
        Self {
            segments: segments.filter(|one| one.seconds > 0.0).collect(),
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.segments.iter().map(|one| one.seconds).sum()
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds())
    }

    /// Requests a second at this moment; 0 outside.
    #[cfg(test)]
    pub(crate) fn rate(&self, at: f64) -> f64 {
        let mut begin = 0.0;
        for segment in &self.segments {
            if at < begin + segment.seconds {
                return segment.rate((at - begin).max(0.0));
            }
            begin += segment.seconds;
        }
        0.0
    }

    /// The highest rate anywhere: both shapes have it at one of their ends.
    pub(crate) fn peak(&self) -> f64 {
        let ends = self
            .segments
            .iter()
            .map(|one| one.rate(0.0).max(one.rate(one.seconds)));
        ends.fold(0.0, f64::max)
    }

    /// Requests expected until `at`.
    pub(crate) fn expected(&self, at: f64) -> f64 {
        let (mut begin, mut mass) = (0.0, 0.0);
        for segment in &self.segments {
            let inside = (at - begin).clamp(0.0, segment.seconds);
            mass += segment.expected(inside);
            begin += segment.seconds;
        }
        mass
    }

    /// The moment at which `mass` requests are expected to have come; none when so many never do.
    pub(crate) fn instant_of(&self, mass: f64) -> Option<f64> {
        let (mut begin, mut left) = (0.0, mass);
        for segment in &self.segments {
            let whole = segment.expected(segment.seconds);
            if left <= whole && whole > 0.0 {
                return Some(begin + segment.instant_of(left));
            }
            left -= whole;
            begin += segment.seconds;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_read_with_its_unit_and_nonsense_is_refused() {
        for (text, rate) in [("200/s", 200.0), ("200", 200.0), ("90/m", 1.5), ("0", 0.0)] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for text in ["", "fast", "-1", "1/day", "nan", "inf", "2e9"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert_eq!(Rate(200.0).to_string(), "200/s");
        assert_eq!(Rate(1.5).to_string(), "1.50/s");
    }

    #[test]
    fn a_curve_knows_its_rate_and_what_it_adds_up_to() {
        let curve = Curve::new([
            Segment::constant(10.0, 5.0),
            Segment::line(10.0, 5.0, 15.0),
            Segment::constant(0.0, 1e6),
            Segment::decay(10.0, 100.0, 0.0, 2.0),
        ]);
        assert!((curve.seconds() - 30.0).abs() < 1e-9);
        assert!((curve.rate(15.0) - 10.0).abs() < 1e-9);
        assert!((curve.rate(20.0) - 100.0).abs() < 1e-9);
        assert!((curve.rate(22.0) - 100.0 / std::f64::consts::E).abs() < 1e-9);
        assert!(curve.rate(31.0).abs() < f64::EPSILON);
        assert!((curve.expected(20.0) - 150.0).abs() < 1e-9);
        assert!((curve.peak() - 100.0).abs() < 1e-9);
    }

    fn segment() -> impl Strategy<Value = Segment> {
        let (seconds, rate) = (0.01..500.0_f64, 0.0..5_000.0_f64);
        (seconds, rate.clone(), rate, 0.5..60.0_f64, any::<bool>()).prop_map(
            |(seconds, from, to, tau, is_line)| match is_line {
                true => Segment::line(seconds, from, to),
                false => Segment::decay(seconds, from, to, tau),
            },
        )
    }

    proptest! {
        #[test]
        fn the_integral_is_the_sum_of_the_rate(segments in prop::collection::vec(segment(), 1..5)) {
            let curve = Curve::new(segments);
            let steps = 20_000_u32;
            let width = curve.seconds() / f64::from(steps);
            let sum: f64 = (0..steps).map(|n| curve.rate((f64::from(n) + 0.5) * width) * width).sum();
            let whole = curve.expected(curve.seconds());
            prop_assert!((sum - whole).abs() <= 1e-2 * whole.max(1.0), "{sum} and {whole}");
        }

        #[test]
        fn the_inverse_undoes_the_integral(
            segments in prop::collection::vec(segment(), 1..5),
            part in 0.001..0.999_f64,
        ) {
            let curve = Curve::new(segments);
            let mass = curve.expected(curve.seconds()) * part;
            let at = curve.instant_of(mass).expect("within the curve");
            prop_assert!((curve.expected(at) - mass).abs() <= 1e-6 * mass.max(1.0));
            prop_assert_eq!(curve.instant_of(curve.expected(curve.seconds()) * 1.01 + 1.0), None);
        }
    }
}
