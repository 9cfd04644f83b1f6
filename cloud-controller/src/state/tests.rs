use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::{ClusterGuid, OrgGuid, SpaceGuid};
use cfx_store::memory::MemoryStore;
use jiff::Timestamp;
use uuid::Uuid;

use super::meta::Meta;
use super::organization::Organization;
use super::space::Space;
use super::{Link, StateHandle, WriteError};

fn organization(n: u128) -> Organization {
    let meta = Meta::new(Timestamp::UNIX_EPOCH);
    Organization {
        guid: OrgGuid(Uuid::from_u128(n)),
        name: format!("org-{n}"),
        suspended: false,
        meta,
    }
}

fn space(n: u128, organization: u128) -> Space {
    Space {
        guid: SpaceGuid(Uuid::from_u128(n)),
        name: format!("space-{n}"),
        organization: OrgGuid(Uuid::from_u128(organization)),
        meta: Meta::new(Timestamp::UNIX_EPOCH),
    }
}

fn memory() -> Arc<MemoryStore> {
    let clock = cfx_store::lease::Monotonic::new(|| Duration::ZERO);
    Arc::new(MemoryStore::new(ClusterGuid::NIL, clock))
}

#[tokio::test]
async fn a_refused_action_leaves_nothing_behind() {
    let state = StateHandle::open(memory()).await.expect("opens");
    let refused = state
        .write(|draft| {
            draft.put(organization(1));
            Err::<(), _>("no")
        })
        .await;
    assert!(matches!(refused, Err(WriteError::Action("no"))));
    assert_eq!(state.read().all::<Organization>().count(), 0);
    assert_eq!(state.token().revision, 0);
}

#[tokio::test]
async fn a_snapshot_does_not_change_under_its_reader_and_a_reload_finds_everything() {
    let store = memory();
    let state = StateHandle::open(store.clone()).await.expect("opens");
    let before = state.read();
    state
        .write(|draft| {
            draft.put(organization(1));
            draft.put(space(2, 1));
            Ok::<_, ()>(())
        })
        .await
        .expect("writes");
    assert_eq!(before.all::<Organization>().count(), 0);
    let again = StateHandle::open(store).await.expect("opens again");
    let spaces: Vec<_> = again
        .read()
        .linked::<Space>(Link::SpacesOf(Uuid::from_u128(1)))
        .cloned()
        .collect();
    assert_eq!(spaces, vec![Arc::new(space(2, 1))]);
}

#[tokio::test]
async fn links_follow_a_record_that_moves_or_goes() {
    let state = StateHandle::open(memory()).await.expect("opens");
    let children = |org: u128| {
        state
            .read()
            .linked::<Space>(Link::SpacesOf(Uuid::from_u128(org)))
            .count()
    };
    for owner in [1, 9] {
        state
            .write(|draft| Ok::<_, ()>(draft.put(space(2, owner))))
            .await
            .expect("writes");
    }
    assert_eq!((children(1), children(9)), (0, 1));
    state
        .write(|draft| {
            draft.delete::<Space>(&SpaceGuid(Uuid::from_u128(2)));
            Ok::<_, ()>(())
        })
        .await
        .expect("writes");
    assert_eq!(children(9), 0);
}

#[test]
fn the_owner_of_an_assignment_is_known_as_long_as_its_intent() {
    use super::intent::{Intent, IntentChunk, IntentChunkKey, IntentPhase};
    use cfx_protocol::id::{AssignmentGuid, CellGuid, ProcessGuid};
    let process = ProcessGuid(Uuid::from_u128(1));
    let assignment = |n| AssignmentGuid(Uuid::from_u128(n));
    let chunk = |guids: &[u128]| IntentChunk {
        process,
        chunk: 2,
        intents: guids
            .iter()
            .map(|n| Intent {
                assignment: assignment(*n),
                index: 200,
                version: 1,
                cell: CellGuid(Uuid::from_u128(9)),
                memory_mb: 64,
                disk_mb: 64,
                phase: IntentPhase::Run,
            })
            .collect(),
    };
    let key = IntentChunkKey { process, chunk: 2 };
    let mut draft = super::Draft::empty();
    draft.put(chunk(&[1, 2]));
    draft.put(chunk(&[2, 3]));
    let owners = [1, 2, 3].map(|n| draft.owner_of(assignment(n)));
    assert_eq!(owners, [None, Some(key), Some(key)]);
    draft.delete::<IntentChunk>(&key);
    assert_eq!(draft.owner_of(assignment(2)), None);
}
