use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cfx_planner::plan::{Action, Cause, Choice, EndReason, Ending, Placement};
use cfx_planner::snapshot::{Size, Work};
use cfx_process::entropy::IdSource;
use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{AppGuid, AssignmentGuid, CellGuid, ClusterGuid, ProcessGuid, SpaceGuid};
use cfx_store::lease::Monotonic;
use cfx_store::memory::MemoryStore;
use jiff::Timestamp;
use uuid::Uuid;

use super::board::Board;
use super::commit::commit;
use super::progress::Progress;
use crate::actions::{Act, act};
use crate::state::StateHandle;
use crate::state::app::{App, DesiredState, Lifecycle};
use crate::state::intent::{CHUNK_SIZE, Intent, IntentChunk, IntentPhase};
use crate::state::meta::Meta;
use crate::state::process::{Process, RunningVersion};

const APP: AppGuid = AppGuid(Uuid::from_u128(1));
const PROCESS: ProcessGuid = ProcessGuid(Uuid::from_u128(2));
const CELL: CellGuid = CellGuid(Uuid::from_u128(3));

fn meta() -> Meta {
    Meta::new(Timestamp::UNIX_EPOCH)
}

fn process(instances: u32, version: u64) -> Process {
    Process {
        guid: PROCESS,
        app: APP,
        process_type: "web".into(),
        command: None,
        instances,
        memory_mb: 64,
        disk_mb: 64,
        log_rate_bytes: None,
        health: HealthCheck::default(),
        readiness: ReadinessCheck::default(),
        version,
        version_max: version,
        running: Some(RunningVersion {
            version,
            droplet: None,
            command: None,
            environment: BTreeMap::new(),
            memory_mb: 64,
            disk_mb: 64,
            log_rate_bytes: None,
            health: HealthCheck::default(),
            readiness: ReadinessCheck::default(),
            vcap_services: "{}".into(),
            uris: Vec::new(),
            app_name: "app".into(),
        }),
        meta: meta(),
    }
}

async fn platform(instances: u32) -> StateHandle {
    let store = MemoryStore::new(ClusterGuid::NIL, Monotonic::new(|| Duration::ZERO));
    let state = StateHandle::open(Arc::new(store)).await.expect("opens");
    write(&state, |draft| {
        draft.put(App {
            guid: APP,
            name: "app".into(),
            space: SpaceGuid(Uuid::from_u128(4)),
            desired_state: DesiredState::Started,
            lifecycle: Lifecycle::Docker,
            current_droplet: None,
            environment: BTreeMap::new(),
            features: BTreeMap::new(),
            build_caches: BTreeMap::new(),
            meta: meta(),
        });
        draft.put(process(instances, 1));
    })
    .await;
    state
}

async fn write(state: &StateHandle, change: impl FnOnce(&mut crate::state::Draft)) {
    let written = state.write(|draft| {
        change(draft);
        Ok::<_, Infallible>(())
    });
    written.await.expect("the store takes it");
}

fn assignment(index: u32) -> AssignmentGuid {
    AssignmentGuid(Uuid::from_u128(1_000 + u128::from(index)))
}

fn place(index: u32, version: u64) -> Action {
    Action::Place(Placement {
        work: Work::Process(PROCESS),
        index,
        version,
        cell: CELL,
        assignment: assignment(index),
        size: Size {
            memory_mb: 64,
            disk_mb: 64,
        },
        cause: Cause::Missing,
        choice: Choice {
            zone: "z1".into(),
            in_zone: 0,
            on_cell: 0,
            load_percent: 1,
            offering: 1,
            cells: 1,
        },
    })
}

fn ending(index: u32) -> Ending {
    Ending {
        work: Work::Process(PROCESS),
        assignment: assignment(index),
        reason: EndReason::ScaledDown { instances: 1 },
    }
}

async fn carry_out(state: &StateHandle, planned_on: &StateHandle, actions: &[Action]) -> usize {
    let then = planned_on.read();
    carry_out_later(state, &then, actions).await
}

async fn carry_out_later(
    state: &StateHandle,
    planned_on: &Arc<crate::state::State>,
    actions: &[Action],
) -> usize {
    let ids = IdSource::seeded(1);
    let act = Act {
        now: Timestamp::UNIX_EPOCH,
        ids: &ids,
        actor: act::platform(),
    };
    let done = commit(state, planned_on, actions, &act).await;
    done.expect("the store takes it")
}

fn phases(state: &StateHandle) -> Vec<(u32, IntentPhase)> {
    let state = state.read();
    let intents = state.intents_of(PROCESS);
    intents.map(|it| (it.index, it.phase)).collect()
}

#[tokio::test]
async fn a_large_plan_is_committed_in_bites_that_the_store_takes() {
    let state = platform(CHUNK_SIZE * 80).await;
    let actions: Vec<_> = (0..CHUNK_SIZE * 80).map(|index| place(index, 1)).collect();
    let before = state.read().revision;
    assert_eq!(carry_out(&state, &state, &actions).await, actions.len());
    let commits = state.read().revision - before;
    assert!((2..=4).contains(&commits), "{commits}");
    assert_eq!(phases(&state).len(), actions.len());
}

#[tokio::test]
async fn a_record_is_written_once_however_its_actions_are_mixed() {
    let state = platform(CHUNK_SIZE * 20).await;
    let before = state.read().revision;
    let mixed = (0..CHUNK_SIZE).flat_map(|nth| (0..20).map(move |chunk| chunk * CHUNK_SIZE + nth));
    let actions: Vec<_> = mixed.map(|index| place(index, 1)).collect();
    assert_eq!(carry_out(&state, &state, &actions).await, actions.len());
    assert_eq!(state.read().revision - before, 1);
    assert_eq!(phases(&state).len(), actions.len());
}

#[tokio::test]
async fn a_placement_that_is_not_wanted_any_more_is_dropped() {
    let state = platform(2).await;
    let then = state.read();
    write(&state, |draft| drop(draft.put(process(1, 2)))).await;
    let actions = [place(0, 1), place(1, 2), place(0, 2)];
    assert_eq!(carry_out_later(&state, &then, &actions).await, 1);
    write(&state, |draft| {
        draft.update::<App>(&APP, |app| app.desired_state = DesiredState::Stopped);
    })
    .await;
    assert_eq!(carry_out_later(&state, &then, &[place(0, 2)]).await, 0);
    assert_eq!(phases(&state), [(0, IntentPhase::Run)]);
}

#[tokio::test]
async fn an_instance_is_not_taken_out_when_its_process_was_changed_meanwhile() {
    let state = platform(1).await;
    carry_out(&state, &state, &[place(0, 1)]).await;
    let then = state.read();
    write(&state, |draft| drop(draft.put(process(5, 1)))).await;
    let unroute = [Action::Unroute(ending(0))];
    assert_eq!(carry_out_later(&state, &then, &unroute).await, 0);
    assert_eq!(phases(&state), [(0, IntentPhase::Run)]);
    assert_eq!(carry_out(&state, &state, &unroute).await, 1);
}

#[tokio::test]
async fn an_end_takes_its_steps_in_order_and_leaves_nothing() {
    let state = platform(1).await;
    carry_out(&state, &state, &[place(0, 1)]).await;
    let [unroute, stop, forget] = [
        Action::Unroute(ending(0)),
        Action::Stop(ending(0)),
        Action::Forget(ending(0)),
    ];
    for (early, step) in [(&stop, &unroute), (&forget, &stop), (&unroute, &forget)] {
        let early = std::slice::from_ref(early);
        assert_eq!(carry_out(&state, &state, early).await, 0, "{early:?}");
        let step = std::slice::from_ref(step);
        assert_eq!(carry_out(&state, &state, step).await, 1, "{step:?}");
    }
    assert_eq!(state.read().all::<IntentChunk>().count(), 0);
}

/// It cannot be started, but a cell that runs it already must not stop it for want of its spec.
#[tokio::test]
async fn an_instance_without_its_droplet_is_named_without_its_spec() {
    let state = platform(1).await;
    carry_out(&state, &state, &[place(0, 1)]).await;
    let board = Board::new(state, "http://api".into());
    let published = board.published().borrow().clone();
    assert_eq!(published.cells[&CELL].assignments.len(), 1);
    assert!(published.specs.is_empty());
}

fn intent(phase: IntentPhase) -> Intent {
    Intent {
        assignment: assignment(0),
        index: 0,
        version: 1,
        cell: CELL,
        memory_mb: 64,
        disk_mb: 64,
        phase,
    }
}

#[test]
fn an_instance_is_withdrawn_once_its_revision_is_confirmed_and_stays_so() {
    let since = Timestamp::UNIX_EPOCH;
    let unrouted = intent(IntentPhase::Unroute { since });
    let mut progress = Progress::default();
    let at = Duration::from_secs;
    progress.begin();
    assert_eq!(progress.withdrawn(&unrouted, 10, None, at(1)), None);
    assert_eq!(progress.withdrawn(&unrouted, 11, Some(9), at(2)), None);
    assert_eq!(
        progress.withdrawn(&unrouted, 12, Some(10), at(3)),
        Some(at(3))
    );
    assert_eq!(
        progress.withdrawn(&unrouted, 13, Some(13), at(4)),
        Some(at(3))
    );
    progress.finish();
    assert!(!progress.is_empty());
}

#[test]
fn an_order_to_stop_counts_from_when_it_was_given() {
    let since = Timestamp::UNIX_EPOCH;
    let mut progress = Progress::default();
    progress.begin();
    let unrouted = intent(IntentPhase::Unroute { since });
    progress.withdrawn(&unrouted, 10, Some(10), Duration::ZERO);
    let stopped = intent(IntentPhase::Stop);
    assert!(!progress.is_ordered_away(&stopped, 20, Some(19)));
    assert!(!progress.is_ordered_away(&stopped, 21, None));
    assert!(progress.is_ordered_away(&stopped, 22, Some(20)));
    progress.begin();
    progress.finish();
    assert!(
        progress.is_empty(),
        "what is not there any more is forgotten"
    );
}
