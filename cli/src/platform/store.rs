//! The stores of a platform on disk, one of each role that keeps one: how they are opened, and what a
//! backup takes from one or puts back.
//!
//! A store is never overwritten: what a restore replaces is moved aside, whole.

use std::io;
use std::path::{Path, PathBuf};

use cfx_process::clock::Clock;
use cfx_process::durable_file::{self, MODE_SECRET};
use cfx_process::entropy::IdSource;
use cfx_store::backup::{self, BackupError, Summary};
use cfx_store::lease::Monotonic;
use cfx_store::sled::{SledOptions, SledStore};
use cfx_store::store::{Store, StoreError};

use super::error_text;
use super::folder::DataFolder;
use crate::args::StoreRole;
use crate::failure::{Failure, Outcome};

/// The store in a role's part of a data folder.
const STORE: &str = "store";
/// Names tried for what a restore moves aside.
const ASIDE_MAX: u32 = 1_000;
const IN_USE: &str =
    "stop that platform with Ctrl-C first; this works on a stopped platform's folder";

/// A backup that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) summary: Summary,
    /// Of the file.
    pub(crate) bytes: u64,
}

/// A store that was restored.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) summary: Summary,
    pub(crate) store: PathBuf,
    /// Where the store is now that was there before.
    pub(crate) aside: Option<PathBuf>,
}

/// Open the store of a role in the data folder `data`; makes one where there is none.
pub(super) async fn open(
    data: &Path,
    role: StoreRole,
    clock: &Clock,
    ids: &IdSource,
) -> Outcome<SledStore> {
    let options = options(data, role, clock, ids);
    SledStore::open(options).await.map_err(|error| {
        let next = match &error {
            StoreError::Damaged {
                restore_command, ..
            } => format!(
                "nothing was changed; `{restore_command}`, where FILE is what `cfx store backup` made"
            ),
            StoreError::InUse { .. } => IN_USE.to_owned(),
            _ => "nothing was changed; check who owns the data folder, and that the disk has room"
                .to_owned(),
        };
        Failure::new(format!(
            "the store cannot be opened: {}",
            error_text(&error)
        ))
        .next(next)
    })
}

/// Write all that a store of the data folder `data` holds to a new file.
pub(crate) async fn back_up(
    data: &Path,
    role: StoreRole,
    file: &Path,
    clock: &Clock,
    ids: &IdSource,
) -> Outcome<Made> {
    let place = data.join(role.folder());
    if is_empty(&place.join(STORE)) {
        return Err(
            Failure::new(format!("there is no store in {}", place.display()))
                .next("name the data folder of a platform: --data DIR"),
        );
    }
    if file.exists() {
        return Err(Failure::new(format!("{} is there already", file.display()))
            .next("name a file that does not exist yet"));
    }
    let _folder = DataFolder::take_stopped(data, "cfx store backup", IN_USE)?;
    let store = open(data, role, clock, ids).await?;
    let mut bytes = Vec::new();
    let exported = backup::export(&store, &mut bytes).await;
    let closed = store.close().await;
    let summary = exported.map_err(|error| not_made(file, &error))?;
    closed.map_err(|error| not_made(file, &error))?;
    durable_file::write(file, &bytes, MODE_SECRET).map_err(|error| not_made(file, &error))?;
    verify(file)?;
    Ok(Made {
        summary,
        bytes: bytes.len() as u64,
    })
}

/// Make a store of the data folder `data` from a backup.
pub(crate) async fn restore(
    data: &Path,
    role: StoreRole,
    file: &Path,
    replace: bool,
    clock: &Clock,
    ids: &IdSource,
) -> Outcome<Restored> {
    verify(file)?;
    let _folder = DataFolder::take_stopped(data, "cfx store restore", IN_USE)?;
    let place = data.join(role.folder());
    let store = place.join(STORE);
    if !is_empty(&store) && !replace {
        return Err(
            Failure::new(format!("{} holds a store already", store.display()))
                .next("--replace moves it aside and puts the backup in its place"),
        );
    }
    durable_file::create_private_folder(&place).map_err(|error| {
        Failure::new(format!("cannot use {}: {error}", place.display()))
            .next("check who owns the data folder, and that the disk has room")
    })?;
    let aside = if is_empty(&store) {
        None
    } else {
        Some(move_aside(&store)?)
    };
    let input = std::fs::File::open(file).map_err(|error| unreadable(file, &error))?;
    let options = options(data, role, clock, ids);
    match backup::restore(input, &options).await {
        Ok(summary) => Ok(Restored {
            summary,
            store,
            aside,
        }),
        Err(error) => Err(not_restored(&store, aside.as_deref(), &error)),
    }
}

fn options(data: &Path, role: StoreRole, clock: &Clock, ids: &IdSource) -> SledOptions {
    let elapsed = clock.clone();
    let clock = Monotonic::new(move || elapsed.monotonic());
    let store = data.join(role.folder()).join(STORE);
    SledOptions::new(store, ids.guid(), clock, restore_command(data, role))
}

/// What an operator types when the store is damaged.
fn restore_command(data: &Path, role: StoreRole) -> String {
    let path = shell_word(&data.display().to_string());
    let of_role = match role {
        StoreRole::Controller => String::new(),
        other => format!(" --role {}", other.folder()),
    };
    format!("cfx store restore FILE --data {path}{of_role} --replace")
}

/// Text that a shell takes as one word.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Read the whole backup before anything depends on it.
fn verify(file: &Path) -> Outcome<Summary> {
    let input = std::fs::File::open(file).map_err(|error| unreadable(file, &error))?;
    backup::verify(input).map_err(|error| {
        Failure::new(format!(
            "{} is no sound backup: {}",
            file.display(),
            error_text(&error)
        ))
        .next("nothing was changed; use a file that `cfx store backup` made")
    })
}

/// Rename, so that nothing is lost and nothing is copied.
fn move_aside(store: &Path) -> Outcome<PathBuf> {
    let failed = |error: io::Error| {
        Failure::new(format!("cannot move {} aside: {error}", store.display()))
            .next("nothing was changed; move it away yourself, then again")
    };
    for number in 1..=ASIDE_MAX {
        let aside = store.with_extension(format!("replaced-{number}"));
        if aside.symlink_metadata().is_err() {
            std::fs::rename(store, &aside).map_err(failed)?;
            return Ok(aside);
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", file.display()))
        .next("name a file that `cfx store backup` made")
}

fn not_made(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!(
        "the backup {} was not made: {}",
        file.display(),
        error_text(error)
    ))
    .next("check that its disk has room, and that its folder is yours")
}

/// The old store goes back where it was.
fn not_restored(store: &Path, aside: Option<&Path>, error: &BackupError) -> Failure {
    let failure = Failure::new(format!("nothing was restored: {}", error_text(error)));
    match aside.map(|aside| (aside, std::fs::rename(aside, store))) {
        None => failure.next("check that the disk has room, then again"),
        Some((_, Ok(()))) => {
            failure.next("the store is as it was; check that the disk has room, then again")
        }
        Some((aside, Err(_))) => failure.next(format!(
            "the store that was there is now {}",
            aside.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROLLER: StoreRole = StoreRole::Controller;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for (path, command) in [
            ("/data", "cfx store restore FILE --data /data --replace"),
            (
                "/my data/it's",
                "cfx store restore FILE --data '/my data/it'\\''s' --replace",
            ),
        ] {
            assert_eq!(restore_command(Path::new(path), CONTROLLER), command);
        }
    }

    #[test]
    fn what_is_moved_aside_never_replaces_what_was_moved_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        let mut seen = Vec::new();
        for _ in 0..3 {
            std::fs::create_dir(&store).expect("made");
            seen.push(move_aside(&store).expect("moved"));
        }
        seen.dedup();
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|aside| aside.exists()) && !store.exists());
    }

    #[tokio::test]
    async fn a_backup_needs_a_stopped_platform_and_comes_back_in_another_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
        let (clock, ids) = (Clock::system(), IdSource::seeded(1));
        let none = back_up(&data, CONTROLLER, &file, &clock, &ids).await;
        assert!(none.expect_err("none").message().contains("no store"));
        let store = open(&data, CONTROLLER, &clock, &ids).await;
        store.expect("made").close().await.expect("closed");

        let running = DataFolder::take(&data, "API at http://h:1").expect("free");
        let refused = back_up(&data, CONTROLLER, &file, &clock, &ids).await;
        let failure = refused.expect_err("in use");
        assert!(
            failure.message().contains("API at http://h:1"),
            "{failure:?}"
        );
        assert_eq!(failure.next_step(), Some(IN_USE));
        assert!(!file.exists());
        drop(running);

        let made = back_up(&data, CONTROLLER, &file, &clock, &ids)
            .await
            .expect("made");
        assert!(
            back_up(&data, CONTROLLER, &file, &clock, &ids)
                .await
                .is_err(),
            "never overwritten"
        );
        let held = restore(&data, CONTROLLER, &file, false, &clock, &ids).await;
        assert!(
            held.expect_err("held")
                .next_step()
                .expect("a step")
                .contains("--replace")
        );
        let again = restore(&data, CONTROLLER, &file, true, &clock, &ids)
            .await
            .expect("restored");
        assert_eq!(again.summary, made.summary);
        assert!(again.aside.expect("moved").join("data").exists());
        let of_others = restore_command(&data, StoreRole::Autoscaler);
        assert!(of_others.contains("--role autoscaler --replace"));
        let other = folder.path().join("other");
        let moved = restore(&other, CONTROLLER, &file, false, &clock, &ids)
            .await
            .expect("restored");
        assert_eq!((moved.summary, moved.aside), (made.summary, None));
        open(&other, CONTROLLER, &clock, &ids).await.expect("sound");
    }
}
