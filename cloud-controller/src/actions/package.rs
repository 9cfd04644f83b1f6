//! Packages: sources that were uploaded, or references to docker images.

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, PackageGuid};
use cfx_protocol::v3::package::{NewPackage, NewPackageData};
use serde_json::json;

use super::{Act, Refused, app, lifecycle, metadata};
use crate::state::Draft;
use crate::state::app::App;
use crate::state::meta::Meta;
use crate::state::package::{BlobFacts, Package, PackageContent, PackageState};

/// Longest docker reference, user name or password, characters.
const DOCKER_TEXT_MAX_CHARS: usize = 5_000;

pub fn create_package(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewPackage,
) -> Result<Arc<Package>, Refused> {
    let app = owner(draft, new)?;
    let (content, state) = match new.kind.as_deref() {
        Some("bits") => {
            if new.data.as_ref().is_some_and(|data| data.image.is_some()) {
                return Err(Refused::unprocessable("Data must be empty if type is bits"));
            }
            (
                PackageContent::Bits { blob: None },
                PackageState::AwaitingUpload,
            )
        }
        Some("docker") => (docker(draft, new.data.as_ref())?, PackageState::Ready),
        _ => {
            return Err(Refused::unprocessable("Type must be one of 'bits, docker'"));
        }
    };
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let package = draft.put(Package {
        guid: act.ids.guid(),
        app: app.guid,
        content,
        state,
        error: None,
        meta,
    });
    let data = json!({"package_guid": package.guid, "request": {"type": new.kind}});
    app::record(draft, act, &app, "audit.app.package.create", data);
    Ok(package)
}

/// A package for another app (or the same) with the same content.
pub fn copy_package(
    draft: &mut Draft,
    act: &Act<'_>,
    source: PackageGuid,
    new: &NewPackage,
) -> Result<Arc<Package>, Refused> {
    let app = owner(draft, new)?;
    let source = find(draft, source)?;
    if source.state != PackageState::Ready {
        return Err(Refused::unprocessable(
            "Source package must be ready to be copied",
        ));
    }
    let package = draft.put(Package {
        guid: act.ids.guid(),
        app: app.guid,
        content: source.content.clone(),
        state: PackageState::Ready,
        error: None,
        meta: Meta::new(act.now),
    });
    let data = json!({"package_guid": package.guid, "request": {"source_guid": source.guid}});
    app::record(draft, act, &app, "audit.app.package.create", data);
    Ok(package)
}

/// May bits be uploaded to it now?
pub fn check_awaits_upload(package: &Package) -> Result<(), Refused> {
    if !matches!(package.content, PackageContent::Bits { .. }) {
        return Err(Refused::unprocessable("Package type must be bits."));
    }
    if package.state != PackageState::AwaitingUpload {
        return Err(Refused::unprocessable(
            "Bits may be uploaded only once. Create a new package to upload different bits.",
        ));
    }
    Ok(())
}

/// Its bits are in the blob store, judged and durable.
pub fn uploaded(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: PackageGuid,
    blob: BlobFacts,
) -> Result<Arc<Package>, Refused> {
    let mut package = Package::clone(&*find(draft, guid)?);
    check_awaits_upload(&package)?;
    package.content = PackageContent::Bits { blob: Some(blob) };
    package.state = PackageState::Ready;
    package.meta.updated_at = act.now;
    let package = draft.put(package);
    let app = app::find(draft, package.app)?;
    let data = json!({"package_guid": guid});
    app::record(draft, act, &app, "audit.app.package.upload", data);
    Ok(package)
}

pub fn delete_package(draft: &mut Draft, act: &Act<'_>, guid: PackageGuid) -> Result<(), Refused> {
    let package = find(draft, guid)?;
    let app = app::find(draft, package.app)?;
    let data = json!({"package_guid": guid});
    app::record(draft, act, &app, "audit.app.package.delete", data);
    draft.delete::<Package>(&guid);
    Ok(())
}

pub(super) fn find(draft: &Draft, guid: PackageGuid) -> Result<Arc<Package>, Refused> {
    draft
        .get::<Package>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Package"))
}

fn owner(draft: &Draft, new: &NewPackage) -> Result<Arc<App>, Refused> {
    owner_of(draft, new.relationships.app.data.map(|to| to.guid))
}

/// The app that a request relates something to.
pub(super) fn owner_of(draft: &Draft, app: Option<AppGuid>) -> Result<Arc<App>, Refused> {
    app.and_then(|guid| draft.get::<App>(&guid).cloned())
        .ok_or_else(|| {
            Refused::unprocessable("App is invalid. Ensure it exists and you have access to it.")
        })
}

fn docker(draft: &Draft, data: Option<&NewPackageData>) -> Result<PackageContent, Refused> {
    lifecycle::docker(draft)?;
    let data = data.cloned().unwrap_or_default();
    let image = data.image.unwrap_or_default();
    check_image(&image)?;
    for text in [&data.username, &data.password].into_iter().flatten() {
        if text.chars().count() > DOCKER_TEXT_MAX_CHARS {
            return Err(Refused::Unprocessable(format!(
                "Data docker credentials are too long (maximum is {DOCKER_TEXT_MAX_CHARS} \
                 characters)"
            )));
        }
    }
    Ok(PackageContent::Docker {
        image,
        username: data.username,
        password: data.password,
    })
}

/// A reference such as `registry.example.com:5000/team/app:1.2`: it names no scheme and no file.
pub fn check_image(image: &str) -> Result<(), Refused> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let fits = !image.is_empty()
        && image.len() <= DOCKER_TEXT_MAX_CHARS
        && image.chars().all(legal)
        && !image.contains("://")
        && image.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fits {
        return Ok(());
    }
    Err(Refused::unprocessable(
        "Data image must be a docker reference such as `registry.example.com/team/app:1.2`",
    ))
}
