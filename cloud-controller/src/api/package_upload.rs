//! `POST /v3/packages/{guid}/upload`: from the bytes of the CLI to a judged, durable package. The
//! answer says READY: there is nothing to wait for.

use axum::extract::Request;
use cfx_protocol::v3::package::Resource;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::permission::Action;
use super::request::Call;
use super::upload::{self, Upload};
use super::{app_log, package, response};
use crate::actions;
use crate::blobs::Blobs;
use crate::blobs::matching::AssembleError;
use crate::state::feature_flag::FeatureFlag;
use crate::state::package::BlobFacts;

/// Most matched files of one package: as many as a package may have entries.
const RESOURCES_MAX: usize = crate::blobs::zip::ENTRIES_MAX;

pub(super) async fn upload(call: Call, request: Request) -> Answer {
    let (app, found) = package::find(&call, call.guid())?;
    call.require(Action::AppWrite, Scope::Space(app.space))?;
    require_upload(&call)?;
    actions::package::check_awaits_upload(&found)?;
    let upload = upload::receive(&call.context, request).await?;
    let blobs = call.context.blobs.clone();
    let kept = tokio::task::spawn_blocking(move || keep(&blobs, upload)).await;
    let facts = kept.map_err(ApiError::internal)??;
    let package = call
        .write(|draft, act| actions::package::uploaded(draft, act, found.guid, facts))
        .await?;
    app_log::tell(
        &call,
        app.guid,
        format!("Uploading app package for app with guid {}", app.guid),
    );
    response::ok(package::present(&call.base, &package))
}

/// Judge and keep; this blocks.
fn keep(blobs: &Blobs, upload: Upload) -> Result<BlobFacts, ApiError> {
    let matched: Vec<Resource> = match upload.resources.as_deref().map(str::trim) {
        None | Some("" | "null") => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            ApiError::unprocessable(format!("Resources is not a valid list: {error}"))
        })?,
    };
    if matched.len() > RESOURCES_MAX {
        return Err(ApiError::unprocessable(format!(
            "Resources can have at most {RESOURCES_MAX} entries"
        )));
    }
    let package = blobs
        .assemble(upload.file, &matched)
        .map_err(|error| match error {
            AssembleError::Disk(inside) => {
                ApiError::unavailable("The package could not be kept. Try again.", inside)
            }
            other => ApiError::unprocessable(format!("The app package is invalid: {other}")),
        })?;
    blobs.keep(package).map_err(|inside| {
        ApiError::unavailable("The package could not be kept. Try again.", inside)
    })
}

fn require_upload(call: &Call) -> Result<(), ApiError> {
    let flag = call.state.get::<FeatureFlag>(&"app_bits_upload".to_owned());
    match flag.filter(|flag| !flag.enabled && !call.access.is_admin()) {
        None => Ok(()),
        Some(flag) => {
            let text = flag.custom_error_message.clone();
            let text = text.unwrap_or_else(|| "app_bits_upload".to_owned());
            Err(actions::Refused::FeatureDisabled(text).into())
        }
    }
}
