//! Uploading bits: multipart/form-data with an exact length, streamed from disk.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio_util::io::ReaderStream;

use super::error::ClientError;
use super::transport::{Answer, BITS_TIMEOUT};
use super::{Api, checked};

/// Read from disk at once, bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Cannot occur in what is uploaded but by intent, and then only breaks the uploader's own file.
const BOUNDARY: &str = "cfx-bits-7b1e4c0d9a52f836";

/// A form of an optional JSON field and an optional file.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    /// `resources`: files the platform has already.
    pub(crate) resources: Option<String>,
    /// `bits`.
    pub(crate) file: Option<&'a Path>,
    /// What the server is told the file is called.
    pub(crate) file_name: &'static str,
}

impl Api {
    /// POST the form; `sent` is told how many bytes of the file went out.
    pub(crate) async fn upload(
        &self,
        path: &str,
        upload: Upload<'_>,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<Answer, ClientError> {
        // A token that ends during the upload would waste it.
        self.renew_when_due(false).await?;
        let mut head = String::new();
        if let Some(json) = &upload.resources {
            head.push_str(&format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"resources\"\r\n\r\n{json}\r\n"
            ));
        }
        let mut length = 0;
        let mut file = None;
        if let Some(source) = upload.file {
            let unreadable = |error: io::Error| ClientError::File {
                what: source.display().to_string(),
                detail: error.to_string(),
            };
            let opened = tokio::fs::File::open(source).await.map_err(unreadable)?;
            length = opened.metadata().await.map_err(unreadable)?.len();
            file = Some(opened);
            head.push_str(&format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"bits\"; filename=\"{}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n",
                upload.file_name
            ));
        }
        let tail = match file {
            Some(_) => format!("\r\n--{BOUNDARY}--\r\n"),
            None => format!("--{BOUNDARY}--\r\n"),
        };
        let total = head.len() as u64 + length + tail.len() as u64;
        let mut gone = 0;
        let middle = stream::iter(file)
            .flat_map(|file| ReaderStream::with_capacity(file, CHUNK_BYTES))
            .inspect_ok(move |chunk| {
                gone += chunk.len() as u64;
                sent(gone);
            });
        let body = stream::once(async { Ok(Bytes::from(head)) })
            .chain(middle)
            .chain(stream::once(async { Ok(Bytes::from(tail)) }))
            .map_ok(Frame::data);
        let mut request = Request::new(StreamBody::new(body).boxed_unsync());
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_LENGTH, total.into());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        if let Ok(kind) = HeaderValue::try_from(kind) {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        if let Some(bearer) = self.bearer() {
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let url = format!("{}{path}", self.target().url);
        checked(self.transport.exchange(&url, request, BITS_TIMEOUT).await?)
    }
}
