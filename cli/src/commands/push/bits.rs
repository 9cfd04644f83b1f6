//! Bits on their way to the platform: a package of sources, or a droplet that was staged before.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::unusable;
use crate::archive::{self, Entry, EntryKind, Packed, Source};
use crate::client::resource::{App, Checksum, Droplet, MatchedFile, Matches, Package};
use crate::client::{Api, Upload};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use cfx_protocol::quantity::format_bytes;

/// Files asked about in one request.
const MATCH_CHUNK: usize = 1_000;
/// Between two looks at a package that is not ready.
const PACKAGE_POLL: Duration = Duration::from_millis(250);
/// Longest that the platform may take to make a package ready.
const PACKAGE_TIMEOUT: Duration = Duration::from_secs(600);

/// Upload what the platform does not have yet, and wait until the package is ready.
pub(super) async fn upload_package(
    context: &Context,
    api: &Api,
    app: &App,
    folder: &Path,
) -> Outcome<Package> {
    let terminal = &context.terminal;
    terminal.say(format!("Packaging {}...", folder.display()));
    let source = archive::gather(folder)?;
    for path in &source.skipped {
        terminal.warn(format!(
            "{path} is neither file, folder nor link and is left out"
        ));
    }
    let matched = matched(api, &source).await?;
    let known: HashSet<String> = matched
        .iter()
        .map(|file| file.checksum.value.clone())
        .collect();
    let packed = archive::pack(&source, &known)?;
    let body = json!({
        "type": "bits",
        "relationships": {"app": {"data": {"guid": app.guid}}},
    });
    let package: Package = api.post("/v3/packages", &body).await?;
    let uploaded = upload(context, api, &package, &matched, packed.as_ref()).await?;
    ready(context, api, uploaded).await
}

/// Which files of the source the platform has already, with their paths in this app.
async fn matched(api: &Api, source: &Source) -> Outcome<Vec<MatchedFile>> {
    let candidates: Vec<MatchedFile> = source.entries.iter().filter_map(candidate).collect();
    let mut known = HashSet::new();
    for some in candidates.chunks(MATCH_CHUNK) {
        let question = Matches {
            resources: some.to_vec(),
        };
        let answer: Matches = api.post("/v3/resource_matches", &question).await?;
        known.extend(answer.resources.into_iter().map(|file| file.checksum.value));
    }
    let matched = candidates.into_iter();
    Ok(matched
        .filter(|file| known.contains(&file.checksum.value))
        .collect())
}

fn candidate(entry: &Entry) -> Option<MatchedFile> {
    match &entry.kind {
        EntryKind::File {
            size,
            sha1: Some(digest),
            ..
        } => Some(MatchedFile {
            checksum: Checksum {
                value: digest.clone(),
            },
            size_in_bytes: *size,
            path: entry.path.clone(),
            mode: format!("{:o}", entry.mode),
        }),
        _ => None,
    }
}

async fn upload(
    context: &Context,
    api: &Api,
    package: &Package,
    matched: &[MatchedFile],
    packed: Option<&Packed>,
) -> Outcome<Package> {
    let terminal = &context.terminal;
    match packed {
        Some(packed) => terminal.say(format!(
            "Uploading {} in {} files{}...",
            format_bytes(packed.bytes),
            packed.files,
            match matched.len() {
                0 => String::new(),
                count => format!(", {count} more are there already"),
            }
        )),
        None => terminal.say("Everything is there already, nothing to upload."),
    }
    let progress = Arc::new(terminal.progress("uploading"));
    progress.of_bytes(packed.map_or(0, |packed| packed.bytes));
    let resources = serde_json::to_string(matched)
        .map_err(|error| Failure::new(format!("cannot name the files: {error}")))?;
    let form = Upload {
        resources: Some(resources),
        file: packed.map(|packed| packed.file.path()),
        file_name: "package.zip",
    };
    let shown = Arc::clone(&progress);
    let path = format!("/v3/packages/{}/upload", package.guid);
    let answer = api
        .upload(&path, form, move |sent| shown.position(sent))
        .await?;
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(format!("the answer to the upload is no package: {error}")))
}

async fn ready(context: &Context, api: &Api, mut package: Package) -> Outcome<Package> {
    let started = context.clock.monotonic();
    let path = format!("/v3/packages/{}", package.guid);
    loop {
        match package.state.as_str() {
            "READY" => return Ok(package),
            "FAILED" | "EXPIRED" => return Err(unusable(&package)),
            _ => {}
        }
        if context.clock.monotonic().saturating_sub(started) > PACKAGE_TIMEOUT {
            return Err(unusable(&package));
        }
        context.clock.sleep(PACKAGE_POLL).await;
        package = api.get(&path).await?;
    }
}

/// Upload a droplet; its guid.
pub(super) async fn upload_droplet(
    context: &Context,
    api: &Api,
    app: &App,
    file: &Path,
) -> Outcome<String> {
    let size = std::fs::metadata(file)
        .map(|metadata| metadata.len())
        .map_err(|error| {
            Failure::new(format!("cannot read {}: {error}", file.display()))
                .next("give a droplet file (tgz): --droplet FILE")
        })?;
    let terminal = &context.terminal;
    terminal.say(format!("Uploading droplet, {}...", format_bytes(size)));
    let body = json!({"relationships": {"app": {"data": {"guid": app.guid}}}});
    let droplet: Droplet = api.post("/v3/droplets", &body).await?;
    let progress = Arc::new(terminal.progress("uploading"));
    progress.of_bytes(size);
    let form = Upload {
        resources: None,
        file: Some(file),
        file_name: "droplet.tgz",
    };
    let shown = Arc::clone(&progress);
    let path = format!("/v3/droplets/{}/upload", droplet.guid);
    let answer = api
        .upload(&path, form, move |sent| shown.position(sent))
        .await?;
    api.finish(&answer).await?;
    Ok(droplet.guid)
}
