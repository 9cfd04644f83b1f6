//! `load`: an open-model load on a URL.

use std::sync::Arc;
use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use http::Method;
use serde::Serialize;

use crate::args::{LoadArgs, SendingFlags};
use crate::client::Trust;
use crate::context::Context;
use crate::failure::{EXIT_NOT_HELD, EXIT_VOID, Failure, Outcome};
use crate::load::{
    self, Judged, LatencyNumbers, Live, Numbers, OneRequest, Plan, Point, Ran, Rules, Running,
    Scheduling, SelfCheck, Target, Template, points,
};
use crate::output::{Fields, Table};
use crate::platform::interrupted;

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(500);
/// Largest PEM file of an authority, bytes.
const PEM_MAX_BYTES: u64 = 1024 * 1024;

/// All that a run has to say.
#[derive(Debug, Serialize)]
struct Report {
    url: String,
    seed: u64,
    threads: u32,
    scheduling: Scheduling,
    was_ended_early: bool,
    #[serde(flatten)]
    numbers: Numbers,
    generator: SelfCheck,
    thresholds: Vec<Judged>,
    series: Vec<Point>,
}

pub(crate) async fn load(context: &Context, args: &LoadArgs) -> Outcome {
    let rules = rules(args)?;
    let target = Target::resolve(&args.url, &rules).await?;
    if let Some(threshold) = args.fail_if.iter().find(|one| one.phase.is_some()) {
        return Err(Failure::new(format!("`{threshold}`: a load has no phases"))
            .next("leave the phase out; `cfx rehearse` has phases"));
    }
    let plan = plan(args, target);
    let populations = (0..args.sending.threads.into()).map(|thread: u64| OneRequest {
        templates: vec![template(args, &plan.target)],
        new_share: args.sending.connections_new.unwrap_or(0.0),
        seed: args.seed,
        dice: IdSource::seeded(args.seed ^ (thread + 1)),
    });
    let (live, stop) = (Arc::new(Live::new()), Shutdown::new());
    let running = load::start(&plan, &context.clock, populations.collect(), &live, &stop)?;
    let (ran, seconds) = watch(context, running, &live, &stop, plan.curve.seconds()).await?;
    let report = report(args, &ran, seconds, stop.is_requested());
    if args.json {
        context.terminal.json(&report)?;
    } else {
        print(context, &report);
    }
    verdict(context, &report)
}

fn rules(args: &LoadArgs) -> Outcome<Rules> {
    let trust = match (&args.ca_cert, args.skip_ssl_validation) {
        (_, true) => Trust::Anyone,
        (None, false) => Trust::System,
        (Some(path), false) => {
            let unreadable = |why: String| {
                Failure::new(format!("cannot read {}: {why}", path.display()))
                    .next("give the PEM file of an authority: --ca-cert FILE")
            };
            let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
            if size.len() > PEM_MAX_BYTES {
                return Err(unreadable("it is too large for a certificate".to_owned()));
            }
            let pem = std::fs::read_to_string(path);
            Trust::Authority(pem.map_err(|error| unreadable(error.to_string()))?)
        }
    };
    Ok(Rules {
        trust,
        connect_to: args.sending.connect_to,
        allow_remote: args.sending.allow_remote,
    })
}

fn plan(args: &LoadArgs, target: Target) -> Plan {
    let curve = args.profile.curve(args.rate, args.duration.as_secs_f64());
    Plan {
        target: Arc::new(target),
        phases: vec![curve.duration()],
        curve: Arc::new(curve),
        spacing: args.spacing.into(),
        seed: args.seed,
        in_flight_max: in_flight_max(&args.sending),
        timeout: args.sending.timeout,
    }
}

pub(super) fn in_flight_max(flags: &SendingFlags) -> usize {
    usize::try_from(flags.in_flight).unwrap_or(usize::MAX)
}

fn template(args: &LoadArgs, target: &Target) -> Template {
    let default = match args.data {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    Template {
        method: args.method.clone().unwrap_or(default),
        headers: args.headers.clone(),
        body: args.data.clone().unwrap_or_default(),
        expect: args.expect.clone(),
        // `url` has encoded the braces.
        ..Template::get(&target.path.replace("%7B", "{").replace("%7D", "}"))
    }
}

/// Until all is answered; Ctrl-C ends it early, and what was measured counts. With it, how long the
/// load lasted.
async fn watch(
    context: &Context,
    running: Running<OneRequest>,
    live: &Live,
    stop: &Shutdown,
    whole: f64,
) -> Outcome<(Ran<OneRequest>, f64)> {
    let progress = context.terminal.progress("starting");
    let start = running.start;
    let elapsed = || {
        context
            .clock
            .monotonic()
            .saturating_sub(start)
            .as_secs_f64()
    };
    let mut before = 0;
    let look = async {
        loop {
            context.clock.sleep(LOOK).await;
            let glance = live.glance();
            #[allow(clippy::cast_precision_loss, reason = "for people")]
            let rate = (glance.answered - before) as f64 / LOOK.as_secs_f64();
            before = glance.answered;
            progress.message(&format!(
                "{:.0} of {whole:.0} s   {rate:.0}/s answered   p99 {:.1} ms   {} failed",
                elapsed().min(whole),
                glance.p99_ms,
                glance.failed
            ));
        }
    };
    let ended = running.ended();
    tokio::pin!(ended);
    let mut lasted = whole;
    tokio::select! {
        ran = &mut ended => return Ok((ran?, lasted)),
        () = look => {}
        () = interrupted() => {
            lasted = elapsed().min(whole);
            stop.request();
        }
    }
    Ok((ended.await?, lasted))
}

fn report(args: &LoadArgs, ran: &Ran<OneRequest>, seconds: f64, was_ended_early: bool) -> Report {
    let numbers = Numbers::of(&ran.tally.total(), seconds);
    let thresholds = args.fail_if.iter().map(|one| one.judge(&numbers)).collect();
    Report {
        url: args.url.clone(),
        seed: args.seed,
        threads: args.sending.threads,
        scheduling: ran.scheduling,
        was_ended_early,
        thresholds,
        numbers,
        generator: SelfCheck::of(&ran.tally),
        series: points(&ran.tally),
    }
}

fn print(context: &Context, report: &Report) {
    let terminal = &context.terminal;
    let (numbers, check) = (&report.numbers, &report.generator);
    let scheduling = match report.scheduling {
        Scheduling::RealTime => "real-time priority",
        Scheduling::Normal => "normal priority",
    };
    let mut fields = Fields::new();
    fields
        .add("requests", counts(numbers))
        .add(
            "rate",
            format!(
                "{:.1}/s meant, {:.1}/s answered, for {:.1} s",
                numbers.intended_rate, numbers.rate, numbers.seconds
            ),
        )
        .add("connections", format!("{} made", numbers.connections))
        .add("latency", latency(&numbers.latency_ms))
        .add(
            "send lag",
            format!(
                "p50 {:.2} ms   p99 {:.2} ms   max {:.2} ms ({} threads, {scheduling})",
                check.lag_p50_ms, check.lag_p99_ms, check.lag_max_ms, report.threads
            ),
        );
    terminal.fields(&fields);
    kinds(context, numbers);
}

/// `6000 meant, 5990 answered, 10 failed (4 late, 6 never sent)`.
pub(super) fn counts(numbers: &Numbers) -> String {
    let mut text = format!(
        "{} meant, {} answered, {} failed",
        numbers.intended, numbers.answered, numbers.failed
    );
    for (count, what) in [
        (numbers.late, "late"),
        (numbers.dropped, "never sent"),
        (numbers.cut, "cut off"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

pub(super) fn latency(latency: &LatencyNumbers) -> String {
    format!(
        "p50 {:.2} ms   p90 {:.2} ms   p99 {:.2} ms   p99.9 {:.2} ms   max {:.2} ms",
        latency.p50, latency.p90, latency.p99, latency.p999, latency.max
    )
}

/// Answers by status, and what is not an answer.
fn kinds(context: &Context, numbers: &Numbers) {
    let mut table = Table::new(["answer", "count", "unexpected", "p50", "p99"]);
    for (status, of_it) in &numbers.statuses {
        table.row([
            status.clone(),
            of_it.count.to_string(),
            of_it.bad.to_string(),
            format!("{:.1} ms", of_it.p50_ms),
            format!("{:.1} ms", of_it.p99_ms),
        ]);
    }
    for (kind, count) in &numbers.errors {
        let empty = String::new;
        table.row([kind.clone(), count.to_string(), empty(), empty(), empty()]);
    }
    if !table.is_empty() {
        context.terminal.blank();
        context.terminal.table(&table);
    }
}

/// The exit code: a void run says nothing, so it comes first.
fn verdict(context: &Context, report: &Report) -> Outcome {
    let terminal = &context.terminal;
    if report.was_ended_early {
        terminal.note("Ended early; the figures are of the time until then.");
    }
    if report.generator.is_void() {
        for why in &report.generator.void {
            terminal.note(format!("{} {why}.", terminal.style().bad("Void:")));
        }
        terminal.note("Lower --rate, raise --in-flight, or send from a machine of its own.");
        return Err(Failure::silent(EXIT_VOID));
    }
    let crossed: Vec<&Judged> = report
        .thresholds
        .iter()
        .filter(|one| one.is_crossed)
        .collect();
    for one in &crossed {
        let label = terminal.style().bad("Crossed:");
        terminal.note(format!("{label} {} (it is {})", one.threshold, one.value));
    }
    match crossed.is_empty() {
        true => Ok(()),
        false => Err(Failure::silent(EXIT_NOT_HELD)),
    }
}
