//! `autoscale import|export`: rules from and to files.

use std::path::Path;

use cfx_process::durable_file::{self, MODE_PUBLIC};
use cfx_rules::Policy;
use http::Method;
use serde_json::{Value, json};

use super::{parse, path, rules};
use crate::args::{ExportArgs, ImportArgs};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Largest file, bytes: what the autoscaler takes, with room for remarks.
const FILE_MAX_BYTES: u64 = 256 * 1024;

pub(super) async fn import(context: &Context, args: &ImportArgs) -> Outcome {
    let text = read(&args.file)?;
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let (what, body) = match text.trim_start().starts_with('{') {
        true => ("policy", text),
        false => {
            let policy = parse(&text)?.to_string();
            let statements: Vec<&str> = policy.lines().collect();
            ("cfx/rules", json!({ "statements": statements }).to_string())
        }
    };
    let path = path(&app, what);
    space
        .api
        .send(Method::PUT, &path, Some(body.into()))
        .await?;
    if let Some(kept) = rules::of(&space.api, &app).await? {
        for statement in &kept.statements {
            context.terminal.say(statement);
        }
    }
    context.terminal.ok();
    Ok(())
}

pub(super) async fn export(context: &Context, args: &ExportArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let text = if args.policy {
        let policy: Value = space.api.get(&path(&app, "policy")).await?;
        serde_json::to_string_pretty(&policy)
            .map_err(|error| Failure::new(format!("cannot print JSON: {error}")))?
    } else {
        let rules = rules::of(&space.api, &app).await?;
        let rules = rules.ok_or_else(|| {
            Failure::new(format!("app {} has no rules", app.name))
                .next("`cfx autoscale add` gives it some")
        })?;
        rules.statements.join("\n")
    };
    let Some(file) = &args.output else {
        context.terminal.say(text);
        return Ok(());
    };
    let written = durable_file::write(file, format!("{text}\n").as_bytes(), MODE_PUBLIC);
    written.map_err(|error| {
        Failure::new(format!("cannot write {}: {error}", file.display()))
            .next("check that its folder is yours, and that the disk has room")
    })?;
    context.terminal.ok();
    Ok(())
}

/// A file of rules or of a policy.
pub(super) fn read(file: &Path) -> Outcome<String> {
    let unreadable = |detail: String| {
        Failure::new(format!("cannot read {}: {detail}", file.display()))
            .next("name a file of rules, one a line, or of an app-autoscaler policy")
    };
    let size = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?;
    if size.len() > FILE_MAX_BYTES {
        return Err(unreadable(format!(
            "it has more than {FILE_MAX_BYTES} bytes"
        )));
    }
    std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))
}

/// What an app-autoscaler policy says.
pub(super) fn of_policy(text: &str) -> Outcome<Policy> {
    let imported = cfx_rules::import::import(text, None).map_err(|error| {
        Failure::new(error.to_string()).next("correct these fields of the policy")
    })?;
    Ok(imported.policy)
}
