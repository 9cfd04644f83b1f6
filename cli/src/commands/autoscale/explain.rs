//! `autoscale explain`: the conclusion of the rules at a moment, in sentences.

use serde_json::Value;

use super::path;
use crate::args::ExplainArgs;
use crate::context::Context;
use crate::failure::Outcome;

pub(super) async fn explain(context: &Context, args: &ExplainArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let mut path = path(&app, "cfx/explain");
    if let Some(at) = args.at {
        path.push_str(&format!("?at={}", at.second(context.clock.now())));
    }
    let record: Value = space.api.get(&path).await?;
    if args.json {
        return context.terminal.json(&record);
    }
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let terminal = &context.terminal;
    let style = terminal.style();
    let ticks = record["ticks"].as_u64().unwrap_or(1);
    let when = match ticks {
        1 => text("until").to_owned(),
        ticks => format!("{} to {}, {ticks} looks", text("since"), text("until")),
    };
    terminal.say(format!("{} {}", style.name(&app.name), style.faint(&when)));
    for line in text("text").lines() {
        terminal.say(line);
    }
    Ok(())
}
