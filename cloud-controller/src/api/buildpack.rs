//! `/v3/buildpacks`.

use std::io::Read;
use std::sync::Arc;

use axum::extract::Request;
use cfx_protocol::v3::buildpack::{self as wire, BuildpackPatch, NewBuildpack};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError, Code};
use super::job;
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::upload::{self, Upload};
use crate::actions;
use crate::blobs::{Blobs, zip};
use crate::state::buildpack::Buildpack;
use crate::state::meta::Meta;
use crate::state::package::BlobFacts;

/// As much of a buildpack's manifest is read to find its stack, bytes.
const MANIFEST_MAX_BYTES: u64 = 1024 * 1024;

/// The CLI prints them as they come, so they come in the order of detection.
pub(super) async fn list(call: Call, query: Query) -> Answer {
    let (names, stacks) = (query.filter("names"), query.filter("stacks"));
    let found = call.state.all::<Buildpack>().filter(|buildpack| {
        names.admits(&buildpack.name)
            && stacks.admits(buildpack.stack.as_deref().unwrap_or_default())
    });
    pagination::page_with(
        &call.base,
        &query,
        "position",
        found.cloned(),
        |buildpack| present(&call.base, buildpack),
        |_| None,
    )
}

pub(super) async fn show(call: Call) -> Answer {
    response::ok(present(&call.base, &*find(&call)?))
}

pub(super) async fn create(call: Call, Body(new): Body<NewBuildpack>) -> Answer {
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let made = call
        .write(|draft, act| actions::buildpack::create(draft, act, new))
        .await?;
    response::created(present(&call.base, &made))
}

pub(super) async fn update(call: Call, Body(patch): Body<BuildpackPatch>) -> Answer {
    let guid = find(&call)?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let changed = call
        .write(|draft, act| actions::buildpack::update(draft, act, guid, patch))
        .await?;
    response::ok(present(&call.base, &changed))
}

pub(super) async fn delete(call: Call) -> Answer {
    let guid = find(&call)?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    job::of(&call, "buildpack.delete", |draft, act| {
        actions::buildpack::delete(draft, act, guid)
    })
    .await
}

/// The answer is a job, which is done.
pub(super) async fn upload(call: Call, request: Request) -> Answer {
    let guid = find(&call)?.guid;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    actions::buildpack::refuse_locked(&*find(&call)?)?;
    let upload = upload::receive(&call.context, request).await?;
    let file_name = upload.file_name.clone().unwrap_or_default();
    let blobs = call.context.blobs.clone();
    let kept = tokio::task::spawn_blocking(move || keep(&blobs, upload)).await;
    let (facts, stack) = kept.map_err(ApiError::internal)??;
    let job = call
        .write(|draft, act| {
            actions::buildpack::uploaded(draft, act, guid, &file_name, facts, stack)
        })
        .await?;
    response::job(&call.base, job)
}

/// Judge and keep; this blocks. Answers what the buildpack's manifest says of its stack.
fn keep(blobs: &Blobs, upload: Upload) -> Result<(BlobFacts, Option<String>), ApiError> {
    let file = upload
        .file
        .ok_or_else(|| ApiError::unprocessable("Upload must include the field 'bits'"))?;
    let (mut stack, mut is_buildpack) = (None, false);
    let judged = zip::judge(file.path(), |entry, content| {
        is_buildpack |= entry.path.starts_with("bin/");
        if entry.path == "manifest.yml" {
            stack = stack_of(content)?;
        }
        Ok(())
    });
    judged.map_err(|error| invalid(&error.to_string()))?;
    if !is_buildpack {
        return Err(invalid("it has no folder 'bin' at its top"));
    }
    let facts = blobs.keep(file).map_err(|inside| {
        ApiError::unavailable("The buildpack could not be kept. Try again.", inside)
    })?;
    Ok((facts, stack))
}

fn invalid(why: &str) -> ApiError {
    ApiError::new(
        Code::BuildpackInvalid,
        format!("Buildpack is invalid: {why}"),
    )
}

/// The line `stack: NAME` of a manifest; the rest of it is the buildpack's own affair.
fn stack_of(content: &mut dyn Read) -> std::io::Result<Option<String>> {
    let mut text = Vec::new();
    content.take(MANIFEST_MAX_BYTES).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut stacks = text.lines().filter_map(|line| line.strip_prefix("stack:"));
    let name = stacks
        .next()
        .map(|name| name.trim().trim_matches(['"', '\'']));
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

fn find(call: &Call) -> Result<Arc<Buildpack>, ApiError> {
    let found = call.state.get::<Buildpack>(&call.guid()).cloned();
    found.ok_or_else(|| ApiError::not_found("Buildpack"))
}

fn present(base: &Base, buildpack: &Buildpack) -> wire::Buildpack {
    let path = format!("/v3/buildpacks/{}", buildpack.guid);
    let mut upload = base.link(&format!("{path}/upload"));
    upload.method = Some("POST".to_owned());
    wire::Buildpack {
        guid: buildpack.guid,
        created_at: seconds(buildpack.meta.created_at),
        updated_at: seconds(buildpack.meta.updated_at),
        name: buildpack.name.clone(),
        stack: buildpack.stack.clone(),
        state: match buildpack.blob {
            Some(_) => "READY",
            None => "AWAITING_UPLOAD",
        }
        .to_owned(),
        filename: buildpack.filename.clone(),
        lifecycle: "buildpack".to_owned(),
        position: buildpack.position,
        enabled: buildpack.enabled,
        locked: buildpack.locked,
        metadata: metadata(&buildpack.meta),
        links: [
            ("self".to_owned(), base.link(&path)),
            ("upload".to_owned(), upload),
        ]
        .into(),
    }
}

impl Listed for Buildpack {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn position(&self) -> u32 {
        self.position
    }
}
