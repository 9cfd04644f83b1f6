//! Apps: creating and changing them, and what they are meant to do.

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, DropletGuid, ProcessGuid, SpaceGuid};
use cfx_protocol::v3::app::{AppPatch, NewApp};
use serde_json::{Value, json};

use super::limits::check_fits;
use super::process::{WEB, new_process, new_version, require_command};
use super::{Act, Refused, Target, deployment, environment, lifecycle, metadata, name};
use crate::state::app::{App, DesiredState, Lifecycle};
use crate::state::droplet::{Droplet, DropletContent, DropletState};
use crate::state::meta::Meta;
use crate::state::process::Process;
use crate::state::space::Space;
use crate::state::{Draft, Link, State};

/// What takes the room when an app's record is too large.
const WHAT: &str = "The environment variables, labels and annotations of the app";

/// Create an app and its web process. The web process has the app's guid: clients count on it.
pub fn create_app(draft: &mut Draft, act: &Act<'_>, new: &NewApp) -> Result<Arc<App>, Refused> {
    let space = new
        .relationships
        .space
        .data
        .map(|to| to.guid)
        .filter(|guid| draft.get::<Space>(guid).is_some())
        .ok_or_else(|| {
            Refused::unprocessable(
                "Invalid space. Ensure that the space exists and you have access to it.",
            )
        })?;
    name::check(&new.name)?;
    check_name_is_free(draft, space, &new.name, None)?;
    let own = lifecycle::default(draft);
    let chosen = match &new.lifecycle {
        Some(patch) => lifecycle::patched(draft, &own, patch, true)?,
        None => own,
    };
    let variables = match &new.environment_variables {
        Some(given) => environment::variables(given)?,
        None => std::collections::BTreeMap::new(),
    };
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let app = App {
        guid: act.ids.guid(),
        name: new.name.clone(),
        space,
        desired_state: DesiredState::Stopped,
        lifecycle: chosen,
        current_droplet: None,
        environment: variables,
        features: std::collections::BTreeMap::new(),
        build_caches: std::collections::BTreeMap::new(),
        meta,
    };
    check_fits(&app, WHAT)?;
    let app = draft.put(app);
    let mut web = new_process(act, app.guid, WEB, 1);
    web.guid = ProcessGuid(app.guid.0);
    draft.put(web);
    record(
        draft,
        act,
        &app,
        "audit.app.create",
        json!({"request": {"name": app.name}}),
    );
    Ok(app)
}

pub fn update_app(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    patch: &AppPatch,
) -> Result<Arc<App>, Refused> {
    let mut app = App::clone(&*find(draft, guid)?);
    if let Some(wanted) = &patch.name {
        name::check(wanted)?;
        check_name_is_free(draft, app.space, wanted, Some(guid))?;
        app.name = wanted.clone();
    }
    if let Some(change) = &patch.lifecycle {
        app.lifecycle = lifecycle::patched(draft, &app.lifecycle, change, false)?;
    }
    metadata::apply(&mut app.meta, patch.metadata.clone())?;
    app.meta.updated_at = act.now;
    check_fits(&app, WHAT)?;
    let app = draft.put(app);
    record(
        draft,
        act,
        &app,
        "audit.app.update",
        json!({"request": {"name": app.name}}),
    );
    Ok(app)
}

/// Switch a feature of the app on or off; none of them changes what runs.
pub fn set_feature(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    name: &str,
    enabled: bool,
) -> Result<Arc<App>, Refused> {
    let mut app = App::clone(&*find(draft, guid)?);
    app.features.insert(name.to_owned(), enabled);
    app.meta.updated_at = act.now;
    let app = draft.put(app);
    let data = json!({"request": {"features": {name: enabled}}});
    record(draft, act, &app, "audit.app.update", data);
    Ok(app)
}

/// Make it run. Starting what is started changes nothing.
pub fn start(draft: &mut Draft, act: &Act<'_>, guid: AppGuid) -> Result<Arc<App>, Refused> {
    let app = find(draft, guid)?;
    check_startable(draft, &app)?;
    if app.desired_state == DesiredState::Started {
        return Ok(app);
    }
    let app = begin(draft, act, &app)?;
    record(draft, act, &app, "audit.app.start", json!({}));
    Ok(app)
}

/// Replace all instances by ones made from what the app is now.
pub fn restart(draft: &mut Draft, act: &Act<'_>, guid: AppGuid) -> Result<Arc<App>, Refused> {
    let app = find(draft, guid)?;
    check_startable(draft, &app)?;
    deployment::supersede_active(draft, act, guid);
    let app = begin(draft, act, &app)?;
    record(draft, act, &app, "audit.app.restart", json!({}));
    Ok(app)
}

/// Let nothing of it run.
pub fn stop(draft: &mut Draft, act: &Act<'_>, guid: AppGuid) -> Result<Arc<App>, Refused> {
    let app = find(draft, guid)?;
    if app.desired_state == DesiredState::Stopped {
        return Ok(app);
    }
    deployment::supersede_active(draft, act, guid);
    let app = draft.put(App {
        desired_state: DesiredState::Stopped,
        meta: touched(&app.meta, act),
        ..App::clone(&app)
    });
    record(draft, act, &app, "audit.app.stop", json!({}));
    Ok(app)
}

/// Choose the droplet that the next start runs, and make the processes it has.
pub fn assign_droplet(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    droplet: DropletGuid,
) -> Result<Arc<App>, Refused> {
    let app = find(draft, guid)?;
    let droplet = assignable(draft, &app, droplet)?;
    let present: Vec<String> = draft
        .linked::<Process>(Link::ProcessesOf(guid.0))
        .map(|process| process.process_type.clone())
        .collect();
    for process_type in droplet.process_types.keys() {
        if !present.contains(process_type) {
            let instances = u32::from(process_type == WEB);
            draft.put(new_process(act, guid, process_type, instances));
        }
    }
    let app = draft.put(App {
        current_droplet: Some(droplet.guid),
        meta: touched(&app.meta, act),
        ..App::clone(&app)
    });
    let data = json!({"request": {"droplet_guid": droplet.guid}});
    record(draft, act, &app, "audit.app.droplet.mapped", data);
    Ok(app)
}

/// The process of an app that a client names by its type.
#[must_use]
pub fn process_of(state: &State, app: AppGuid, process_type: &str) -> Option<Arc<Process>> {
    let mut processes = state.linked::<Process>(Link::ProcessesOf(app.0));
    processes
        .find(|process| process.process_type == process_type)
        .cloned()
}

/// The app of a name in a space.
#[must_use]
pub fn app_named(state: &State, space: SpaceGuid, name: &str) -> Option<Arc<App>> {
    let mut apps = state.linked::<App>(Link::AppsOf(space.0));
    // Cloud Foundry's databases compare names without regard to case.
    let wanted = name.to_lowercase();
    apps.find(|app| app.name.to_lowercase() == wanted).cloned()
}

pub(super) fn find(draft: &Draft, guid: AppGuid) -> Result<Arc<App>, Refused> {
    draft
        .get::<App>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("App"))
}

/// Leave an event about an app.
pub(super) fn record(draft: &mut Draft, act: &Act<'_>, app: &App, kind: &str, data: Value) {
    let target = Target::in_space(draft, app.space, "app", app.guid, &app.name);
    act.record(draft, kind, target, data);
}

/// Started, with a new version of every process.
fn begin(draft: &mut Draft, act: &Act<'_>, app: &App) -> Result<Arc<App>, Refused> {
    let app = draft.put(App {
        desired_state: DesiredState::Started,
        meta: touched(&app.meta, act),
        ..App::clone(app)
    });
    let processes: Vec<ProcessGuid> = draft
        .linked::<Process>(Link::ProcessesOf(app.guid.0))
        .map(|process| process.guid)
        .collect();
    for process in processes {
        new_version(draft, act, process)?;
    }
    Ok(app)
}

fn check_startable(draft: &Draft, app: &App) -> Result<(), Refused> {
    let Some(droplet) = app.current_droplet else {
        return Err(Refused::unprocessable(
            "Assign a droplet before starting this app.",
        ));
    };
    let droplet = draft
        .get::<Droplet>(&droplet)
        .ok_or(Refused::NotFound("Droplet"))?;
    for process in draft.linked::<Process>(Link::ProcessesOf(app.guid.0)) {
        require_command(process, droplet)?;
    }
    Ok(())
}

fn assignable(draft: &Draft, app: &App, guid: DropletGuid) -> Result<Arc<Droplet>, Refused> {
    let refused = || {
        Refused::unprocessable(
            "Unable to assign current droplet. Ensure the droplet exists and belongs to this app.",
        )
    };
    let droplet = draft.get::<Droplet>(&guid).cloned().ok_or_else(refused)?;
    if droplet.app != app.guid {
        return Err(refused());
    }
    if droplet.state != DropletState::Staged {
        return Err(Refused::unprocessable(
            "Unable to assign current droplet. Ensure the droplet is staged.",
        ));
    }
    let of_docker = matches!(droplet.content, DropletContent::Docker { .. });
    if of_docker != (app.lifecycle == Lifecycle::Docker) {
        return Err(Refused::unprocessable(
            "Unable to assign current droplet. Its lifecycle is not the app's.",
        ));
    }
    Ok(droplet)
}

fn check_name_is_free(
    state: &State,
    space: SpaceGuid,
    name: &str,
    own: Option<AppGuid>,
) -> Result<(), Refused> {
    match app_named(state, space, name) {
        Some(other) if Some(other.guid) != own => Err(Refused::Unprocessable(format!(
            "App with the name '{name}' already exists."
        ))),
        _ => Ok(()),
    }
}

pub(super) fn touched(meta: &Meta, act: &Act<'_>) -> Meta {
    Meta {
        updated_at: act.now,
        ..meta.clone()
    }
}

#[cfg(test)]
mod tests;
