//! `rehearse`: a great day, played before it comes.

use std::path::Path;
use std::sync::Arc;

use super::load::{counts, latency};
use super::summary::url_of;
use crate::args::RehearseArgs;
use crate::client::resource::{App, Route};
use crate::context::{Context, InSpace};
use crate::failure::{EXIT_NOT_HELD, EXIT_VOID, Failure, Outcome};
use crate::load::{Rules, Target, Threshold};
use crate::output::{Fields, Table};
use crate::rehearse::{
    EXAMPLE, Profile, Rates, Report, SECONDS_MAX, Script, Verdict, Wishes, conduct, file_name, read,
};

/// Without a word from the user or the profile, no request may be lost.
const THRESHOLD_DEFAULT: &str = "lost > 0";

pub(crate) async fn rehearse(context: &Context, args: &RehearseArgs) -> Outcome {
    if args.example_profile {
        context.terminal.raw(EXAMPLE.as_bytes());
        return Ok(());
    }
    let name = args.app.as_deref().unwrap_or_default();
    let profile = profile(args)?;
    let thresholds = thresholds(args, &profile)?;
    let space = context.in_space()?;
    let app = space.app(name).await?;
    let target = Arc::new(target(&space, &app, args).await?);
    context.terminal.note(format!(
        "Rehearsing {} on {name} at {} for {:.0} s, up to {:.0} visitors a second...",
        profile.name,
        target.origin,
        profile.seconds(),
        profile.curve().peak()
    ));
    let script = Script {
        context,
        space: &space,
        app: &app,
        target,
        profile: &profile,
        wishes: Wishes {
            sending: &args.sending,
            seed: args.seed,
            scale: args.scale,
            stock: args.stock,
            reset_sale: args.reset_sale,
            want_instances: args.want_instances,
            routable_within: args.routable_within,
            thresholds: &thresholds,
        },
    };
    let report = conduct(&script).await?;
    let path = args.report.clone();
    let path = path.unwrap_or_else(|| file_name(name, report.started_at));
    let written = report.write(&path)?;
    if args.json {
        context.terminal.json(&report)?;
    } else {
        print(context, &report);
        context.terminal.blank();
        context
            .terminal
            .say(format!("Report: {}", written.html.display()));
        context
            .terminal
            .say(format!("The same as JSON: {}", written.json.display()));
    }
    exit(&report)
}

fn profile(args: &RehearseArgs) -> Outcome<Profile> {
    for (flag, value) in [("--scale", args.scale), ("--factor", args.factor)] {
        if !value.is_finite() || value <= 0.0 || value > 10_000.0 {
            return Err(Failure::new(format!("{flag} {value} makes no load"))
                .next("give a number above 0, such as 0.5"));
        }
    }
    let rates = Rates {
        base: args.base.0,
        factor: args.factor,
    };
    let profile = match Profile::built_in(&args.profile, rates) {
        Some(profile) => profile,
        None => read(Path::new(&args.profile))?,
    };
    let names = profile.names().join(", ");
    let profile = profile.scaled(args.scale).with_lengths(&args.phase);
    let profile = profile.map_err(|unknown| {
        Failure::new(format!("the profile has no phase `{unknown}`"))
            .next(format!("its phases are {names}"))
    })?;
    if profile.seconds() > SECONDS_MAX {
        return Err(Failure::new("that is too long for a rehearsal")
            .next(format!("shorten phases: at most {SECONDS_MAX:.0} s in all")));
    }
    Ok(profile)
}

fn thresholds(args: &RehearseArgs, profile: &Profile) -> Outcome<Vec<Threshold>> {
    let mut thresholds = profile.fail_if.clone();
    thresholds.extend(args.fail_if.iter().cloned());
    if thresholds.is_empty() {
        thresholds.extend(THRESHOLD_DEFAULT.parse::<Threshold>());
    }
    let names = profile.names();
    let stray = thresholds.iter().find(|one| {
        let phase = one.phase.as_deref();
        phase.is_some_and(|phase| !names.contains(&phase))
    });
    match stray {
        None => Ok(thresholds),
        Some(stray) => Err(
            Failure::new(format!("`{stray}` names a phase that is not there"))
                .next(format!("the phases are {}", names.join(", "))),
        ),
    }
}

async fn target(space: &InSpace, app: &App, args: &RehearseArgs) -> Outcome<Target> {
    let path = format!("/v3/apps/{}/routes", app.guid);
    let routes: Vec<Route> = space.api.list(&path).await?;
    let route = routes.iter().find(|route| route.protocol != "tcp");
    let route = route.ok_or_else(|| {
        Failure::new(format!("{} has no route to send to", app.name))
            .next(format!("map one: `cfx map-route {} DOMAIN`", app.name))
    })?;
    let rules = Rules {
        trust: space.api.target().trust(),
        connect_to: args.sending.connect_to,
        allow_remote: args.sending.allow_remote,
    };
    Target::resolve(&url_of(&route.url, space.api.target()), &rules).await
}

fn print(context: &Context, report: &Report) {
    let terminal = &context.terminal;
    let mut phases = Table::new([
        "phase", "requests", "per s", "refused", "failed", "lost", "p50", "p99", "max",
    ]);
    for phase in &report.phases {
        let (numbers, latency) = (&phase.numbers, &phase.numbers.latency_ms);
        phases.row([
            phase.name.clone(),
            numbers.intended.to_string(),
            format!("{:.1}", numbers.intended_rate),
            numbers.refused.to_string(),
            numbers.failed.to_string(),
            numbers.lost.to_string(),
            format!("{:.1} ms", latency.p50),
            format!("{:.1} ms", latency.p99),
            format!("{:.1} ms", latency.max),
        ]);
    }
    terminal.table(&phases);
    terminal.blank();
    let mut fields = Fields::new();
    fields
        .add("requests", counts(&report.total))
        .add("latency", latency(&report.total.latency_ms))
        .add(
            "send lag",
            format!(
                "p99 {:.2} ms, max {:.2} ms",
                report.generator.lag_p99_ms, report.generator.lag_max_ms
            ),
        );
    terminal.fields(&fields);
    if !report.acts.is_empty() {
        terminal.blank();
        terminal.table(&acts(report));
    }
    terminal.blank();
    for check in &report.checks {
        let sign = match check.holds {
            true => terminal.style().good("held"),
            false => terminal.style().bad("NOT HELD"),
        };
        terminal.say(format!("{sign}  {} ({})", check.name, check.detail));
    }
    for why in &report.generator.void {
        terminal.say(format!("{}  {why}", terminal.style().bad("VOID")));
    }
}

fn acts(report: &Report) -> Table {
    let mut table = Table::new(["at", "instances", "routable after", "because"]);
    for act in &report.acts {
        let after = act.routable_after_s.map(|after| format!("{after:.1} s"));
        table.row([
            format!("{:.1} s", act.at),
            act.change(),
            after.unwrap_or_else(|| "-".to_owned()),
            match &act.error {
                Some(error) => format!("{}: {error}", act.explanation),
                None => act.explanation.clone(),
            },
        ]);
    }
    table
}

fn exit(report: &Report) -> Outcome {
    match report.verdict {
        Verdict::Held => Ok(()),
        Verdict::NotHeld => Err(Failure::silent(EXIT_NOT_HELD)),
        Verdict::Void => Err(Failure::silent(EXIT_VOID)),
    }
}
