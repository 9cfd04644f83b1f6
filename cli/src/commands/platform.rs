//! `status`, `cells`, `cells join-token`: the platform, for its operators.

use cfx_protocol::quantity::format_bytes;
use cfx_protocol::v3::platform::{
    CellCounts, CellList, CellState, JoinToken, NewJoinToken, PlatformStatus,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::{JoinTokenArgs, StatusArgs};
use crate::client::Api;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Fields, Table, seconds};

const MIB: u64 = 1024 * 1024;

pub(crate) async fn status(context: &Context, args: &StatusArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let status: PlatformStatus = ask(&logged_in.api, "/cfx/v1/status").await?;
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&status);
    }
    terminal.fields(&on_one_page(&status, &logged_in.api.target().url));
    for problem in &status.problems {
        terminal.warn(problem);
    }
    Ok(())
}

fn on_one_page(status: &PlatformStatus, url: &str) -> Fields {
    let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    let (http, https) = (port(status.http_port), port(status.https_port));
    let (apps, instances) = (status.apps, status.instances);
    let routers = &status.routers;
    let connected = routers.iter().filter(|router| router.connected).count();
    let running = format!("{} of {} running", instances.running, instances.desired);
    let others = [
        (instances.starting, "starting"),
        (instances.crashed, "crashed"),
        (instances.down, "down"),
    ];
    let mut fields = Fields::new();
    fields
        .add("platform", format!("cfx {} at {url}", status.version))
        .add("since", seconds(status.started_at))
        .add("apps domain", &status.apps_domain)
        .add("router ports", format!("{http} http, {https} https"))
        .add("cells", cell_words(&status.cells))
        .add(
            "routers",
            format!("{connected} of {} connected", routers.len()),
        )
        .add(
            "apps",
            format!("{} started, {} stopped", apps.started, apps.stopped),
        )
        .add("instances", counted(running, &others));
    fields
}

fn cell_words(cells: &CellCounts) -> String {
    let others = [
        (cells.suspect, "suspect"),
        (cells.lost, "lost"),
        (cells.draining, "draining"),
        (cells.unhealthy, "unhealthy"),
    ];
    counted(format!("{} ready", cells.ready), &others)
}

/// What is normal, then whatever else there is any of.
fn counted(mut text: String, others: &[(u32, &str)]) -> String {
    for (count, word) in others.iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {word}"));
    }
    text
}

pub(crate) async fn cells(context: &Context, json: bool) -> Outcome {
    let logged_in = context.logged_in()?;
    let list: CellList = ask(&logged_in.api, "/cfx/v1/cells").await?;
    let terminal = &context.terminal;
    if json {
        return terminal.json(&list);
    }
    if list.cells.is_empty() {
        terminal.say("No cells. Admit one: `cfx cells join-token`.");
        return Ok(());
    }
    let mut table = Table::new([
        "name",
        "state",
        "zone",
        "runtime",
        "instances",
        "memory",
        "disk",
        "cpu",
        "last report",
    ]);
    for cell in &list.cells {
        let of = |part: u64, whole: u64| {
            let (part, whole) = (format_bytes(part * MIB), format_bytes(whole * MIB));
            format!("{part} of {whole}")
        };
        table.row([
            terminal.style().name(&cell.name),
            terminal.style().state(state(cell.state)),
            cell.zone.clone(),
            cell.runtime.clone(),
            format!("{} of {}", cell.reserved.slots, cell.capacity.slots),
            of(cell.reserved.memory_mb, cell.capacity.memory_mb),
            of(cell.reserved.disk_mb, cell.capacity.disk_mb),
            format!(
                "{} of {}",
                cores(cell.usage.cpu),
                cores(f64::from(cell.capacity.cpu_millicores) / 1000.0)
            ),
            cell.last_report_at.map(seconds).unwrap_or_default(),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

/// One digit after the point, and never `-0.0`.
fn cores(cores: f64) -> String {
    format!("{:.1}", (cores * 10.0).round() / 10.0 + 0.0)
}

fn state(state: CellState) -> &'static str {
    match state {
        CellState::Ready => "ready",
        CellState::Suspect => "suspect",
        CellState::Lost => "lost",
        CellState::Draining => "draining",
        CellState::Unhealthy => "unhealthy",
    }
}

pub(crate) async fn join_token(context: &Context, args: &JoinTokenArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let body = NewJoinToken {
        role: args.role.into(),
        ttl_s: args.ttl.map(|minutes| minutes * 60),
    };
    let made: JoinToken = logged_in.api.post("/cfx/v1/join_tokens", &body).await?;
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&made);
    }
    // On stdout the settings to paste, on stderr what to do with them.
    terminal.say(settings(&made)?);
    terminal.note(format!(
        "It admits one {}, once, until {}.",
        made.role.as_str(),
        seconds(made.expires_at)
    ));
    terminal.note(format!(
        "Next: put these lines into a file on the new machine, then `cfx serve {} --config FILE`",
        made.role.as_str()
    ));
    Ok(())
}

/// The part of a role's file that says whom it belongs to.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JoinSettings<'a> {
    controllers: Vec<String>,
    join_token: &'a str,
    authority: &'a str,
}

fn settings(made: &JoinToken) -> Outcome<String> {
    let settings = JoinSettings {
        controllers: made.controllers.iter().map(ToString::to_string).collect(),
        join_token: &made.token,
        authority: &made.authority,
    };
    let part = std::collections::BTreeMap::from([("platform", settings)]);
    let text = serde_yaml::to_string(&part)
        .map_err(|error| Failure::new(format!("cannot print the settings: {error}")))?;
    Ok(text.trim_end().to_owned())
}

/// One of cfx's own endpoints, which other platforms lack.
async fn ask<T: DeserializeOwned>(api: &Api, path: &str) -> Outcome<T> {
    api.find(path).await?.ok_or_else(|| {
        Failure::new("this platform does not tell that to you")
            .next("log in as an administrator of a cfx platform: `cfx login`")
    })
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn cores_have_one_digit_and_no_negative_zero() {
        for (value, text) in [
            (-0.0, "0.0"),
            (0.0, "0.0"),
            (-0.04, "0.0"),
            (0.04, "0.0"),
            (0.25, "0.3"),
            (1.96, "2.0"),
        ] {
            assert_eq!(cores(value), text);
        }
    }
}
