//! What `cfx up` does for a machine of its own: splits it among its cells, and logs the local CLI
//! in, with an org and a space to push to.

use std::sync::Arc;

use cfx_cell_agent::capacity::Machine;
use cfx_cell_agent::config::Config;
use cfx_protocol::id::CellGuid;
use serde_json::json;

use super::cell::Plan;
use super::error_text;
use super::folder::DataFolder;
use super::gate::HTTP_PORT;
use super::settings::Settings;
use crate::client::resource::NamedResource;
use crate::client::{self, Api, Grant, Tokens, Trust, query};
use crate::commands::resolve;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::session::{Named, Session, Target};

/// Made on the first start, so that the first push needs no ceremony.
const ORG: &str = "demo";
const SPACE: &str = "dev";
const ADMIN: &str = "admin";
/// User ids of one cell; the next one's begin after them.
const UIDS_PER_CELL: u32 = 100_000;

/// Where the local CLI is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) org: String,
    pub(super) space: String,
}

/// The share of this machine that a cell offers: an equal part, in a zone of its own.
pub(super) fn cell_plan(
    settings: &Settings,
    folder: &DataFolder,
    number: u32,
    guid: CellGuid,
) -> Outcome<Plan> {
    let data = folder.path(&format!("cells/{number}"));
    let machine = Machine::read(&settings.data).map_err(|error| {
        Failure::new(format!("cannot read the machine: {}", error_text(&error)))
            .next("check that /proc is mounted")
    })?;
    let count = u64::from(settings.cells);
    let mut config = Config::new(guid, format!("cell-{number}"), data);
    config.zone = format!("z{number}");
    config.address = settings.listen;
    config.capacity.memory_mb = Some(machine.memory_mb / count);
    config.capacity.disk_mb = Some(machine.disk_mb / count);
    config.capacity.cpu_millicores = Some(machine.cores.saturating_mul(1_000) / settings.cells);
    config.warm = settings.warm;
    if let Some(count) = settings.ready {
        config.ready.volumes = count;
        config.ready.networks = count;
    }
    config.capacity.slots = settings.slots;
    config.capacity.overcommit_memory = settings.overcommit_memory;
    config.capacity.overcommit_disk = settings.overcommit_disk;
    config.admin = Some(([127, 0, 0, 1], 0).into());
    config.uid_base = config.uid_base.saturating_add((number - 1) * UIDS_PER_CELL);
    let mut gateway_ports = vec![HTTP_PORT, settings.http_port];
    gateway_ports.extend(&settings.gateway_ports);
    Ok(Plan {
        config,
        runtime: settings.runtime.into(),
        docker_socket: settings.docker_socket.clone(),
        domains: vec![settings.domain.clone()],
        gateway_ports,
        answer: None,
        host_stack: true,
    })
}

/// Log the CLI of this machine's user in, as `admin`.
pub(super) async fn log_in(
    context: &Context,
    settings: &Settings,
    password: &str,
) -> Outcome<Place> {
    let before = context.session.load().unwrap_or_default();
    let target = resolve(context, &settings.api_url(), &Trust::System).await?;
    if let Some(old) = before.target.as_ref().filter(|old| old.url != target.url) {
        context
            .terminal
            .note(format!("This machine's cfx talked to {} before.", old.url));
    }
    let mut session = before.clone();
    session.retarget(target.clone());
    session.tokens = Some(tokens(context, &target, &session, password).await?);
    let terminal = Arc::clone(&context.terminal);
    let api = Api::new(
        &session,
        target,
        context.session.clone(),
        context.clock.clone(),
        terminal,
    )?;
    choose_place(&api, &mut session).await?;
    context.session.save(&session)?;
    let name = |named: &Option<Named>| named.as_ref().map(|named| named.name.clone());
    Ok(Place {
        org: name(&session.org).unwrap_or_default(),
        space: name(&session.space).unwrap_or_default(),
    })
}

/// Those of last time, renewed, as long as they are the admin's: each password login is one more
/// session of a user who may have 50.
async fn tokens(
    context: &Context,
    target: &Target,
    session: &Session,
    password: &str,
) -> Outcome<Tokens> {
    let log_in = |grant| {
        let terminal = Arc::clone(&context.terminal);
        client::log_in(target, context.clock.clone(), terminal, grant)
    };
    let of_admin = |tokens: &&Tokens| tokens.user_name() == ADMIN;
    let before = session.tokens.as_ref().filter(of_admin);
    if let Some(token) = before.and_then(|tokens| tokens.refresh.as_deref())
        && let Ok(renewed) = log_in(Grant::Refresh { token }).await
    {
        return Ok(renewed);
    }
    let grant = Grant::Password {
        user: ADMIN,
        password,
        origin: None,
    };
    Ok(log_in(grant).await?)
}

/// The place of last time if it is still there, else `demo` and `dev`.
async fn choose_place(api: &Api, session: &mut Session) -> Outcome {
    if let (Some(_), Some(space)) = (&session.org, &session.space) {
        let path = format!("/v3/spaces/{}", space.guid);
        if api.find::<NamedResource>(&path).await?.is_some() {
            return Ok(());
        }
    }
    let path = query::with("/v3/organizations", &[("names", ORG)]);
    let body = json!({"name": ORG});
    let org = find_or_make(api, &path, "/v3/organizations", &body).await?;
    let pairs = [("names", SPACE), ("organization_guids", org.guid.as_str())];
    let path = query::with("/v3/spaces", &pairs);
    let owner = json!({"organization": {"data": {"guid": org.guid}}});
    let body = json!({"name": SPACE, "relationships": owner});
    session.space = Some(find_or_make(api, &path, "/v3/spaces", &body).await?);
    session.org = Some(org);
    Ok(())
}

async fn find_or_make(
    api: &Api,
    find: &str,
    make: &str,
    body: &serde_json::Value,
) -> Outcome<Named> {
    let found: Vec<NamedResource> = api.list(find).await?;
    match found.into_iter().next() {
        Some(found) => Ok(found.into()),
        None => Ok(api.post::<NamedResource>(make, body).await?.into()),
    }
}
