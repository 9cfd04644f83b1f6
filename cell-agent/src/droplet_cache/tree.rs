//! Writes foreign archives into a folder without ever leaving it.
//!
//! Nothing is written through a link, nothing outside the root, no device, no set-uid bit, and no
//! more than the limits allow. The folder must be private until it is complete.

use std::collections::HashSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::runtime::User;

/// Deepest path of an archive, in names.
const DEPTH_MAX: usize = 128;

/// An archive that will not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("`{0}` would leave the folder it is unpacked in")]
    Outside(String),
    #[error("`{0}` passes through something that is not a folder")]
    ThroughLink(String),
    #[error("`{0}` is neither file, folder nor link")]
    Kind(String),
    #[error("it has more than {0} entries")]
    TooMany(u64),
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
    #[error("cannot write `{path}`")]
    Io { path: String, source: io::Error },
    #[error("the archive is damaged: {0}")]
    Damaged(String),
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: u64,
    pub bytes: u64,
}

/// Where links may point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Anywhere: they are followed only inside the container.
    Anywhere,
    /// Only at what is in the same tree.
    Inside,
}

#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    limits: Limits,
    links: Links,
    /// None: everybody may write, and it stays with the agent's own user.
    owner: Option<User>,
    folders: HashSet<PathBuf>,
    entries: u64,
    bytes: u64,
}

impl Tree {
    /// `root` must exist and be empty.
    #[must_use]
    pub fn new(root: PathBuf, limits: Limits, links: Links, owner: Option<User>) -> Self {
        Self {
            root,
            limits,
            links,
            owner,
            folders: HashSet::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Bytes of all files so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn folder(&mut self, path: &Path) -> Result<(), UnpackError> {
        self.count()?;
        let relative = inside(path)?;
        self.make_folders(&relative)
    }

    pub fn file(
        &mut self,
        path: &Path,
        mode: u32,
        modified_s: Option<u64>,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        self.count()?;
        let (relative, target) = self.place(path)?;
        let io = |source| failed(&relative, source);
        let mode = self.file_mode(mode);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(&target).map_err(io)?;
        self.copy(&relative, content, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(io)?;
        if let Some(seconds) = modified_s {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(TIME_MAX_S));
            file.set_modified(time).map_err(io)?;
        }
        self.give(&relative, &target)
    }

    pub fn link(&mut self, path: &Path, points_at: &Path) -> Result<(), UnpackError> {
        self.count()?;
        let (relative, target) = self.place(path)?;
        if self.links == Links::Inside && !stays_inside(&relative, points_at) {
            return Err(UnpackError::Outside(relative.display().to_string()));
        }
        symlink(points_at, &target).map_err(|source| failed(&relative, source))?;
        self.give(&relative, &target)
    }

    /// A second name for a file of the same archive.
    pub fn hard_link(&mut self, path: &Path, first: &Path) -> Result<(), UnpackError> {
        self.count()?;
        let (relative, target) = self.place(path)?;
        let first = inside(first)?;
        self.make_folders(first.parent().unwrap_or_else(|| Path::new("")))?;
        let first = self.root.join(first);
        let is_file = fs::symlink_metadata(&first).is_ok_and(|about| about.is_file());
        if !is_file {
            return Err(UnpackError::Kind(relative.display().to_string()));
        }
        fs::hard_link(&first, &target).map_err(|source| failed(&relative, source))
    }

    fn count(&mut self) -> Result<(), UnpackError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(UnpackError::TooMany(self.limits.entries));
        }
        Ok(())
    }

    /// Makes the folders above `path` and removes what is in its place.
    fn place(&mut self, path: &Path) -> Result<(PathBuf, PathBuf), UnpackError> {
        let relative = inside(path)?;
        let Some(parent) = relative.parent() else {
            return Err(UnpackError::Outside(path.display().to_string()));
        };
        self.make_folders(parent)?;
        let target = self.root.join(&relative);
        match fs::remove_file(&target) {
            Ok(()) => Ok((relative, target)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((relative, target)),
            Err(source) => Err(failed(&relative, source)),
        }
    }

    fn make_folders(&mut self, relative: &Path) -> Result<(), UnpackError> {
        if self.folders.contains(relative) {
            return Ok(());
        }
        let mut path = PathBuf::new();
        for name in relative.components() {
            path.push(name);
            if self.folders.contains(&path) {
                continue;
            }
            self.make_folder(&path)?;
            self.folders.insert(path.clone());
        }
        Ok(())
    }

    fn make_folder(&self, relative: &Path) -> Result<(), UnpackError> {
        let target = self.root.join(relative);
        let io = |source| failed(relative, source);
        match fs::create_dir(&target) {
            Ok(()) => {
                let mode = if self.owner.is_some() { 0o755 } else { 0o777 };
                fs::set_permissions(&target, Permissions::from_mode(mode)).map_err(io)?;
                self.give(relative, &target)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // The metadata of what is there itself, not of what it may point at.
                if fs::symlink_metadata(&target).map_err(io)?.is_dir() {
                    Ok(())
                } else {
                    Err(UnpackError::ThroughLink(relative.display().to_string()))
                }
            }
            Err(error) => Err(io(error)),
        }
    }

    fn copy(
        &mut self,
        relative: &Path,
        content: &mut dyn Read,
        file: &mut fs::File,
    ) -> Result<(), UnpackError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(UnpackError::Damaged(error.to_string())),
            };
            self.bytes += count as u64;
            if self.bytes > self.limits.bytes {
                return Err(UnpackError::TooLarge(self.limits.bytes));
            }
            let chunk = buffer.get(..count).unwrap_or_default();
            file.write_all(chunk)
                .map_err(|source| failed(relative, source))?;
        }
    }

    /// Without an owner every instance's own user is a stranger to the files, so all may do all.
    fn file_mode(&self, mode: u32) -> u32 {
        let executable = if mode & 0o111 == 0 { 0 } else { 0o111 };
        match self.owner {
            Some(_) => (mode & 0o755) | 0o600,
            None => 0o666 | executable,
        }
    }

    fn give(&self, relative: &Path, target: &Path) -> Result<(), UnpackError> {
        match self.owner {
            Some(user) => lchown(target, Some(user.uid), Some(user.gid))
                .map_err(|source| failed(relative, source)),
            None => Ok(()),
        }
    }
}

/// Latest time a file may claim, seconds: the year 2100. Some file systems fail beyond theirs.
const TIME_MAX_S: u64 = 4_102_444_800;

/// The path without its `.` parts, if it stays inside whatever it is joined to.
pub(crate) fn inside(path: &Path) -> Result<PathBuf, UnpackError> {
    let outside = || UnpackError::Outside(path.display().to_string());
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(outside());
            }
        }
    }
    if clean.components().count() > DEPTH_MAX {
        return Err(outside());
    }
    Ok(clean)
}

/// Does a link at `link` point at something below the root? By name alone, so a chain of links is
/// judged link by link, each of which stays inside.
fn stays_inside(link: &Path, points_at: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for component in points_at.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn failed(relative: &Path, source: io::Error) -> UnpackError {
    let path = relative.display().to_string();
    UnpackError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        entries: 10,
        bytes: 100,
    };

    fn tree(folder: &Path, links: Links) -> Tree {
        Tree::new(folder.to_owned(), LIMITS, links, None)
    }

    #[test]
    fn nothing_is_written_outside_or_through_a_link() {
        let outer = tempfile::tempdir().expect("a folder");
        let root = outer.path().join("root");
        fs::create_dir(&root).expect("made");
        let mut tree = tree(&root, Links::Anywhere);
        for path in ["../evil", "/evil", "a/../../evil"] {
            let error = tree.file(Path::new(path), 0o644, None, &mut &b"x"[..]);
            assert!(matches!(error, Err(UnpackError::Outside(_))), "{path}");
        }
        tree.link(Path::new("out"), Path::new(".."))
            .expect("a link");
        let through = tree.file(Path::new("out/evil"), 0o644, None, &mut &b"x"[..]);
        assert!(matches!(through, Err(UnpackError::ThroughLink(_))));
        let hard = tree.hard_link(Path::new("h"), Path::new("out/root"));
        assert!(hard.is_err());
        // A file over a link replaces the link and leaves alone what it points at.
        fs::write(outer.path().join("victim"), "safe").expect("written");
        tree.link(Path::new("l"), Path::new("../victim"))
            .expect("a link");
        tree.file(Path::new("l"), 0o644, None, &mut &b"x"[..])
            .expect("replaced");
        assert_eq!(
            fs::read(outer.path().join("victim")).expect("there"),
            b"safe"
        );
    }

    #[test]
    fn links_are_kept_inside_where_they_must_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tree = tree(folder.path(), Links::Inside);
        for (at, to, allowed) in [
            ("a/b/link", "../c", true),
            ("a/b/link", "../../c", true),
            ("a/b/link", "../../../c", false),
            ("link", "/etc/passwd", false),
            ("link", "x/../../y", false),
        ] {
            assert_eq!(
                tree.link(Path::new(at), Path::new(to)).is_ok(),
                allowed,
                "{at} -> {to}"
            );
        }
    }

    #[test]
    fn bombs_end_at_the_limits() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tree = tree(folder.path(), Links::Inside);
        let mut endless = io::repeat(b'x');
        let bomb = tree.file(Path::new("bomb"), 0o644, None, &mut endless);
        assert!(matches!(bomb, Err(UnpackError::TooLarge(100))));
        let many = (0..20).try_for_each(|n| tree.folder(Path::new(&format!("d{n}"))));
        assert!(matches!(many, Err(UnpackError::TooMany(10))));
    }

    #[test]
    fn everybody_may_write_what_has_no_owner_and_nothing_is_set_uid() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut tree = tree(folder.path(), Links::Anywhere);
        tree.file(Path::new("run"), 0o4755, Some(7), &mut &b"x"[..])
            .expect("written");
        tree.file(Path::new("plain"), 0o600, None, &mut &b"x"[..])
            .expect("written");
        let mode = |name: &str| {
            let about = fs::metadata(folder.path().join(name)).expect("there");
            about.permissions().mode() & 0o7777
        };
        assert_eq!((mode("run"), mode("plain")), (0o777, 0o666));
    }
}
