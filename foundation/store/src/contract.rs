//! What every backend must do, as tests that run against each of them (`contract_tests!`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::commit::{
    COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Commit, CommitError, Compare, KEY_BYTES_MAX, LimitError, Op,
    VALUE_BYTES_MAX,
};
use crate::lease::{LeaseError, LeaseId, Monotonic};
use crate::store::{Revision, Store, StoreError};
use crate::watch::{Event, HISTORY_REVISIONS_MAX, WATCH_QUEUE_MAX, WatchError, WatchStream};

/// A new, empty store whose time the test owns.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) time: TestTime,
    /// Kept for as long as the store.
    pub(crate) _folder: Option<tempfile::TempDir>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct TestTime(Arc<AtomicU64>);

impl TestTime {
    pub(crate) fn clock(&self) -> Monotonic {
        let millis = Arc::clone(&self.0);
        Monotonic::new(move || Duration::from_millis(millis.load(Ordering::SeqCst)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("short");
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

/// Instantiates the suite for a backend: `contract_tests!(open)` with `async fn open() -> Fixture`.
macro_rules! contract_tests {
    ($open:path) => {
        crate::contract::contract_tests!($open =>
            a_new_store_is_empty_and_at_revision_zero,
            a_commit_raises_the_revision_by_one_and_shows_in_a_load,
            create_revision_stays_and_mod_revision_moves,
            a_failed_compare_changes_nothing_and_names_its_key,
            every_compare_can_hold,
            a_commit_that_changes_nothing_makes_no_revision,
            a_load_takes_only_its_prefix_in_order,
            of_many_writers_with_the_same_compare_one_wins,
            limits_are_refused_with_a_clear_error,
            the_largest_legal_commit_is_taken,
            a_watch_sees_every_revision_once_in_order,
            a_watch_resumes_from_a_revision,
            a_watch_from_the_future_begins_there,
            a_watch_on_forgotten_revisions_must_list_again,
            a_watcher_that_is_too_slow_must_list_again,
            a_lease_takes_its_keys_with_it,
            keep_alive_holds_a_lease,
            a_revoked_lease_deletes_its_keys_in_one_commit,
            a_put_moves_a_key_off_its_lease,
            an_ended_lease_takes_no_keys,
            a_thousand_keys_load_as_they_were_written,
            a_closed_store_says_so,
        );
    };
    ($open:path => $($name:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            crate::contract::$name($open().await).await;
        })+
    };
}
pub(crate) use contract_tests;

fn put(key: &str, value: &str) -> Op {
    Op::put(key, Bytes::copy_from_slice(value.as_bytes()))
}

fn ops(ops: impl IntoIterator<Item = Op>) -> Commit {
    Commit {
        compares: Vec::new(),
        ops: ops.into_iter().collect(),
    }
}

impl Fixture {
    async fn commit(&self, commit: Commit) -> Revision {
        self.store.commit(commit).await.expect("committed")
    }

    /// Keys and values under a prefix, as text.
    async fn listing(&self, prefix: &str) -> Vec<(String, String)> {
        let loaded = self.store.load(prefix).await.expect("loaded");
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
        loaded
            .entries
            .into_iter()
            .map(|entry| (entry.key, text(&entry.value)))
            .collect()
    }
}

pub(crate) async fn a_new_store_is_empty_and_at_revision_zero(fixture: Fixture) {
    let loaded = fixture.store.load("").await.expect("loaded");
    assert_eq!((loaded.revision, loaded.entries.len()), (0, 0));
    assert!(fixture.store.identity().epoch >= 1);
}

pub(crate) async fn a_commit_raises_the_revision_by_one_and_shows_in_a_load(fixture: Fixture) {
    assert_eq!(
        fixture.commit(ops([put("/a", "1"), put("/b", "2")])).await,
        1
    );
    assert_eq!(fixture.commit(ops([Op::delete("/a")])).await, 2);
    let loaded = fixture.store.load("/").await.expect("loaded");
    assert_eq!(loaded.revision, 2);
    assert_eq!(fixture.listing("/").await, [("/b".into(), "2".into())]);
}

pub(crate) async fn create_revision_stays_and_mod_revision_moves(fixture: Fixture) {
    fixture.commit(ops([put("/a", "1")])).await;
    fixture.commit(ops([put("/a", "2")])).await;
    let loaded = fixture.store.load("/a").await.expect("loaded");
    let entry = &loaded.entries[0];
    assert_eq!((entry.create_revision, entry.mod_revision), (1, 2));
    fixture.commit(ops([Op::delete("/a")])).await;
    fixture.commit(ops([put("/a", "3")])).await;
    let loaded = fixture.store.load("/a").await.expect("loaded");
    assert_eq!(loaded.entries[0].create_revision, 4, "made anew");
}

pub(crate) async fn a_failed_compare_changes_nothing_and_names_its_key(fixture: Fixture) {
    fixture.commit(ops([put("/a", "1")])).await;
    for compare in [
        Compare::absent("/a"),
        Compare::mod_revision("/a", 7),
        Compare::mod_revision("/none", 1),
        Compare::create_revision("/a", 2),
        Compare::create_revision("/none", 1),
    ] {
        let key = compare.key.clone();
        let refused = fixture
            .store
            .commit(Commit {
                compares: vec![Compare::mod_revision("/a", 1), compare.clone()],
                ops: vec![put("/a", "2"), put("/b", "2"), Op::delete("/c")],
            })
            .await;
        let named = matches!(&refused, Err(CommitError::Conflict { key: k }) if *k == key);
        assert!(named, "{compare:?}: {refused:?}");
    }
    assert_eq!(fixture.listing("").await, [("/a".into(), "1".into())]);
    assert_eq!(
        fixture.commit(ops([put("/z", "")])).await,
        2,
        "no revision was used up"
    );
}

pub(crate) async fn every_compare_can_hold(fixture: Fixture) {
    fixture.commit(ops([put("/a", "1")])).await;
    fixture.commit(ops([put("/a", "2")])).await;
    let revision = fixture
        .commit(Commit {
            compares: vec![
                Compare::mod_revision("/a", 2),
                Compare::create_revision("/a", 1),
                Compare::absent("/b"),
            ],
            ops: vec![put("/b", "3")],
        })
        .await;
    assert_eq!(revision, 3);
}

pub(crate) async fn a_commit_that_changes_nothing_makes_no_revision(fixture: Fixture) {
    fixture.commit(ops([put("/a", "1")])).await;
    assert_eq!(fixture.commit(ops([Op::delete("/none")])).await, 1);
    assert_eq!(fixture.commit(Commit::default()).await, 1);
    assert_eq!(
        fixture.commit(ops([put("/a", "1")])).await,
        2,
        "a put is a change"
    );
}

pub(crate) async fn a_load_takes_only_its_prefix_in_order(fixture: Fixture) {
    let keys = ["/app/b", "/app/a", "/apps/c", "/ap", "/route/x"];
    fixture.commit(ops(keys.map(|key| put(key, key)))).await;
    let listed = |pairs: Vec<(String, String)>| pairs.into_iter().map(|p| p.0).collect::<Vec<_>>();
    assert_eq!(listed(fixture.listing("/app/").await), ["/app/a", "/app/b"]);
    assert_eq!(listed(fixture.listing("/nothing").await), [""; 0]);
    assert_eq!(fixture.listing("").await.len(), keys.len());
}

pub(crate) async fn of_many_writers_with_the_same_compare_one_wins(fixture: Fixture) {
    let attempts = (0..64).map(|writer| {
        let store = Arc::clone(&fixture.store);
        async move {
            store
                .commit(Commit {
                    compares: vec![Compare::absent("/leader")],
                    ops: vec![put("/leader", &writer.to_string())],
                })
                .await
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for attempt in attempts {
        tasks.spawn(attempt);
    }
    let outcomes = tasks.join_all().await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(CommitError::Conflict { .. })))
        .count();
    assert_eq!((won, lost), (1, 63));
}

pub(crate) async fn limits_are_refused_with_a_clear_error(fixture: Fixture) {
    let long_key = "k".repeat(KEY_BYTES_MAX + 1);
    let big = Bytes::from(vec![0; VALUE_BYTES_MAX]);
    let many = (0..=COMMIT_OPS_MAX)
        .map(|i| put(&format!("/{i}"), ""))
        .collect::<Vec<_>>();
    let cases = [
        (
            ops(many),
            LimitError::TooManyOps {
                found: COMMIT_OPS_MAX + 1,
            },
        ),
        (ops([put("", "")]), LimitError::KeyLength { found: 0 }),
        (
            ops([put(&long_key, "")]),
            LimitError::KeyLength {
                found: KEY_BYTES_MAX + 1,
            },
        ),
        (
            ops([Op::put("/a", vec![0; VALUE_BYTES_MAX + 1])]),
            LimitError::ValueTooLarge {
                key: "/a".into(),
                found: VALUE_BYTES_MAX + 1,
            },
        ),
        (
            ops([put("/a", ""), Op::delete("/a")]),
            LimitError::DuplicateKey { key: "/a".into() },
        ),
        (
            ops((0..33).map(|i| Op::put(format!("/{i:03}"), big.clone()))),
            LimitError::CommitTooLarge {
                found: 33 * (VALUE_BYTES_MAX + 4),
            },
        ),
    ];
    for (commit, expected) in cases {
        let refused = fixture.store.commit(commit).await;
        let found = match &refused {
            Err(CommitError::Limit(limit)) => Some(limit),
            _ => None,
        };
        assert_eq!(found, Some(&expected), "{refused:?}");
    }
    assert!(fixture.listing("").await.is_empty());
}

pub(crate) async fn the_largest_legal_commit_is_taken(fixture: Fixture) {
    let value = VALUE_BYTES_MAX - KEY_BYTES_MAX;
    let keys = (0..COMMIT_BYTES_MAX / VALUE_BYTES_MAX).map(|i| format!("/{i:0>511}"));
    let largest = ops(keys.map(|key| Op::put(key, vec![b'x'; value])));
    assert_eq!(fixture.commit(largest).await, 1);
    let loaded = fixture.store.load("").await.expect("loaded");
    assert!(
        loaded
            .entries
            .iter()
            .all(|entry| entry.value.len() == value)
    );
    let small = ops((0..COMMIT_OPS_MAX).map(|i| put(&format!("/s{i}"), "")));
    assert_eq!(fixture.commit(small).await, 2);
}

/// `key=value` of a put, `-key` of a delete, for the next so many batches.
async fn seen(stream: &mut WatchStream, batches: usize) -> Vec<(Revision, Vec<String>)> {
    let mut seen = Vec::new();
    for _ in 0..batches {
        let batch = stream.next().await.expect("a batch");
        let events = batch.events.iter().map(|event| match event {
            Event::Put { entry, .. } => {
                assert_eq!(entry.mod_revision, batch.revision);
                format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value))
            }
            Event::Delete { key, revision } => {
                assert_eq!(*revision, batch.revision);
                format!("-{key}")
            }
        });
        seen.push((batch.revision, events.collect()));
    }
    seen
}

pub(crate) async fn a_watch_sees_every_revision_once_in_order(fixture: Fixture) {
    fixture.commit(ops([put("/app/0", "before")])).await;
    let mut stream = fixture.store.watch("/app/", 2).await.expect("watched");
    fixture
        .commit(ops([put("/app/1", "a"), put("/other", "x")]))
        .await;
    fixture.commit(ops([put("/other", "y")])).await;
    fixture
        .commit(ops([Op::delete("/app/0"), put("/app/1", "b")]))
        .await;
    assert_eq!(
        seen(&mut stream, 2).await,
        [
            (2, vec!["/app/1=a".to_owned()]),
            (4, vec!["-/app/0".to_owned(), "/app/1=b".to_owned()]),
        ]
    );
}

pub(crate) async fn a_watch_resumes_from_a_revision(fixture: Fixture) {
    for value in ["1", "2", "3"] {
        fixture.commit(ops([put("/a", value)])).await;
    }
    let mut stream = fixture.store.watch("", 2).await.expect("watched");
    fixture.commit(ops([put("/a", "4")])).await;
    let revisions: Vec<_> = seen(&mut stream, 3)
        .await
        .into_iter()
        .map(|b| b.0)
        .collect();
    assert_eq!(revisions, [2, 3, 4]);
}

pub(crate) async fn a_watch_from_the_future_begins_there(fixture: Fixture) {
    let mut stream = fixture.store.watch("", 3).await.expect("watched");
    for value in ["1", "2", "3"] {
        fixture.commit(ops([put("/a", value)])).await;
    }
    assert_eq!(seen(&mut stream, 1).await, [(3, vec!["/a=3".to_owned()])]);
}

pub(crate) async fn a_watch_on_forgotten_revisions_must_list_again(fixture: Fixture) {
    let last = HISTORY_REVISIONS_MAX as u64 + 2;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..last {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(async move { store.commit(ops([put("/a", "")])).await });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    let refused = fixture.store.watch("", 1).await.map(drop);
    assert_eq!(refused, Err(WatchError::Compacted { current: last }));
    let mut stream = fixture.store.watch("", 3).await.expect("the rest is kept");
    assert_eq!(stream.next().await.expect("a batch").revision, 3);
}

pub(crate) async fn a_watcher_that_is_too_slow_must_list_again(fixture: Fixture) {
    let mut stream = fixture.store.watch("", 1).await.expect("watched");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WATCH_QUEUE_MAX + 1 {
        let store = Arc::clone(&fixture.store);
        tasks.spawn(async move { store.commit(ops([put("/a", "")])).await });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    let mut batches = 0;
    let ended = loop {
        match stream.next().await {
            Ok(batch) => {
                batches += 1;
                assert_eq!(batch.revision, batches, "without a gap");
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, WatchError::Compacted { .. }), "{ended:?}");
}

const TTL: Duration = Duration::from_secs(5);

async fn put_leased(fixture: &Fixture, key: &str, lease: LeaseId) -> Result<Revision, CommitError> {
    let op = Op::Put {
        key: key.to_owned(),
        value: Bytes::from_static(b"mine"),
        lease: Some(lease),
    };
    fixture.store.commit(ops([op])).await
}

pub(crate) async fn a_lease_takes_its_keys_with_it(fixture: Fixture) {
    let lease = fixture.store.grant_lease(TTL).await.expect("granted");
    put_leased(&fixture, "/leader", lease).await.expect("put");
    fixture.time.advance(TTL / 2);
    assert_eq!(fixture.listing("").await.len(), 1);
    let mut stream = fixture.store.watch("", 2).await.expect("watched");
    fixture.time.advance(TTL / 2);
    assert!(fixture.listing("").await.is_empty());
    assert_eq!(
        seen(&mut stream, 1).await,
        [(2, vec!["-/leader".to_owned()])]
    );
    let ended = fixture.store.keep_lease_alive(lease).await;
    assert!(matches!(ended, Err(LeaseError::Ended(id)) if id == lease));
}

pub(crate) async fn keep_alive_holds_a_lease(fixture: Fixture) {
    let lease = fixture.store.grant_lease(TTL).await.expect("granted");
    put_leased(&fixture, "/leader", lease).await.expect("put");
    for _ in 0..4 {
        fixture.time.advance(TTL - Duration::from_secs(1));
        fixture.store.keep_lease_alive(lease).await.expect("alive");
    }
    assert_eq!(fixture.listing("").await.len(), 1);
}

pub(crate) async fn a_revoked_lease_deletes_its_keys_in_one_commit(fixture: Fixture) {
    let lease = fixture.store.grant_lease(TTL).await.expect("granted");
    put_leased(&fixture, "/a", lease).await.expect("put");
    put_leased(&fixture, "/b", lease).await.expect("put");
    fixture.store.revoke_lease(lease).await.expect("revoked");
    let loaded = fixture.store.load("").await.expect("loaded");
    assert_eq!((loaded.revision, loaded.entries.len()), (3, 0));
    assert!(matches!(
        fixture.store.revoke_lease(lease).await,
        Err(LeaseError::Ended(_))
    ));
}

pub(crate) async fn a_put_moves_a_key_off_its_lease(fixture: Fixture) {
    let lease = fixture.store.grant_lease(TTL).await.expect("granted");
    put_leased(&fixture, "/a", lease).await.expect("put");
    fixture.commit(ops([put("/a", "stays")])).await;
    fixture.time.advance(TTL);
    assert_eq!(fixture.listing("").await, [("/a".into(), "stays".into())]);
}

pub(crate) async fn an_ended_lease_takes_no_keys(fixture: Fixture) {
    let lease = fixture.store.grant_lease(TTL).await.expect("granted");
    fixture.time.advance(TTL);
    let refused = put_leased(&fixture, "/a", lease).await;
    assert!(
        matches!(refused, Err(CommitError::NoLease(id)) if id == lease),
        "{refused:?}"
    );
}

pub(crate) async fn a_thousand_keys_load_as_they_were_written(fixture: Fixture) {
    const BATCHES: usize = 16;
    let key = |i: usize| format!("/cfx/v1/app/{i:05}");
    for batch in 0..BATCHES {
        let range = batch * COMMIT_OPS_MAX..(batch + 1) * COMMIT_OPS_MAX;
        fixture
            .commit(ops(range.map(|i| put(&key(i), &"v".repeat(i % 997)))))
            .await;
    }
    let loaded = fixture.store.load("/cfx/v1/app/").await.expect("loaded");
    assert_eq!(loaded.entries.len(), BATCHES * COMMIT_OPS_MAX);
    for (i, entry) in loaded.entries.iter().enumerate() {
        assert_eq!(
            (entry.key.as_str(), entry.value.len()),
            (key(i).as_str(), i % 997)
        );
    }
}

pub(crate) async fn a_closed_store_says_so(fixture: Fixture) {
    let mut stream = fixture.store.watch("", 1).await.expect("watched");
    fixture.store.close().await.expect("closed");
    assert_eq!(stream.next().await, Err(WatchError::Closed));
    assert!(matches!(
        fixture.store.load("").await,
        Err(StoreError::Closed)
    ));
    let refused = fixture.store.commit(ops([put("/a", "")])).await;
    assert!(matches!(
        refused,
        Err(CommitError::Store(StoreError::Closed))
    ));
    assert_eq!(
        fixture.store.watch("", 1).await.map(drop),
        Err(WatchError::Closed)
    );
}
