//! An app on one page: what `app` shows, and `push`, `start`, `scale` and `restage` end with.

use jiff::Timestamp;
use serde::Serialize;

use cfx_protocol::quantity::format_bytes;

use crate::client::resource::{App, Deployment, Droplet, Process, Route, Stats};
use crate::client::{Api, query};
use crate::context::{Context, InSpace};
use crate::failure::Outcome;
use crate::output::{Fields, Table, local_time, seconds};
use crate::session::Target;

/// The page, also as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) guid: String,
    /// `started` or `stopped`.
    pub(crate) state: String,
    /// Where it answers, with scheme and port.
    pub(crate) urls: Vec<String>,
    routes: Vec<String>,
    last_uploaded: Option<Timestamp>,
    stack: Option<String>,
    docker_image: Option<String>,
    buildpacks: Vec<Buildpack>,
    pub(crate) processes: Vec<ProcessSummary>,
    deployment: Option<DeploymentSummary>,
}

#[derive(Debug, Serialize)]
struct Buildpack {
    name: String,
    version: String,
    detect_output: String,
    buildpack_name: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProcessSummary {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    command: Option<String>,
    pub(crate) memory_in_mb: u64,
    running: usize,
    pub(crate) instances: Vec<Stats>,
}

#[derive(Debug, Serialize)]
struct DeploymentSummary {
    strategy: String,
    reason: String,
}

pub(crate) async fn gather(api: &Api, app: &App) -> Outcome<Summary> {
    let guid = &app.guid;
    let listed: Vec<Process> = api.list(&format!("/v3/apps/{guid}/processes")).await?;
    let mut processes = Vec::with_capacity(listed.len());
    for process in listed {
        processes.push(process_summary(api, &process).await?);
    }
    let routes: Vec<Route> = api.list(&format!("/v3/apps/{guid}/routes")).await?;
    let droplet: Option<Droplet> = api
        .find(&format!("/v3/apps/{guid}/droplets/current"))
        .await?;
    let deployment = active_deployment(api, guid).await?;
    let droplet_part = droplet.as_ref();
    Ok(Summary {
        name: app.name.clone(),
        guid: guid.clone(),
        state: app.state.to_lowercase(),
        urls: routes
            .iter()
            .map(|route| url_of(&route.url, api.target()))
            .collect(),
        routes: routes.into_iter().map(|route| route.url).collect(),
        last_uploaded: droplet_part.and_then(|droplet| droplet.created_at),
        stack: droplet_part.and_then(|droplet| droplet.stack.clone()),
        docker_image: droplet_part
            .filter(|_| app.is_docker())
            .and_then(|droplet| droplet.image.clone()),
        buildpacks: droplet.map(buildpacks).unwrap_or_default(),
        processes,
        deployment: deployment.map(|deployment| DeploymentSummary {
            strategy: deployment.strategy.unwrap_or_default(),
            reason: deployment.status.reason,
        }),
    })
}

async fn process_summary(api: &Api, process: &Process) -> Outcome<ProcessSummary> {
    // Lists hide the command.
    let whole: Process = api.get(&format!("/v3/processes/{}", process.guid)).await?;
    let path = format!("/v3/processes/{}/stats", process.guid);
    let mut instances: Vec<Stats> = api.list(&path).await?;
    instances.sort_by_key(|instance| instance.index);
    Ok(ProcessSummary {
        kind: whole.kind,
        command: whole.command,
        memory_in_mb: whole.memory_in_mb,
        running: running(&instances),
        instances,
    })
}

pub(crate) fn running(instances: &[Stats]) -> usize {
    instances
        .iter()
        .filter(|one| one.state == "RUNNING")
        .count()
}

async fn active_deployment(api: &Api, app: &str) -> Outcome<Option<Deployment>> {
    let path = query::with(
        "/v3/deployments",
        &[
            ("app_guids", app),
            ("status_values", "ACTIVE"),
            ("order_by", "-created_at"),
            ("per_page", "1"),
            ("page", "1"),
        ],
    );
    Ok(api.list(&path).await?.into_iter().next())
}

fn buildpacks(droplet: Droplet) -> Vec<Buildpack> {
    let listed = droplet.buildpacks.unwrap_or_default().into_iter();
    listed
        .map(|one| Buildpack {
            name: one.name.unwrap_or_default(),
            version: one.version.unwrap_or_default(),
            detect_output: one.detect_output.unwrap_or_default(),
            buildpack_name: one.buildpack_name.unwrap_or_default(),
        })
        .collect()
}

/// A route as something to click: with the port that the routers listen on.
pub(crate) fn url_of(route: &str, target: &Target) -> String {
    let (host, path) = match route.find('/') {
        Some(slash) => route.split_at(slash),
        None => (route, ""),
    };
    match (target.http_port, target.https_port) {
        _ if host.contains(':') => route.to_owned(),
        (Some(80), _) => format!("http://{route}"),
        (Some(port), _) => format!("http://{host}:{port}{path}"),
        (None, Some(port)) if port != 443 => format!("https://{host}:{port}{path}"),
        _ => format!("https://{route}"),
    }
}

/// Look again, and show.
pub(crate) async fn show(context: &Context, space: &InSpace, name: &str) -> Outcome<Summary> {
    let app = space.app(name).await?;
    let summary = gather(&space.api, &app).await?;
    context.terminal.blank();
    print(context, &summary);
    Ok(summary)
}

pub(crate) fn print(context: &Context, summary: &Summary) {
    let terminal = &context.terminal;
    let mut fields = Fields::new();
    fields
        .add("name", terminal.style().name(&summary.name))
        .add("requested state", terminal.style().state(&summary.state))
        .add("routes", summary.routes.join(", "))
        .add(
            "last uploaded",
            summary.last_uploaded.map(local_time).unwrap_or_default(),
        )
        .add("stack", summary.stack.clone().unwrap_or_default());
    match &summary.docker_image {
        Some(image) => fields.add("docker image", image),
        None if summary.buildpacks.is_empty() => fields.add("buildpacks", ""),
        None => fields.add("buildpacks", buildpack_names(summary)),
    };
    terminal.fields(&fields);
    for process in &summary.processes {
        print_process(context, process);
    }
    if let Some(deployment) = &summary.deployment {
        terminal.blank();
        terminal.say(format!(
            "Active deployment with status {} (strategy {})",
            deployment.reason, deployment.strategy
        ));
    }
}

fn buildpack_names(summary: &Summary) -> String {
    let names: Vec<String> = summary
        .buildpacks
        .iter()
        .map(|one| {
            let name = match one.name.as_str() {
                "" => &one.buildpack_name,
                name => name,
            };
            format!("{name} {}", one.version).trim().to_owned()
        })
        .collect();
    names.join(", ")
}

fn print_process(context: &Context, process: &ProcessSummary) {
    let terminal = &context.terminal;
    terminal.blank();
    let mut fields = Fields::new();
    fields.add("type", &process.kind);
    fields.add(
        "instances",
        format!("{}/{}", process.running, process.instances.len()),
    );
    fields.add("memory usage", format!("{}M", process.memory_in_mb));
    if let Some(command) = process.command.as_deref().filter(|text| !text.is_empty()) {
        fields.add("start command", command);
    }
    terminal.fields(&fields);
    if process.instances.is_empty() {
        terminal.say("There are no running instances of this process.");
        return;
    }
    let now = context.clock.now();
    let mut table = Table::new([
        "",
        "state",
        "since",
        "cpu",
        "memory",
        "disk",
        "logging",
        "cpu entitlement",
        "details",
    ]);
    for instance in &process.instances {
        table.row(instance_row(context, instance, now));
    }
    terminal.table(&table);
}

fn instance_row(context: &Context, instance: &Stats, now: Timestamp) -> [String; 9] {
    let usage = instance.usage.clone().unwrap_or_default();
    let of = |used: Option<u64>, quota: Option<u64>| {
        let used = format_bytes(used.unwrap_or(0));
        format!("{used} of {}", format_bytes(quota.unwrap_or(0)))
    };
    let percent = |part: Option<f64>| part.map_or(String::new(), |p| format!("{:.1}%", p * 100.0));
    let limit = match instance.log_rate_limit {
        Some(limit) if limit >= 0 => format!("{}/s", format_bytes(limit.unsigned_abs())),
        _ => "unlimited".to_owned(),
    };
    [
        format!("#{}", instance.index),
        context
            .terminal
            .style()
            .state(&instance.state.to_lowercase()),
        since(instance, now),
        percent(usage.cpu),
        of(usage.mem, instance.mem_quota),
        of(usage.disk, instance.disk_quota),
        format!("{}/s of {limit}", format_bytes(usage.log_rate.unwrap_or(0))),
        percent(usage.cpu_entitlement),
        instance.details.clone().unwrap_or_default(),
    ]
}

fn since(instance: &Stats, now: Timestamp) -> String {
    if instance.state == "DOWN" {
        return String::new();
    }
    let uptime = instance.uptime.and_then(|s| i64::try_from(s).ok());
    let started = uptime.and_then(|s| Timestamp::from_second(now.as_second() - s).ok());
    started.map(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(http: Option<u16>, https: Option<u16>) -> Target {
        Target {
            url: "http://127.0.0.1:8880".into(),
            api_version: "3.211.0".into(),
            login: String::new(),
            uaa: String::new(),
            log_cache: None,
            http_port: http,
            https_port: https,
            authority: None,
            skip_ssl_validation: false,
        }
    }

    #[test]
    fn a_url_carries_the_routers_port_where_one_is_needed() {
        for (route, http, https, url) in [
            ("a.b", Some(8080), Some(8443), "http://a.b:8080"),
            ("a.b/x/y", Some(8080), None, "http://a.b:8080/x/y"),
            ("a.b", Some(80), None, "http://a.b"),
            ("a.b/x", None, Some(8443), "https://a.b:8443/x"),
            ("a.b", None, Some(443), "https://a.b"),
            ("a.b", None, None, "https://a.b"),
            ("tcp.b:2000", Some(8080), None, "tcp.b:2000"),
        ] {
            assert_eq!(url_of(route, &target(http, https)), url);
        }
    }
}
