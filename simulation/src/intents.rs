//! The durable intents as the world saw them last, and what has changed in them since.

use std::collections::BTreeMap;

use cfx_cloud_controller::state::State;
use cfx_cloud_controller::state::intent::{Intent, IntentChunk, IntentPhase};
use cfx_cloud_controller::state::task::Task;
use cfx_protocol::id::{AssignmentGuid, CellGuid, ProcessGuid};

use crate::trace::{Author, Change, Fact, IntentFact};

#[derive(Debug, Default)]
pub struct Intents {
    pub known: BTreeMap<AssignmentGuid, (IntentFact, Change)>,
}

impl Intents {
    /// Compare with the state, in the order in which things happen to an intent.
    pub fn follow(&mut self, state: &State, cells: &[CellGuid], author: Author) -> Vec<Fact> {
        let now = read(state, cells);
        let mut facts = Vec::new();
        let mut tell = |intent: &IntentFact, change| {
            let intent = Box::new(intent.clone());
            facts.push(Fact::Intended {
                intent,
                change,
                author,
            });
        };
        for (guid, (intent, _)) in &self.known {
            if !now.contains_key(guid) {
                tell(intent, Change::Forgotten);
            }
        }
        for (guid, (intent, phase)) in &now {
            if self
                .known
                .get(guid)
                .is_none_or(|(_, before)| before != phase)
            {
                tell(intent, *phase);
            }
        }
        self.known = now;
        facts
    }

    /// The intents of one instance index.
    pub fn at(
        &self,
        process: ProcessGuid,
        index: u32,
    ) -> impl Iterator<Item = &(IntentFact, Change)> {
        let all = self.known.values();
        all.filter(move |(intent, _)| intent.work == process && intent.index == index)
    }
}

fn read(state: &State, cells: &[CellGuid]) -> BTreeMap<AssignmentGuid, (IntentFact, Change)> {
    let chunks = state.all::<IntentChunk>();
    let of_processes = chunks.flat_map(|chunk| {
        chunk
            .intents
            .iter()
            .map(|intent| (chunk.process, intent, false))
    });
    let of_tasks = state
        .all::<Task>()
        .filter_map(|task| Some((ProcessGuid(task.guid.0), task.intent.as_ref()?, true)));
    of_processes
        .chain(of_tasks)
        .map(|(work, intent, runs_once)| {
            let fact = IntentFact {
                work,
                runs_once,
                assignment: intent.assignment,
                index: intent.index,
                version: intent.version,
                cell: cells
                    .iter()
                    .position(|guid| *guid == intent.cell)
                    .unwrap_or(usize::MAX),
                memory_mb: intent.memory_mb,
                disk_mb: intent.disk_mb,
            };
            (intent.assignment, (fact, phase(intent)))
        })
        .collect()
}

fn phase(intent: &Intent) -> Change {
    match intent.phase {
        IntentPhase::Run => Change::Placed,
        IntentPhase::Unroute { .. } => Change::Unrouted,
        IntentPhase::Stop => Change::Stopped,
    }
}
