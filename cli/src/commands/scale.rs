//! `scale`.

use cfx_protocol::quantity::{format_bytes, parse_bytes, parse_mebibytes};
use serde_json::{Map, Value, json};

use super::lifecycle::{action, start_and_wait};
use super::summary;
use crate::args::ScaleArgs;
use crate::client::query;
use crate::client::resource::Process;
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::output::Fields;

pub(crate) async fn scale(context: &Context, args: &ScaleArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let kind = query::encode(&args.process);
    let path = format!("/v3/apps/{}/processes/{kind}", app.guid);
    let changes = changes(args)?;
    if changes.is_empty() {
        return show(context, &space, args, &path).await;
    }
    let terminal = &context.terminal;
    let restarts = changes.keys().any(|key| key != "instances");
    if restarts && app.is_started() && !args.force {
        let question = format!("This restarts app {}. Go on?", app.name);
        if !terminal.confirm(&question) {
            return Err(Failure::new("nothing was changed")
                .next("say so with -f: the app is restarted without asking"));
        }
    }
    terminal.say(format!("Scaling app {} in {}...", app.name, space.place()));
    space
        .api
        .post::<Value>(&format!("{path}/actions/scale"), &changes)
        .await?;
    if restarts && app.is_started() {
        action(&space.api, &app, "stop").await?;
        return start_and_wait(context, &space, &app).await;
    }
    summary::show(context, &space, &app.name).await.map(drop)
}

fn changes(args: &ScaleArgs) -> Outcome<Map<String, Value>> {
    let invalid = |error: cfx_protocol::quantity::InvalidQuantity| Failure::new(error.to_string());
    let mut changes = Map::new();
    if let Some(instances) = args.instances {
        changes.insert("instances".into(), json!(instances));
    }
    for (key, amount) in [("memory_in_mb", &args.memory), ("disk_in_mb", &args.disk)] {
        if let Some(amount) = amount {
            changes.insert(key.into(), json!(parse_mebibytes(amount).map_err(invalid)?));
        }
    }
    if let Some(rate) = &args.log_rate {
        let bytes = match rate.as_str() {
            "-1" => json!(-1),
            "0" => json!(0),
            rate => json!(parse_bytes(rate).map_err(invalid)?),
        };
        changes.insert("log_rate_limit_in_bytes_per_second".into(), bytes);
    }
    Ok(changes)
}

async fn show(context: &Context, space: &InSpace, args: &ScaleArgs, path: &str) -> Outcome {
    let process: Process = space.api.get(path).await.map_err(|error| {
        if error.is_not_found() {
            Failure::new(format!("{} has no process `{}`", args.app, args.process))
                .next(format!("`cfx app {}` lists its processes", args.app))
        } else {
            error.into()
        }
    })?;
    let log_rate = match process.log_rate_limit_in_bytes_per_second {
        Some(limit) if limit >= 0 => format!("{}/s", format_bytes(limit.unsigned_abs())),
        _ => "unlimited".to_owned(),
    };
    let mut fields = Fields::new();
    fields
        .add("process", &process.kind)
        .add("instances", process.instances.to_string())
        .add("memory", format!("{}M", process.memory_in_mb))
        .add("disk", format!("{}M", process.disk_in_mb))
        .add("log rate", log_rate);
    context.terminal.fields(&fields);
    Ok(())
}
