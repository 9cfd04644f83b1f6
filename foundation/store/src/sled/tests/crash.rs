//! `kill -9` at any moment: a child process commits and reports each acknowledged key; after it
//! was killed, every reported key is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{put, reopen};
use crate::store::Store;

const KILLS: u64 = 20;
/// Set for the child: the folder of its store.
const CHILD_STORE: &str = "CFX_STORE_CRASH_TEST";
/// This test, as the test binary lists it.
const CHILD_TEST: &str = "sled::tests::crash::child_that_commits_until_it_is_killed";

#[tokio::test]
async fn what_was_acknowledged_survives_kill_nine() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        // From "while opening" to "in the middle of many commits"; the primes spread the points.
        let lines = usize::try_from(round * round * 7 % 301).expect("small");
        acknowledged.extend(run_and_kill(folder.path(), lines));
        let store = reopen(folder.path()).await.expect("opens after a kill");
        assert_eq!(store.identity().epoch % 2, 0, "each open counts");
        let loaded = store.load("").await.expect("loaded");
        for (key, revision) in &acknowledged {
            let found = loaded.entries.iter().find(|entry| entry.key == *key);
            let modified = found.map(|entry| entry.mod_revision);
            assert_eq!(modified, Some(*revision), "{key} after kill {round}");
        }
        store.close().await.expect("closed");
    }
    assert!(
        acknowledged.len() > 500,
        "{} commits were tried",
        acknowledged.len()
    );
}

/// Runs the child until it reported so many keys, kills it, and returns all it reported.
fn run_and_kill(store: &Path, lines: usize) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().expect("the test binary"))
        .args([CHILD_TEST, "--exact", "--ignored", "--nocapture"])
        .env(CHILD_STORE, store)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("child started");
    let mut reported = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut keys: Vec<_> = reported
        .by_ref()
        .map_while(Result::ok)
        .filter_map(|line| parse(&line))
        .take(lines + 1)
        .collect();
    child.kill().expect("killed");
    keys.extend(
        reported
            .map_while(Result::ok)
            .filter_map(|line| parse(&line)),
    );
    child.wait().expect("reaped");
    keys.retain(|(key, _)| key != "opened");
    keys
}

fn parse(line: &str) -> Option<(String, u64)> {
    let (key, revision) = line.strip_prefix("acked ")?.split_once(' ')?;
    Some((key.to_owned(), revision.parse().ok()?))
}

#[tokio::test]
#[ignore = "only as the child of what_was_acknowledged_survives_kill_nine"]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test tells its child what to do"
)]
async fn child_that_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_STORE) else {
        return;
    };
    let store = std::sync::Arc::new(reopen(Path::new(&path)).await.expect("opened"));
    let epoch = store.identity().epoch;
    report("opened", epoch);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                let key = format!("/{epoch}/{writer}/{number}");
                let value = vec![b'x'; 50 + number * 311 % 4_000];
                let revision = store
                    .commit(put(key.clone(), value))
                    .await
                    .expect("committed");
                report(&key, revision);
            }
        });
    }
    tasks.join_all().await;
}

/// One write, so that a kill leaves no half line that looks whole.
fn report(key: &str, revision: u64) {
    let line = format!("acked {key} {revision}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("the parent reads");
}
