//! Files that earlier packages brought, by SHA-1, so that they need not be uploaded again.
//!
//! It is a cache: what is not there is uploaded. Whoever knows a file's digest and size has the
//! file, as in Cloud Foundry.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use cfx_protocol::v3::package::Resource;
use sha1::{Digest, Sha1};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::receive::HashWriter;
use super::zip::{Entry, ZipError, check_path, judge};
use super::{Arrived, Blobs, below};

/// Smallest file worth asking about, bytes: smaller ones are quicker sent (Cloud Foundry's bound).
pub const FILE_MIN_BYTES: u64 = 64 * 1024;
/// Largest file that is kept, bytes (Cloud Foundry's bound).
pub const FILE_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Most files in one question, as the CLI asks them.
pub const QUESTION_MAX: usize = 5_000;
/// Mode of a file whose mode cannot be read.
const MODE_DEFAULT: u32 = 0o644;

/// Why a package cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Zip(#[from] ZipError),
    #[error("the file '{0}' is not known to the platform any more; push again")]
    Unmatched(String),
    #[error("the package cannot be written: {0}")]
    Disk(#[from] io::Error),
}

impl Blobs {
    /// Which of these are known?
    #[must_use]
    pub fn matches(&self, resources: Vec<Resource>) -> Vec<Resource> {
        let known = |resource: &Resource| {
            is_worth_keeping(resource.size_in_bytes)
                && fs::metadata(self.matching_path(&resource.checksum.value))
                    .is_ok_and(|file| file.len() == resource.size_in_bytes)
        };
        resources.into_iter().filter(known).collect()
    }

    /// A package of what was uploaded (if anything) and of files that are known: judged, and its
    /// own files remembered.
    pub fn assemble(
        &self,
        uploaded: Option<Arrived>,
        matched: &[Resource],
    ) -> Result<Arrived, AssembleError> {
        let package = match (uploaded, matched.is_empty()) {
            (Some(uploaded), true) => uploaded,
            (None, true) => return Err(ZipError::Empty.into()),
            (uploaded, false) => self.merge(uploaded.as_ref(), matched)?,
        };
        judge(package.path(), |entry, content| {
            self.remember(entry, content)
        })?;
        Ok(package)
    }

    fn merge(
        &self,
        uploaded: Option<&Arrived>,
        matched: &[Resource],
    ) -> Result<Arrived, AssembleError> {
        let mut writer = ZipWriter::new(io::BufWriter::new(self.scratch()?));
        if let Some(uploaded) = uploaded {
            // Judged before its entries are copied, so that a lie costs nothing.
            judge(uploaded.path(), |_, _| Ok(()))?;
            let file = io::BufReader::new(File::open(uploaded.path())?);
            let mut archive = ZipArchive::new(file).map_err(damaged)?;
            for index in 0..archive.len() {
                let entry = archive.by_index_raw(index).map_err(damaged)?;
                writer.raw_copy_file(entry).map_err(damaged)?;
            }
        }
        for resource in matched {
            self.add(&mut writer, resource)?;
        }
        let written = writer.finish().map_err(damaged)?;
        let file = written.into_inner().map_err(|error| error.into_error())?;
        Ok(Arrived::from_file(file)?)
    }

    fn add<W: Write + io::Seek>(
        &self,
        writer: &mut ZipWriter<W>,
        resource: &Resource,
    ) -> Result<(), AssembleError> {
        check_path(&resource.path)?;
        let unmatched = || AssembleError::Unmatched(resource.path.chars().take(120).collect());
        let mut file =
            File::open(self.matching_path(&resource.checksum.value)).map_err(|_| unmatched())?;
        if file.metadata()?.len() != resource.size_in_bytes {
            return Err(unmatched());
        }
        let mode = u32::from_str_radix(&resource.mode, 8).unwrap_or(MODE_DEFAULT) & 0o777;
        let options = SimpleFileOptions::default()
            .unix_permissions(mode | 0o400)
            .large_file(resource.size_in_bytes > u64::from(u32::MAX) / 2);
        writer
            .start_file(resource.path.as_str(), options)
            .map_err(damaged)?;
        io::copy(&mut file, writer)?;
        Ok(())
    }

    /// Keep a file of a package under its SHA-1 while it is read.
    fn remember(&self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if !is_worth_keeping(entry.size_bytes) {
            return Ok(());
        }
        let mut file = self.scratch()?;
        let mut digest = Sha1::new();
        let size = {
            let mut both = Both(&mut file, HashWriter(&mut digest));
            io::copy(content, &mut both)?
        };
        if !is_worth_keeping(size) {
            return Ok(());
        }
        let path = self.matching_path(&hex::encode(digest.finalize()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // A cache needs no sync: a file whose size is not right is not matched.
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn matching_path(&self, sha1: &str) -> PathBuf {
        below(&self.0.matching, &sha1.to_ascii_lowercase())
    }
}

fn is_worth_keeping(size_bytes: u64) -> bool {
    (FILE_MIN_BYTES..=FILE_MAX_BYTES).contains(&size_bytes)
}

fn damaged(error: impl std::fmt::Display) -> AssembleError {
    ZipError::Damaged(error.to_string()).into()
}

/// Writes the same bytes to two places.
struct Both<A, B>(A, B);

impl<A: Write, B: Write> Write for Both<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}
