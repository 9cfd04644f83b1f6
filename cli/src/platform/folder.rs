//! The data folder of a platform: one process at a time, secrets for its owner's eyes only.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use cfx_process::durable_file::{self, MODE_SECRET};
use cfx_process::entropy::IdSource;
use nix::fcntl::{Flock, FlockArg};
use uuid::Uuid;

use crate::failure::{Failure, Outcome};

const LOCK_FILE: &str = "in-use";
const PASSWORD_FILE: &str = "admin-password";
/// What to do about a folder that another platform uses.
const IN_USE: &str =
    "stop that one with Ctrl-C, or start a second one beside it: --data DIR and other ports";
/// Random bytes of a made password.
const PASSWORD_BYTES: usize = 12;
/// Random bytes of a secret that no person types.
const SECRET_BYTES: usize = 24;

/// A folder that this process owns until it ends.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Held, not read: the lock ends with the process, however it ends.
    _lock: Flock<File>,
}

impl DataFolder {
    /// Take the folder; `holder` is what a second process is told about this one.
    pub(crate) fn take(path: &Path, holder: &str) -> Outcome<Self> {
        Self::take_stopped(path, holder, IN_USE)
    }

    /// The same for work on a stopped platform; `next` is what to do when it is not.
    pub(crate) fn take_stopped(path: &Path, holder: &str, next: &str) -> Outcome<Self> {
        let unusable = |detail: String| {
            Failure::new(format!("cannot use {}: {detail}", path.display()))
                .next("give a folder of yours: --data DIR")
        };
        durable_file::create_private_folder(path).map_err(|error| unusable(error.to_string()))?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK_FILE))
            .map_err(|error| unusable(error.to_string()))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => return Err(in_use(path, file, next)),
            Err((_, error)) => return Err(unusable(error.to_string())),
        };
        let line = format!("pid {}, {holder}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(line.as_bytes()))
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn password_path(&self) -> PathBuf {
        self.path(PASSWORD_FILE)
    }

    /// The password of the user `admin`: the given one, the kept one, or a new one; kept.
    pub(crate) fn admin_password(&self, given: Option<&str>, ids: &IdSource) -> Outcome<String> {
        let path = self.password_path();
        let kept = self.read(&path)?;
        let password = match (given, kept) {
            (Some(given), Some(kept)) if given == kept => return Ok(kept),
            (None, Some(kept)) => return Ok(kept),
            (Some(given), _) => given.to_owned(),
            (None, None) => ids.secret(PASSWORD_BYTES),
        };
        self.write(&path, &password)?;
        Ok(password)
    }

    /// A secret under a name: made once, kept for its owner's eyes only.
    pub(crate) fn secret(&self, name: &str, ids: &IdSource) -> Outcome<String> {
        let path = self.path(name);
        if let Some(kept) = self.read(&path)? {
            return Ok(kept);
        }
        let made = ids.secret(SECRET_BYTES);
        self.write(&path, &made)?;
        Ok(made)
    }

    /// A guid under a name: the same at each start.
    pub(crate) fn guid(&self, name: &str, ids: &IdSource) -> Outcome<Uuid> {
        let path = self.path(&format!("{name}.guid"));
        let kept = self.read(&path)?;
        if let Some(guid) = kept.and_then(|text| text.parse().ok()) {
            return Ok(guid);
        }
        let guid: Uuid = ids.guid();
        self.write(&path, &guid.to_string())?;
        Ok(guid)
    }

    fn read(&self, path: &Path) -> Outcome<Option<String>> {
        let content = durable_file::read(path).map_err(|error| {
            Failure::new(format!("cannot read {}: {error}", path.display()))
                .next("check who owns the data folder")
        })?;
        let text = content.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn write(&self, path: &Path, text: &str) -> Outcome {
        durable_file::write(path, format!("{text}\n").as_bytes(), MODE_SECRET).map_err(|error| {
            Failure::new(format!("cannot write {}: {error}", path.display()))
                .next("check who owns the data folder, and that the disk has room")
        })
    }
}

fn in_use(path: &Path, file: File, next: &str) -> Failure {
    let mut holder = String::new();
    // Who holds it is a courtesy; that it is held is certain.
    drop(file.take(200).read_to_string(&mut holder));
    Failure::new(format!(
        "{} is in use by another platform ({})",
        path.display(),
        holder.trim()
    ))
    .next(next)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_in_use_says_by_whom_and_is_free_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DataFolder::take(folder.path(), "API at http://h:1").expect("free");
        let failure = DataFolder::take(folder.path(), "other").expect_err("in use");
        assert!(failure.message().contains("in use"), "{failure:?}");
        assert!(
            failure.message().contains("API at http://h:1"),
            "{failure:?}"
        );
        drop(first);
        DataFolder::take(folder.path(), "other").expect("free again");
    }

    #[test]
    fn the_password_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = DataFolder::take(folder.path(), "x").expect("free");
        let ids = IdSource::seeded(1);
        let made = taken.admin_password(None, &ids).expect("made");
        assert_eq!(taken.admin_password(None, &ids).expect("kept"), made);
        let mode = std::fs::metadata(taken.path(PASSWORD_FILE))
            .expect("there")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let given = taken
            .admin_password(Some("another-one"), &ids)
            .expect("set");
        assert_eq!(given, "another-one");
        assert_eq!(
            taken.admin_password(None, &ids).expect("kept"),
            "another-one"
        );
    }

    #[test]
    fn a_guid_stays_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = DataFolder::take(folder.path(), "x").expect("free");
        let ids = IdSource::seeded(1);
        let cell = taken.guid("cell-0", &ids).expect("made");
        assert_eq!(taken.guid("cell-0", &ids).expect("kept"), cell);
        assert_ne!(taken.guid("cell-1", &ids).expect("made"), cell);
    }
}
