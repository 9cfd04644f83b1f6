//! `why`: the planner's own words about an app's instances.

use cfx_protocol::v3::platform::{Why, WhyInstance};

use crate::args::WhyArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Fields, Table, seconds};

pub(crate) async fn why(context: &Context, args: &WhyArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.instance.app).await?;
    let mut path = format!("/cfx/v1/why/{}", app.guid);
    if let Some(index) = args.instance.index {
        path.push_str(&format!("?index={index}"));
    }
    let why: Why = space.api.find(&path).await?.ok_or_else(|| nothing(args))?;
    if args.json {
        return context.terminal.json(&why);
    }
    if why.instances.is_empty() {
        context
            .terminal
            .say(format!("App {} wants no instances.", why.name));
        return Ok(());
    }
    for (place, instance) in why.instances.iter().enumerate() {
        if place > 0 {
            context.terminal.blank();
        }
        print(context, &why.name, instance);
    }
    Ok(())
}

fn nothing(args: &WhyArgs) -> Failure {
    let name = &args.instance.app;
    match args.instance.index {
        Some(index) => Failure::new(format!("{name} has no instance {index}"))
            .next(format!("`cfx app {name}` lists its instances")),
        None => Failure::new("this platform does not tell why")
            .next("point at a cfx platform: `cfx api URL`"),
    }
}

fn print(context: &Context, app: &str, instance: &WhyInstance) {
    let terminal = &context.terminal;
    let style = terminal.style();
    let state = style.state(&instance.state.to_lowercase());
    let name = format!("{app} {}/{}", instance.process_type, instance.index);
    terminal.say(format!("{} {state}", style.name(&name)));
    let mut fields = Fields::new();
    fields.add("  why", &instance.reason);
    if let Some(cell) = &instance.cell {
        fields.add("  cell", format!("{} (zone {})", cell.name, cell.zone));
    }
    if let Some(address) = instance.address {
        fields.add("  address", address.to_string());
    }
    if let Some(since) = instance.since {
        fields.add("  since", seconds(since));
    }
    if let Some(crash) = &instance.crash {
        let again = match crash.next_retry_at {
            Some(at) => format!("; next try at {}", seconds(at)),
            None => String::new(),
        };
        let crash_text = format!(
            "{} at {}, {} in a row{again}",
            crash.reason,
            seconds(crash.at),
            crash.crashes
        );
        fields.add("  last crash", crash_text);
    }
    if let Some(unplaced) = &instance.unplaced {
        fields.add("  cells", format!("{}, none takes it", unplaced.cells));
    }
    terminal.fields(&fields);
    if let Some(unplaced) = &instance.unplaced {
        let mut table = Table::new(["ruled out by", "cells", "because"]).indented(4);
        for one in &unplaced.ruled_out {
            table.row([
                one.constraint.clone(),
                one.cells.to_string(),
                one.detail.clone(),
            ]);
        }
        if !table.is_empty() {
            terminal.table(&table);
        }
    }
}
