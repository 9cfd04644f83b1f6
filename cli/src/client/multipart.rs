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
use super::transport::{Answer, AnyBody, BITS_TIMEOUT};
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

/// The form around the file, and what it all weighs.
struct Envelope {
    head: String,
    tail: String,
    file: Option<tokio::fs::File>,
    file_bytes: u64,
}

impl Envelope {
    async fn of(upload: &Upload<'_>) -> Result<Self, ClientError> {
        let mut envelope = Self {
            head: String::new(),
            tail: format!("--{BOUNDARY}--\r\n"),
            file: None,
            file_bytes: 0,
        };
        let disposition = format!("--{BOUNDARY}\r\nContent-Disposition: form-data;");
        if let Some(json) = &upload.resources {
            envelope.head = format!("{disposition} name=\"resources\"\r\n\r\n{json}\r\n");
        }
        if let Some(source) = upload.file {
            let unreadable = |error: io::Error| ClientError::File {
                what: source.display().to_string(),
                detail: error.to_string(),
            };
            let file = tokio::fs::File::open(source).await.map_err(unreadable)?;
            envelope.file_bytes = file.metadata().await.map_err(unreadable)?.len();
            envelope.file = Some(file);
            envelope.head.push_str(&format!(
                "{disposition} name=\"bits\"; filename=\"{}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n",
                upload.file_name
            ));
            envelope.tail.insert_str(0, "\r\n");
        }
        Ok(envelope)
    }

    fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.file_bytes + self.tail.len() as u64
    }

    /// As a body; `sent` is told how many bytes of the file went out.
    fn body(self, sent: impl Fn(u64) + Send + 'static) -> AnyBody {
        let mut gone = 0;
        let file = stream::iter(self.file)
            .flat_map(|file| ReaderStream::with_capacity(file, CHUNK_BYTES))
            .inspect_ok(move |chunk| {
                gone += chunk.len() as u64;
                sent(gone);
            });
        let (head, tail) = (Bytes::from(self.head), Bytes::from(self.tail));
        let whole = stream::once(async { Ok(head) })
            .chain(file)
            .chain(stream::once(async { Ok(tail) }))
            .map_ok(Frame::data);
        StreamBody::new(whole).boxed_unsync()
    }
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
        let envelope = Envelope::of(&upload).await?;
        let bytes = envelope.bytes();
        let mut request = Request::new(envelope.body(sent));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_LENGTH, bytes.into());
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
