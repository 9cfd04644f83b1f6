//! What a rehearsal plays: phases with their rates, who comes, and what must not happen.
//!
//! Pure. The three that are built in are made here; `profile_file.rs` reads others.

use std::sync::Arc;
use std::time::Duration;

use crate::load::{Curve, Segment, Template, Threshold};

/// A jump stands within this long, seconds.
const JUMP_S: f64 = 1.0;
/// Shares of the peak at which the rush after a jump ends, and the storm after it.
const RUSH_END: f64 = 0.2;
const STORM_END: f64 = 0.05;
/// The countdown brings this many times the baseline.
const COUNTDOWN_FACTOR: f64 = 3.0;
/// Longest rehearsal, seconds: what is kept of each second must fit.
pub(crate) const SECONDS_MAX: f64 = 4.0 * 3_600.0;

/// How the rate of a phase goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PhaseRate {
    Line {
        from: f64,
        to: f64,
    },
    /// Falls by a factor of e every `tau` seconds.
    Decay {
        from: f64,
        to: f64,
        tau: f64,
    },
    /// Up within a second, then falling: three of its own time constants fit the phase.
    Jump {
        from: f64,
        peak: f64,
        to: f64,
    },
}

impl PhaseRate {
    fn constant(rate: f64) -> Self {
        Self::Line {
            from: rate,
            to: rate,
        }
    }

    fn segments(self, seconds: f64) -> Vec<Segment> {
        match self {
            Self::Line { from, to } => vec![Segment::line(seconds, from, to)],
            Self::Decay { from, to, tau } => vec![Segment::decay(seconds, from, to, tau)],
            Self::Jump { from, peak, to } => {
                let rise = JUMP_S.min(seconds / 4.0);
                let fall = seconds - rise;
                vec![
                    Segment::line(rise, from, peak),
                    Segment::decay(fall, peak, to, fall / 3.0),
                ]
            }
        }
    }

    fn scaled(self, by: f64) -> Self {
        match self {
            Self::Line { from, to } => Self::Line {
                from: from * by,
                to: to * by,
            },
            Self::Decay { from, to, tau } => Self::Decay {
                from: from * by,
                to: to * by,
                tau,
            },
            Self::Jump { from, peak, to } => Self::Jump {
                from: from * by,
                peak: peak * by,
                to: to * by,
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    pub(crate) rate: PhaseRate,
}

impl Phase {
    fn new(name: &str, seconds: f64, rate: PhaseRate) -> Self {
        Self {
            name: name.to_owned(),
            seconds,
            rate,
        }
    }
}

/// Who comes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Crowd {
    /// Shoppers; from the phase of this number on the sale is open and they buy.
    Shoppers { sale_from: usize },
    /// Visitors with one request each.
    Visitors(Vec<Template>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) phases: Vec<Phase>,
    pub(crate) crowd: Crowd,
    /// Share on connections of their own, unless a flag says otherwise.
    pub(crate) connections_new: Option<f64>,
    pub(crate) fail_if: Vec<Threshold>,
}

/// The rates that built-in profiles are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) base: f64,
    /// How many times the base the peak is.
    pub(crate) factor: f64,
}

impl Profile {
    /// One of the three by its name.
    pub(crate) fn built_in(name: &str, rates: Rates) -> Option<Self> {
        let (phases, crowd) = match name {
            "flash-sale" => (flash_sale(rates), Crowd::Shoppers { sale_from: 2 }),
            "ramp" => (ramp(rates), visitors()),
            "spike" => (spike(rates), visitors()),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            phases,
            crowd,
            connections_new: None,
            fail_if: Vec::new(),
        })
    }

    /// All rates times `by`.
    #[must_use]
    pub(crate) fn scaled(mut self, by: f64) -> Self {
        for phase in &mut self.phases {
            phase.rate = phase.rate.scaled(by);
        }
        self
    }

    /// Other lengths of phases; the name of one that there is not, when there is one.
    pub(crate) fn with_lengths(mut self, lengths: &[(String, Duration)]) -> Result<Self, String> {
        for (name, length) in lengths {
            let phase = self.phases.iter_mut().find(|phase| phase.name == *name);
            phase.ok_or_else(|| name.clone())?.seconds = length.as_secs_f64();
        }
        Ok(self)
    }

    pub(crate) fn curve(&self) -> Arc<Curve> {
        let segments = self.phases.iter();
        Arc::new(Curve::new(
            segments.flat_map(|phase| phase.rate.segments(phase.seconds)),
        ))
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }

    /// When this phase begins, seconds from the start.
    pub(crate) fn begin_of(&self, phase: usize) -> f64 {
        let before = self.phases.iter().take(phase);
        before.map(|phase| phase.seconds).sum()
    }

    pub(crate) fn phase_at(&self, at: f64) -> &str {
        let mut end = 0.0;
        let current = self.phases.iter().find(|phase| {
            end += phase.seconds;
            at < end
        });
        let last = self.phases.last();
        current.or(last).map_or("", |phase| phase.name.as_str())
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.phases
            .iter()
            .map(|phase| phase.name.as_str())
            .collect()
    }
}

fn visitors() -> Crowd {
    Crowd::Visitors(vec![Template::get("/")])
}

fn flash_sale(Rates { base, factor }: Rates) -> Vec<Phase> {
    let (eve, peak) = (base * COUNTDOWN_FACTOR, base * factor);
    let line = |from, to| PhaseRate::Line { from, to };
    vec![
        Phase::new("baseline", 10.0, PhaseRate::constant(base)),
        Phase::new("countdown", 15.0, line(base, eve)),
        Phase::new(
            "jump",
            20.0,
            PhaseRate::Jump {
                from: eve,
                peak,
                to: peak * RUSH_END,
            },
        ),
        Phase::new("storm", 15.0, line(peak * RUSH_END, peak * STORM_END)),
        Phase::new("tail", 10.0, line(peak * STORM_END, 0.0)),
    ]
}

fn ramp(Rates { base, factor }: Rates) -> Vec<Phase> {
    let peak = base * factor;
    let line = |from, to| PhaseRate::Line { from, to };
    vec![
        Phase::new("baseline", 10.0, PhaseRate::constant(base)),
        Phase::new("ramp", 30.0, line(base, peak)),
        Phase::new("top", 15.0, PhaseRate::constant(peak)),
        Phase::new("down", 10.0, line(peak, base)),
    ]
}

fn spike(Rates { base, factor }: Rates) -> Vec<Phase> {
    vec![
        Phase::new("baseline", 10.0, PhaseRate::constant(base)),
        Phase::new(
            "spike",
            20.0,
            PhaseRate::Jump {
                from: base,
                peak: base * factor,
                to: base,
            },
        ),
        Phase::new("after", 10.0, PhaseRate::constant(base)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        base: 10.0,
        factor: 50.0,
    };

    #[test]
    fn the_flash_sale_jumps_within_a_second_and_falls_again() {
        let profile = Profile::built_in("flash-sale", RATES).expect("built in");
        let curve = profile.curve();
        assert!((curve.seconds() - profile.seconds()).abs() < 1e-9);
        assert!((curve.rate(9.0) - 10.0).abs() < 1e-9);
        assert!(
            (curve.rate(24.99) - 30.0).abs() < 0.1,
            "the countdown triples"
        );
        assert!((curve.rate(26.0) - 500.0).abs() < 1.0, "T0 and a second");
        assert!(curve.rate(44.9) < 150.0);
        assert!(curve.rate(69.9) < 1.0);
        assert!((curve.peak() - 500.0).abs() < 1e-9);
    }

    #[test]
    fn phases_can_be_made_longer_and_rates_smaller() {
        for name in ["flash-sale", "ramp", "spike"] {
            let profile = Profile::built_in(name, RATES).expect(name);
            let first = profile.phases[0].name.clone();
            let longer = profile
                .clone()
                .scaled(0.5)
                .with_lengths(&[(first, Duration::from_secs(60))])
                .expect("there");
            assert!((longer.begin_of(1) - 60.0).abs() < 1e-9, "{name}");
            let (half, whole) = (longer.curve().peak(), profile.curve().peak());
            assert!((half - whole / 2.0).abs() < 1e-9, "{name}");
            let unknown = profile.with_lengths(&[("party".into(), Duration::from_secs(1))]);
            assert_eq!(unknown.err().as_deref(), Some("party"));
        }
        assert!(Profile::built_in("party", RATES).is_none());
    }

    #[test]
    fn a_moment_lies_in_its_phase_and_the_last_has_no_end() {
        let profile = Profile::built_in("flash-sale", RATES).expect("built in");
        for (at, name) in [
            (0.0, "baseline"),
            (10.0, "countdown"),
            (25.5, "jump"),
            (999.0, "tail"),
        ] {
            assert_eq!(profile.phase_at(at), name);
        }
    }
}
