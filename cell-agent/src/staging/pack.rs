//! Packs folders of the container into an archive, on the host's side. The container has ended, so
//! nobody changes them meanwhile; no link is followed, and what is neither file, folder nor link is
//! left out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// Deepest folder that is packed.
const DEPTH_MAX: usize = 256;

/// A gzipped tar being written.
pub(super) struct Archive {
    tar: Builder<GzEncoder<File>>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        // Packing is on the way of every push; the faster levels cost little size.
        let gzip = GzEncoder::new(File::create(path)?, Compression::new(3));
        Ok(Self {
            tar: Builder::new(gzip),
        })
    }

    /// `folder` as `name`; an empty one when there is none.
    pub(super) fn folder(&mut self, folder: &Path, name: &str) -> io::Result<()> {
        let name = Path::new(name);
        match fs::symlink_metadata(folder) {
            Ok(about) if about.is_dir() => self.walk(folder, name, 0),
            _ => self.empty_folder(name),
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        self.tar.append_data(&mut header, name, text.as_bytes())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.tar.into_inner()?.finish()?.flush()
    }

    fn walk(&mut self, folder: &Path, name: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other("the app's folders are nested too deeply"));
        }
        self.empty_folder(name)?;
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), name.join(entry.file_name()));
            let about = fs::symlink_metadata(&path)?;
            if about.is_dir() {
                self.walk(&path, &name, depth + 1)?;
            } else if about.is_symlink() {
                let mut header = header(&about, EntryType::Symlink);
                header.set_size(0);
                self.tar
                    .append_link(&mut header, &name, fs::read_link(&path)?)?;
            } else if about.is_file() {
                self.file(&path, &name, &about)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &Path, about: &fs::Metadata) -> io::Result<()> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)?;
        let mut header = header(about, EntryType::Regular);
        header.set_size(about.len());
        self.tar
            .append_data(&mut header, name, file.take(about.len()))
    }

    fn empty_folder(&mut self, name: &Path) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        self.tar.append_data(&mut header, name, io::empty())
    }
}

/// Owner and group stay behind: they mean nothing on another cell.
fn header(about: &fs::Metadata, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(about.mode() & 0o777);
    header.set_mtime(u64::try_from(about.mtime()).unwrap_or(0));
    header
}

/// Hexadecimal.
pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
