//! What became of a run-once work: a task's exit, or a staging's droplet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use cfx_process::http_client::LinkError;
use cfx_protocol::actual::{Outcome, StagedDroplet, StagingFailure};
use cfx_protocol::desired::{Owner, StagingWork, Work};
use cfx_protocol::link::PREFIX;
use cfx_protocol::quantity::format_bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio_util::io::ReaderStream;

use super::builder::{
    STATUS_COMPILE, STATUS_FINALIZE, STATUS_NOT_DETECTED, STATUS_RELEASE, STATUS_SUPPLY,
};
use super::fetch::cache_path;
use super::pack::{Archive, sha256_of};
use super::release::{INFO_FILE, StagingInfo, process_types, read_small};
use super::{Stager, StagingError, blocking};
use crate::execute::Exit;
use crate::hooks::{Order, Tools, told};
use crate::logs::Voice;

/// How often an upload is tried while the controller cannot be reached.
const UPLOADS_MAX: u32 = 8;
/// Longest time one upload may take.
const UPLOAD_MAX: Duration = Duration::from_secs(15 * 60);
/// Pause after the first failed upload; each further one is longer by as much.
const UPLOAD_PAUSE: Duration = Duration::from_secs(1);

/// How a run-once work ended.
pub async fn conclude(tools: &Tools, order: &Order, exit: Exit, voice: &Voice) -> Outcome {
    match &order.spec.work {
        Work::Task { task, .. } => Outcome::Task {
            task: *task,
            failure: task_failure(exit),
        },
        Work::Staging(work) => {
            let result = match staging_failure(work, exit) {
                Some(failure) => Err(failure),
                None => finish(tools, order, work, voice)
                    .await
                    .map_err(|error| StagingFailure {
                        id: "StagingError".to_owned(),
                        message: told(&error),
                    }),
            };
            if let Err(failure) = &result {
                voice.cell(&format!("{} - {}", failure.id, failure.message));
            }
            Outcome::Staging {
                build: work.build,
                result,
            }
        }
        // A process has no outcome; the plan never asks for one.
        Work::Process { .. } => Outcome::Task {
            task: cfx_protocol::id::TaskGuid::NIL,
            failure: None,
        },
    }
}

fn task_failure(exit: Exit) -> Option<String> {
    match exit {
        Exit { lost: true, .. } => Some("The task vanished from its cell".to_owned()),
        Exit {
            out_of_memory: true,
            status,
            ..
        } => Some(format!("Exited with status {status} (out of memory)")),
        Exit { status: 0, .. } => None,
        Exit { status, .. } => Some(format!("Exited with status {status}")),
    }
}

fn staging_failure(work: &StagingWork, exit: Exit) -> Option<StagingFailure> {
    let failure = |id: &str, message: String| {
        Some(StagingFailure {
            id: id.to_owned(),
            message,
        })
    };
    const COMPILE: &str = "App staging failed in the buildpack compile phase";
    match exit {
        Exit { expired: true, .. } => failure(
            "StagingTimeExpired",
            format!(
                "Staging time expired: it took longer than {} seconds",
                work.timeout_s
            ),
        ),
        Exit { lost: true, .. } => failure(
            "StagingError",
            "The staging container vanished from its cell".to_owned(),
        ),
        Exit {
            out_of_memory: true,
            status,
            ..
        } => failure(
            "StagingError",
            format!("Exited with status {status} (out of memory)"),
        ),
        Exit { status: 0, .. } => None,
        Exit {
            status: STATUS_NOT_DETECTED,
            ..
        } => failure(
            "NoAppDetectedError",
            "An app was not successfully detected by any available buildpack".to_owned(),
        ),
        Exit {
            status: STATUS_RELEASE,
            ..
        } => failure(
            "BuildpackReleaseFailed",
            "App staging failed in the buildpack release phase".to_owned(),
        ),
        Exit {
            status: STATUS_COMPILE | STATUS_SUPPLY | STATUS_FINALIZE,
            ..
        } => failure("BuildpackCompileFailed", COMPILE.to_owned()),
        Exit { status, .. } => failure("StagingError", format!("Exited with status {status}")),
    }
}

/// Pack, upload, and tell what was made.
async fn finish(
    tools: &Tools,
    order: &Order,
    work: &StagingWork,
    voice: &Voice,
) -> Result<StagedDroplet, StagingError> {
    let name = order.name();
    let disk = tools.ground.volume(name).await;
    let disk = disk.map_err(|error| StagingError::Result(error.to_string()))?;
    let disk = disk.ok_or_else(|| StagingError::Result("its volume is not there".to_owned()))?;
    let folder = tools.stager.folder(name);
    let (tmp, target) = (disk.tmp, folder.clone());
    let packed = blocking("pack the droplet", move || pack(&tmp, &target)).await?;
    voice.cell("Uploading droplet, build artifacts cache...");
    let droplet = format!("{PREFIX}/droplets/{}", work.droplet);
    let size_bytes = upload(
        &tools.stager,
        &droplet,
        &packed.droplet,
        &packed.droplet_sha256,
    )
    .await?;
    voice.cell(&format!("Uploaded droplet ({})", format_bytes(size_bytes)));
    let cache = upload_cache(&tools.stager, &order.spec.owner, work, &packed, voice).await;
    voice.cell("Uploading complete");
    let info = packed.info;
    Ok(StagedDroplet {
        sha256: packed.droplet_sha256,
        size_bytes,
        detected_buildpack: info.detected_buildpack,
        buildpacks: packed.buildpacks,
        process_types: packed.process_types,
        cache,
    })
}

/// The next staging is slower without a cache, and that is all.
async fn upload_cache(
    stager: &Stager,
    owner: &Owner,
    work: &StagingWork,
    packed: &Packed,
    voice: &Voice,
) -> Option<String> {
    let path = cache_path(owner, work);
    match upload(stager, &path, &packed.cache, &packed.cache_sha256).await {
        Ok(_) => {
            voice.cell("Uploaded build artifacts cache");
            Some(packed.cache_sha256.clone())
        }
        Err(error) => {
            tracing::warn!(error = told(&error), "a build cache could not be uploaded");
            None
        }
    }
}

struct Packed {
    droplet: PathBuf,
    droplet_sha256: String,
    cache: PathBuf,
    cache_sha256: String,
    info: StagingInfo,
    buildpacks: Vec<String>,
    process_types: std::collections::BTreeMap<String, String>,
}

fn pack(tmp: &Path, target: &Path) -> Result<Packed, StagingError> {
    let io = |action| move |source| StagingError::Io { action, source };
    // It is there unless the cell was restarted meanwhile.
    std::fs::create_dir_all(target).map_err(io("make a folder"))?;
    let small = |path: &str| read_small(&tmp.join(path)).map_err(StagingError::Result);
    let release = small("result/release.yml")?;
    let procfile = small("app/Procfile")?;
    let process_types = process_types(release.as_deref(), procfile.as_deref());
    let process_types = process_types.map_err(StagingError::Result)?;
    let names = small("result/buildpacks")?.unwrap_or_default();
    let buildpacks: Vec<String> = names.lines().map(str::to_owned).collect();
    let detected = small("result/detected")?.map(|text| text.trim().to_owned());
    let info = StagingInfo {
        detected_buildpack: detected
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| buildpacks.join(", ")),
        start_command: process_types.get("web").cloned().unwrap_or_default(),
    };
    let yaml =
        serde_yaml::to_string(&info).map_err(|error| StagingError::Result(error.to_string()))?;
    let droplet = target.join("droplet.tgz");
    let mut archive = Archive::create(&droplet).map_err(io("make the droplet"))?;
    let packed = archive
        .text(INFO_FILE, &yaml)
        .and_then(|()| archive.folder(&tmp.join("app"), "app"))
        .and_then(|()| archive.folder(&tmp.join("deps"), "deps"))
        .and_then(|()| archive.folder(&tmp.join("profile.d"), "profile.d"))
        .and_then(|()| archive.folder(Path::new(""), "tmp"))
        .and_then(|()| archive.folder(Path::new(""), "logs"))
        .and_then(|()| archive.finish());
    packed.map_err(io("pack the droplet"))?;
    let cache = target.join("new_cache.tgz");
    let mut archive = Archive::create(&cache).map_err(io("make the build cache"))?;
    let packed = archive
        .folder(&tmp.join("cache"), ".")
        .and_then(|()| archive.finish());
    packed.map_err(io("pack the build cache"))?;
    Ok(Packed {
        droplet_sha256: sha256_of(&droplet).map_err(io("read the droplet"))?,
        droplet,
        cache_sha256: sha256_of(&cache).map_err(io("read the build cache"))?,
        cache,
        info,
        buildpacks,
        process_types,
    })
}

/// `PUT path`, again if the controller is away for a moment. The blob's bytes.
async fn upload(
    Stager { client, clock, .. }: &Stager,
    path: &str,
    file: &Path,
    sha256: &str,
) -> Result<u64, StagingError> {
    let io = |source| StagingError::Io {
        action: "read what is uploaded",
        source,
    };
    let mut attempt = 1;
    loop {
        let file = tokio::fs::File::open(file).await.map_err(io)?;
        let length = file.metadata().await.map_err(io)?.len();
        let frames =
            ReaderStream::new(file).map(|chunk: std::io::Result<Bytes>| chunk.map(Frame::data));
        let body = BodyExt::boxed(StreamBody::new(frames));
        let sent = client.upload(path, "application/gzip", length, sha256, body);
        let deadline = || LinkError::Deadline {
            what: format!("PUT {path}"),
            after: UPLOAD_MAX,
        };
        let sent = tokio::time::timeout(UPLOAD_MAX, sent).await;
        match sent.unwrap_or_else(|_| Err(deadline())) {
            Ok(()) => return Ok(length),
            Err(error) if error.is_transient() && attempt < UPLOADS_MAX => {
                clock.sleep(UPLOAD_PAUSE * attempt).await;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
