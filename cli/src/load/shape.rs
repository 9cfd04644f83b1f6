//! Shapes of load in a word: `constant`, `ramp:50/s..500/s`, `spike:2000/s`, `steps:50/s,100/s,200/s`.
//!
//! Pure.

use std::str::FromStr;

use super::rate::{Curve, Rate, Segment};

/// Most steps of one shape.
const STEPS_MAX: usize = 100;
/// A spike comes after this part of the time,
const SPIKE_AT: f64 = 1.0 / 3.0;
/// stands within this many seconds,
const SPIKE_RISE_S: f64 = 1.0;
/// and falls by a factor of e in this part of the time.
const SPIKE_TAU: f64 = 1.0 / 10.0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LoadShape {
    Constant,
    /// Straight from one rate to the other.
    Ramp(Rate, Rate),
    /// From the base rate to this one at once, then back.
    Spike(Rate),
    /// One after the other, each as long.
    Steps(Vec<Rate>),
}

impl FromStr for LoadShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        match (name, rest.is_empty()) {
            ("constant", true) => Ok(Self::Constant),
            ("ramp", false) => {
                let (from, to) = rest
                    .split_once("..")
                    .ok_or_else(|| format!("`{rest}` is no ramp: write ramp:50/s..500/s"))?;
                Ok(Self::Ramp(from.parse()?, to.parse()?))
            }
            ("spike", false) => Ok(Self::Spike(rest.parse()?)),
            ("steps", false) => {
                let steps: Vec<Rate> = rest.split(',').map(str::parse).collect::<Result<_, _>>()?;
                match steps.len() <= STEPS_MAX {
                    true => Ok(Self::Steps(steps)),
                    false => Err(format!("there may be {STEPS_MAX} steps")),
                }
            }
            _ => Err(format!(
                "`{text}` is no shape: write constant, ramp:50/s..500/s, spike:2000/s or steps:50/s,100/s"
            )),
        }
    }
}

impl LoadShape {
    pub(crate) fn curve(&self, base: Rate, seconds: f64) -> Curve {
        let base = base.0;
        match self {
            Self::Constant => Curve::new([Segment::constant(seconds, base)]),
            Self::Ramp(from, to) => Curve::new([Segment::line(seconds, from.0, to.0)]),
            Self::Spike(peak) => {
                let before = seconds * SPIKE_AT;
                let rise = SPIKE_RISE_S.min(seconds / 10.0);
                let after = seconds - before - rise;
                Curve::new([
                    Segment::constant(before, base),
                    Segment::line(rise, base, peak.0),
                    Segment::decay(after, peak.0, base, seconds * SPIKE_TAU),
                ])
            }
            Self::Steps(steps) => {
                #[allow(clippy::cast_precision_loss, reason = "at most a hundred")]
                let each = seconds / steps.len().max(1) as f64;
                Curve::new(steps.iter().map(|rate| Segment::constant(each, rate.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_become_curves_as_long_as_they_should() {
        for (text, expected, peak) in [
            ("constant", 1_000.0, 100.0),
            ("ramp:0/s..100/s", 500.0, 100.0),
            ("steps:10,20,30,40", 250.0, 40.0),
        ] {
            let shape: LoadShape = text.parse().expect(text);
            let curve = shape.curve(Rate(100.0), 10.0);
            assert!((curve.seconds() - 10.0).abs() < 1e-9, "{text}");
            assert!((curve.expected(10.0) - expected).abs() < 1e-6, "{text}");
            assert!((curve.peak() - peak).abs() < 1e-9, "{text}");
        }
        let spike = "spike:3000/s".parse::<LoadShape>().expect("a spike");
        let curve = spike.curve(Rate(100.0), 30.0);
        assert!((curve.rate(9.9) - 100.0).abs() < 1e-9);
        assert!((curve.rate(11.0) - 3_000.0).abs() < 1.0);
        assert!(curve.rate(29.9) < 110.0);
    }

    #[test]
    fn what_is_no_shape_is_told_with_those_there_are() {
        for text in [
            "",
            "ramp",
            "ramp:5",
            "ramp:a..b",
            "spike:",
            "steps:1,x",
            "wave:3",
        ] {
            assert!(text.parse::<LoadShape>().is_err(), "{text}");
        }
    }
}
