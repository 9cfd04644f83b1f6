//! Processes of apps: how many, how large, and which version of them runs.
//!
//! Invariant: what instances are made of is frozen in `RunningVersion` when a version begins. A
//! change of the app touches what runs only by a new version; a change of the number of instances
//! never makes one.

use std::sync::Arc;

use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{AppGuid, ProcessGuid};
use cfx_protocol::v3::process::{ProcessPatch, Scale};
use serde_json::json;

use super::limits::{check_fits, instances, log_rate, megabytes};
use super::{Act, Refused, Target, app, environment, health_check, metadata, vcap};
use crate::state::Draft;
use crate::state::app::{App, DesiredState};
use crate::state::droplet::{Droplet, DropletContent};
use crate::state::intent::{IntentChunk, IntentChunkKey, IntentPhase};
use crate::state::meta::Meta;
use crate::state::process::{Process, RunningVersion};

/// The process that routes lead to unless they say otherwise.
pub const WEB: &str = "web";
/// Memory and disk of an instance that nobody gave others, MiB (Cloud Foundry's defaults).
pub const MEMORY_DEFAULT_MB: u32 = 1_024;
pub const DISK_DEFAULT_MB: u32 = 1_024;
/// Longest start command, characters (Cloud Foundry's limit).
const COMMAND_MAX_CHARS: usize = 4_096;
/// What takes the room when a process's record is too large.
const WHAT: &str = "The environment variables, service credentials, routes and command of the app";

/// A process as it is before anybody changed it.
#[must_use]
pub fn new_process(act: &Act<'_>, app: AppGuid, process_type: &str, instances: u32) -> Process {
    Process {
        guid: act.ids.guid(),
        app,
        process_type: process_type.to_owned(),
        command: None,
        instances,
        memory_mb: MEMORY_DEFAULT_MB,
        disk_mb: DISK_DEFAULT_MB,
        log_rate_bytes: None,
        health: default_health(process_type),
        readiness: ReadinessCheck::default(),
        version: 0,
        version_max: 0,
        running: None,
        meta: Meta::new(act.now),
    }
}

/// Only the web process is expected to listen.
fn default_health(process_type: &str) -> HealthCheck {
    let mut health = HealthCheck::default();
    if process_type != WEB {
        health.check = cfx_protocol::health::Check::Process;
    }
    health
}

/// Change the number of instances, or their size. A change of size of a started app replaces its
/// instances.
pub fn scale(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ProcessGuid,
    scale: &Scale,
) -> Result<Arc<Process>, Refused> {
    let old = find(draft, guid)?;
    let process = resize(draft, act, guid, scale)?;
    let data = json!({"request": scale, "process_type": process.process_type});
    record(draft, act, &process, "audit.app.process.scale", data);
    let app = app::find(draft, process.app)?;
    let resized = size(&process) != size(&old);
    if resized && app.desired_state == DesiredState::Started && process.running.is_some() {
        return new_version(draft, act, guid);
    }
    Ok(process)
}

/// Names the state of a process, for `ETag` and `If-Match`: each change of it makes another.
#[must_use]
pub fn entity_tag(process: &Process) -> String {
    format!(
        "\"{:x}-{:x}-{:x}-{:x}-{:x}\"",
        process.meta.updated_at.as_nanosecond(),
        process.version,
        process.instances,
        process.memory_mb,
        process.disk_mb
    )
}

/// Refuse when the process is not in one of these states any more; `*` is any.
pub fn demand(draft: &Draft, guid: ProcessGuid, tags: &str) -> Result<(), Refused> {
    let found = entity_tag(&*find(draft, guid)?);
    let mut tags = tags.split(',').map(str::trim);
    match tags.any(|tag| tag == "*" || tag == found) {
        true => Ok(()),
        false => Err(Refused::Stale("Process")),
    }
}

/// The new numbers alone: what runs is for the caller to decide.
pub(super) fn resize(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ProcessGuid,
    scale: &Scale,
) -> Result<Arc<Process>, Refused> {
    let mut process = Process::clone(&*find(draft, guid)?);
    if let Some(number) = scale.instances {
        process.instances = instances(number)?;
    }
    if let Some(number) = scale.memory_in_mb {
        process.memory_mb = megabytes("Memory in mb", number)?;
    }
    if let Some(number) = scale.disk_in_mb {
        process.disk_mb = megabytes("Disk in mb", number)?;
    }
    if let Some(number) = scale.log_rate_limit_in_bytes_per_second {
        process.log_rate_bytes = log_rate(number)?;
    }
    process.meta.updated_at = act.now;
    Ok(draft.put(process))
}

fn size(process: &Process) -> (u32, u32, Option<u64>) {
    (process.memory_mb, process.disk_mb, process.log_rate_bytes)
}

/// Change the command or the checks; they hold from the next version on.
pub fn update_process(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ProcessGuid,
    patch: &ProcessPatch,
) -> Result<Arc<Process>, Refused> {
    let process = change_process(draft, act, guid, patch)?;
    // A command may hold secrets.
    let data = json!({"request": {"process_type": process.process_type}});
    record(draft, act, &process, "audit.app.process.update", data);
    Ok(process)
}

/// As `update_process`, without an event of its own.
pub(super) fn change_process(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ProcessGuid,
    patch: &ProcessPatch,
) -> Result<Arc<Process>, Refused> {
    let mut process = Process::clone(&*find(draft, guid)?);
    if let Some(command) = &patch.command {
        process.command = command.as_deref().map(check_command).transpose()?.flatten();
    }
    if let Some(change) = &patch.health_check {
        process.health = health_check::patched(&process.health, change)?;
    }
    if let Some(change) = &patch.readiness_health_check {
        process.readiness = health_check::readiness_patched(&process.readiness, change)?;
    }
    metadata::apply(&mut process.meta, patch.metadata.clone())?;
    process.meta.updated_at = act.now;
    check_fits(&process, WHAT)?;
    Ok(draft.put(process))
}

/// A start command as it is kept: the empty one means the droplet's.
pub fn check_command(command: &str) -> Result<Option<String>, Refused> {
    if command.chars().count() > COMMAND_MAX_CHARS {
        return Err(Refused::Unprocessable(format!(
            "Command must be between 1 and {COMMAND_MAX_CHARS} characters"
        )));
    }
    if command.contains('\0') {
        return Err(Refused::unprocessable(
            "Command cannot hold a null character",
        ));
    }
    Ok(Some(command.to_owned()).filter(|command| !command.trim().is_empty()))
}

/// Begin a new version of a process: freeze what its instances are made of.
pub fn new_version(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ProcessGuid,
) -> Result<Arc<Process>, Refused> {
    let mut process = Process::clone(&*find(draft, guid)?);
    let app = app::find(draft, process.app)?;
    process.version_max += 1;
    process.version = process.version_max;
    process.running = Some(freeze(draft, &app, &process));
    process.meta.updated_at = act.now;
    check_fits(&process, WHAT)?;
    Ok(draft.put(process))
}

fn freeze(draft: &Draft, app: &App, process: &Process) -> RunningVersion {
    let services = vcap::services(draft, app);
    RunningVersion {
        version: process.version,
        droplet: app.current_droplet,
        command: start_command(draft, app, process),
        environment: environment::merged(draft, environment::Group::Running, app),
        memory_mb: process.memory_mb,
        disk_mb: process.disk_mb,
        log_rate_bytes: process.log_rate_bytes,
        health: process.health.clone(),
        readiness: process.readiness.clone(),
        vcap_services: serde_json::Value::Object(services).to_string(),
        uris: vcap::uris(draft, app, &process.process_type),
        app_name: app.name.clone(),
    }
}

/// The user's command, else the droplet's; none is the docker image's own.
#[must_use]
pub fn start_command(state: &crate::state::State, app: &App, process: &Process) -> Option<String> {
    let of_droplet = || {
        let droplet = state.get::<Droplet>(&app.current_droplet?)?;
        droplet.process_types.get(&process.process_type).cloned()
    };
    let command = process.command.clone().or_else(of_droplet);
    command.filter(|command| !command.is_empty())
}

/// A process that is to have instances needs something to run.
pub(super) fn require_command(process: &Process, droplet: &Droplet) -> Result<(), Refused> {
    let of_docker = matches!(droplet.content, DropletContent::Docker { .. });
    let of_droplet = droplet.process_types.get(&process.process_type);
    let known = process.command.is_some() || of_droplet.is_some_and(|command| !command.is_empty());
    if known || of_docker || process.instances == 0 {
        return Ok(());
    }
    Err(Refused::Unprocessable(format!(
        "There is no start command for the process '{}': name one with a Procfile, `command` in \
         the manifest, or `-c`.",
        process.process_type
    )))
}

/// Replace one instance: it is taken out of its routes and stopped, and another is placed.
pub fn terminate_instance(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ProcessGuid,
    index: u32,
) -> Result<(), Refused> {
    let process = find(draft, guid)?;
    let app = app::find(draft, process.app)?;
    if index >= process.instances || app.desired_state != DesiredState::Started {
        return Err(Refused::NotFound("Instance"));
    }
    let key = IntentChunkKey::of(guid, index);
    if let Some(chunk) = draft.get::<IntentChunk>(&key) {
        let mut chunk = IntentChunk::clone(chunk);
        let running = chunk
            .intents
            .iter_mut()
            .filter(|intent| intent.index == index && intent.phase == IntentPhase::Run);
        for intent in running {
            intent.phase = IntentPhase::Unroute { since: act.now };
        }
        draft.put(chunk);
    }
    let data = json!({"process_type": process.process_type, "process_index": index});
    record(
        draft,
        act,
        &process,
        "audit.app.process.terminate_instance",
        data,
    );
    Ok(())
}

pub(super) fn find(draft: &Draft, guid: ProcessGuid) -> Result<Arc<Process>, Refused> {
    draft
        .get::<Process>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Process"))
}

/// Events of processes are the app's: that is where `cf events` looks.
fn record(
    draft: &mut Draft,
    act: &Act<'_>,
    process: &Process,
    kind: &str,
    data: serde_json::Value,
) {
    let Some(app) = draft.get::<App>(&process.app).cloned() else {
        return;
    };
    let target = Target::in_space(draft, app.space, "app", app.guid, &app.name);
    act.record(draft, kind, target, data);
}

#[cfg(test)]
mod tests;
