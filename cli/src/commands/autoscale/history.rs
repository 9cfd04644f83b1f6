//! `autoscale history`: how an app was scaled, newest first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::path;
use crate::args::HistoryArgs;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Table, seconds};

#[derive(Debug, Deserialize)]
struct Page {
    resources: Vec<Entry>,
}

/// One act.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Nanoseconds since 1970.
    timestamp: i64,
    /// 0 succeeded, 1 failed, 2 ignored.
    status: u8,
    scaling_type: u8,
    old_instances: i64,
    new_instances: i64,
    reason: String,
    #[serde(default)]
    explanation: String,
    #[serde(default)]
    error: String,
}

pub(super) async fn history(context: &Context, args: &HistoryArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let what = format!("scaling_histories?results-per-page={}", args.max);
    let page: Page = space.api.get(&path(&app, &what)).await?;
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&page.resources);
    }
    if page.resources.is_empty() {
        terminal.say(format!("App {} was never scaled by a rule.", app.name));
        return Ok(());
    }
    let mut table = Table::new(["time", "instances", "", "because"]);
    for entry in &page.resources {
        table.row(row(entry));
    }
    terminal.table(&table);
    Ok(())
}

fn row(entry: &Entry) -> [String; 4] {
    let at = Timestamp::from_nanosecond(i128::from(entry.timestamp)).unwrap_or_default();
    let (change, ended) = match entry.status {
        0 => (
            format!("{} -> {}", entry.old_instances, entry.new_instances),
            "",
        ),
        1 => (entry.old_instances.to_string(), "failed"),
        _ => (entry.old_instances.to_string(), "ignored"),
    };
    let because = match entry.error.as_str() {
        "" => entry.reason.clone(),
        error => format!("{}: {error}", entry.reason),
    };
    [seconds(at), change, ended.to_owned(), because]
}
