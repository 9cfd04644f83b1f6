//! `/v3/droplets`, and the droplets of an app.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use cfx_protocol::id::DropletGuid;
use cfx_protocol::v3::app::{AppRelationship, Lifecycle, LifecycleData};
use cfx_protocol::v3::droplet::{self as wire, DropletBuildpack, NewDroplet};
use cfx_protocol::v3::package::Checksum;
use cfx_protocol::v3::resource::{Link, ToOne};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, download, job, package, upload};
use crate::actions;
use crate::blobs::{Blobs, droplet as judge};
use crate::state::Link as Children;
use crate::state::app::App;
use crate::state::droplet::{Droplet, DropletContent, DropletState};
use crate::state::meta::Meta;
use crate::state::package::BlobFacts;

const HIDDEN: &str = "[PRIVATE DATA HIDDEN]";

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let apps = query.filter("app_guids");
    let spaces = query.filter("space_guids");
    let state = call.state.clone();
    let admitted = state.all::<Droplet>().filter(|droplet| {
        let Some(app) = state.get::<App>(&droplet.app) else {
            return false;
        };
        call.sees(Action::AppRead, app.space)
            && apps.admits_guid(app.guid)
            && spaces.admits_guid(app.space)
    });
    page(&call, &query, admitted.cloned())
}

pub(super) async fn list_of_app(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let current = query.flag("current")?.unwrap_or(false);
    let droplets = call
        .state
        .linked::<Droplet>(Children::DropletsOf(app.guid.0));
    let admitted = droplets.filter(|it| !current || app.current_droplet == Some(it.guid));
    page(&call, &query, admitted.cloned())
}

fn page(call: &Call, query: &Query, droplets: impl Iterator<Item = Arc<Droplet>>) -> Answer {
    let states = query.filter("states");
    let admitted = droplets.filter(|droplet| states.admits(state_word(droplet.state)));
    pagination::page(&call.base, query, admitted, |droplet| {
        // Commands may hold secrets; a list shows none.
        present(&call.base, droplet, false)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let (app, droplet) = find(&call, call.guid())?;
    response::ok(present(&call.base, &droplet, may_see(&call, &app)))
}

/// A droplet that waits for its upload, or with `source_guid` a copy of one.
pub(super) async fn create(call: Call, query: Query, Body(new): Body<NewDroplet>) -> Answer {
    if let Some(app) = new.relationships.app.data {
        package::require_app(&call, app.guid, Action::AppWrite)?;
    }
    let source = match query.get("source_guid") {
        Some(text) => {
            let guid = text.parse().map_err(|_| ApiError::not_found("Droplet"))?;
            let (app, source) = find(&call, guid)?;
            call.require(Action::AppSecretsRead, Scope::Space(app.space))?;
            Some(source.guid)
        }
        None => None,
    };
    let droplet = call
        .write(|draft, act| match source {
            Some(source) => actions::droplet::copy_droplet(draft, act, source, &new),
            None => actions::droplet::create_droplet(draft, act, &new),
        })
        .await?;
    response::created(present(&call.base, &droplet, true))
}

pub(super) async fn upload(call: Call, request: Request) -> Answer {
    let (app, found) = find(&call, call.guid())?;
    call.require(Action::AppWrite, Scope::Space(app.space))?;
    actions::droplet::check_awaits_upload(&found)?;
    let uploaded = upload::receive(&call.context, request).await?;
    let blobs = call.context.blobs.clone();
    let kept = tokio::task::spawn_blocking(move || keep(&blobs, uploaded)).await;
    let (facts, types) = kept.map_err(ApiError::internal)??;
    job::of(&call, "droplet.upload", |draft, act| {
        actions::droplet::uploaded(draft, act, found.guid, facts, &types).map(drop)
    })
    .await
}

/// Judge and keep; this blocks.
fn keep(
    blobs: &Blobs,
    upload: upload::Upload,
) -> Result<(BlobFacts, BTreeMap<String, String>), ApiError> {
    let file = upload
        .file
        .ok_or_else(|| ApiError::unprocessable("Upload must include either resources or bits"))?;
    let types = judge::judge(file.path())
        .map_err(|error| ApiError::unprocessable(format!("The droplet is invalid: {error}")))?;
    let facts = blobs.keep(file).map_err(|inside| {
        ApiError::unavailable("The droplet could not be kept. Try again.", inside)
    })?;
    Ok((facts, types))
}

pub(super) async fn delete(call: Call) -> Answer {
    let (app, droplet) = find(&call, call.guid())?;
    call.require(Action::AppWrite, Scope::Space(app.space))?;
    job::of(&call, "droplet.delete", |draft, act| {
        actions::droplet::delete_droplet(draft, act, droplet.guid)
    })
    .await
}

pub(super) async fn download(call: Call) -> Answer {
    let (app, droplet) = find(&call, call.guid())?;
    if !may_see(&call, &app) {
        return Err(ApiError::forbidden());
    }
    let DropletContent::Buildpack {
        blob: Some(blob), ..
    } = &droplet.content
    else {
        return Err(ApiError::unprocessable(
            "Cannot download droplet: it has no bits",
        ));
    };
    let name = format!("droplet_{}.tgz", droplet.guid);
    download::send(&call, blob, "application/gzip", &name).await
}

fn find(call: &Call, guid: DropletGuid) -> Result<(Arc<App>, Arc<Droplet>), ApiError> {
    let not_found = || ApiError::not_found("Droplet");
    let droplet = call.state.get::<Droplet>(&guid).cloned();
    let droplet = droplet.ok_or_else(not_found)?;
    let app = call.state.get::<App>(&droplet.app).cloned();
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    Ok((app.ok_or_else(not_found)?, droplet))
}

/// May the caller see start commands and bits of this app?
pub(super) fn may_see(call: &Call, app: &App) -> bool {
    call.may(Action::AppSecretsRead, Scope::Space(app.space))
}

pub(super) fn present(base: &Base, droplet: &Droplet, secrets: bool) -> wire::Droplet {
    let hidden = |command: &String| {
        if secrets || command.is_empty() {
            command.clone()
        } else {
            HIDDEN.to_owned()
        }
    };
    let types = droplet.process_types.iter();
    let mut shown = wire::Droplet {
        guid: droplet.guid,
        created_at: seconds(droplet.meta.created_at),
        updated_at: seconds(droplet.meta.updated_at),
        state: state_word(droplet.state).to_owned(),
        error: droplet.error.clone(),
        lifecycle: Lifecycle {
            kind: "buildpack".to_owned(),
            data: LifecycleData::default(),
        },
        checksum: None,
        buildpacks: None,
        stack: None,
        image: None,
        execution_metadata: String::new(),
        process_types: types.map(|(name, it)| (name.clone(), hidden(it))).collect(),
        relationships: AppRelationship {
            app: ToOne::to(droplet.app),
        },
        metadata: metadata(&droplet.meta),
        links: links(base, droplet),
    };
    match &droplet.content {
        DropletContent::Docker { image, .. } => {
            shown.lifecycle.kind = "docker".to_owned();
            shown.image = Some(image.clone());
        }
        DropletContent::Buildpack {
            blob,
            stack,
            buildpacks,
            detected_buildpack,
        } => {
            shown.stack = Some(stack.clone());
            shown.checksum = blob.as_ref().map(|blob| Checksum {
                kind: "sha256".to_owned(),
                value: Some(blob.sha256.clone()),
            });
            shown.buildpacks = Some(present_buildpacks(
                buildpacks,
                detected_buildpack.as_deref(),
            ));
        }
    }
    shown
}

/// The last buildpack is the one that detected the app.
fn present_buildpacks(names: &[String], detected: Option<&str>) -> Vec<DropletBuildpack> {
    let last = names.len().saturating_sub(1);
    let one = |(at, name): (usize, &String)| DropletBuildpack {
        name: name.clone(),
        detect_output: detected.filter(|_| at == last).map(str::to_owned),
        buildpack_name: Some(name.clone()),
        version: None,
    };
    names.iter().enumerate().map(one).collect()
}

fn links(base: &Base, droplet: &Droplet) -> cfx_protocol::v3::resource::Links {
    let path = format!("/v3/droplets/{}", droplet.guid);
    let app = format!("/v3/apps/{}", droplet.app);
    let mut links = cfx_protocol::v3::resource::Links::from([
        ("self".to_owned(), base.link(&path)),
        ("app".to_owned(), base.link(&app)),
        (
            "assign_current_droplet".to_owned(),
            Link {
                href: base.href(&format!("{app}/relationships/current_droplet")),
                method: Some("PATCH".to_owned()),
            },
        ),
        (
            "download".to_owned(),
            base.link(&format!("{path}/download")),
        ),
    ]);
    if let Some(package) = droplet.package {
        let package = base.link(&format!("/v3/packages/{package}"));
        links.insert("package".to_owned(), package);
    }
    if droplet.state == DropletState::AwaitingUpload {
        let upload = Link::post(base.href(&format!("{path}/upload")));
        links.insert("upload".to_owned(), upload);
    }
    links
}

pub(super) fn state_word(state: DropletState) -> &'static str {
    match state {
        DropletState::AwaitingUpload => "AWAITING_UPLOAD",
        DropletState::ProcessingUpload => "PROCESSING_UPLOAD",
        DropletState::Staged => "STAGED",
        DropletState::Failed => "FAILED",
        DropletState::Expired => "EXPIRED",
        DropletState::Copying => "COPYING",
    }
}

impl Listed for Droplet {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
