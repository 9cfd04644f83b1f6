//! The contract on sled, and what only a store on a disk can get wrong.

mod crash;
mod damage;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cfx_protocol::id::ClusterGuid;

use super::{SledOptions, SledStore};
use crate::commit::{Commit, Op};
use crate::contract::{Fixture, TestTime, contract_tests};
use crate::store::{Loaded, Store, StoreError};

const CLUSTER: ClusterGuid = ClusterGuid::NIL;

fn options(path: &Path) -> SledOptions {
    let time = TestTime::default();
    SledOptions::new(path, CLUSTER, time.clock(), "cfx restore-command")
}

async fn reopen(path: &Path) -> Result<SledStore, StoreError> {
    SledStore::open(options(path)).await
}

async fn open() -> Fixture {
    let folder = tempfile::tempdir().expect("temporary folder");
    let time = TestTime::default();
    let options = SledOptions::new(folder.path(), CLUSTER, time.clock(), "cfx restore-command");
    Fixture {
        store: Arc::new(SledStore::open(options).await.expect("opened")),
        time,
        _folder: Some(folder),
    }
}

contract_tests!(open);

fn put(key: String, value: impl Into<Bytes>) -> Commit {
    Commit {
        compares: Vec::new(),
        ops: vec![Op::put(key, value)],
    }
}

/// A store of so many keys, closed, and what it contained.
async fn filled(path: &Path, keys: usize) -> Loaded {
    let store = reopen(path).await.expect("opened");
    for key in 0..keys {
        let value = vec![b"abcdefg"[key % 7]; 100 + key * 7 % 900];
        store
            .commit(put(format!("/key/{key:05}"), value))
            .await
            .expect("committed");
    }
    let loaded = store.load("").await.expect("loaded");
    store.close().await.expect("closed");
    loaded
}

#[tokio::test]
async fn a_reopened_store_has_its_state_and_identity_and_a_higher_epoch() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let before = filled(folder.path(), 50).await;
    let mut options = options(folder.path());
    options.new_cluster = ClusterGuid(
        "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001"
            .parse()
            .expect("guid"),
    );
    let store = SledStore::open(options).await.expect("opened");
    assert_eq!(store.load("").await.expect("loaded"), before);
    assert_eq!(
        store.identity().cluster,
        CLUSTER,
        "the guid offered is for new stores only"
    );
    assert_eq!(store.identity().epoch, 2);
    let revision = store
        .commit(put("/next".into(), ""))
        .await
        .expect("committed");
    assert_eq!(revision, before.revision + 1);
}

#[tokio::test]
async fn a_second_open_says_who_has_the_store() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let _store = reopen(folder.path()).await.expect("opened");
    let refused = reopen(folder.path()).await.map(drop).expect_err("in use");
    let own_pid = std::process::id().to_string();
    assert!(
        matches!(&refused, StoreError::InUse { pid, .. } if *pid == own_pid),
        "{refused}"
    );
}

#[tokio::test]
async fn a_watch_across_a_reopen_must_list_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let before = filled(folder.path(), 3).await;
    let store = reopen(folder.path()).await.expect("opened");
    assert!(store.watch("", before.revision).await.is_err());
    assert!(store.watch("", before.revision + 1).await.is_ok());
}

#[tokio::test]
async fn keys_of_leases_end_with_the_process() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = reopen(folder.path()).await.expect("opened");
    let lease = store
        .grant_lease(std::time::Duration::from_secs(60))
        .await
        .expect("granted");
    let leased = Op::Put {
        key: "/leader".into(),
        value: Bytes::new(),
        lease: Some(lease),
    };
    let commit = Commit {
        compares: Vec::new(),
        ops: vec![leased, Op::put("/kept", "")],
    };
    store.commit(commit).await.expect("committed");
    store.close().await.expect("closed");
    let store = reopen(folder.path()).await.expect("opened");
    let loaded = store.load("").await.expect("loaded");
    assert_eq!(loaded.revision, 2, "their end is a commit");
    assert_eq!(loaded.entries.len(), 1);
    assert_eq!(loaded.entries[0].key, "/kept");
}

#[tokio::test]
async fn a_half_made_snapshot_is_removed_before_opening() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let before = filled(folder.path(), 5).await;
    let snapshot = folder.path().join("data/snap.00000000000000FF.generating");
    std::fs::write(&snapshot, b"half").expect("written");
    let store = reopen(folder.path()).await.expect("opened");
    assert!(!snapshot.exists());
    assert_eq!(store.load("").await.expect("loaded"), before);
}

#[tokio::test]
async fn no_page_of_the_largest_values_becomes_a_blob() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = reopen(folder.path()).await.expect("opened");
    for round in 0..4_u8 {
        for key in 0..64 {
            let value = vec![round; crate::commit::VALUE_BYTES_MAX];
            store
                .commit(put(format!("/key/{key:0>500}"), value))
                .await
                .expect("committed");
        }
    }
    store.close().await.expect("closed");
    let blobs = std::fs::read_dir(folder.path().join("data/blobs"))
        .expect("listed")
        .count();
    assert_eq!(blobs, 0);
}
