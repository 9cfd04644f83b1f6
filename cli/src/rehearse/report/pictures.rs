//! What is drawn: the load, its latencies, and the instances, over the same seconds.

use super::chart::{Chart, Mark, Series};
use super::{Report, Sample};
use crate::load::Point;

/// The three, one below the other.
pub(super) fn figures(report: &Report) -> String {
    let frame = Frame::of(report);
    format!(
        "<section><h2>What happened</h2>\n{}{}{}</section>\n",
        frame.load(),
        frame.latency(),
        frame.instances()
    )
}

/// What the three share.
struct Frame<'a> {
    report: &'a Report,
    phases: Vec<(&'a str, f64, f64)>,
    to: f64,
}

impl<'a> Frame<'a> {
    fn of(report: &'a Report) -> Self {
        let phases = report.phases.iter();
        let phases: Vec<(&str, f64, f64)> = phases
            .map(|phase| (phase.name.as_str(), phase.from, phase.to))
            .collect();
        let end = phases.last().map_or(report.total.seconds, |last| last.2);
        let looked = report.instances.last().map_or(end, |sample| sample.at);
        Self {
            report,
            phases,
            to: end.max(looked),
        }
    }

    fn chart(&self, title: &'static str, unit: &'static str, series: Vec<Series>) -> Chart<'_> {
        Chart {
            title,
            unit,
            from: 0.0,
            to: self.to,
            phases: &self.phases,
            series,
            marks: Vec::new(),
            is_log: false,
        }
    }

    fn load(&self) -> String {
        let meant = self.line("meant", "c1", |point| point.intended);
        let series = vec![
            Series {
                is_filled: true,
                ..meant
            },
            self.line("answered", "c2", |point| point.answered),
            self.line("failed", "c4", |point| point.failed),
        ];
        let mut chart = self.chart("Load", "requests a second", series);
        chart.marks = opening(self.report);
        chart.svg()
    }

    fn latency(&self) -> String {
        let series = vec![
            self.line("p50", "c2", |point| point.p50_ms),
            self.line("p99", "c1", |point| point.p99_ms),
            self.line("worst", "c3", |point| point.max_ms),
        ];
        let mut chart = self.chart("Latency", "milliseconds, logarithmic", series);
        chart.is_log = true;
        chart.svg()
    }

    fn instances(&self) -> String {
        let routable = self.steps("routable", "c2", |sample| sample.routable);
        let series = vec![
            Series {
                is_filled: true,
                ..routable
            },
            self.steps("wanted", "c1", |sample| sample.desired),
            self.steps("crashed", "c4", |sample| sample.crashed),
        ];
        let mut chart = self.chart("Instances", "count; numbers are the acts below", series);
        chart.marks = acts(self.report);
        chart.svg()
    }

    fn line(&self, label: &'static str, class: &'static str, value: fn(&Point) -> f64) -> Series {
        let points = self.report.series.iter();
        Series {
            label,
            class,
            points: points.map(|point| (point.at, value(point))).collect(),
            is_step: false,
            is_filled: false,
        }
    }

    fn steps(&self, label: &'static str, class: &'static str, value: fn(&Sample) -> u32) -> Series {
        let samples = self.report.instances.iter();
        Series {
            label,
            class,
            points: samples
                .map(|sample| (sample.at, value(sample).into()))
                .collect(),
            is_step: true,
            is_filled: false,
        }
    }
}

/// T0.
fn opening(report: &Report) -> Vec<Mark> {
    let sale = report.sale.iter();
    sale.map(|sale| Mark {
        at: sale.opened_at,
        label: "T0".to_owned(),
        title: format!("the sale of {} opens", sale.stock),
    })
    .collect()
}

fn acts(report: &Report) -> Vec<Mark> {
    let acts = report.acts.iter().enumerate();
    let acts = acts.filter(|(_, act)| act.at >= 0.0);
    acts.map(|(place, act)| Mark {
        at: act.at,
        label: (place + 1).to_string(),
        title: format!("{}: {}", act.change(), act.explanation),
    })
    .collect()
}
