//! The load of a simulation over time, in requests per second of the whole app.
//!
//! ```text
//! shape = piece {"then" piece}
//! piece = "constant" rate "for" duration
//!       | "ramp" rate "to" rate "over" duration
//!       | "step" rate "to" rate "at" duration "for" duration
//!       | "spike" rate "to" rate "for" duration ["falling over" duration]
//!       | "sine" rate "to" rate "over" duration ["for" duration]      begins at its lowest
//! ```
//!
//! `constant 50/s for 5m then spike 50/s to 3000/s for 1m falling over 10m`. Points of a file do as
//! well: CSV lines `second,requests per second`, or JSON `[[0, 50], [60, 80]]`.

use crate::parse::{self, ParseError};
use crate::units::{Milli, ONE, Second, milli_from_text};

/// Longest load, in seconds: a year.
pub const SHAPE_SECONDS_MAX: u32 = 366 * 86_400;
/// Most points of a file.
pub const POINTS_MAX: usize = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub(crate) pieces: Vec<Piece>,
}

/// Rates are thousandths of a request per second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Line {
        from: Milli,
        to: Milli,
        for_s: u32,
    },
    Sine {
        low: Milli,
        high: Milli,
        period_s: u32,
        for_s: u32,
    },
    /// Seconds from the beginning, rising; straight lines between.
    Points(Vec<(u32, Milli)>),
}

/// A file is no load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error("point {0}: write `second,requests per second`, with seconds that rise")]
    Point(usize),
    #[error("the points are no JSON list of [second, requests per second]: {0}")]
    Json(String),
    #[error("{0} points are too many: a load has {POINTS_MAX}")]
    TooMany(usize),
    #[error("a load has at least one piece and lasts a year at most")]
    Length,
}

impl Shape {
    /// The language above.
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        Self {
            pieces: parse::shape(text)?,
        }
        .checked()
    }

    /// Lines `second,rate`. A first line of words is skipped.
    pub fn from_csv(text: &str) -> Result<Self, ShapeError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let numeric = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
        let points = lines
            .enumerate()
            .filter(|(at, line)| *at > 0 || numeric(line))
            .map(|(at, line)| {
                let fields = line.split_once([',', ';', '\t']);
                let point = fields.and_then(|(second, rate)| point(second.trim(), rate.trim()));
                point.ok_or(ShapeError::Point(at + 1))
            });
        Self::from_points(points.collect::<Result<_, _>>()?)
    }

    /// `[[0, 50], [60, 80.5]]`.
    pub fn from_json(text: &str) -> Result<Self, ShapeError> {
        let rows: Vec<(serde_json::Number, serde_json::Number)> =
            serde_json::from_str(text).map_err(|error| ShapeError::Json(error.to_string()))?;
        let points = rows.iter().enumerate().map(|(at, (second, rate))| {
            point(&second.to_string(), &rate.to_string()).ok_or(ShapeError::Point(at + 1))
        });
        Self::from_points(points.collect::<Result<_, _>>()?)
    }

    fn from_points(points: Vec<(u32, Milli)>) -> Result<Self, ShapeError> {
        if points.len() > POINTS_MAX {
            return Err(ShapeError::TooMany(points.len()));
        }
        if let Some(at) = points.windows(2).position(|pair| pair[0].0 >= pair[1].0) {
            return Err(ShapeError::Point(at + 2));
        }
        Self {
            pieces: vec![Piece::Points(points)],
        }
        .checked()
    }

    fn checked(self) -> Result<Self, ShapeError> {
        let lengths = self.pieces.iter().map(|piece| u64::from(piece.seconds()));
        let fits = (1..=u64::from(SHAPE_SECONDS_MAX)).contains(&lengths.sum::<u64>());
        if fits {
            Ok(self)
        } else {
            Err(ShapeError::Length)
        }
    }

    /// How long it lasts.
    #[must_use]
    pub fn seconds(&self) -> u32 {
        self.pieces.iter().map(Piece::seconds).sum()
    }

    /// The load so many seconds after the beginning; afterwards the last one stays.
    #[must_use]
    pub fn rate(&self, second: u32) -> Milli {
        let mut rest = second;
        let mut last = None;
        for piece in &self.pieces {
            if rest < piece.seconds() {
                return piece.rate(rest);
            }
            rest -= piece.seconds();
            last = Some(piece);
        }
        last.map_or(0, |piece| piece.rate(piece.seconds()))
    }
}

fn point(second: &str, rate: &str) -> Option<(u32, Milli)> {
    let second = u32::try_from(milli_from_text(second)? / ONE).ok()?;
    milli_from_text(rate)
        .filter(|rate| *rate >= 0)
        .map(|rate| (second, rate))
}

impl Piece {
    fn seconds(&self) -> u32 {
        match self {
            Self::Line { for_s, .. } | Self::Sine { for_s, .. } => *for_s,
            Self::Points(points) => points.last().map_or(0, |(second, _)| second + 1),
        }
    }

    fn rate(&self, second: u32) -> Milli {
        match self {
            Self::Line { from, to, for_s } => between((0, *from), (*for_s, *to), second),
            Self::Sine {
                low,
                high,
                period_s,
                ..
            } => wave(*low, *high, *period_s, second),
            Self::Points(points) => {
                let after = points.partition_point(|(at, _)| *at <= second);
                match (after.checked_sub(1).map(|at| points[at]), points.get(after)) {
                    (Some(left), Some(right)) => between(left, *right, second),
                    (Some((_, rate)), None) => rate,
                    (None, right) => right.map_or(0, |(_, rate)| *rate),
                }
            }
        }
    }
}

/// On the straight line between two points.
fn between(left: (u32, Milli), right: (u32, Milli), second: u32) -> Milli {
    let width = Second::from(right.0.saturating_sub(left.0)).max(1);
    let along = Second::from(second.saturating_sub(left.0)).min(width);
    let rise = i128::from(right.1 - left.1) * i128::from(along) / i128::from(width);
    left.1 + Milli::try_from(rise).unwrap_or(0)
}

/// From low to high and back within a period. In whole numbers: Bhaskara's sine, squared, is off by
/// less than one part in three hundred.
fn wave(low: Milli, high: Milli, period_s: u32, second: u32) -> Milli {
    let period = i128::from(period_s.max(1));
    // Half the angle, in thousandths of a degree: 0 to 180.
    let x = i128::from(second) % period * 180_000 / period;
    let product = x * (180_000 - x);
    // The sine, in millionths.
    let sine = 4_000_000 * product / (40_500_000_000 - product);
    let rise = i128::from(high - low) * sine * sine / 1_000_000_000_000;
    low + Milli::try_from(rise).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_one_another() {
        let text = "constant 50/s for 1m then ramp 50/s to 150/s over 100s \
                    then spike 50/s to 3000/s for 10s falling over 10s then step 1/s to 9/s at 5s for 10s";
        let shape = Shape::parse(text).expect("a shape");
        assert_eq!(shape.seconds(), 60 + 100 + 20 + 10);
        for (second, rate) in [
            (0, 50),
            (59, 50),
            (60, 50),
            (110, 100),
            (160, 3_000),
            (169, 3_000),
            (170, 3_000),
            (175, 1_525),
            (180, 1),
            (184, 1),
            (185, 9),
            (500, 9),
        ] {
            assert_eq!(shape.rate(second), rate * ONE, "at {second}");
        }
    }

    #[test]
    fn a_day_is_a_wave() {
        let shape = Shape::parse("sine 100/s to 900/s over 1d for 7d").expect("a shape");
        assert_eq!(shape.seconds(), 7 * 86_400);
        assert_eq!(shape.rate(0), 100 * ONE);
        assert_eq!(shape.rate(86_400 / 2), 900 * ONE);
        let quarter = shape.rate(86_400 / 4) / ONE;
        assert!((495..=505).contains(&quarter), "{quarter}");
    }

    #[test]
    fn points_come_from_files() {
        let csv = Shape::from_csv("second,rate\n0,10\n10,20.5\n").expect("a shape");
        let json = Shape::from_json("[[0, 10], [10, 20.5]]").expect("a shape");
        assert_eq!(csv, json);
        assert_eq!(csv.rate(5), 15_250);
        assert!(Shape::from_csv("0,10\n0,20").is_err());
        assert!(Shape::from_csv("0;10\n5;x").is_err());
        assert!(Shape::from_json("{}").is_err());
        assert!(Shape::from_csv("").is_err());
        assert!(Shape::parse("constant 50/s").is_err());
        assert!(Shape::parse("constant 50/s for 900d").is_err());
    }
}
