//! Droplets: made by staging, or uploaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::{AppGuid, DropletGuid};
use cfx_protocol::v3::droplet::NewDroplet;
use serde_json::json;

use super::package::owner_of;
use super::process::{WEB, check_command};
use super::{Act, Refused, app, lifecycle, metadata};
use crate::state::app::{App, Lifecycle};
use crate::state::droplet::{Droplet, DropletContent, DropletState};
use crate::state::meta::Meta;
use crate::state::package::BlobFacts;
use crate::state::{Draft, Link, State};

/// Most process types of one droplet.
pub const PROCESS_TYPES_MAX: usize = 50;

/// A droplet that waits for its upload.
pub fn create_droplet(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewDroplet,
) -> Result<Arc<Droplet>, Refused> {
    let app = owner_of(draft, new.relationships.app.data.map(|to| to.guid))?;
    if app.lifecycle == Lifecycle::Docker {
        return Err(Refused::unprocessable(
            "Droplets cannot be uploaded to an app with the docker lifecycle",
        ));
    }
    let process_types = new.process_types.clone().unwrap_or_default();
    check_process_types(&process_types)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let droplet = draft.put(Droplet {
        guid: act.ids.guid(),
        app: app.guid,
        package: None,
        build: None,
        state: DropletState::AwaitingUpload,
        error: None,
        content: DropletContent::Buildpack {
            blob: None,
            stack: stack_of(draft, &app),
            buildpacks: Vec::new(),
            detected_buildpack: None,
        },
        process_types,
        meta,
    });
    let data = json!({"droplet_guid": droplet.guid, "request": {}});
    app::record(draft, act, &app, "audit.app.droplet.create", data);
    Ok(droplet)
}

/// A droplet for another app (or the same) with the same content.
pub fn copy_droplet(
    draft: &mut Draft,
    act: &Act<'_>,
    source: DropletGuid,
    new: &NewDroplet,
) -> Result<Arc<Droplet>, Refused> {
    let app = owner_of(draft, new.relationships.app.data.map(|to| to.guid))?;
    let source = find(draft, source)?;
    if source.state != DropletState::Staged {
        return Err(Refused::unprocessable("source droplet is not staged"));
    }
    let droplet = draft.put(Droplet {
        guid: act.ids.guid(),
        app: app.guid,
        package: None,
        build: None,
        meta: Meta::new(act.now),
        ..Droplet::clone(&source)
    });
    let data = json!({"droplet_guid": droplet.guid, "request": {"source_guid": source.guid}});
    app::record(draft, act, &app, "audit.app.droplet.create", data);
    Ok(droplet)
}

/// May bits be uploaded to it now?
pub fn check_awaits_upload(droplet: &Droplet) -> Result<(), Refused> {
    if droplet.state != DropletState::AwaitingUpload {
        return Err(Refused::unprocessable(
            "Droplet may be uploaded only once. Create a new droplet to upload bits.",
        ));
    }
    Ok(())
}

/// Its bits are in the blob store. `found` are the process types that the tarball tells of; those
/// given at creation win.
pub fn uploaded(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: DropletGuid,
    facts: BlobFacts,
    found: &BTreeMap<String, String>,
) -> Result<Arc<Droplet>, Refused> {
    let mut droplet = Droplet::clone(&*find(draft, guid)?);
    check_awaits_upload(&droplet)?;
    if let DropletContent::Buildpack { blob, .. } = &mut droplet.content {
        *blob = Some(facts);
    }
    for (process_type, command) in found.iter().take(PROCESS_TYPES_MAX) {
        let types = &mut droplet.process_types;
        types
            .entry(process_type.clone())
            .or_insert_with(|| command.clone());
    }
    droplet.process_types.entry(WEB.to_owned()).or_default();
    droplet.state = DropletState::Staged;
    droplet.meta.updated_at = act.now;
    let droplet = draft.put(droplet);
    let app = app::find(draft, droplet.app)?;
    let data = json!({"droplet_guid": guid});
    app::record(draft, act, &app, "audit.app.droplet.upload", data);
    Ok(droplet)
}

pub fn delete_droplet(draft: &mut Draft, act: &Act<'_>, guid: DropletGuid) -> Result<(), Refused> {
    let droplet = find(draft, guid)?;
    let app = app::find(draft, droplet.app)?;
    if app.current_droplet == Some(guid) {
        return Err(Refused::unprocessable(
            "Unable to delete the current droplet of an app. Assign another droplet first.",
        ));
    }
    let data = json!({"droplet_guid": guid});
    app::record(draft, act, &app, "audit.app.droplet.delete", data);
    draft.delete::<Droplet>(&guid);
    Ok(())
}

/// The droplet that the next start of an app runs.
#[must_use]
pub fn current(state: &State, app: &App) -> Option<Arc<Droplet>> {
    state.get::<Droplet>(&app.current_droplet?).cloned()
}

/// All droplets of an app, oldest first.
#[must_use]
pub fn droplets_of(state: &State, app: AppGuid) -> Vec<Arc<Droplet>> {
    let mut droplets: Vec<_> = state
        .linked::<Droplet>(Link::DropletsOf(app.0))
        .cloned()
        .collect();
    droplets.sort_by_key(|droplet| droplet.meta.created_at);
    droplets
}

pub(super) fn find(draft: &Draft, guid: DropletGuid) -> Result<Arc<Droplet>, Refused> {
    draft
        .get::<Droplet>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Droplet"))
}

pub(super) fn check_process_types(types: &BTreeMap<String, String>) -> Result<(), Refused> {
    if types.len() > PROCESS_TYPES_MAX {
        return Err(Refused::Unprocessable(format!(
            "Process types: there may be at most {PROCESS_TYPES_MAX}"
        )));
    }
    for (process_type, command) in types {
        let name = process_type.chars().count();
        if name == 0 || name > 255 || process_type.chars().any(char::is_control) {
            return Err(Refused::unprocessable(
                "Process types must have names of 1 to 255 printable characters",
            ));
        }
        check_command(command)?;
    }
    Ok(())
}

fn stack_of(state: &State, app: &App) -> String {
    match &app.lifecycle {
        Lifecycle::Buildpack { stack, .. } => stack.clone(),
        Lifecycle::Docker => lifecycle::default_stack(state),
    }
}
