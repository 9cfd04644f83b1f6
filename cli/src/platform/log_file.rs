//! The process's own log, in a file that does not grow without end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

/// Size at which a new file is begun, bytes. One older file is kept beside it.
const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Cloned for each line.
#[derive(Debug, Clone)]
pub(crate) struct LogFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit: u64,
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_with_limit(path, FILE_MAX_BYTES)
    }

    fn open_with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(Open {
            path: path.to_owned(),
            file,
            bytes,
            limit,
        }))))
    }
}

impl Open {
    fn begin_anew(&mut self) -> io::Result<()> {
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        fs::rename(&self.path, older)?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = self.0.lock();
        if open.bytes >= open.limit {
            open.begin_anew()?;
        }
        let written = open.file.write(bytes)?;
        open.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().file.flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/cfx.log");
        let mut log = LogFile::open_with_limit(&path, 10).expect("open");
        for _ in 0..5 {
            log.write_all(b"0123456789").expect("written");
        }
        assert_eq!(fs::metadata(&path).expect("there").len(), 10);
        assert_eq!(
            fs::read_dir(path.parent().expect("a folder"))
                .expect("list")
                .count(),
            2
        );
    }
}
