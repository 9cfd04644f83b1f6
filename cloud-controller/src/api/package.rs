//! `/v3/packages`, and resource matching.

use std::sync::Arc;

use cfx_protocol::id::PackageGuid;
use cfx_protocol::v3::app::AppRelationship;
use cfx_protocol::v3::package::{self as wire, NewPackage, ResourceMatches};
use cfx_protocol::v3::resource::{Link, ToOne};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, download, droplet, job};
use crate::actions;
use crate::blobs::matching::QUESTION_MAX;
use crate::state::Link as Children;
use crate::state::app::App;
use crate::state::droplet::Droplet;
use crate::state::feature_flag::FeatureFlag;
use crate::state::meta::Meta;
use crate::state::package::{Package, PackageContent, PackageState};

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let apps = query.filter("app_guids");
    let spaces = query.filter("space_guids");
    let organizations = query.filter("organization_guids");
    let state = call.state.clone();
    let admitted = state.all::<Package>().filter(|package| {
        let Some(app) = state.get::<App>(&package.app) else {
            return false;
        };
        call.sees(Action::AppRead, app.space)
            && apps.admits_guid(app.guid)
            && spaces.admits_guid(app.space)
            && (organizations.is_absent()
                || organizations
                    .admits_any(app::organization_of(&state, app).map(|owner| owner.guid)))
    });
    page(&call, &query, admitted.cloned())
}

pub(super) async fn list_of_app(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let packages = call
        .state
        .linked::<Package>(Children::PackagesOf(app.guid.0));
    page(&call, &query, packages.cloned())
}

fn page(call: &Call, query: &Query, packages: impl Iterator<Item = Arc<Package>>) -> Answer {
    let states = query.filter("states");
    let types = query.filter("types");
    let admitted = packages.filter(|package| {
        states.admits(state_word(package.state)) && types.admits(kind(&package.content))
    });
    pagination::page(&call.base, query, admitted, |package| {
        present(&call.base, package)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let (_, package) = find(&call, call.guid())?;
    response::ok(present(&call.base, &package))
}

/// A new package, or with `source_guid` a copy of one.
pub(super) async fn create(call: Call, query: Query, Body(new): Body<NewPackage>) -> Answer {
    if let Some(app) = new.relationships.app.data {
        require_app(&call, app.guid, Action::AppWrite)?;
    }
    let source = match query.get("source_guid") {
        Some(text) => {
            let guid = text.parse::<PackageGuid>();
            let guid = guid.map_err(|_| ApiError::not_found("Package"))?;
            let (app, source) = find(&call, guid)?;
            // A copy is a way to read it.
            call.require(Action::AppSecretsRead, Scope::Space(app.space))?;
            Some(source.guid)
        }
        None => None,
    };
    let package = call
        .write(|draft, act| match source {
            Some(source) => actions::package::copy_package(draft, act, source, &new),
            None => actions::package::create_package(draft, act, &new),
        })
        .await?;
    response::created(present(&call.base, &package))
}

pub(super) async fn delete(call: Call) -> Answer {
    let (app, package) = find(&call, call.guid())?;
    call.require(Action::AppWrite, Scope::Space(app.space))?;
    job::of(&call, "package.delete", |draft, act| {
        actions::package::delete_package(draft, act, package.guid)
    })
    .await
}

pub(super) async fn download(call: Call) -> Answer {
    let (app, package) = find(&call, call.guid())?;
    if !call.may(Action::AppSecretsRead, Scope::Space(app.space)) {
        return Err(ApiError::forbidden());
    }
    let PackageContent::Bits { blob: Some(blob) } = &package.content else {
        return Err(ApiError::unprocessable(
            "Package has no bits available to download",
        ));
    };
    download::send(
        &call,
        blob,
        "application/zip",
        &format!("{}.zip", package.guid),
    )
    .await
}

pub(super) async fn droplets(call: Call, query: Query) -> Answer {
    let (app, package) = find(&call, call.guid())?;
    let states = query.filter("states");
    let droplets = call
        .state
        .linked::<Droplet>(Children::DropletsOf(app.guid.0));
    let admitted = droplets.filter(|droplet| {
        droplet.package == Some(package.guid) && states.admits(droplet::state_word(droplet.state))
    });
    let secrets = droplet::may_see(&call, &app);
    pagination::page(&call.base, &query, admitted.cloned(), |droplet| {
        droplet::present(&call.base, droplet, secrets)
    })
}

/// Which of these files need not be uploaded?
pub(super) async fn resource_matches(call: Call, Body(asked): Body<ResourceMatches>) -> Answer {
    if asked.resources.len() > QUESTION_MAX {
        return Err(ApiError::unprocessable(format!(
            "Resources array can have at most {QUESTION_MAX} resources"
        )));
    }
    let flag = call
        .state
        .get::<FeatureFlag>(&"resource_matching".to_owned());
    if flag.is_some_and(|flag| !flag.enabled) {
        return response::created(ResourceMatches {
            resources: Vec::new(),
        });
    }
    let blobs = call.context.blobs.clone();
    let matched = tokio::task::spawn_blocking(move || blobs.matches(asked.resources)).await;
    let resources = matched.map_err(ApiError::internal)?;
    response::created(ResourceMatches { resources })
}

/// The package and its app, if the caller sees them.
pub(super) fn find(call: &Call, guid: PackageGuid) -> Result<(Arc<App>, Arc<Package>), ApiError> {
    let not_found = || ApiError::not_found("Package");
    let package = call.state.get::<Package>(&guid).cloned();
    let package = package.ok_or_else(not_found)?;
    let app = call.state.get::<App>(&package.app).cloned();
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    Ok((app.ok_or_else(not_found)?, package))
}

/// May the caller relate something to this app? One that is not seen is left to the action, which
/// answers as for one that does not exist.
pub(super) fn require_app(
    call: &Call,
    guid: cfx_protocol::id::AppGuid,
    action: Action,
) -> Result<(), ApiError> {
    match call.state.get::<App>(&guid) {
        Some(app) if call.sees(Action::AppRead, app.space) => {
            call.require(action, Scope::Space(app.space))
        }
        _ => Err(ApiError::unprocessable(
            "App is invalid. Ensure it exists and you have access to it.",
        )),
    }
}

pub(super) fn present(base: &Base, package: &Package) -> wire::Package {
    let path = format!("/v3/packages/{}", package.guid);
    let mut links = cfx_protocol::v3::resource::Links::from([
        ("self".to_owned(), base.link(&path)),
        (
            "app".to_owned(),
            base.link(&format!("/v3/apps/{}", package.app)),
        ),
    ]);
    let data = match &package.content {
        PackageContent::Bits { blob } => {
            let upload = base.href(&format!("{path}/upload"));
            links.insert("upload".to_owned(), Link::post(upload));
            links.insert(
                "download".to_owned(),
                base.link(&format!("{path}/download")),
            );
            wire::PackageData {
                error: package.error.clone(),
                checksum: Some(wire::Checksum {
                    kind: "sha256".to_owned(),
                    value: blob.as_ref().map(|blob| blob.sha256.clone()),
                }),
                ..wire::PackageData::default()
            }
        }
        PackageContent::Docker {
            image,
            username,
            password,
        } => wire::PackageData {
            image: Some(image.clone()),
            username: username.clone(),
            password: password.as_ref().map(|_| "***".to_owned()),
            ..wire::PackageData::default()
        },
    };
    wire::Package {
        guid: package.guid,
        created_at: seconds(package.meta.created_at),
        updated_at: seconds(package.meta.updated_at),
        kind: kind(&package.content).to_owned(),
        data,
        state: state_word(package.state).to_owned(),
        relationships: AppRelationship {
            app: ToOne::to(package.app),
        },
        metadata: metadata(&package.meta),
        links,
    }
}

fn kind(content: &PackageContent) -> &'static str {
    match content {
        PackageContent::Bits { .. } => "bits",
        PackageContent::Docker { .. } => "docker",
    }
}

fn state_word(state: PackageState) -> &'static str {
    match state {
        PackageState::AwaitingUpload => "AWAITING_UPLOAD",
        PackageState::ProcessingUpload => "PROCESSING_UPLOAD",
        PackageState::Ready => "READY",
        PackageState::Failed => "FAILED",
        PackageState::Expired => "EXPIRED",
        PackageState::Copying => "COPYING",
    }
}

impl Listed for Package {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
