//! One SVG without script or outside reference: load above, instances below, a dot for each act
//! whose reason shows when the pointer rests on it.

use super::{Column, columns, moment, place, whole};
use crate::timeline::Timeline;

const WIDTH: i64 = 960;
const LEFT: i64 = 64;
const CHART_WIDTH: i64 = WIDTH - LEFT - 16;
const CHART_HEIGHT: i64 = 160;
const TOPS: [i64; 2] = [40, 250];
const HEIGHT: i64 = 460;
/// Most dots; more could not be told apart.
const ACTS_MAX: usize = 500;

/// The timeline as an SVG document.
#[must_use]
pub fn svg(timeline: &Timeline) -> String {
    let room = usize::try_from(CHART_WIDTH).unwrap_or(1);
    let columns = columns(&timeline.points, room);
    let load_top = columns.iter().map(|c| c.load).max().unwrap_or(0).max(1);
    let count_top = columns
        .iter()
        .map(|c| i64::from(c.wanted.max(c.running)))
        .max();
    let count_top = count_top.unwrap_or(0).max(1);
    let mut parts = vec![head()];
    let load = |column: &Column| column.load;
    let lost = |column: &Column| column.lost;
    parts.push(area("load", &columns, load, TOPS[0], load_top));
    if columns.iter().any(|column| column.lost > 0) {
        parts.push(area("lost", &columns, lost, TOPS[0], load_top));
    }
    let running = |column: &Column| i64::from(column.running);
    let wanted = |column: &Column| i64::from(column.wanted);
    parts.push(area("running", &columns, running, TOPS[1], count_top));
    parts.push(steps("wanted", &columns, wanted, TOPS[1], count_top));
    parts.push(axis(
        TOPS[0],
        &format!("load, {}", timeline.load_unit),
        whole(load_top),
    ));
    parts.push(axis(
        TOPS[1],
        "instances: wanted (line), running (area)",
        count_top,
    ));
    parts.extend(acts(timeline, count_top));
    parts.push(times(timeline));
    parts.push("</svg>\n".to_owned());
    parts.join("\n")
}

fn head() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>.load{{fill:#9ecae1}}.lost{{fill:#d62728}}.running{{fill:#c7e9c0}}\
         .wanted{{fill:none;stroke:#238b45;stroke-width:1.5}}.act{{fill:#e6550d}}\
         .axis{{stroke:#888}}text{{fill:#333}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
    )
}

fn area(
    class: &str,
    columns: &[Column],
    value: impl Fn(&Column) -> i64,
    top: i64,
    most: i64,
) -> String {
    let base = top + CHART_HEIGHT;
    let line = outline(columns, value, top, most);
    let end = LEFT + CHART_WIDTH;
    format!("<path class=\"{class}\" d=\"M{LEFT},{base} L{line} L{end},{base} Z\"/>")
}

fn steps(
    class: &str,
    columns: &[Column],
    value: impl Fn(&Column) -> i64,
    top: i64,
    most: i64,
) -> String {
    let line = outline(columns, value, top, most);
    format!("<path class=\"{class}\" d=\"M{line}\"/>")
}

/// A level for each column, from its left to its right edge.
fn outline(columns: &[Column], value: impl Fn(&Column) -> i64, top: i64, most: i64) -> String {
    let count = i64::try_from(columns.len()).unwrap_or(1).max(1);
    let points = columns.iter().zip(0_i64..).map(|(column, at)| {
        let (left, right) = (at * CHART_WIDTH / count, (at + 1) * CHART_WIDTH / count);
        let y = level(value(column), top, most);
        format!("{},{y} {},{y}", LEFT + left, LEFT + right)
    });
    points.collect::<Vec<_>>().join(" ")
}

fn level(value: i64, top: i64, most: i64) -> i64 {
    let height = i128::from(value) * i128::from(CHART_HEIGHT) / i128::from(most);
    top + CHART_HEIGHT - i64::try_from(height).unwrap_or(0)
}

fn axis(top: i64, title: &str, most: i64) -> String {
    let (base, end, before) = (top + CHART_HEIGHT, LEFT + CHART_WIDTH, LEFT - 6);
    format!(
        "<path class=\"axis\" fill=\"none\" d=\"M{LEFT},{top} L{LEFT},{base} L{end},{base}\"/>\n\
         <text x=\"{LEFT}\" y=\"{}\">{}</text>\n\
         <text x=\"{before}\" y=\"{}\" text-anchor=\"end\">{most}</text>\n\
         <text x=\"{before}\" y=\"{base}\" text-anchor=\"end\">0</text>",
        top - 10,
        escape(title),
        top + 10
    )
}

fn acts(timeline: &Timeline, count_top: i64) -> impl Iterator<Item = String> + '_ {
    timeline.acts.iter().take(ACTS_MAX).map(move |act| {
        let x = LEFT + place(timeline, act.at) * CHART_WIDTH / 1_000;
        let y = level(i64::from(act.to), TOPS[1], count_top);
        let title = escape(&format!("{} {}", moment(act.at), act.reason));
        format!(
            "<circle class=\"act\" cx=\"{x}\" cy=\"{y}\" r=\"4\"><title>{title}</title></circle>"
        )
    })
}

fn times(timeline: &Timeline) -> String {
    let (Some(first), Some(last)) = (timeline.points.first(), timeline.points.last()) else {
        return String::new();
    };
    let (y, end) = (HEIGHT - 20, LEFT + CHART_WIDTH);
    format!(
        "<text x=\"{LEFT}\" y=\"{y}\">{}</text>\n\
         <text x=\"{end}\" y=\"{y}\" text-anchor=\"end\">{} UTC</text>",
        moment(first.at),
        moment(last.at)
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
