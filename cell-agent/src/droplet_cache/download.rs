//! Fetches a blob from the controller into a file and checks it on the way.

use std::path::Path;
use std::time::Duration;

use cfx_process::http_client::{InternalClient, LinkError};
use http_body_util::BodyExt;
use sha2::Digest as _;
use tokio::io::AsyncWriteExt;

use super::CacheError;

/// Silence after which a download is given up.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What the blob must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest<'a> {
    pub(crate) sha256: &'a str,
    pub(crate) size_bytes: u64,
}

/// `GET path` into the file at `target`, at most `most_bytes`; checked when there is a digest.
pub(crate) async fn download(
    client: &InternalClient,
    path: &str,
    digest: Option<Digest<'_>>,
    most_bytes: u64,
    target: &Path,
) -> Result<(), CacheError> {
    let io = |action| move |source| CacheError::Io { action, source };
    let garbled = |detail: String| LinkError::Garbled {
        what: format!("GET {path}"),
        detail,
    };
    let stalled = |_| LinkError::Deadline {
        what: format!("GET {path}"),
        after: STALL_MAX,
    };
    let mut body = client.download(path).await?;
    let mut file = tokio::fs::File::create(target)
        .await
        .map_err(io("make a file"))?;
    let mut hash = sha2::Sha256::new();
    let mut received = 0_u64;
    while let Some(frame) = tokio::time::timeout(STALL_MAX, body.frame())
        .await
        .map_err(stalled)?
    {
        let frame = frame.map_err(|error| garbled(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received += data.len() as u64;
        if received > most_bytes {
            return Err(garbled(format!("more than {most_bytes} bytes")).into());
        }
        hash.update(&data);
        file.write_all(&data)
            .await
            .map_err(io("write a download"))?;
    }
    file.flush().await.map_err(io("write a download"))?;
    let found = hex::encode(hash.finalize());
    digest.map_or(Ok(()), |digest| check(digest, received, &found))
}

fn check(wanted: Digest<'_>, received: u64, found: &str) -> Result<(), CacheError> {
    if received == wanted.size_bytes && found.eq_ignore_ascii_case(wanted.sha256) {
        return Ok(());
    }
    Err(CacheError::Mismatch {
        wanted: format!("{} bytes and sha256 {}", wanted.size_bytes, wanted.sha256),
        found: format!("{received} bytes and sha256 {found}"),
    })
}
