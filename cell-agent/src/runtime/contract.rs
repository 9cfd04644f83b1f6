//! What every runtime must do, in one suite, run against the scripted one and against real Docker.
//!
//! The agent's tests stand on the scripted runtime; what holds there must hold on a machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::entropy::IdSource;

use super::{ContainerName, Reservation, RootFs, Runtime, RuntimeError, Signal};

/// Longest any step may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A runtime under test, and what only its kind can do.
#[async_trait]
pub(crate) trait Bench: Send + Sync {
    fn runtime(&self) -> Arc<dyn Runtime>;
    /// A new runtime on the same ground, as a restarted agent has it.
    async fn restarted(&self) -> Arc<dyn Runtime>;
    /// A fresh, small reservation on the stack `host`.
    async fn reservation(&self) -> Reservation;
    /// Until the first process of a reserved container waits for its command. Before that it is
    /// deaf: the kernel drops signals that a namespace's first process has not asked for.
    async fn waits(&self, name: ContainerName);
    /// Let the app of a reserved container run and end by itself with a status.
    async fn run_to_end(&self, name: ContainerName, status: u8);
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// All that holds for every runtime.
pub(crate) async fn check(bench: &dyn Bench) {
    answers_and_offers_a_stack(bench).await;
    reserving_twice_gives_one_container(bench).await;
    an_end_is_hinted_at_and_recorded_until_released(bench).await;
    signals_end_what_waits(bench).await;
    a_restarted_agent_finds_what_runs(bench).await;
    what_is_not_there_is_said_so(bench).await;
}

async fn answers_and_offers_a_stack(bench: &dyn Bench) {
    let runtime = bench.runtime();
    runtime.ping().await.expect("it answers");
    let stacks = runtime.stacks().await.expect("stacks");
    assert!(stacks.contains(&"host".to_owned()), "{stacks:?}");
}

async fn reserving_twice_gives_one_container(bench: &dyn Bench) {
    let runtime = bench.runtime();
    let mut reservation = bench.reservation().await;
    reservation.labels = BTreeMap::from([("app".to_owned(), "ä=b".to_owned())]);
    let first = runtime.reserve(&reservation).await.expect("reserved");
    let second = runtime.reserve(&reservation).await.expect("reserved again");
    assert_eq!(first, second);
    assert_eq!(first.labels, reservation.labels);
    assert!(first.pid.is_some());
    let name = reservation.name;
    assert_eq!(runtime.exit_record(name).await.expect("looked"), None);
    let sample = runtime.sample(name).await.expect("a sample");
    assert_eq!((sample.pids, sample.oom_kills), (1, 0));
    runtime.release(name).await.expect("released");
}

async fn an_end_is_hinted_at_and_recorded_until_released(bench: &dyn Bench) {
    let runtime = bench.runtime();
    let mut hints = runtime.exits();
    let reservation = bench.reservation().await;
    let name = reservation.name;
    runtime.reserve(&reservation).await.expect("reserved");
    bench.run_to_end(name, 7).await;
    let hinted = async { while hints.recv().await.is_some_and(|hint| hint != name) {} };
    soon("the hint of an end", hinted).await;
    let record = runtime.exit_record(name).await.expect("looked");
    let record = record.expect("it has ended");
    assert_eq!((record.status, record.out_of_memory), (7, false));
    let listed = runtime.adopt().await.expect("listed");
    let ended = listed.iter().find(|container| container.name == name);
    assert_eq!(ended.expect("it is still listed").pid, None);
    let sample = runtime.sample(name).await;
    assert!(matches!(sample, Err(RuntimeError::NoContainer(_))));
    runtime.release(name).await.expect("released");
    runtime.release(name).await.expect("released again");
    let record = runtime.exit_record(name).await;
    assert!(matches!(record, Err(RuntimeError::NoContainer(_))));
    let listed = runtime.adopt().await.expect("listed");
    assert!(listed.iter().all(|container| container.name != name));
    assert!(
        runtime.exits().recv().await.is_none(),
        "hints go to one receiver"
    );
}

async fn signals_end_what_waits(bench: &dyn Bench) {
    let runtime = bench.runtime();
    for (signal, status) in [(Signal::Term, 143), (Signal::Kill, 137)] {
        let reservation = bench.reservation().await;
        let name = reservation.name;
        runtime.reserve(&reservation).await.expect("reserved");
        soon("the first process", bench.waits(name)).await;
        runtime.signal(name, signal).await.expect("signalled");
        let record = soon("the end", ended(&*runtime, name)).await;
        assert_eq!(record, status, "{signal:?}");
        // It came too late, which is no failure.
        runtime.signal(name, signal).await.expect("signalled again");
        runtime.release(name).await.expect("released");
    }
}

/// The status, as soon as there is one.
async fn ended(runtime: &dyn Runtime, name: ContainerName) -> i32 {
    loop {
        if let Some(record) = runtime.exit_record(name).await.expect("looked") {
            return record.status;
        }
        tokio::task::yield_now().await;
    }
}

async fn a_restarted_agent_finds_what_runs(bench: &dyn Bench) {
    let mut reservation = bench.reservation().await;
    reservation.labels = BTreeMap::from([("index".to_owned(), "3".to_owned())]);
    let name = reservation.name;
    let before = bench.runtime().reserve(&reservation).await;
    let before = before.expect("reserved");
    let runtime = bench.restarted().await;
    let listed = runtime.adopt().await.expect("listed");
    let found = listed.iter().find(|container| container.name == name);
    assert_eq!(found, Some(&before));
    assert!(runtime.sample(name).await.is_ok());
    assert_eq!(runtime.exit_record(name).await.expect("looked"), None);
    runtime.release(name).await.expect("released");
}

async fn what_is_not_there_is_said_so(bench: &dyn Bench) {
    let runtime = bench.runtime();
    let nobody: ContainerName = IdSource::system().guid();
    for result in [
        runtime.exit_record(nobody).await.map(drop),
        runtime.sample(nobody).await.map(drop),
        runtime.signal(nobody, Signal::Term).await,
    ] {
        assert!(
            matches!(result, Err(RuntimeError::NoContainer(name)) if name == nobody),
            "{result:?}"
        );
    }
    runtime.release(nobody).await.expect("nothing to release");
    let mut reservation = bench.reservation().await;
    reservation.root = RootFs::Stack("no-such-stack".to_owned());
    let refused = runtime.reserve(&reservation).await;
    assert!(
        matches!(refused, Err(RuntimeError::NoRoot { .. })),
        "{refused:?}"
    );
    let image = runtime.image("localhost:1/no-such-image:v1", None).await;
    assert!(
        matches!(image, Err(RuntimeError::NoRoot { .. })),
        "{image:?}"
    );
}
