//! The page: verdict first, then what happened, then each figure. No scripts, nothing from elsewhere.

use super::{PhaseReport, Report, pictures};
use crate::load::Scheduling;
use crate::output::seconds;
use crate::rehearse::acts::{Act, Cause};
use crate::rehearse::verdict::Verdict;

const STYLE: &str = include_str!("page.css");

/// Text that means nothing to a browser.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

pub(super) fn render(report: &Report) -> String {
    let title = escaped(&format!("Rehearsal of {}: {}", report.app, report.profile));
    let parts = [
        header(report),
        cards(report),
        checks(report),
        pictures::figures(report),
        acts(report),
        phases(report),
        answers(report),
        method(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n{}</main></body></html>\n",
        parts.concat()
    )
}

fn header(report: &Report) -> String {
    let (class, word) = match report.verdict {
        Verdict::Held => ("good", "Everything held"),
        Verdict::NotHeld => ("bad", "Not everything held"),
        Verdict::Void => ("void", "Void: the generator was in the way"),
    };
    let mut html = format!(
        "<header><p class=\"over\">Rehearsal</p><h1>{}</h1>\n\
         <p class=\"under\">{} · profile {} · {} · {:.0} s</p>\n\
         <p class=\"verdict {class}\">{word}</p>\n",
        escaped(&report.app),
        escaped(&report.url),
        escaped(&report.profile),
        seconds(report.started_at),
        report.total.seconds,
    );
    for why in &report.generator.void {
        html.push_str(&format!("<p class=\"why\">{}.</p>\n", escaped(why)));
    }
    if report.was_ended_early {
        html.push_str(
            "<p class=\"why\">It was ended early; the figures are of the time until then.</p>\n",
        );
    }
    html.push_str("</header>\n");
    html
}

fn card(name: &str, value: &str, detail: &str) -> String {
    format!(
        "<div><dt>{}</dt><dd>{}</dd><p>{}</p></div>\n",
        escaped(name),
        escaped(value),
        escaped(detail)
    )
}

fn cards(report: &Report) -> String {
    let total = &report.total;
    let peak = report.series.iter().map(|point| point.intended);
    let peak = peak.fold(0.0, f64::max);
    let (least, most) = range(report);
    let growths = report.acts.iter().filter_map(|act| act.routable_after_s);
    let slowest = growths.fold(None, |slowest: Option<f64>, one| {
        Some(slowest.map_or(one, |slowest| slowest.max(one)))
    });
    let mut html = "<dl class=\"cards\">\n".to_owned();
    html.push_str(&card(
        "Requests",
        &total.intended.to_string(),
        &format!("{:.0} a second at the peak", peak),
    ));
    html.push_str(&card(
        "Lost",
        &total.lost.to_string(),
        &format!(
            "{} failed in all, {} proper refusals",
            total.failed, total.refused
        ),
    ));
    html.push_str(&card(
        "Latency p99",
        &milliseconds(total.latency_ms.p99),
        &format!(
            "p50 {}, worst {}",
            milliseconds(total.latency_ms.p50),
            milliseconds(total.latency_ms.max)
        ),
    ));
    html.push_str(&card(
        "Instances",
        &format!("{least} → {most}"),
        &match slowest {
            Some(slowest) => format!("slowest growth routable after {slowest:.1} s"),
            None => format!("{} acts", report.acts.len()),
        },
    ));
    if let Some(shop) = report.sale.as_ref().and_then(|sale| sale.shop.as_ref()) {
        html.push_str(&card(
            "Sold",
            &format!("{} of {}", shop.sold, shop.total),
            &format!("{} orders, {} still reserved", shop.orders, shop.reserved),
        ));
    }
    html.push_str("</dl>\n");
    html
}

/// Fewest and most routable instances.
fn range(report: &Report) -> (u32, u32) {
    let routable = || report.instances.iter().map(|sample| sample.routable);
    (routable().min().unwrap_or(0), routable().max().unwrap_or(0))
}

fn checks(report: &Report) -> String {
    let mut html = "<section><h2>What had to hold</h2>\n<ul class=\"checks\">\n".to_owned();
    for check in &report.checks {
        let (class, sign) = match check.holds {
            true => ("good", "✓"),
            false => ("bad", "✗"),
        };
        html.push_str(&format!(
            "<li class=\"{class}\"><b>{sign}</b> {} <span>{}</span></li>\n",
            escaped(&check.name),
            escaped(&check.detail)
        ));
    }
    html.push_str("</ul></section>\n");
    html
}

fn acts(report: &Report) -> String {
    let mut html = "<section><h2>Scaling acts</h2>\n".to_owned();
    if report.acts.is_empty() {
        html.push_str("<p>The instance count did not change.</p></section>\n");
        return html;
    }
    html.push_str("<table><thead><tr><th>#</th><th>at</th><th>instances</th><th>by</th><th>routable after</th><th class=\"text\">because</th></tr></thead><tbody>\n");
    for (place, act) in report.acts.iter().enumerate() {
        let cause = match act.cause {
            Cause::Rule => "rule",
            Cause::Schedule => "schedule",
            Cause::Person => "hand",
            Cause::Unknown => "?",
        };
        let why = match &act.error {
            Some(error) => format!("{} (failed: {error})", act.explanation),
            None => act.explanation.clone(),
        };
        html.push_str(&format!(
            "<tr><td>{}</td><td>{:.1} s</td><td>{}</td><td>{cause}</td><td>{}</td><td class=\"text\">{}</td></tr>\n",
            place + 1,
            act.at,
            escaped(&act.change()),
            escaped(&routable(act)),
            escaped(&why),
        ));
    }
    html.push_str("</tbody></table></section>\n");
    html
}

fn routable(act: &Act) -> String {
    match (act.routable_after_s, act.is_superseded) {
        _ if !act.grows() || act.error.is_some() => "–".to_owned(),
        (Some(after), _) => format!("{after:.1} s"),
        (None, true) => "overtaken".to_owned(),
        (None, false) => "never seen".to_owned(),
    }
}

fn phases(report: &Report) -> String {
    let mut html = "<section><h2>Phases</h2>\n<table><thead><tr><th class=\"text\">phase</th><th>from</th><th>requests</th><th>a second</th><th>refused</th><th>failed</th><th>lost</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>worst</th></tr></thead><tbody>\n".to_owned();
    for phase in &report.phases {
        html.push_str(&phase_row(
            &phase.name,
            &format!("{:.0} s", phase.from),
            phase,
        ));
    }
    let whole = PhaseReport {
        name: String::new(),
        from: 0.0,
        to: report.total.seconds,
        numbers: report.total.clone(),
    };
    html.push_str("</tbody><tfoot>\n");
    html.push_str(&phase_row("all", "", &whole));
    html.push_str("</tfoot></table></section>\n");
    html
}

fn phase_row(name: &str, from: &str, phase: &PhaseReport) -> String {
    let (numbers, latency) = (&phase.numbers, &phase.numbers.latency_ms);
    let bad = |count: u64| match count {
        0 => "0".to_owned(),
        count => format!("<b class=\"bad\">{count}</b>"),
    };
    let times = [
        latency.p50,
        latency.p90,
        latency.p99,
        latency.p999,
        latency.max,
    ];
    let times: Vec<String> = times
        .iter()
        .map(|time| format!("<td>{}</td>", milliseconds(*time)))
        .collect();
    format!(
        "<tr><td class=\"text\">{}</td><td>{from}</td><td>{}</td><td>{:.1}</td><td>{}</td><td>{}</td><td>{}</td>{}</tr>\n",
        escaped(name),
        numbers.intended,
        numbers.intended_rate,
        numbers.refused,
        bad(numbers.failed),
        bad(numbers.lost),
        times.concat(),
    )
}

fn answers(report: &Report) -> String {
    let mut html = "<section><h2>Answers</h2>\n<table><thead><tr><th class=\"text\">answer</th><th>count</th><th>unexpected</th><th>p50</th><th>p99</th></tr></thead><tbody>\n".to_owned();
    for (status, numbers) in &report.total.statuses {
        html.push_str(&format!(
            "<tr><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escaped(status),
            numbers.count,
            numbers.bad,
            milliseconds(numbers.p50_ms),
            milliseconds(numbers.p99_ms),
        ));
    }
    for (kind, count) in &report.total.errors {
        html.push_str(&format!(
            "<tr><td class=\"text\">{}</td><td>{count}</td><td></td><td></td><td></td></tr>\n",
            escaped(kind)
        ));
    }
    html.push_str("</tbody></table></section>\n");
    html
}

fn method(report: &Report) -> String {
    let (check, settings) = (&report.generator, &report.settings);
    let scheduling = match report.scheduling {
        Scheduling::RealTime => "with real-time priority",
        Scheduling::Normal => "with normal priority",
    };
    format!(
        "<section class=\"method\"><h2>How this was measured</h2>\n\
         <p>An open model: arrivals are a Poisson process of changing rate, drawn from seed {} before \
         the first answer; each latency runs from the intended time of its request, so a stall is \
         charged to everyone who came meanwhile. Follow-ups of a visitor are intended a while after \
         that visitor's own answer. {} of the requests came on connections of their own. Lost means: \
         no answer, never sent, or a status of 500 and above. Refused means a proper no, such as sold out.</p>\n\
         <p>The generator's own lag, from intended to sent, on {} thread(s) {scheduling}: p50 {}, p99 {} \
         (5 ms are allowed), worst {}; {:.3} % of requests never sent (0.1 % are allowed). Peak {:.0} \
         arrivals a second, scale {}, at most {} in flight, {:.0} s for an answer. The load came from a \
         machine with {} cores, which the platform may have shared.</p>\n\
         <p>Instance counts were read every half second, so a time to routable is known that exactly. \
         It runs from the decision to the first look at which all instances took requests; decisions by hand \
         are known to the second.</p>\n\
         <p class=\"foot\">cfx {}</p></section>\n",
        settings.seed,
        percent(settings.connections_new),
        settings.threads,
        milliseconds(check.lag_p50_ms),
        milliseconds(check.lag_p99_ms),
        milliseconds(check.lag_max_ms),
        check.dropped_share * 100.0,
        settings.peak,
        settings.scale,
        settings.in_flight,
        settings.timeout_s,
        report.machine.cores,
        report.cfx_version,
    )
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `0.21 ms`, `34 ms`, `1.20 s`.
fn milliseconds(time: f64) -> String {
    match time {
        time if time >= 1_000.0 => format!("{:.2} s", time / 1_000.0),
        time if time >= 10.0 => format!("{time:.0} ms"),
        time => format!("{time:.2} ms"),
    }
}
