//! Newline-delimited JSON over HTTP bodies: one frame a line, bounded.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(Debug, thiserror::Error)]
pub enum NdjsonError {
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("a line is longer than {limit} bytes")]
    LineTooLong { limit: usize },
    #[error("a line is not what was expected: {0}")]
    Invalid(#[from] serde_json::Error),
}

/// Reads frames of type `T` from a body.
#[derive(Debug)]
pub struct NdjsonReader<B, T> {
    body: B,
    buffer: BytesMut,
    /// Bytes of `buffer` that hold no line end, so that none is searched twice.
    searched: usize,
    limit: usize,
    frame: PhantomData<fn() -> T>,
}

impl<B, T> NdjsonReader<B, T>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
    T: DeserializeOwned,
{
    pub fn new(body: B, limit: usize) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            limit,
            frame: PhantomData,
        }
    }

    /// The next frame; none at a clean end.
    pub async fn next(&mut self) -> Result<Option<T>, NdjsonError> {
        loop {
            if let Some(line) = self.take_line() {
                if line.is_empty() {
                    continue;
                }
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.buffer.len() > self.limit {
                return Err(NdjsonError::LineTooLong { limit: self.limit });
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(NdjsonError::Broken("it ended inside a line".into())),
                Some(Err(error)) => return Err(NdjsonError::Broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        match self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            Some(offset) => {
                let mut line = self.buffer.split_to(self.searched + offset + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

/// One frame as a line.
pub fn line<T: Serialize>(frame: &T) -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec(frame)?;
    text.push(b'\n');
    Ok(text.into())
}
