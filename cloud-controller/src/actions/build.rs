//! Builds: beginning to stage a package, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::actual::{StagedDroplet, StagingFailure};
use cfx_protocol::id::{AppGuid, BuildGuid};
use cfx_protocol::v3::build::NewBuild;
use serde_json::json;

use super::limits::{check_fits, megabytes};
use super::process::WEB;
use super::{Act, Refused, app, environment, history, lifecycle, metadata, vcap};
use crate::staging;
use crate::state::app::{App, Lifecycle};
use crate::state::build::{Build, BuildCreator, BuildState};
use crate::state::droplet::{Droplet, DropletContent, DropletState};
use crate::state::meta::Meta;
use crate::state::package::{BlobFacts, Package, PackageContent, PackageState};
use crate::state::{Draft, Link};

/// What staging may use when nobody said, MiB: installing dependencies takes more than running.
pub const MEMORY_DEFAULT_MB: u32 = 1_024;
pub const DISK_DEFAULT_MB: u32 = 4_096;
/// Longest error text that a build keeps, characters.
const ERROR_MAX_CHARS: usize = 1_000;
/// What a cell may take beyond the staging timeout before the controller gives up on it: its start,
/// its uploads, and a silence that ends.
const TIMEOUT_GRACE: Duration = Duration::from_secs(120);

/// Begin to stage a package. A docker image is staged at once: there is nothing to do.
pub fn create_build(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewBuild,
    creator: BuildCreator,
) -> Result<Arc<Build>, Refused> {
    let package = draft
        .get::<Package>(&new.package.guid)
        .cloned()
        .ok_or_else(|| {
            Refused::unprocessable(
                "Unable to use package. Ensure that the package exists and you have access to it.",
            )
        })?;
    if package.state != PackageState::Ready {
        return Err(Refused::BadRequest(
            "Cannot stage package whose state is not ready.".to_owned(),
        ));
    }
    let app = app::find(draft, package.app)?;
    check_none_in_flight(draft, app.guid)?;
    let chosen = chosen_lifecycle(draft, &app, &package, new)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let mut build = Build {
        guid: act.ids.guid(),
        app: app.guid,
        package: package.guid,
        state: BuildState::Staging,
        error: None,
        droplet: act.ids.guid(),
        lifecycle: chosen,
        work: None,
        environment: environment::merged(draft, environment::Group::Staging, &app),
        vcap_services: serde_json::Value::Object(vcap::services(draft, &app)).to_string(),
        memory_mb: match new.staging_memory_in_mb {
            Some(number) => megabytes("Staging memory in mb", number)?,
            None => MEMORY_DEFAULT_MB,
        },
        disk_mb: match new.staging_disk_in_mb {
            Some(number) => megabytes("Staging disk in mb", number)?,
            None => DISK_DEFAULT_MB,
        },
        created_by: creator,
        uploaded: None,
        uploaded_cache: None,
        intent: None,
        meta,
    };
    if let PackageContent::Bits { blob: Some(blob) } = &package.content {
        build.work = Some(staging::order(draft, &app, &build, blob)?);
    }
    check_fits(&build, "The environment and service credentials of the app")?;
    let build = draft.put(build);
    history::trim(draft, app.guid);
    let data = json!({"build_guid": build.guid, "package_guid": package.guid});
    app::record(draft, act, &app, "audit.app.build.create", data);
    if let PackageContent::Docker { .. } = &package.content {
        stage_docker(draft, act, &build, &package);
    }
    Ok(draft.get::<Build>(&build.guid).cloned().unwrap_or(build))
}

/// The cell that stages a build has sent the droplet.
pub fn droplet_uploaded(draft: &mut Draft, guid: BuildGuid, facts: BlobFacts) {
    draft.update::<Build>(&guid, |build| build.uploaded = Some(facts));
}

/// The cell that stages a build has sent the new build cache.
pub fn cache_uploaded(draft: &mut Draft, guid: BuildGuid, facts: BlobFacts) {
    draft.update::<Build>(&guid, |build| build.uploaded_cache = Some(facts));
}

/// The outcome of staging, as its cell reports it. What has ended already stays as it is. A cell
/// can only name the droplet that it sent itself for this build: naming another digest would lend
/// it anybody's droplet.
pub fn finish_staging(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: BuildGuid,
    result: &Result<StagedDroplet, StagingFailure>,
) {
    let Some(build) = draft.get::<Build>(&guid).cloned() else {
        return;
    };
    if build.state != BuildState::Staging {
        return;
    }
    match result {
        Ok(staged) => match &build.uploaded {
            Some(facts) if facts.sha256 == staged.sha256 => {
                stage_buildpack(draft, act, &build, staged, facts.clone());
            }
            _ => {
                let message = "the droplet did not arrive at the controller";
                fail(draft, act, &build, "StagingError", message);
            }
        },
        Err(failure) => fail(draft, act, &build, &failure.id, &failure.message),
    }
}

/// Give up on builds that no cell has ended in time. Returns how many.
pub fn expire_builds(draft: &mut Draft, act: &Act<'_>) -> usize {
    let late: Vec<Arc<Build>> = draft
        .all::<Build>()
        .filter(|build| build.state == BuildState::Staging && deadline(build) < act.now)
        .cloned()
        .collect();
    for build in &late {
        let message = "Staging time expired: the build took longer than its limit";
        fail(draft, act, build, "StagingTimeExpired", message);
    }
    late.len()
}

/// When the controller gives up on a build.
#[must_use]
pub fn deadline(build: &Build) -> jiff::Timestamp {
    let timeout = build
        .work
        .as_ref()
        .map_or(staging::TIMEOUT_S, |work| work.timeout_s);
    let after = Duration::from_secs(u64::from(timeout)) + TIMEOUT_GRACE;
    build
        .meta
        .created_at
        .checked_add(after)
        .unwrap_or(jiff::Timestamp::MAX)
}

/// The word of the v3 API.
#[must_use]
pub fn state_word(state: BuildState) -> &'static str {
    match state {
        BuildState::Staging => "STAGING",
        BuildState::Staged => "STAGED",
        BuildState::Failed => "FAILED",
    }
}

fn stage_buildpack(
    draft: &mut Draft,
    act: &Act<'_>,
    build: &Build,
    staged: &StagedDroplet,
    facts: BlobFacts,
) {
    let stack = match &build.lifecycle {
        Lifecycle::Buildpack { stack, .. } => stack.clone(),
        Lifecycle::Docker => lifecycle::default_stack(draft),
    };
    let mut process_types = staged.process_types.clone();
    while process_types.len() > super::droplet::PROCESS_TYPES_MAX {
        process_types.pop_last();
    }
    process_types.entry(WEB.to_owned()).or_default();
    let cache = build.uploaded_cache.clone();
    if let Some(facts) = cache.filter(|facts| staged.cache.as_ref() == Some(&facts.sha256)) {
        draft.update::<App>(&build.app, |app| {
            app.build_caches.insert(stack.clone(), facts);
        });
    }
    let content = DropletContent::Buildpack {
        blob: Some(facts),
        stack,
        buildpacks: staged.buildpacks.clone(),
        detected_buildpack: Some(staged.detected_buildpack.clone()),
    };
    succeed(draft, act, build, content, process_types);
}

fn stage_docker(draft: &mut Draft, act: &Act<'_>, build: &Build, package: &Package) {
    let PackageContent::Docker {
        image,
        username,
        password,
    } = package.content.clone()
    else {
        return;
    };
    let content = DropletContent::Docker {
        image,
        username,
        password,
    };
    // The empty command is the image's own.
    let process_types = [(WEB.to_owned(), String::new())].into();
    succeed(draft, act, build, content, process_types);
}

fn succeed(
    draft: &mut Draft,
    act: &Act<'_>,
    build: &Build,
    content: DropletContent,
    process_types: std::collections::BTreeMap<String, String>,
) {
    draft.put(Droplet {
        guid: build.droplet,
        app: build.app,
        package: Some(build.package),
        build: Some(build.guid),
        state: DropletState::Staged,
        error: None,
        content,
        process_types,
        meta: Meta::new(act.now),
    });
    end(draft, act, build, BuildState::Staged, None);
}

fn fail(draft: &mut Draft, act: &Act<'_>, build: &Build, id: &str, message: &str) {
    let text: String = format!("{id} - {message}")
        .chars()
        .take(ERROR_MAX_CHARS)
        .collect();
    end(draft, act, build, BuildState::Failed, Some(text));
}

fn end(draft: &mut Draft, act: &Act<'_>, build: &Build, state: BuildState, error: Option<String>) {
    let data = json!({"build_guid": build.guid, "package_guid": build.package, "error": error});
    draft.update::<Build>(&build.guid, |build| {
        build.state = state;
        build.error = error;
        build.intent = None;
        // Secrets and orders are of no use any more.
        build.work = None;
        build.environment.clear();
        build.vcap_services.clear();
        build.meta.updated_at = act.now;
    });
    let Ok(app) = app::find(draft, build.app) else {
        return;
    };
    let kind = match state {
        BuildState::Staged => "audit.app.build.staged",
        BuildState::Staging | BuildState::Failed => "audit.app.build.failed",
    };
    app::record(draft, act, &app, kind, data);
    if state == BuildState::Staged {
        let data = json!({"droplet_guid": build.droplet, "build_guid": build.guid});
        app::record(draft, act, &app, "audit.app.droplet.create", data);
    }
}

fn check_none_in_flight(draft: &Draft, app: AppGuid) -> Result<(), Refused> {
    let mut builds = draft.linked::<Build>(Link::BuildsOf(app.0));
    if builds.any(|build| build.state == BuildState::Staging) {
        return Err(Refused::StagingInProgress);
    }
    Ok(())
}

fn chosen_lifecycle(
    draft: &Draft,
    app: &App,
    package: &Package,
    new: &NewBuild,
) -> Result<Lifecycle, Refused> {
    let chosen = match &new.lifecycle {
        Some(patch) => lifecycle::patched(draft, &app.lifecycle, patch, true)?,
        None => app.lifecycle.clone(),
    };
    let of_docker = matches!(package.content, PackageContent::Docker { .. });
    if of_docker != (chosen == Lifecycle::Docker) {
        return Err(Refused::Unprocessable(format!(
            "Package type does not match the lifecycle: it cannot be staged with the lifecycle \
             '{}'",
            lifecycle::kind(&chosen)
        )));
    }
    if of_docker {
        lifecycle::docker(draft)?;
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
