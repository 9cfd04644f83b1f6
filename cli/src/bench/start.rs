//! `bench start`: from a scale command to hundreds of instances that answer, and back.

use std::sync::Arc;
use std::time::Duration;

use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};

use super::cost::{self, Cost, Resources};
use super::floor::{self, Floor};
use super::lab::{Deployed, Lab, Size};
use super::load::Tally;
use super::phases::{self, Phases};
use super::{Reading, answers, load, show};
use crate::args::BenchStartArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Table;

/// Longest that all may take to answer, and to go.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const STOP_TIMEOUT: Duration = Duration::from_secs(300);
/// What is left after the scale-in.
const LEFT: u32 = 10;
/// Load during the scale-in: clients, and the pause of each between two questions.
const CLIENTS: u32 = 4;
const CLIENT_PAUSE: Duration = Duration::from_millis(5);
/// Between two looks at something that takes seconds.
const LOOK: Duration = Duration::from_millis(200);
/// The machine has come to rest when nothing on it was made or ended for this long: longer than it
/// takes to make one more instance ahead.
const REST: Duration = Duration::from_secs(3);
/// On a machine that never rests, because others work on it too, so long is waited.
const REST_MAX: Duration = Duration::from_secs(20);
/// What is made ahead is waited for longer: so much for each instance, and for each volume with its
/// network.
const WARM_MAX: Duration = Duration::from_millis(300);
const READY_MAX: Duration = Duration::from_millis(60);
/// Time that clients have to end.
const JOIN_DEADLINE: Duration = Duration::from_secs(5);

/// One scale-out.
#[derive(Debug)]
struct Out {
    durable_s: f64,
    total_s: f64,
    cost: Cost,
    phases: Phases,
}

/// One scale-in.
#[derive(Debug)]
struct In {
    answered: f64,
    failed: f64,
    total_s: f64,
    /// Before the scale-out, at its end, and after the scale-in.
    resources: [Resources; 3],
}

pub(super) async fn bench(context: &Context, args: &BenchStartArgs) -> Outcome {
    let size = Size {
        instances: args.instances,
        runtime: args.runtime,
        warm: args.warm,
        ready: args.ready,
    };
    let progress = context.terminal.progress("beginning");
    let measured = Lab::with(context, size, &progress, async |lab| {
        progress.message("pushing an app of 8 MiB");
        let rounds = rounds(context, args, lab, &progress).await?;
        Ok((rounds, lab.overcommit))
    });
    let ((outs, ins, floor), overcommit) = measured.await?;
    drop(progress);
    if !args.json {
        let (memory, disk) = overcommit;
        context.terminal.say(format!(
            "{} instances of 32 MiB; memory is offered {memory} times, disk {disk} times.",
            args.instances
        ));
    }
    show(context, &readings(args, &outs, &ins, floor), args.json)?;
    if !args.json {
        show_phases(context, &outs);
        show_resources(context, &ins);
    }
    Ok(())
}

type Rounds = (Vec<Out>, Vec<In>, Option<Floor>);

async fn rounds(
    context: &Context,
    args: &BenchStartArgs,
    lab: &Lab,
    progress: &crate::output::Progress,
) -> Outcome<Rounds> {
    let deployed = lab.push().await?;
    let rest_max = rest_max(args);
    let (mut outs, mut ins) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        progress.message(&format!("round {round} of {}: starting", args.rounds));
        let before = settled(context, &deployed, 1, rest_max).await?;
        outs.push(scale_out(context, lab, &deployed, args.instances).await?);
        if args.instances > LEFT {
            progress.message(&format!("round {round} of {}: stopping", args.rounds));
            ins.push(scale_in(context, &deployed, args, before).await?);
        }
        deployed.scale(1).await?;
    }
    settled(context, &deployed, 1, rest_max).await?;
    progress.message("measuring the floor");
    let floor = floor::measure(context, args.runtime, lab.pid(), args.floor).await;
    Ok((outs, ins, floor))
}

async fn scale_out(
    context: &Context,
    lab: &Lab,
    deployed: &Deployed,
    instances: u32,
) -> Outcome<Out> {
    let (from, cost) = (phases::mark(&lab.log()), cost::of_platform(lab.pid())?);
    let (since, began) = (context.clock.now(), context.clock.monotonic());
    deployed.scale(instances).await?;
    let durable = context.clock.monotonic();
    let ended = answers::all(deployed, 0..instances, &context.clock, START_TIMEOUT).await?;
    let after = cost::of_platform(lab.pid())?;
    let (running, of) = deployed.running().await?;
    if (running, of) != (instances as usize, instances as usize) {
        return Err(Failure::new(format!(
            "all {instances} instances answer, but the API calls {running} of {of} running"
        )));
    }
    Ok(Out {
        durable_s: durable.saturating_sub(began).as_secs_f64(),
        total_s: ended.saturating_sub(began).as_secs_f64(),
        cost: Cost {
            cpu_s: after.cpu_s - cost.cpu_s,
            memory_mib: after.memory_mib - cost.memory_mib,
            processes: after.processes.saturating_sub(cost.processes),
        },
        phases: phases::read(&lab.log(), from, since)?,
    })
}

async fn scale_in(
    context: &Context,
    deployed: &Deployed,
    args: &BenchStartArgs,
    before: Resources,
) -> Outcome<In> {
    let (instances, rest_max) = (args.instances, rest_max(args));
    let full = Resources::read();
    let (stop, tally) = (Shutdown::new(), Arc::new(Tally::default()));
    let supervisor = Supervisor::new("load", stop.clone());
    for _ in 0..CLIENTS {
        let (stop, tally, clock) = (stop.clone(), Arc::clone(&tally), context.clock.clone());
        let (router, host) = (deployed.router, deployed.host.clone());
        supervisor.spawn("client", OnEnd::Nothing, async move {
            load::steady(router, &host, CLIENT_PAUSE, &clock, &tally, &stop).await;
        });
    }
    let began = context.clock.monotonic();
    deployed.scale(LEFT.min(instances)).await?;
    let after = settled(context, deployed, LEFT.min(instances), rest_max).await;
    stop.request();
    supervisor.join(JOIN_DEADLINE).await;
    // The instances that are left have their share of what is counted.
    deployed.scale(1).await?;
    let last = back_at(context, deployed, &before, rest_max).await?;
    after?;
    // Each settling ends with a rest.
    let took = context.clock.monotonic().saturating_sub(began);
    let count = |counter: &std::sync::atomic::AtomicU64| {
        let count = counter.load(std::sync::atomic::Ordering::Relaxed);
        f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    };
    Ok(In {
        answered: count(&tally.answered),
        failed: count(&tally.failed),
        total_s: took.saturating_sub(REST * 2).as_secs_f64(),
        resources: [before, full, last],
    })
}

fn rest_max(args: &BenchStartArgs) -> Duration {
    REST_MAX + WARM_MAX * args.warm + READY_MAX * args.ready
}

/// Until the API shows this many instances, all running, and the machine has come to rest.
async fn settled(
    context: &Context,
    deployed: &Deployed,
    instances: u32,
    rest_max: Duration,
) -> Outcome<Resources> {
    let deadline = context.clock.monotonic() + STOP_TIMEOUT;
    let wanted = (instances as usize, instances as usize);
    let mut before = Resources::read();
    let (mut changed, mut reached) = (context.clock.monotonic(), context.clock.monotonic());
    loop {
        context.clock.sleep(LOOK).await;
        let (shown, now) = (deployed.running().await?, Resources::read());
        let time = context.clock.monotonic();
        if shown != wanted {
            (changed, reached) = (time, time);
        } else if !now.is_back_at(&before) || !before.is_back_at(&now) {
            changed = time;
        }
        let rests = time.saturating_sub(changed) >= REST;
        if rests || time.saturating_sub(reached) >= rest_max {
            return Ok(now);
        }
        before = now;
        if time > deadline {
            return Err(Failure::new(format!(
                "{} of {} instances run after {STOP_TIMEOUT:?}, wanted are {instances}",
                shown.0, shown.1
            )));
        }
    }
}

/// Until one instance is left and nothing is more than it was, or the time is up: then the table
/// shows what is.
async fn back_at(
    context: &Context,
    deployed: &Deployed,
    before: &Resources,
    rest_max: Duration,
) -> Outcome<Resources> {
    let deadline = context.clock.monotonic() + STOP_TIMEOUT;
    let mut now = settled(context, deployed, 1, rest_max).await?;
    while !now.is_back_at(before) && context.clock.monotonic() < deadline {
        context.clock.sleep(LOOK).await;
        now = Resources::read();
    }
    Ok(now)
}

fn readings(args: &BenchStartArgs, outs: &[Out], ins: &[In], floor: Option<Floor>) -> Vec<Reading> {
    let count = f64::from(args.instances.saturating_sub(1).max(1));
    let floor_is = floor.map_or("", |floor| floor.is);
    let (seconds, cpu) = floor.map_or((0.0, 0.0), |floor| (floor.seconds, floor.cpu_s));
    let of = |value: &dyn Fn(&Out) -> f64| outs.iter().map(value).collect::<Vec<_>>();
    let reading = |measure: String, unit, values, floor| {
        Reading::new("start", measure, unit, floor_is, values, vec![floor])
    };
    let mut all = vec![
        reading(
            format!("scale to {} to the last first answer", args.instances),
            "s",
            of(&|out| out.total_s),
            seconds * count,
        ),
        reading(
            "command to durable".into(),
            "s",
            of(&|out| out.durable_s),
            0.0,
        ),
        reading(
            "CPU of an instance".into(),
            "s",
            of(&|out| out.cost.cpu_s / count),
            cpu,
        ),
        reading(
            "memory of an instance".into(),
            "MiB",
            of(&|out| out.cost.memory_mib / count),
            0.0,
        ),
    ];
    let of = |value: &dyn Fn(&In) -> f64| ins.iter().map(value).collect::<Vec<_>>();
    if !ins.is_empty() {
        let scaled = format!("scale to {LEFT} under load, then to 1, to all back");
        all.push(reading(scaled, "s", of(&|it| it.total_s), 0.0));
        all.push(reading(
            "requests answered meanwhile".into(),
            "",
            of(&|it| it.answered),
            0.0,
        ));
        all.push(reading(
            "requests failed meanwhile".into(),
            "",
            of(&|it| it.failed),
            0.0,
        ));
    }
    // People see the rest in tables of its own.
    if args.json {
        all.extend(ins.last().map(left_over).unwrap_or_default());
        let steps = outs.last().map(|out| steps(out, floor_is));
        all.extend(steps.unwrap_or_default());
    }
    all
}

/// When each step was reached, from the command on.
fn steps(out: &Out, floor_is: &'static str) -> Vec<Reading> {
    let table = out.phases.table().into_iter();
    let parts = table.flat_map(|(step, times)| {
        let parts = ["p50", "p99", "max"].into_iter().zip(times);
        parts.map(move |(part, time)| (format!("command to {step}, {part}"), time))
    });
    parts
        .map(|(name, time)| Reading::new("start", name, "s", floor_is, vec![time], vec![0.0]))
        .collect()
}

/// What is on the machine after the scale-in, beside what was there before.
fn left_over(last: &In) -> Vec<Reading> {
    let [before, _, after] = last.resources.map(|it| it.named());
    let count = |count: usize| vec![f64::from(u32::try_from(count).unwrap_or(u32::MAX))];
    let both = after.into_iter().zip(before);
    both.map(|((name, after), (_, before))| {
        let name = format!("{name} after the scale-in");
        Reading::new(
            "start",
            name,
            "",
            "before it all",
            count(after),
            count(before),
        )
    })
    .collect()
}

fn show_phases(context: &Context, outs: &[Out]) {
    let Some(out) = outs.last() else {
        return;
    };
    let mut table = Table::new(["step", "half", "99 %", "all"]);
    for (step, times) in out.phases.table() {
        let [half, most, all] = times.map(|time| format!("{time:.3} s"));
        table.row([step.to_owned(), half, most, all]);
    }
    context.terminal.blank();
    context.terminal.table(&table);
}

fn show_resources(context: &Context, ins: &[In]) {
    let Some(last) = ins.last() else {
        return;
    };
    let mut table = Table::new(["on the machine", "before", "full", "after"]);
    let [before, full, after] = last.resources.map(|it| it.named());
    for ((before, full), after) in before.into_iter().zip(full).zip(after) {
        let counts = [before.1, full.1, after.1].map(|count| count.to_string());
        let [before_text, full_text, after_text] = counts;
        table.row([before.0.to_owned(), before_text, full_text, after_text]);
    }
    context.terminal.blank();
    context.terminal.table(&table);
}
