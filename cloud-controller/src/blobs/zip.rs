//! Judging a package before it is kept: every entry lies inside the tree, every link stays inside,
//! and unpacking it costs no more than a named budget. The whole archive is read once, so a header
//! that lies about sizes is found out here and not on a cell.

mod end_record;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

/// Most entries of a package.
pub const ENTRIES_MAX: usize = 200_000;
/// Most bytes of a package once unpacked.
pub const UNPACKED_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Most unpacked bytes for one packed byte, beyond an allowance for small packages: text packs 20
/// times, a bomb 1,000 times.
pub const RATIO_MAX: u64 = 200;
/// Unpacked bytes that may have any ratio (a file of zeros in an otherwise honest app).
const RATIO_ALLOWANCE_BYTES: u64 = 64 * 1024 * 1024;
/// Longest path of an entry, bytes (`PATH_MAX`).
const PATH_MAX_BYTES: usize = 4_096;
/// Longest target of a symbolic link, bytes (`PATH_MAX`).
const LINK_MAX_BYTES: u64 = 4_096;
/// Bits of a file's mode that make it a symbolic link.
const MODE_TYPE: u32 = 0o170_000;
const MODE_LINK: u32 = 0o120_000;

/// Why an archive is refused; each says what to do about it where that is not plain.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    #[error("the package is not a zip archive, or a damaged one: {0}")]
    Damaged(String),
    #[error("the package has no files; push a folder that has some")]
    Empty,
    #[error(
        "the package has {found} entries; at most {ENTRIES_MAX} are allowed. Leave some out with \
         .cfignore"
    )]
    TooManyEntries { found: u64 },
    #[error("the entry '{0}' would be unpacked outside of the app; make its path relative")]
    Outside(String),
    #[error("the symbolic link '{0}' leads out of the app; make it relative and inside")]
    LinkOutside(String),
    #[error("the path of an entry is longer than {PATH_MAX_BYTES} bytes")]
    PathTooLong,
    #[error("the entry '{0}' is encrypted; packages cannot be")]
    Encrypted(String),
    #[error(
        "the package unpacks to more than {} GiB; leave something out with .cfignore",
        UNPACKED_MAX_BYTES >> 30
    )]
    TooLarge,
    #[error(
        "the package unpacks to more than {RATIO_MAX} times its size, as archives do that are made \
         to fill disks"
    )]
    Bomb,
}

/// An entry of an archive that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub size_bytes: u64,
    pub mode: Option<u32>,
}

/// Judge a package, giving each regular file to `each` while it is read.
pub fn judge(
    path: &Path,
    mut each: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), ZipError> {
    let file = File::open(path).map_err(damaged)?;
    let packed = file.metadata().map_err(damaged)?.len();
    let found = end_record::entries_declared(&file).map_err(damaged)?;
    if found > ENTRIES_MAX as u64 {
        return Err(ZipError::TooManyEntries { found });
    }
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(damaged)?;
    let mut budget = Budget {
        left: UNPACKED_MAX_BYTES.min(RATIO_ALLOWANCE_BYTES.max(packed.saturating_mul(RATIO_MAX))),
        bomb: packed.saturating_mul(RATIO_MAX) < UNPACKED_MAX_BYTES,
    };
    let mut links = BTreeSet::new();
    let mut files = 0_usize;
    for index in 0..archive.len() {
        match judge_entry(&mut archive, index, &mut budget, &mut each)? {
            Judged::Folder => {}
            Judged::File => files += 1,
            Judged::Link(name) => drop(links.insert(name)),
        }
    }
    if files + links.len() == 0 {
        return Err(ZipError::Empty);
    }
    check_no_entry_below(&archive, &links)
}

/// An entry "below" a link would be written through it, where its own links count from elsewhere.
fn check_no_entry_below<R: Read + Seek>(
    archive: &ZipArchive<R>,
    links: &BTreeSet<String>,
) -> Result<(), ZipError> {
    if links.is_empty() {
        return Ok(());
    }
    for name in archive.file_names() {
        let name = name.map_err(damaged)?;
        let mut cuts = name.match_indices('/').map(|(at, _)| &name[..at]);
        if cuts.any(|parent| links.contains(parent)) {
            return Err(ZipError::Outside(shortened(&name)));
        }
    }
    Ok(())
}

enum Judged {
    Folder,
    File,
    Link(String),
}

/// Unpacked bytes that are still allowed.
struct Budget {
    left: u64,
    /// Which limit it is that ends it.
    bomb: bool,
}

impl Budget {
    fn spent(&self) -> ZipError {
        if self.bomb {
            ZipError::Bomb
        } else {
            ZipError::TooLarge
        }
    }
}

fn judge_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    budget: &mut Budget,
    each: &mut impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<Judged, ZipError> {
    let mut file = archive.by_index(index).map_err(damaged)?;
    let name = file.name().map_err(damaged)?.into_owned();
    check_path(&name)?;
    if file.encrypted() {
        return Err(ZipError::Encrypted(shortened(&name)));
    }
    if file.is_dir() {
        return Ok(Judged::Folder);
    }
    let mode = file.unix_mode();
    if mode.is_some_and(|mode| mode & MODE_TYPE == MODE_LINK) {
        check_link(&name, &mut file)?;
        return Ok(Judged::Link(name));
    }
    let entry = Entry {
        path: name,
        size_bytes: file.size(),
        mode,
    };
    let mut counted = Counted {
        inner: &mut file,
        left: budget.left,
        over: false,
    };
    let read = each(&entry, &mut counted).and_then(|()| drain(&mut counted));
    let (left, over) = (counted.left, counted.over);
    budget.left = left;
    if over {
        return Err(budget.spent());
    }
    read.map_err(damaged)?;
    Ok(Judged::File)
}

/// Relative, inside, without tricks.
pub fn check_path(name: &str) -> Result<(), ZipError> {
    if name.len() > PATH_MAX_BYTES {
        return Err(ZipError::PathTooLong);
    }
    let absolute = name.starts_with('/') || name.starts_with('\\');
    let drive = name.as_bytes().get(1) == Some(&b':');
    let climbs = name.split(['/', '\\']).any(|part| part == "..");
    if name.is_empty() || absolute || drive || climbs || name.contains('\0') {
        return Err(ZipError::Outside(shortened(name)));
    }
    Ok(())
}

fn check_link<R: Read>(name: &str, file: &mut ZipFile<'_, R>) -> Result<(), ZipError> {
    let mut target = String::new();
    file.take(LINK_MAX_BYTES + 1)
        .read_to_string(&mut target)
        .map_err(damaged)?;
    if target.len() as u64 > LINK_MAX_BYTES || !stays_inside(name, &target) {
        return Err(ZipError::LinkOutside(shortened(name)));
    }
    Ok(())
}

/// Does a link at `name` to `target` stay in the tree? It may climb first and descend then; a climb
/// after a descent could start from wherever another link leads.
fn stays_inside(name: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let depth = name
        .split('/')
        .filter(|part| *part != ".")
        .count()
        .saturating_sub(1);
    let parts = || {
        target
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
    };
    let climbs = parts().take_while(|part| *part == "..").count();
    climbs <= depth && !parts().skip(climbs).any(|part| part == "..")
}

/// Counts what is read against what is left, and refuses more.
struct Counted<'a, R> {
    inner: &'a mut R,
    left: u64,
    over: bool,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.over = true;
                return Err(io::Error::other("over the budget"));
            }
        }
        Ok(count)
    }
}

/// Read what `each` left, so that lengths and checksums are verified.
fn drain(reader: &mut dyn Read) -> io::Result<()> {
    io::copy(reader, &mut io::sink()).map(drop)
}

fn damaged(error: impl std::fmt::Display) -> ZipError {
    ZipError::Damaged(error.to_string())
}

fn shortened(name: &str) -> String {
    name.chars().take(120).collect()
}

#[cfg(test)]
mod tests;
