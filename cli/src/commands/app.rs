//! `apps`, `app`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::summary;
use crate::args::{AppArgs, AppsArgs};
use crate::client::query;
use crate::client::resource::{App, Process, Route};
use crate::context::{Context, InSpace};
use crate::failure::Outcome;
use crate::output::Table;

#[derive(Debug, Serialize)]
struct AppLine {
    name: String,
    guid: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<ProcessCount>>,
    routes: Vec<String>,
    urls: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ProcessCount {
    #[serde(rename = "type")]
    kind: String,
    running: usize,
    instances: u32,
}

pub(crate) async fn apps(context: &Context, args: &AppsArgs) -> Outcome {
    let space = context.in_space()?;
    let lines = gather(&space, args).await?;
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&lines);
    }
    terminal.note(format!("Apps in {}:", space.place()));
    if lines.is_empty() {
        terminal.say("No apps. Push one: `cfx push NAME -p FOLDER`.");
        return Ok(());
    }
    let mut table = Table::new(["name", "requested state", "processes", "routes"]);
    for line in &lines {
        table.row([
            terminal.style().name(&line.name),
            terminal.style().state(&line.state),
            counts(line.processes.as_deref().unwrap_or_default()),
            line.routes.join(", "),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

fn counts(processes: &[ProcessCount]) -> String {
    let counts: Vec<String> = processes
        .iter()
        .map(|process| format!("{}:{}/{}", process.kind, process.running, process.instances))
        .collect();
    counts.join(", ")
}

async fn gather(space: &InSpace, args: &AppsArgs) -> Outcome<Vec<AppLine>> {
    let api = &space.api;
    let guid = space.space.guid.as_str();
    let mut pairs = vec![
        ("space_guids", guid),
        ("order_by", "name"),
        ("per_page", "5000"),
    ];
    pairs.extend(
        args.labels
            .as_deref()
            .map(|selector| ("label_selector", selector)),
    );
    let apps: Vec<App> = api.list(&query::with("/v3/apps", &pairs)).await?;
    if apps.is_empty() {
        return Ok(Vec::new());
    }
    let mut processes = BTreeMap::<String, Vec<ProcessCount>>::new();
    if !args.no_stats {
        let pairs = [
            ("space_guids", guid),
            ("embed", "process_instances"),
            ("per_page", "5000"),
        ];
        let listed: Vec<Process> = api.list(&query::with("/v3/processes", &pairs)).await?;
        for process in listed {
            let app = process.relationships.app.data.clone().unwrap_or_default();
            processes.entry(app.guid).or_default().push(count(process));
        }
    }
    let pairs = [("space_guids", guid), ("per_page", "5000")];
    let routes: Vec<Route> = api.list(&query::with("/v3/routes", &pairs)).await?;
    let lines = apps.into_iter().map(|app| {
        let own: Vec<String> = routes
            .iter()
            .filter(|route| route.destinations.iter().any(|to| to.app.guid == app.guid))
            .map(|route| route.url.clone())
            .collect();
        AppLine {
            urls: own
                .iter()
                .map(|route| summary::url_of(route, api.target()))
                .collect(),
            processes: (!args.no_stats).then(|| processes.remove(&app.guid).unwrap_or_default()),
            name: app.name,
            guid: app.guid,
            state: app.state.to_lowercase(),
            routes: own,
        }
    });
    Ok(lines.collect())
}

fn count(process: Process) -> ProcessCount {
    let running = process.process_instances.iter();
    ProcessCount {
        kind: process.kind,
        running: running
            .filter(|instance| instance.state == "RUNNING")
            .count(),
        instances: process.instances,
    }
}

pub(crate) async fn app(context: &Context, args: &AppArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    if args.guid {
        context.terminal.say(&app.guid);
        return Ok(());
    }
    let summary = summary::gather(&space.api, &app).await?;
    if args.json {
        return context.terminal.json(&summary);
    }
    context
        .terminal
        .note(format!("App {} in {}:", app.name, space.place()));
    summary::print(context, &summary);
    Ok(())
}
