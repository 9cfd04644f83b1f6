//! Two charts of block characters and the list of acts.

use std::fmt::Write;

use super::{columns, moment, whole};
use crate::timeline::Timeline;

/// Rows of a chart, each of eight steps.
const ROWS: i64 = 6;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Most acts that are listed; a picture with more is read in the SVG.
const ACTS_MAX: usize = 40;
/// Columns that the labels take.
const LABEL_COLUMNS: usize = 8;
/// Narrowest picture.
const COLUMNS_MIN: usize = 20;

/// The timeline in so many columns.
#[must_use]
pub fn terminal(timeline: &Timeline, width: usize) -> String {
    let room = width.saturating_sub(LABEL_COLUMNS + 2).max(COLUMNS_MIN);
    let columns = columns(&timeline.points, room);
    let load: Vec<i64> = columns.iter().map(|column| whole(column.load)).collect();
    let wanted: Vec<i64> = columns
        .iter()
        .map(|column| i64::from(column.wanted))
        .collect();
    let mut text = String::new();
    chart(&mut text, &format!("load, {}", timeline.load_unit), &load);
    chart(&mut text, "instances", &wanted);
    if let (Some(first), Some(last)) = (timeline.points.first(), timeline.points.last()) {
        line(
            &mut text,
            &format!("from {} to {} UTC", moment(first.at), moment(last.at)),
        );
    }
    for act in timeline.acts.iter().take(ACTS_MAX) {
        line(&mut text, &format!("{}  {}", moment(act.at), act.reason));
    }
    let rest = timeline.acts.len().saturating_sub(ACTS_MAX);
    if rest > 0 {
        line(&mut text, &format!("and {rest} more acts"));
    }
    for note in &timeline.notes {
        line(&mut text, &format!("note: {note}"));
    }
    text
}

fn chart(text: &mut String, title: &str, values: &[i64]) {
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    line(text, title);
    for row in (0..ROWS).rev() {
        let label = if row == ROWS - 1 {
            top.to_string()
        } else {
            String::new()
        };
        let blocks = values.iter().map(|value| block(*value, top, row));
        let blocks: String = blocks.collect();
        line(
            text,
            &format!("{label:>LABEL_COLUMNS$} {}", blocks.trim_end()),
        );
    }
}

/// The part of a bar that lies in this row.
fn block(value: i64, top: i64, row: i64) -> char {
    let steps = i128::from(value) * i128::from(ROWS) * 8 / i128::from(top);
    // What is there at all, is seen.
    let steps = if value > 0 { steps.max(1) } else { 0 };
    let here = (steps - i128::from(row) * 8).clamp(0, 8);
    usize::try_from(here)
        .ok()
        .and_then(|at| BLOCKS.get(at))
        .copied()
        .unwrap_or(' ')
}

fn line(text: &mut String, line: &str) {
    let written = writeln!(text, "{}", line.trim_end());
    debug_assert!(written.is_ok(), "a String takes everything");
}
