//! A timeline as a picture: SVG for reports, blocks for the terminal. Builders of strings; nothing
//! here knows of files or terminals.

mod svg;
mod terminal;

pub use svg::svg;
pub use terminal::terminal;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::timeline::{Point, Timeline};
use crate::units::{Milli, ONE, Second};

/// One column of a picture: what the points that fall into it reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Column {
    load: Milli,
    lost: Milli,
    wanted: u32,
    running: u32,
}

/// As many columns as there is room, or as there are points. A peak never gets lost.
fn columns(points: &[Point], room: usize) -> Vec<Column> {
    let count = room.min(points.len()).max(1);
    let mut columns = vec![Column::default(); count];
    for (at, point) in points.iter().enumerate() {
        let column = &mut columns[at * count / points.len()];
        column.load = column.load.max(point.load);
        column.lost = column.lost.max(point.lost);
        column.wanted = column.wanted.max(point.wanted);
        column.running = column.running.max(point.running);
    }
    columns
}

/// Where an act is, in thousandths of the whole width.
fn place(timeline: &Timeline, at: Second) -> i64 {
    let (Some(first), Some(last)) = (timeline.points.first(), timeline.points.last()) else {
        return 0;
    };
    (at - first.at) * 1_000 / (last.at - first.at).max(1)
}

/// `2026-11-27 20:05:00`, in UTC.
fn moment(at: Second) -> String {
    match Timestamp::from_second(at) {
        Ok(at) => at.to_zoned(TimeZone::UTC).strftime("%F %T").to_string(),
        Err(_) => at.to_string(),
    }
}

/// Whole units, rounded up: labels of axes.
fn whole(value: Milli) -> i64 {
    -(-value).div_euclid(ONE)
}
