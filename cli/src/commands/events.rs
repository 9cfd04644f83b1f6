//! `events`.

use serde_json::Value;

use crate::args::EventsArgs;
use crate::client::query;
use crate::client::resource::{Event, Page};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Table, seconds};

/// Newest events shown.
const EVENTS_SHOWN: &str = "50";
/// What a description is made of, in this order.
const KEYS: [&str; 16] = [
    "index",
    "reason",
    "cell_id",
    "instance",
    "exit_description",
    "exit_status",
    "recursive",
    "disk_quota",
    "instances",
    "memory",
    "state",
    "command",
    "environment_json",
    "name",
    "route_guid",
    "process_type",
];

pub(crate) async fn events(context: &Context, args: &EventsArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let path = query::with(
        "/v3/audit_events",
        &[
            ("target_guids", &app.guid),
            ("order_by", "-created_at"),
            ("page", "1"),
            ("per_page", EVENTS_SHOWN),
        ],
    );
    let events = space.api.get::<Page<Event>>(&path).await?.resources;
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&events);
    }
    terminal.note(format!("Events of app {} in {}:", app.name, space.place()));
    if events.is_empty() {
        terminal.say("No events.");
        return Ok(());
    }
    let mut table = Table::new(["time", "event", "actor", "description"]);
    for event in &events {
        table.row([
            event.created_at.map(seconds).unwrap_or_default(),
            event.kind.clone(),
            event.actor.name.clone().unwrap_or_default(),
            description(&event.data),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

fn description(data: &Value) -> String {
    let data = data
        .get("request")
        .filter(|request| request.is_object())
        .unwrap_or(data);
    let parts = KEYS.iter().filter_map(|key| {
        let text = match data.get(key)? {
            Value::String(text) => text.clone(),
            Value::Null => return None,
            other => other.to_string(),
        };
        Some(format!("{key}: {text}"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::description;

    #[test]
    fn a_description_prefers_the_request_and_keeps_an_order() {
        for (data, text) in [
            (
                json!({"request": {"instances": 3, "memory": "1G"}}),
                "instances: 3, memory: 1G",
            ),
            (
                json!({"exit_description": "Exited with status 1", "index": 0, "reason": "CRASHED"}),
                "index: 0, reason: CRASHED, exit_description: Exited with status 1",
            ),
            (json!(null), ""),
            (json!({"unknown": 1}), ""),
        ] {
            assert_eq!(description(&data), text);
        }
    }
}
