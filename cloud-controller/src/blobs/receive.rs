//! Taking in bytes that somebody sends: to a file, with a digest, a size limit and a deadline.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::Blobs;
use crate::state::package::BlobFacts;

/// Longest silence of a sender.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest that one upload may take: the largest blob over a slow line.
pub(crate) const UPLOAD_MAX: Duration = Duration::from_secs(30 * 60);
/// Bytes gathered before they are written, so that a file costs few system calls.
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("the upload is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: u64 },
    #[error("the upload ended early: {0}")]
    Broken(String),
    #[error("nothing arrived for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("the upload took longer than {} minutes", UPLOAD_MAX.as_secs() / 60)]
    TooSlow,
    /// The disk is full, most likely.
    #[error("the upload cannot be written: {0}")]
    Disk(#[from] io::Error),
}

impl ReceiveError {
    /// Is it our disk and not the sender?
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Disk(_))
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Receiving {
    file: NamedTempFile,
    digest: Sha256,
    gathered: Vec<u8>,
    size_bytes: u64,
    max_bytes: u64,
}

/// A file that is whole. It goes when nobody keeps it.
#[derive(Debug)]
pub struct Arrived {
    file: NamedTempFile,
    facts: BlobFacts,
}

impl Blobs {
    /// Begin to take in at most `max_bytes`.
    pub fn receive(&self, max_bytes: u64) -> io::Result<Receiving> {
        Ok(Receiving {
            file: self.scratch()?,
            digest: Sha256::new(),
            gathered: Vec::with_capacity(CHUNK_BYTES),
            size_bytes: 0,
            max_bytes,
        })
    }

    /// Take in a whole stream.
    pub async fn receive_all<S, E>(
        &self,
        mut stream: S,
        max_bytes: u64,
    ) -> Result<Arrived, ReceiveError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let first = self.receive(max_bytes)?;
        let all = async {
            let mut receiving = first;
            loop {
                match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
                    Err(_) => return Err(ReceiveError::Silent),
                    Ok(None) => return Ok(receiving),
                    Ok(Some(Err(error))) => return Err(ReceiveError::Broken(error.to_string())),
                    Ok(Some(Ok(bytes))) => receiving = receiving.push(bytes).await?,
                }
            }
        };
        let received = tokio::time::timeout(UPLOAD_MAX, all).await;
        received.map_err(|_| ReceiveError::TooSlow)??.finish().await
    }
}

impl Receiving {
    /// Take in some bytes.
    pub async fn push(mut self, bytes: Bytes) -> Result<Self, ReceiveError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.max_bytes {
            return Err(ReceiveError::TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() < CHUNK_BYTES {
            return Ok(self);
        }
        self.write_out().await
    }

    pub async fn finish(self) -> Result<Arrived, ReceiveError> {
        let done = self.write_out().await?;
        let facts = BlobFacts {
            sha256: hex::encode(done.digest.finalize()),
            size_bytes: done.size_bytes,
        };
        Ok(Arrived {
            file: done.file,
            facts,
        })
    }

    /// Digests and writes block, so they happen beside the runtime's threads.
    async fn write_out(mut self) -> Result<Self, ReceiveError> {
        let done = tokio::task::spawn_blocking(move || {
            self.digest.update(&self.gathered);
            self.file.write_all(&self.gathered)?;
            self.gathered.clear();
            Ok::<_, io::Error>(self)
        });
        Ok(done.await.map_err(io::Error::other)??)
    }
}

impl Arrived {
    /// A file that was written here, digested again from the disk.
    pub(crate) fn from_file(mut file: NamedTempFile) -> io::Result<Self> {
        use std::io::Seek;
        file.flush()?;
        file.rewind()?;
        let mut digest = Sha256::new();
        let size_bytes = io::copy(file.as_file_mut(), &mut HashWriter(&mut digest))?;
        let facts = BlobFacts {
            sha256: hex::encode(digest.finalize()),
            size_bytes,
        };
        Ok(Self { file, facts })
    }

    #[must_use]
    pub fn facts(&self) -> &BlobFacts {
        &self.facts
    }

    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    pub(super) fn into_parts(self) -> (NamedTempFile, BlobFacts) {
        (self.file, self.facts)
    }
}

/// Writes into a digest.
pub(crate) struct HashWriter<'a, D: Digest>(pub(crate) &'a mut D);

impl<D: Digest> Write for HashWriter<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
