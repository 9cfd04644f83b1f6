//! A chart over time as inline SVG: lines or steps, phases behind them, marks above them.
//!
//! Pure text. Colours are the page's, so that one drawing serves light, dark and paper.

use super::page::escaped;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 26.0;
/// Lines across, at most about.
const TICKS_Y: f64 = 4.0;
const TICKS_X: f64 = 10.0;
/// The least of a logarithmic axis, where nothing is smaller: a tenth of a millisecond.
const LOG_LEAST: f64 = 0.1;
/// Marks nearer than this are told by one number, in the drawing's units.
const MARKS_APART: f64 = 14.0;

/// One line of a chart.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) label: &'static str,
    /// Class of the stylesheet: `c1` to `c4`.
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
    /// Stays until the next point, as counts do.
    pub(super) is_step: bool,
    pub(super) is_filled: bool,
}

impl Series {
    /// What never happened is in the legend and draws no line along the bottom.
    fn is_there(&self) -> bool {
        self.points.iter().any(|(_, value)| *value > 0.0)
    }
}

/// A thing that happened.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) label: String,
    pub(super) title: String,
}

#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) phases: &'a [(&'a str, f64, f64)],
    pub(super) series: Vec<Series>,
    pub(super) marks: Vec<Mark>,
    pub(super) is_log: bool,
}

/// From values to places on the drawing.
struct Axes {
    from: f64,
    to: f64,
    least: f64,
    most: f64,
    is_log: bool,
}

impl Axes {
    fn x(&self, at: f64) -> f64 {
        let part = (at - self.from) / (self.to - self.from).max(f64::EPSILON);
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let scale = |value: f64| match self.is_log {
            true => value.max(self.least).log10(),
            false => value,
        };
        let (least, most) = (scale(self.least), scale(self.most));
        let part = (scale(value) - least) / (most - least).max(f64::EPSILON);
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn bottom(&self) -> f64 {
        HEIGHT - BOTTOM
    }
}

impl Chart<'_> {
    pub(super) fn svg(&self) -> String {
        let axes = self.axes();
        let label = escaped(&format!("{} ({}) over seconds", self.title, self.unit));
        let mut svg = format!(
            "<figure><figcaption>{} <span>{}</span>{}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n",
            escaped(self.title),
            escaped(self.unit),
            self.legend(),
        );
        self.draw_phases(&axes, &mut svg);
        self.draw_grid(&axes, &mut svg);
        for series in self.series.iter().filter(|series| series.is_there()) {
            draw(series, &axes, &mut svg);
        }
        self.draw_marks(&axes, &mut svg);
        svg.push_str("</svg></figure>\n");
        svg
    }

    fn axes(&self) -> Axes {
        let values = self.series.iter().flat_map(|series| &series.points);
        let values: Vec<f64> = values.map(|(_, value)| *value).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        let positive = values.iter().copied().filter(|value| *value > 0.0);
        let smallest = positive.fold(f64::INFINITY, f64::min);
        let (least, most) = if self.is_log {
            let least = match smallest.is_finite() {
                true => 10_f64.powf(smallest.max(LOG_LEAST).log10().floor()),
                false => LOG_LEAST,
            };
            (least, 10_f64.powf(most.max(least * 10.0).log10().ceil()))
        } else {
            let step = nice(most.max(1.0) / TICKS_Y);
            (0.0, (most.max(1.0) / step).ceil() * step)
        };
        Axes {
            from: self.from,
            to: self.to,
            least,
            most,
            is_log: self.is_log,
        }
    }

    fn legend(&self) -> String {
        let items = self.series.iter().map(|series| {
            format!(
                "<i class=\"key {}\"></i>{}",
                series.class,
                escaped(series.label)
            )
        });
        let items: Vec<String> = items.collect();
        format!("<span class=\"legend\">{}</span>", items.join(" "))
    }

    fn draw_phases(&self, axes: &Axes, svg: &mut String) {
        for (place, (name, from, to)) in self.phases.iter().enumerate() {
            let (left, right) = (axes.x(*from), axes.x(*to));
            let shade = if place % 2 == 0 { "even" } else { "odd" };
            svg.push_str(&format!(
                "<rect class=\"phase {shade}\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <text class=\"phase\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                (right - left).max(0.0),
                axes.bottom() - TOP,
                f64::midpoint(left, right),
                TOP - 6.0,
                escaped(name),
            ));
        }
    }

    fn draw_grid(&self, axes: &Axes, svg: &mut String) {
        for value in ticks_y(axes) {
            let y = axes.y(value);
            svg.push_str(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                WIDTH - RIGHT,
                LEFT - 7.0,
                y + 3.5,
                amount(value),
            ));
        }
        let step = nice((self.to - self.from) / TICKS_X);
        let mut at = (self.from / step).ceil() * step;
        while at <= self.to {
            svg.push_str(&format!(
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                axes.x(at),
                HEIGHT - 8.0,
                amount(at),
            ));
            at += step;
        }
    }

    /// Numbers of acts that lie together share one flag.
    fn draw_marks(&self, axes: &Axes, svg: &mut String) {
        let mut flag_at = f64::NEG_INFINITY;
        for mark in &self.marks {
            let x = axes.x(mark.at);
            let y = axes.bottom();
            svg.push_str(&format!(
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{y:.1}\"><title>{}</title></line>\n",
                escaped(&mark.title)
            ));
            if x - flag_at >= MARKS_APART {
                flag_at = x;
                svg.push_str(&format!(
                    "<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"8\"/>\
                     <text class=\"mark\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n",
                    TOP + 8.0,
                    TOP + 11.5,
                    escaped(&mark.label),
                ));
            }
        }
    }
}

fn draw(series: &Series, axes: &Axes, svg: &mut String) {
    let Some(((first_at, _), (last_at, _))) = series.points.first().zip(series.points.last())
    else {
        return;
    };
    let mut path = String::new();
    let mut before = None;
    for (at, value) in &series.points {
        let (x, y) = (axes.x(*at), axes.y(*value));
        match before {
            None => path.push_str(&format!("M{x:.1} {y:.1}")),
            Some(_) if series.is_step => path.push_str(&format!("H{x:.1}V{y:.1}")),
            Some(_) => path.push_str(&format!("L{x:.1} {y:.1}")),
        }
        before = Some(y);
    }
    if series.is_filled {
        svg.push_str(&format!(
            "<path class=\"fill {}\" d=\"{path}L{:.1} {bottom:.1}L{:.1} {bottom:.1}Z\"/>\n",
            series.class,
            axes.x(*last_at),
            axes.x(*first_at),
            bottom = axes.bottom(),
        ));
    }
    svg.push_str(&format!(
        "<path class=\"line {}\" d=\"{path}\"/>\n",
        series.class
    ));
}

fn ticks_y(axes: &Axes) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut value = axes.least;
    let step = nice(axes.most / TICKS_Y);
    while value <= axes.most * 1.000_001 {
        ticks.push(value);
        value = if axes.is_log {
            value * 10.0
        } else {
            value + step
        };
    }
    ticks
}

/// The round number (1, 2 or 5 times a power of ten) next above.
fn nice(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-9).log10().floor());
    let part = rough / power;
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| part <= *round);
    power * round.unwrap_or(10.0)
}

/// `0.1`, `25`, `1.5k`.
fn amount(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        let text = format!("{:.1}", value / 1_000.0);
        return format!("{}k", text.trim_end_matches(".0"));
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, is_log: bool) -> String {
        Chart {
            title: "Latency <x>",
            unit: "ms",
            from: -1.0,
            to: 70.0,
            phases: &[("quiet & calm", 0.0, 10.0), ("rush", 10.0, 70.0)],
            series: vec![Series {
                label: "p99",
                class: "c1",
                points,
                is_step: false,
                is_filled: true,
            }],
            marks: vec![Mark {
                at: 12.0,
                label: "1".into(),
                title: "2 to \"3\"".into(),
            }],
            is_log,
        }
        .svg()
    }

    #[test]
    fn foreign_names_cannot_break_the_drawing() {
        let svg = chart(vec![(0.0, 1.0), (60.0, 250.0)], false);
        assert!(svg.contains("quiet &amp; calm") && svg.contains("Latency &lt;x&gt;"));
        assert!(svg.contains("2 to &quot;3&quot;"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn no_points_and_strange_points_still_draw_axes() {
        for is_log in [false, true] {
            for points in [vec![], vec![(0.0, 0.0)], vec![(1e9, 1e12), (-5.0, 0.0)]] {
                let svg = chart(points, is_log);
                assert!(svg.contains("class=\"grid\"") && svg.ends_with("</svg></figure>\n"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        for (rough, round) in [(0.7, 1.0), (1.1, 2.0), (30.0, 50.0), (61.0, 100.0)] {
            assert!((nice(rough) - round).abs() < 1e-9);
        }
        assert_eq!(
            [0.1, 25.0, 1_500.0, 2_000.0].map(amount),
            ["0.1", "25", "1.5k", "2k"]
        );
    }
}
