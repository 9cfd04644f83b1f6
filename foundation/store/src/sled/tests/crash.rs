//! `kill -9` at any moment: a child process commits and reports each acknowledged key; after it
//! was killed, every reported key is there.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{put, reopen};
use crate::store::Store;

/// Few enough for every run; a long run sets `CFX_STORE_KILLS`.
const KILLS_DEFAULT: usize = 20;
const KILLS_VARIABLE: &str = "CFX_STORE_KILLS";
/// Set for the child: the folder of its store.
const CHILD_STORE: &str = "CFX_STORE_CRASH_TEST";
/// This test, as the test binary lists it.
const CHILD_TEST: &str = "sled::tests::crash::child_that_commits_until_it_is_killed";

#[tokio::test]
async fn what_was_acknowledged_survives_kill_nine() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut acknowledged = Vec::new();
    let mut epoch = 0;
    for round in 0..kills() {
        // Each fourth kill hits the opening; primes spread the others over the commits.
        let commits = (round % 4 != 0).then_some(round * round * 7 % 301);
        acknowledged.extend(run_and_kill(folder.path(), commits));
        let store = reopen(folder.path()).await.expect("opens after a kill");
        assert!(store.identity().epoch > epoch, "each open counts");
        epoch = store.identity().epoch;
        let loaded = store.load("").await.expect("loaded");
        let found: HashMap<&str, u64> = loaded
            .entries
            .iter()
            .map(|entry| (entry.key.as_str(), entry.mod_revision))
            .collect();
        for (key, revision) in &acknowledged {
            let there = found.get(key.as_str());
            assert_eq!(there, Some(revision), "{key} after kill {round}");
        }
        store.close().await.expect("closed");
    }
    assert!(
        acknowledged.len() > 500,
        "only {} commits were acknowledged",
        acknowledged.len()
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the length of this test is its only setting"
)]
fn kills() -> usize {
    std::env::var(KILLS_VARIABLE)
        .ok()
        .map_or(KILLS_DEFAULT, |kills| {
            kills.parse().expect("a number of kills")
        })
}

/// Runs the child, kills it after so many commits or while it opens, and returns what it reported.
fn run_and_kill(store: &Path, commits: Option<usize>) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().expect("the test binary"))
        .args([CHILD_TEST, "--exact", "--ignored", "--nocapture"])
        .env(CHILD_STORE, store)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("child started");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut reported = lines.map_while(Result::ok).filter_map(|line| parse(&line));
    // It reports `opening` and `opened` before its first commit.
    let mut keys: Vec<_> = reported
        .by_ref()
        .take(commits.map_or(1, |commits| commits + 2))
        .collect();
    child.kill().expect("killed");
    keys.extend(reported);
    child.wait().expect("reaped");
    keys.retain(|(key, _)| key.starts_with('/'));
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
    report("opening", 0);
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
