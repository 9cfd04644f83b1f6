//! `store backup`, `store restore`: for operators, on the folder of a stopped platform.

use std::path::Path;

use cfx_process::entropy::IdSource;
use cfx_protocol::quantity::format_bytes;
use cfx_store::backup::Summary;
use serde_json::{Value, json};

use crate::args::{BackupArgs, RestoreArgs, StoreArgs, StoreCommand, StoreRole};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::Fields;
use crate::platform;

pub(crate) async fn store(context: &Context, args: &StoreArgs) -> Outcome {
    match &args.command {
        StoreCommand::Backup(args) => back_up(context, args).await,
        StoreCommand::Restore(args) => restore(context, args).await,
    }
}

async fn back_up(context: &Context, args: &BackupArgs) -> Outcome {
    let data = args.data.as_ref().unwrap_or(&context.environment.data);
    let terminal = &context.terminal;
    let ids = IdSource::system();
    let progress = terminal.progress("Reading the store");
    let made = platform::back_up(data, args.role, &args.file, &context.clock, &ids).await?;
    drop(progress);
    if args.json {
        let mut line = shown(&made.summary);
        line["file"] = json!(args.file);
        line["bytes"] = json!(made.bytes);
        return terminal.json(&line);
    }
    let mut fields = Fields::new();
    fields.add("backup", args.file.display().to_string());
    fields.add("bytes", format_bytes(made.bytes));
    add(&mut fields, &made.summary);
    terminal.fields(&fields);
    terminal.ok();
    if args.role != StoreRole::Controller {
        return Ok(());
    }
    terminal.note(format!(
        "It holds state, not blobs (packages and droplets): copy {} beside it.",
        blobs(data)
    ));
    Ok(())
}

async fn restore(context: &Context, args: &RestoreArgs) -> Outcome {
    let terminal = &context.terminal;
    let ids = IdSource::system();
    let progress = terminal.progress("Restoring the store");
    let (clock, replace) = (&context.clock, args.replace);
    let restoring = platform::restore(&args.data, args.role, &args.file, replace, clock, &ids);
    let restored = restoring.await?;
    drop(progress);
    if args.json {
        let mut line = shown(&restored.summary);
        line["store"] = json!(restored.store);
        line["moved_aside"] = json!(restored.aside);
        return terminal.json(&line);
    }
    let mut fields = Fields::new();
    fields.add("store", restored.store.display().to_string());
    if let Some(aside) = &restored.aside {
        fields.add("moved aside", aside.display().to_string());
    }
    add(&mut fields, &restored.summary);
    terminal.fields(&fields);
    terminal.ok();
    if args.role != StoreRole::Controller {
        return Ok(());
    }
    terminal.note(format!(
        "A backup holds no blobs (packages and droplets): {} must hold those of that time.",
        blobs(&args.data)
    ));
    Ok(())
}

fn shown(summary: &Summary) -> Value {
    json!({
        "keys": summary.entries,
        "revision": summary.revision,
        "epoch": summary.identity.epoch,
        "cluster": summary.identity.cluster,
        "sha256": summary.sha256,
    })
}

fn add(fields: &mut Fields, summary: &Summary) {
    fields
        .add("keys", summary.entries.to_string())
        .add("revision", summary.revision.to_string())
        .add("epoch", summary.identity.epoch.to_string())
        .add("cluster", summary.identity.cluster.to_string());
}

fn blobs(data: &Path) -> String {
    data.join("controller").join("blobs").display().to_string()
}
