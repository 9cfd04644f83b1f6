//! Sending a blob to its owner.

use axum::body::Body;
use axum::response::IntoResponse;
use http::header;
use tokio_util::io::ReaderStream;

use super::error::{Answer, ApiError};
use super::request::Call;
use crate::state::package::BlobFacts;

/// Bytes read from disk at once.
const READ_BYTES: usize = 256 * 1024;

/// Stream a blob; `name` is what a browser saves it as.
pub(super) async fn send(
    call: &Call,
    blob: &BlobFacts,
    content_type: &'static str,
    name: &str,
) -> Answer {
    let path = call.context.blobs.path(&blob.sha256);
    let file = tokio::fs::File::open(path)
        .await
        .map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, blob.size_bytes.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    let body = Body::from_stream(ReaderStream::with_capacity(file, READ_BYTES));
    Ok((headers, body).into_response())
}
