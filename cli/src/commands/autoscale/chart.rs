//! Load and instances over time, as rows of blocks for a terminal and as an SVG file. Pure: from a
//! timeline to text.

use std::fmt::Write;

use cfx_rules::timeline::{Act, Point, Timeline};
use cfx_rules::units::{Second, duration_text, milli_text};
use jiff::Timestamp;

/// Columns of a chart in a terminal, and its rows.
const COLUMNS: usize = 72;
const ROWS: usize = 6;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Acts that are listed; of more, the first ones and how many more there are.
const ACTS_MAX: usize = 40;
/// Size of an SVG, and what its two charts have of it.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const CHART_HEIGHT: f64 = 180.0;
const GAP: f64 = 50.0;
/// Lines of a drawing: more are not to be told apart.
const DRAWN_MAX: usize = 1_920;

/// One chart: its name, its values, and how a value is written.
struct Series {
    name: String,
    values: Vec<i64>,
    text: fn(i64) -> String,
}

impl Series {
    fn both(timeline: &Timeline, most: usize) -> [Self; 2] {
        let of = |value: fn(&Point) -> i64| highest(timeline.points.iter().map(value), most);
        [
            Self {
                name: format!("load, {}", timeline.load_unit),
                values: of(|point| point.load),
                text: milli_text,
            },
            Self {
                name: "instances".to_owned(),
                values: of(|point| i64::from(point.running)),
                text: |value| value.to_string(),
            },
        ]
    }

    fn most(&self) -> i64 {
        self.values.iter().copied().max().unwrap_or(0).max(1)
    }
}

/// At most so many values: of several the highest, so that no peak is lost.
fn highest(values: impl ExactSizeIterator<Item = i64>, most: usize) -> Vec<i64> {
    let each = values.len().div_ceil(most).max(1);
    let values: Vec<i64> = values.collect();
    let chunks = values.chunks(each);
    chunks
        .map(|chunk| chunk.iter().copied().max().unwrap_or(0))
        .collect()
}

/// For a terminal, without colour.
pub(super) fn lines(timeline: &Timeline) -> Vec<String> {
    let mut lines = Vec::new();
    for series in Series::both(timeline, COLUMNS) {
        let most = series.most();
        lines.push(format!("{} (at most {})", series.name, (series.text)(most)));
        lines.extend(rows(&series.values, most));
    }
    let begin = begin(timeline);
    let length = timeline.points.last().map_or(0, |point| point.at - begin);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    lines.push(format!("0 to {}", duration_text(length)));
    lines.push(String::new());
    for act in timeline.acts.iter().take(ACTS_MAX) {
        lines.push(format!("{:>8}  {}", since(begin, act), act.reason));
    }
    match timeline.acts.len() {
        0 => lines.push("Nothing would have been scaled.".to_owned()),
        all if all > ACTS_MAX => lines.push(format!("and {} more", all - ACTS_MAX)),
        _ => {}
    }
    lines.extend(timeline.notes.iter().map(|note| format!("Note: {note}.")));
    lines
}

fn rows(values: &[i64], most: i64) -> Vec<String> {
    let rows = i64::try_from(ROWS).unwrap_or(1);
    let eighths = |value: i64| {
        let all = i128::from(value.max(0)) * i128::from(rows * 8);
        // The smallest value that is something is seen as something.
        i64::try_from(all.div_ceil_by(i128::from(most))).unwrap_or(0)
    };
    let block = |value: i64, row: i64| {
        let here = (eighths(value) - row * 8).clamp(0, 8);
        BLOCKS[usize::try_from(here).unwrap_or(0)]
    };
    let row = |row: i64| values.iter().map(|value| block(*value, row)).collect();
    (0..rows).rev().map(row).collect()
}

/// Division that rounds up.
trait DivCeil {
    fn div_ceil_by(self, by: Self) -> Self;
}

impl DivCeil for i128 {
    fn div_ceil_by(self, by: Self) -> Self {
        let by = by.max(1);
        (self + by - 1) / by
    }
}

fn begin(timeline: &Timeline) -> Second {
    timeline.points.first().map_or(0, |point| point.at)
}

fn since(begin: Second, act: &Act) -> String {
    let seconds = u32::try_from(act.at - begin).unwrap_or(0);
    duration_text(seconds)
}

/// A picture of its own: no script, no font, nothing from elsewhere.
pub(super) fn svg(timeline: &Timeline, title: &str) -> String {
    let height = GAP + 2.0 * (CHART_HEIGHT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    add(&mut svg, &text(LEFT, 24.0, "#111", title));
    for (place, series) in [0.0, 1.0].into_iter().zip(Series::both(timeline, DRAWN_MAX)) {
        let top = GAP + place * (CHART_HEIGHT + GAP);
        let (fill, line) = match place > 0.0 {
            true => ("#d7ecd9", "#2e7d32"),
            false => ("#dbe7f6", "#1f5fa8"),
        };
        draw(&mut svg, &series, top, fill, line);
    }
    let top = GAP + CHART_HEIGHT + GAP;
    for act in timeline.acts.iter().take(DRAWN_MAX) {
        let x = place_of(timeline, act.at);
        let mark = format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{:.1}\" stroke=\"#c62828\" \
             stroke-opacity=\"0.5\"><title>{}: {}</title></line>\n",
            top + CHART_HEIGHT,
            moment(act.at),
            escaped(&act.reason)
        );
        svg.push_str(&mark);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, series: &Series, top: f64, fill: &str, line: &str) {
    let most = series.most();
    let bottom = top + CHART_HEIGHT;
    let step = (WIDTH - LEFT - 20.0) / number(series.values.len().max(1));
    let mut points = String::new();
    for (at, value) in series.values.iter().enumerate() {
        let y = bottom - CHART_HEIGHT * fraction(*value, most);
        let x = LEFT + step * number(at);
        add(&mut points, &format!("{x:.1},{y:.1} {:.1},{y:.1} ", x + step));
    }
    let right = WIDTH - 20.0;
    add(
        svg,
        &format!(
            "<polygon points=\"{LEFT},{bottom} {points}{right:.1},{bottom}\" fill=\"{fill}\"/>\n\
             <polyline points=\"{points}\" fill=\"none\" stroke=\"{line}\"/>\n"
        ),
    );
    add(svg, &text(LEFT, top - 8.0, line, &series.name));
    add(svg, &text(4.0, top + 10.0, "#555", &(series.text)(most)));
    add(svg, &text(4.0, bottom, "#555", "0"));
}

fn place_of(timeline: &Timeline, at: Second) -> f64 {
    let begin = begin(timeline);
    let length = timeline.points.last().map_or(1, |it| it.at - begin).max(1);
    LEFT + (WIDTH - LEFT - 20.0) * fraction(at - begin, length)
}

#[allow(clippy::cast_precision_loss, reason = "only a place on paper")]
fn fraction(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[allow(clippy::cast_precision_loss, reason = "only a place on paper")]
fn number(count: usize) -> f64 {
    count as f64
}

fn text(x: f64, y: f64, colour: &str, words: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{}</text>\n",
        escaped(words)
    )
}

/// Writing into a String cannot fail.
fn add(svg: &mut String, piece: &str) {
    svg.write_str(piece).unwrap_or_default();
}

fn moment(at: Second) -> String {
    Timestamp::from_second(at).unwrap_or_default().to_string()
}

fn escaped(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        let point = |at: i64| Point {
            at: 1_000 + at,
            load: at * 1_000,
            lost: 0,
            wanted: 2,
            running: if at < 50 { 1 } else { 4 },
        };
        Timeline {
            step_s: 1,
            load_unit: "requests/s".to_owned(),
            points: (0..100).map(point).collect(),
            acts: vec![Act {
                at: 1_050,
                from: 1,
                to: 4,
                reason: "because CPU >90% & more".to_owned(),
            }],
            notes: vec!["a note".to_owned()],
        }
    }

    #[test]
    fn a_terminal_sees_the_peak_the_steps_and_every_reason() {
        let lines = lines(&timeline());
        assert_eq!(lines[0], "load, requests/s (at most 99)");
        assert_eq!(lines[ROWS + 1], "instances (at most 4)");
        let top = &lines[1];
        assert!(top.ends_with('█') && top.starts_with(' '), "{top:?}");
        let lowest = &lines[2 * ROWS + 1];
        assert!(lowest.chars().all(|c| c != ' '), "one instance is seen: {lowest:?}");
        assert!(lines.iter().any(|it| it == "     50s  because CPU >90% & more"));
        assert_eq!(lines.last().map(String::as_str), Some("Note: a note."));
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS + 10));
    }

    #[test]
    fn no_peak_is_lost_and_nothing_breaks_without_points() {
        let values = [0, 0, 9, 0, 0, 0, 1].into_iter();
        assert_eq!(highest(values, 3), [9, 0, 1]);
        let empty = Timeline {
            points: Vec::new(),
            acts: Vec::new(),
            ..timeline()
        };
        assert!(lines(&empty).contains(&"Nothing would have been scaled.".to_owned()));
        assert!(svg(&empty, "x").ends_with("</svg>\n"));
    }

    #[test]
    fn a_picture_holds_every_act_and_nothing_that_could_run() {
        let svg = svg(&timeline(), "<script>");
        assert_eq!(svg.matches("<title>").count(), 1);
        assert!(svg.contains("because CPU &gt;90% &amp; more"), "{svg}");
        assert!(!svg.contains("<script"), "{svg}");
    }
}
