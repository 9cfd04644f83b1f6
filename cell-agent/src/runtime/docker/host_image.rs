//! The `host` stack as an image: an engine mounts into images only.

use std::io::Cursor;
use std::path::Path;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::call;
use crate::runtime::host_stack::{HostStack, NAME};
use crate::runtime::{Mount, RuntimeError};

const REPOSITORY: &str = "cfx-stack-host";

#[derive(Debug)]
pub(super) struct HostImage {
    pub(super) image: String,
    pub(super) mounts: Vec<Mount>,
}

/// Make the image unless the engine has it.
pub(super) async fn ensure(engine: &Docker) -> Result<HostImage, RuntimeError> {
    let failed = |error: std::io::Error| RuntimeError::NoRoot {
        what: format!("stack `{NAME}`"),
        detail: error.to_string(),
    };
    let stack = HostStack::read(Path::new("/"));
    let archive = archive(&stack).map_err(failed)?;
    let digest = hex::encode(Sha256::digest(&archive));
    let tag = digest.get(..12).unwrap_or(&digest);
    let image = format!("{REPOSITORY}:{tag}");
    let action = "inspect an image";
    let found = call::plain(action, call::INSPECT, engine.inspect_image(&image)).await?;
    match found {
        Ok(_) => {}
        Err(error) if call::status(&error) == Some(404) => import(engine, archive, tag).await?,
        Err(error) => return Err(call::failed(action, &error)),
    }
    Ok(HostImage {
        image,
        mounts: stack.mounts,
    })
}

async fn import(engine: &Docker, archive: Vec<u8>, tag: &str) -> Result<(), RuntimeError> {
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(REPOSITORY)
        .tag(tag)
        .build();
    let body = bollard::body_full(Bytes::from(archive));
    let mut progress = engine.create_image(Some(options), Some(body), None);
    let all = async {
        while let Some(step) = progress.next().await {
            step?;
        }
        Ok(())
    };
    call::bounded("import the host stack", call::IMPORT, all).await
}

/// Deterministic: the same stack gives the same bytes, and the digest names the image.
fn archive(stack: &HostStack) -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, mode) in &stack.folders {
        append(&mut tar, EntryType::Directory, path, *mode, &[])?;
    }
    for (path, content) in &stack.files {
        append(&mut tar, EntryType::Regular, path, 0o644, content)?;
    }
    for (path, target) in &stack.links {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, path, target)?;
    }
    tar.into_inner()
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = header(kind, mode, content.len() as u64);
    tar.append_data(&mut header, path, Cursor::new(content))
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
