//! Damage is told and never papered over: flipped bits, cut and vanished files, a full disk.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{filled, options, put, reopen};
use crate::commit::CommitError;
use crate::sled::SledStore;
use crate::store::{Loaded, Store, StoreError};

/// Opens a store that was tampered with: all must be as before, or the damage must be named.
/// Returns what was said.
async fn intact_or_refused(path: &Path, before: &Loaded, case: &str) -> Option<String> {
    match reopen(path).await {
        Ok(store) => {
            let loaded = store.load("").await.expect("loaded");
            assert!(loaded == *before, "{case}: opened with other contents");
            store.close().await.expect("closed");
            None
        }
        Err(error @ StoreError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(text.contains("cfx restore-command"), "{text}");
            Some(text)
        }
        Err(other) => panic!("{case}: {other}"),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[tokio::test]
async fn a_value_that_changed_on_disk_is_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path(), 20).await;
    {
        let db = ::sled::Config::default()
            .path(folder.path().join("data"))
            .segment_size(4 * 1024 * 1024)
            .open()
            .expect("opened");
        let mut value = db
            .get(b"k/key/00007")
            .expect("read")
            .expect("there")
            .to_vec();
        value[40] ^= 1;
        db.insert(b"k/key/00007", value).expect("written");
        db.flush().expect("flushed");
    }
    let error = reopen(folder.path())
        .await
        .map(drop)
        .expect_err("damaged")
        .to_string();
    assert!(error.contains("/key/00007"), "{error}");
    assert!(error.contains("cfx restore-command"), "{error}");
}

#[tokio::test]
async fn a_flipped_bit_in_the_file_is_never_served() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let original = folder.path().join("original");
    let before = filled(&original, 200).await;
    let length = used_length(&original.join("data/db"));
    let mut refusals = 0;
    for step in 0..24 {
        let case = folder.path().join(step.to_string());
        copy(&original, &case);
        let offset = length * step / 24 + step * 37 % 1_000;
        flip(&case.join("data/db"), offset.min(length - 1));
        let said = intact_or_refused(&case, &before, &format!("bit at {offset}")).await;
        refusals += usize::from(said.is_some());
    }
    assert!(refusals > 0, "no flip hit anything");
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    byte[0] ^= 0x10;
    file.write_all_at(&byte, offset).expect("written");
}

/// sled's file without the zeroes at its end.
fn used_length(path: &Path) -> u64 {
    let bytes = std::fs::read(path).expect("read");
    let last = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("not empty");
    last as u64 + 1
}

#[tokio::test]
async fn a_cut_tail_loses_nothing_or_is_told() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let original = folder.path().join("original");
    let before = filled(&original, 200).await;
    let length = used_length(&original.join("data/db"));
    let mut refusals = 0;
    for cut in [1, 20, 500, 5_000, length / 2, length - 1, length] {
        let case = folder.path().join(cut.to_string());
        copy(&original, &case);
        let db = OpenOptions::new()
            .write(true)
            .open(case.join("data/db"))
            .expect("opened");
        db.set_len(length - cut).expect("cut");
        let said = intact_or_refused(&case, &before, &format!("{cut} bytes cut")).await;
        refusals += usize::from(said.is_some());
    }
    assert!(refusals > 0, "no cut hit anything");
}

#[tokio::test]
async fn a_store_whose_data_vanished_is_never_started_empty() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path(), 5).await;
    std::fs::remove_dir_all(folder.path().join("data")).expect("removed");
    let error = reopen(folder.path())
        .await
        .map(drop)
        .expect_err("damaged")
        .to_string();
    assert!(error.contains("revisions up to 5"), "{error}");
}

#[tokio::test]
async fn an_older_copy_of_the_data_is_told() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path(), 5).await;
    copy(&folder.path().join("data"), &folder.path().join("old"));
    let store = reopen(folder.path()).await.expect("opened");
    store
        .commit(put("/later".into(), ""))
        .await
        .expect("committed");
    store.close().await.expect("closed");
    std::fs::remove_dir_all(folder.path().join("data")).expect("removed");
    std::fs::rename(folder.path().join("old"), folder.path().join("data")).expect("renamed");
    let error = reopen(folder.path())
        .await
        .map(drop)
        .expect_err("damaged")
        .to_string();
    assert!(
        error.contains("ends at revision 5, but 6 was acknowledged"),
        "{error}"
    );
}

/// A small file system of its own; needs root, as the whole test command does.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mib: u32) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        nix::mount::mount(
            Some("tmpfs"),
            folder.path(),
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some(format!("size={mib}m").as_str()),
        )
        .expect("tests that fill a disk need root, to mount one");
        Self(folder)
    }

    /// Takes up all that is free.
    fn fill(&self) {
        let mut rest = std::fs::File::create(self.0.path().join("filler")).expect("created");
        let filled = std::io::copy(&mut std::io::repeat(1), &mut rest);
        assert!(filled.is_err(), "it has an end");
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("filler")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH).expect("unmounted");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_writes_go_on_when_there_is_space_again() {
    let disk = SmallDisk::mount(64);
    let path = disk.0.path().join("store");
    let store = reopen(&path).await.expect("opened");
    store
        .commit(put("/a".into(), "1"))
        .await
        .expect("committed");
    disk.fill();
    let refused = store.commit(put("/a".into(), "2")).await;
    let no_space = matches!(refused, Err(CommitError::Store(StoreError::NoSpace { .. })));
    assert!(no_space, "{refused:?}");
    assert_eq!(store.load("").await.expect("reads go on").revision, 1);
    disk.empty();
    assert_eq!(
        store
            .commit(put("/a".into(), "3"))
            .await
            .expect("committed"),
        2
    );
}

#[tokio::test]
async fn sled_that_met_a_full_disk_is_opened_again_with_all_that_was_acknowledged() {
    let disk = SmallDisk::mount(24);
    let time = crate::contract::TestTime::default();
    let mut options = options(&disk.0.path().join("store"));
    options.space_guard = false;
    options.clock = time.clock();
    let store = SledStore::open(options).await.expect("opened");
    store
        .commit(put("/a".into(), "1"))
        .await
        .expect("committed");
    disk.fill();
    let mut acknowledged = 0;
    let failed = loop {
        let key = format!("/fill/{acknowledged}");
        match store.commit(put(key, vec![1; 32 * 1024])).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk never filled");
    };
    assert!(matches!(failed, CommitError::Unknown { .. }), "{failed:?}");
    let refused = store.commit(put("/b".into(), "")).await;
    assert!(
        matches!(refused, Err(CommitError::Store(ref e)) if e.can_retry()),
        "{refused:?}"
    );
    disk.empty();
    time.advance(std::time::Duration::from_secs(2));
    let loaded = store.load("/fill/").await.expect("opened again");
    assert!(loaded.entries.len() >= acknowledged, "{acknowledged}");
    store.commit(put("/b".into(), "")).await.expect("committed");
}
