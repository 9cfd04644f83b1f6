//! `all of CPU >90% for 1h and (memory >80% or p95 response time >300ms) for 5m`.

use super::cursor::{Cursor, is_word_char};
use super::{ParseError, duration};
use crate::ast::{Comparison, Condition, Latency, Metric, Op, Over, defaults};
use crate::grammar;
use crate::units::{Milli, ONE, milli_from_text};

/// A comparison whose window is still to come from the text behind it.
const NO_WINDOW: u32 = 0;

/// The whole condition. A comparison without a window takes the next one to its right:
/// `CPU >90% and memory >80% for 10m` means ten minutes for both.
pub(super) fn condition(cursor: &mut Cursor) -> Result<Condition, ParseError> {
    let mut condition = any(cursor, 0)?;
    let mut comparisons = comparisons(&mut condition);
    let mut window = (defaults::FOR_S, None);
    for comparison in comparisons.iter_mut().rev() {
        if comparison.for_s == NO_WINDOW {
            (comparison.for_s, comparison.every_s) = window;
        }
        window = (comparison.for_s, comparison.every_s);
    }
    Ok(condition)
}

fn any(cursor: &mut Cursor, depth: usize) -> Result<Condition, ParseError> {
    let mut parts = vec![all(cursor, depth)?];
    while cursor.phrase("or") {
        parts.push(all(cursor, depth)?);
    }
    Ok(Condition::or(parts))
}

fn all(cursor: &mut Cursor, depth: usize) -> Result<Condition, ParseError> {
    let mut parts = vec![part(cursor, depth)?];
    while cursor.phrase("and") {
        parts.push(part(cursor, depth)?);
    }
    Ok(Condition::and(parts))
}

fn part(cursor: &mut Cursor, depth: usize) -> Result<Condition, ParseError> {
    if !cursor.sign("(") {
        return Ok(Condition::Is(comparison(cursor)?));
    }
    if depth == grammar::NESTING_MAX {
        let most = grammar::NESTING_MAX;
        return Err(cursor.error(format!("parentheses nest {most} deep at most"), Vec::new()));
    }
    let mut inner = any(cursor, depth + 1)?;
    if !cursor.sign(")") {
        return Err(cursor.stuck());
    }
    if let Some((for_s, every_s)) = window(cursor)? {
        for comparison in comparisons(&mut inner) {
            if comparison.for_s == NO_WINDOW {
                (comparison.for_s, comparison.every_s) = (for_s, every_s);
            }
        }
    }
    Ok(inner)
}

fn comparisons(condition: &mut Condition) -> Vec<&mut Comparison> {
    match condition {
        Condition::Is(comparison) => vec![comparison],
        Condition::And(parts) | Condition::Or(parts) => {
            parts.iter_mut().flat_map(comparisons).collect()
        }
    }
}

fn comparison(cursor: &mut Cursor) -> Result<Comparison, ParseError> {
    let over = over(cursor);
    cursor.skip_blanks();
    let named_at = cursor.at();
    let metric = metric(cursor, over)?;
    let op = op(cursor)?;
    let (metric, threshold) = value(cursor, metric)?;
    if matches!(metric, Metric::Custom(_)) && cursor.peek() == Some('%') {
        cursor.back_to(named_at);
        let message = format!("`{metric}` would be a metric of the app's own, which has no %");
        let allowed = ["CPU", "core CPU", "memory", "disk"].map(str::to_owned);
        return Err(cursor.error(message, allowed.to_vec()));
    }
    let (for_s, every_s) = window(cursor)?.unwrap_or((NO_WINDOW, None));
    Ok(Comparison {
        over: over.unwrap_or(Over::All),
        metric,
        op,
        threshold,
        for_s,
        every_s,
    })
}

/// `for 1h every 10s`.
fn window(cursor: &mut Cursor) -> Result<Option<(u32, Option<u32>)>, ParseError> {
    if !cursor.phrase("for") {
        return Ok(None);
    }
    cursor.skip_blanks();
    let at = cursor.at();
    let length = duration(cursor)?;
    if length == NO_WINDOW {
        cursor.back_to(at);
        return Err(cursor.error("a window lasts a second at least".to_owned(), Vec::new()));
    }
    let every = cursor.phrase("every").then(|| duration(cursor));
    Ok(Some((length, every.transpose()?)))
}

fn over(cursor: &mut Cursor) -> Option<Over> {
    const WORDS: &[(&[&str], Over)] = &[
        (&["all of", "every", "all"], Over::All),
        (&["any of", "any"], Over::Any),
        (
            &["avg of", "average of", "mean of", "avg", "average", "mean"],
            Over::Avg,
        ),
        (&["min of", "min"], Over::Min),
        (&["max of", "max"], Over::Max),
    ];
    let named = WORDS.iter().find(|(words, _)| cursor.one_of(words));
    if let Some((_, over)) = named {
        return Some(*over);
    }
    let at = cursor.at();
    let over = percentile(cursor).map(Over::Percentile);
    if over.is_some() && cursor.phrase("of") {
        return over;
    }
    cursor.back_to(at);
    cursor.miss("p50 of .. p99 of");
    None
}

/// `p95`.
fn percentile(cursor: &mut Cursor) -> Option<u8> {
    cursor.skip_blanks();
    let at = cursor.at();
    let word = cursor.run(is_word_char);
    let digits = word.strip_prefix(['p', 'P']);
    let percentile = digits.and_then(|digits| digits.parse().ok());
    if percentile.is_none() {
        cursor.back_to(at);
    }
    percentile.filter(|p| (1..=99).contains(p))
}

fn metric(cursor: &mut Cursor, over: Option<Over>) -> Result<Metric, ParseError> {
    const NAMED: &[(&[&str], Metric)] = &[
        (&["CPU", "CPU entitlement"], Metric::Cpu),
        (&["core CPU"], Metric::CoreCpu),
        (&["memory"], Metric::Memory),
        (&["disk"], Metric::Disk),
        (&["throughput"], Metric::Throughput),
        (&["in-flight", "in flight", "inflight"], Metric::InFlight),
        (&["crashes"], Metric::Crashes),
    ];
    let named = NAMED.iter().find(|(words, _)| cursor.one_of(words));
    if let Some((_, metric)) = named {
        return Ok(metric.clone());
    }
    if cursor.phrase("queue depth") {
        return Ok(Metric::Custom(grammar::QUEUE_DEPTH.to_owned()));
    }
    if let Some(metric) = response_time(cursor, over)? {
        return Ok(metric);
    }
    if cursor.phrase("metric") {
        let name = name(cursor);
        return match name.is_empty() {
            true => Err(cursor.wanted("the metric's name")),
            false => Ok(Metric::Custom(name)),
        };
    }
    cursor.skip_blanks();
    let at = cursor.at();
    let name = name(cursor);
    if name.is_empty() || grammar::is_word(&name) {
        cursor.back_to(at);
        return Err(cursor.wanted("the name of a metric that the app sends"));
    }
    Ok(Metric::Custom(name))
}

fn name(cursor: &mut Cursor) -> String {
    cursor.skip_blanks();
    cursor.run(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `p95 response time`.
fn response_time(cursor: &mut Cursor, over: Option<Over>) -> Result<Option<Metric>, ParseError> {
    cursor.skip_blanks();
    let at = cursor.at();
    let own = percentile(cursor);
    let after = cursor.at();
    if !cursor.one_of(&["response time", "latency"]) {
        cursor.back_to(at);
        return Ok(None);
    }
    let latency = match own {
        None if matches!(over, Some(Over::Percentile(_))) => {
            cursor.back_to(after);
            let message = "say which percentile of an instance's requests is meant too";
            let allowed = ["p50", "p90", "p95", "p99"].map(|p| format!("{p} response time"));
            return Err(cursor.error(message.to_owned(), allowed.to_vec()));
        }
        None => defaults::LATENCY,
        Some(50) => Latency::P50,
        Some(90) => Latency::P90,
        Some(95) => Latency::P95,
        Some(99) => Latency::P99,
        Some(other) => {
            cursor.back_to(at);
            let message = format!("p{other} of the response time is not kept");
            let allowed = ["p50", "p90", "p95", "p99"].map(str::to_owned);
            return Err(cursor.error(message, allowed.to_vec()));
        }
    };
    Ok(Some(Metric::ResponseTime(latency)))
}

fn op(cursor: &mut Cursor) -> Result<Op, ParseError> {
    // The longer signs first.
    const SIGNS: &[(&str, Op)] = &[
        (">=", Op::AtLeast),
        ("<=", Op::AtMost),
        (">", Op::Above),
        ("<", Op::Below),
        ("≥", Op::AtLeast),
        ("≤", Op::AtMost),
    ];
    const WORDS: &[(&[&str], Op)] = &[
        (&["above", "over"], Op::Above),
        (&["below", "under"], Op::Below),
        (&["at least"], Op::AtLeast),
        (&["at most"], Op::AtMost),
    ];
    if let Some((_, op)) = SIGNS.iter().find(|(sign, _)| cursor.sign(sign)) {
        return Ok(*op);
    }
    match WORDS.iter().find(|(words, _)| cursor.one_of(words)) {
        Some((_, op)) => Ok(*op),
        None => Err(cursor.stuck()),
    }
}

/// A number with the metric's unit. The unit says which memory is meant.
fn value(cursor: &mut Cursor, metric: Metric) -> Result<(Metric, Milli), ParseError> {
    let number = decimal(cursor)?;
    let at = cursor.at();
    let (metric, factor) = unit(cursor, metric)?;
    match number.checked_mul(factor) {
        Some(value) => Ok((metric, value)),
        None => {
            cursor.back_to(at);
            Err(cursor.error("the value is too large".to_owned(), Vec::new()))
        }
    }
}

pub(super) fn decimal(cursor: &mut Cursor) -> Result<Milli, ParseError> {
    let negative = cursor.skip('-');
    cursor.skip_blanks();
    let at = cursor.at();
    let digits = cursor.run(|c| c.is_ascii_digit() || c == '.');
    match milli_from_text(&digits) {
        Some(value) if !digits.ends_with('.') => Ok(if negative { -value } else { value }),
        _ => {
            cursor.back_to(at);
            Err(cursor.wanted("a number"))
        }
    }
}

fn unit(cursor: &mut Cursor, metric: Metric) -> Result<(Metric, Milli), ParseError> {
    match metric {
        Metric::Cpu | Metric::CoreCpu if cursor.sign("%") => Ok((metric, 1)),
        Metric::Memory | Metric::Disk => memory_unit(cursor, metric),
        Metric::ResponseTime(_) if cursor.one_of(&["ms"]) => Ok((metric, 1)),
        Metric::ResponseTime(_) if cursor.one_of(&["s"]) => Ok((metric, ONE)),
        Metric::Cpu | Metric::CoreCpu | Metric::ResponseTime(_) => Err(cursor.stuck()),
        Metric::Throughput => {
            let _: bool = cursor.one_of(&["/s", "requests/s", "req/s", "rps"]);
            Ok((metric, 1))
        }
        other => Ok((other, 1)),
    }
}

fn memory_unit(cursor: &mut Cursor, metric: Metric) -> Result<(Metric, Milli), ParseError> {
    if cursor.sign("%") {
        return Ok((metric, 1));
    }
    let used = match metric {
        Metric::Disk => Metric::DiskUsed,
        _ => Metric::MemoryUsed,
    };
    if cursor.one_of(&["MB", "M", "MiB"]) {
        Ok((used, 1))
    } else if cursor.one_of(&["GB", "G", "GiB"]) {
        Ok((used, 1_024))
    } else {
        Err(cursor.stuck())
    }
}
