//! Multipart uploads: a file to the blob store as it arrives, and small fields beside it. Nothing
//! is kept of an upload that fails.

use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};

use super::context::Context;
use super::error::{ApiError, Code};
use crate::blobs::{Arrived, BLOB_MAX_BYTES, ReceiveError};

/// Largest field that is not the file, bytes: a list of matched resources.
const FIELD_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most fields of an upload.
const FIELDS_MAX: usize = 16;

/// What an upload brought.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// The field `bits`, or the path-like spelling of older clients.
    pub(super) file: Option<Arrived>,
    pub(super) file_name: Option<String>,
    /// The field `resources`.
    pub(super) resources: Option<String>,
}

/// Take in a whole upload.
pub(super) async fn receive(context: &Context, mut request: Request) -> Result<Upload, ApiError> {
    // The framework's own limit is for bodies in memory; these go to disk under a limit of ours.
    DefaultBodyLimit::disable().apply(&mut request);
    let multipart = Multipart::from_request(request, context).await;
    let mut multipart = multipart.map_err(|error| ApiError::unreadable(error.body_text()))?;
    let mut upload = Upload::default();
    for _ in 0..FIELDS_MAX {
        let field = multipart.next_field().await;
        let Some(field) = field.map_err(|error| ApiError::unreadable(error.body_text()))? else {
            return Ok(upload);
        };
        match field.name() {
            Some("bits" | "package" | "droplet") if field.file_name().is_some() => {
                upload.file_name = field.file_name().map(str::to_owned);
                let arrived = context.blobs.receive_all(field, BLOB_MAX_BYTES).await;
                upload.file = Some(arrived.map_err(refused)?);
            }
            Some("resources") => upload.resources = Some(text(field).await?),
            _ => drop(text(field).await?),
        }
    }
    Err(ApiError::unreadable(format!(
        "an upload may have {FIELDS_MAX} fields"
    )))
}

/// A small field.
async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = field.chunk().await;
        let Some(chunk) = chunk.map_err(|error| ApiError::unreadable(error.body_text()))? else {
            break;
        };
        bytes.extend_from_slice(&chunk);
        if bytes.len() > FIELD_MAX_BYTES {
            return Err(ApiError::unreadable(format!(
                "a field of the upload is larger than {FIELD_MAX_BYTES} bytes"
            )));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::unreadable("a field is not UTF-8 text"))
}

/// Why a file was not taken in, for its sender.
pub(super) fn refused(error: ReceiveError) -> ApiError {
    match error {
        ReceiveError::Disk(inside) => {
            ApiError::unavailable("The upload could not be kept. Try again.", inside)
        }
        ReceiveError::TooLarge { .. } => ApiError::unprocessable(error.to_string()),
        other => ApiError::new(
            Code::MessageParseError,
            format!("Request invalid due to parse error: {other}"),
        ),
    }
}
