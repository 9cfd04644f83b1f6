//! The file that sealed minutes are appended to, so that the history outlives the controller.
//!
//! It begins with everything that was known when it was made, and is made anew when most of it is
//! past its time. What a power cut tears off at its end is told and left out; what is in it is
//! never believed without its checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::MetricsHistory;

/// Begins the file, with the version of its format.
const MAGIC: &[u8; 8] = b"cfxmet1\n";
/// Longest record that is believed, bytes: a start with a week of every number takes 1 MiB.
const RECORD_MAX_BYTES: u32 = 16 * 1024 * 1024;
/// A journal that has grown by less than this is not made anew, bytes.
const GROWTH_MIN_BYTES: u64 = 16 * 1024 * 1024;

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    size: u64,
    /// What it began with.
    base: u64,
    /// An append failed, and may have left half a record.
    damaged: bool,
}

impl Journal {
    /// Take over what the file holds, and begin it anew.
    pub(super) fn open(path: &Path, history: &MetricsHistory, now: i64) -> io::Result<Self> {
        match load(path, history) {
            Ok(Loaded::Whole) => {}
            Ok(Loaded::Torn) => tracing::warn!(
                path = %path.display(),
                "the end of the metrics' journal cannot be read; what came before is kept"
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "the metrics' journal cannot be read: the history begins anew"
            ),
        }
        history.settle(now);
        write_anew(path, history)
    }

    /// Add records; they are on disk when this returns.
    pub(super) fn append(&mut self, records: &[u8], history: &MetricsHistory) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.damaged || self.size > self.base * 2 + GROWTH_MIN_BYTES {
            // What was sealed is in the history already.
            *self = write_anew(&self.path, history)?;
            return Ok(());
        }
        self.damaged = true;
        self.file.write_all(records)?;
        self.file.sync_data()?;
        self.damaged = false;
        self.size += records.len() as u64;
        Ok(())
    }
}

enum Loaded {
    Whole,
    Torn,
}

fn load(path: &Path, history: &MetricsHistory) -> io::Result<Loaded> {
    let mut file = BufReader::new(File::open(path)?);
    let mut magic = [0; MAGIC.len()];
    if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Ok(Loaded::Torn);
    }
    let mut payload = Vec::new();
    loop {
        let mut head = [0; 8];
        match read_some(&mut file, &mut head)? {
            0 => return Ok(Loaded::Whole),
            8 => {}
            _ => return Ok(Loaded::Torn),
        }
        let [length, checksum] = [&head[..4], &head[4..]]
            .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        if length > RECORD_MAX_BYTES {
            return Ok(Loaded::Torn);
        }
        payload.resize(usize::try_from(length).unwrap_or_default(), 0);
        let read = read_some(&mut file, &mut payload)?;
        let is_sound = read == payload.len() && crc32c::crc32c(&payload) == checksum;
        if !is_sound || !history.restore(&payload) {
            return Ok(Loaded::Torn);
        }
    }
}

/// As many bytes as there are.
fn read_some(file: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read(&mut into[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// A new file beside the old one, then in its place.
fn write_anew(path: &Path, history: &MetricsHistory) -> io::Result<Journal> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    cfx_process::durable_file::create_private_folder(folder)?;
    let temporary = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)?;
    let mut writer = BufWriter::new(temporary.as_file());
    writer.write_all(MAGIC)?;
    let mut size = MAGIC.len() as u64;
    for app in history.apps() {
        let records = history.snapshot(app);
        size += records.len() as u64;
        writer.write_all(&records)?;
    }
    writer.flush()?;
    drop(writer);
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(Journal {
        path: path.to_path_buf(),
        file: OpenOptions::new().append(true).open(path)?,
        size,
        base: size,
        damaged: false,
    })
}
