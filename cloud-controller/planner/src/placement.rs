//! Chooses a cell for each wished instance.
//!
//! The order decides who gets scarce room: first one instance of every process that has none,
//! then works that run once, then the rest; larger ones first, because they fit in fewer places;
//! and organisations take turns, so that nobody's thousand keep another's one waiting (I14).
//!
//! Which cell is best is said by `score::Cost`; `choose` finds it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use cfx_protocol::id::{AssignmentGuid, OrgGuid};

use crate::choose::Seeker;
use crate::constraint::RuledOut;
use crate::convergence::Request;
use crate::ledger::Ledger;
use crate::plan::{Action, Choice, Placement, Unplaced};
use crate::pool::Number;
use crate::snapshot::{Shape, Work};

/// Debug builds check each choice against the specification in worlds of up to so many cells.
const CHECKED_CELLS_MAX: u32 = 32;

/// Place what can be placed, in order, and add it to the actions; answers what found no place. What
/// is placed holds its room until the end of the pass; then it is taken back, for the ledger knows
/// only of intents.
#[must_use]
pub fn place(
    ledger: &mut Ledger,
    requests: &[Request<'_>],
    seed: u64,
    actions: &mut Vec<Action>,
) -> Vec<Unplaced> {
    let mut pass = Pass {
        seekers: requests.iter().map(|_| None).collect(),
        requests,
        entered: Vec::new(),
        hopeless: BTreeMap::new(),
        ledger,
    };
    let mut unplaced = Vec::new();
    let wished = requests.iter().map(|request| request.instances.len());
    let wished = wished.sum();
    actions.reserve(wished);
    pass.entered.reserve(wished);
    for (request, nth) in in_order(requests) {
        let of = &requests[request];
        let (index, cause) = &of.instances[nth];
        match pass.seat(request) {
            Ok((number, choice)) => actions.push(Action::Place(Placement {
                work: of.work,
                index: *index,
                version: of.version,
                cell: pass.ledger.seat(number).guid,
                assignment: assignment(of.work, *index, seed),
                size: of.shape.size,
                cause: cause.clone(),
                choice,
            })),
            Err(ruled_out) => unplaced.push(Unplaced {
                work: of.work,
                index: *index,
                cells: pass.ledger.cells,
                ruled_out,
            }),
        }
    }
    pass.take_back();
    unplaced
}

struct Pass<'l, 'a> {
    ledger: &'l mut Ledger,
    requests: &'a [Request<'a>],
    /// Of each request, since its first turn.
    seekers: Vec<Option<Seeker<'a>>>,
    entered: Vec<(usize, Number)>,
    /// Room only shrinks during a pass: what did not fit once is not tried again.
    hopeless: BTreeMap<&'a Shape, Arc<[RuledOut]>>,
}

impl Pass<'_, '_> {
    /// A cell for one more instance of a request, or what ruled all of them out.
    fn seat(&mut self, request: usize) -> Result<(Number, Choice), Arc<[RuledOut]>> {
        let of = &self.requests[request];
        if let Some(known) = self.hopeless.get(of.shape) {
            return Err(known.clone());
        }
        let seeker =
            self.seekers[request].get_or_insert_with(|| self.ledger.seek(of.app, of.shape));
        let found = self.ledger.choose(seeker);
        debug_assert!(
            self.ledger.cells > CHECKED_CELLS_MAX || found == self.ledger.scan(seeker).ok(),
            "the index found {found:?}, a scan {:?}",
            self.ledger.scan(seeker)
        );
        if let Some((cost, number)) = found {
            let choice = self.ledger.choice(seeker, &cost, number);
            self.ledger.place(seeker, number);
            self.entered.push((request, number));
            return Ok((number, choice));
        }
        let reasons = self.ledger.scan(seeker).err().unwrap_or_default();
        let reasons = reasons.finish(of.shape);
        self.hopeless.insert(of.shape, reasons.clone());
        Err(reasons)
    }

    fn take_back(self) {
        for (request, number) in &self.entered {
            if let Some(seeker) = &self.seekers[*request] {
                self.ledger.take_back(seeker, *number);
            }
        }
        let numbers = self.entered.iter().map(|(_, number)| *number);
        self.ledger.settle(numbers);
        for seeker in self.seekers.iter().flatten() {
            self.ledger.forget_app_if_idle(seeker.app());
        }
    }
}

/// Who is placed before whom, as a request and which of its instances: see the head of this file.
fn in_order(requests: &[Request<'_>]) -> impl Iterator<Item = (usize, usize)> {
    let mut groups: [BTreeMap<OrgGuid, Queue>; 3] = Default::default();
    let mut sorted: Vec<_> = requests.iter().enumerate().collect();
    sorted.sort_by_key(|(_, it)| (Reverse(it.shape.size), it.work));
    for (number, request) in sorted {
        let all = 0..request.instances.len();
        let (first, rest) = match request.work {
            Work::Task(_) | Work::Staging(_) => (0..0, all),
            Work::Process(_) if request.first => (0..1, 1..all.end),
            Work::Process(_) => (0..0, all),
        };
        let of_rest = match request.work {
            Work::Process(_) => 2,
            Work::Task(_) | Work::Staging(_) => 1,
        };
        for (group, range) in [(0, first), (of_rest, rest)] {
            if !range.is_empty() {
                let queue = groups[group].entry(request.org).or_default();
                queue.0.push_back((number, range));
            }
        }
    }
    let groups = groups.into_iter();
    groups.flat_map(|orgs| take_turns(orgs.into_values().collect()))
}

/// The instances of one organisation that wait.
#[derive(Debug, Default)]
struct Queue(VecDeque<(usize, Range<usize>)>);

impl Iterator for Queue {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            let (request, range) = self.0.front_mut()?;
            match range.next() {
                Some(nth) => return Some((*request, nth)),
                None => drop(self.0.pop_front()),
            }
        }
    }
}

/// One of each queue, then the next of each, until all are empty.
fn take_turns(mut queues: VecDeque<Queue>) -> impl Iterator<Item = (usize, usize)> {
    std::iter::from_fn(move || {
        loop {
            let mut queue = queues.pop_front()?;
            if let Some(next) = queue.next() {
                queues.push_back(queue);
                return Some(next);
            }
        }
    })
}

/// A new guid for each pass, and the same one when the pass is repeated: two hashes, each of
/// everything, as the halves of a guid.
fn assignment(work: Work, index: u32, seed: u64) -> AssignmentGuid {
    let owner = match work {
        Work::Process(guid) => guid.0,
        Work::Task(guid) => guid.0,
        Work::Staging(guid) => guid.0,
    };
    let (high, low) = owner.as_u64_pair();
    let half = |salt: u64| {
        let parts = [seed, high, low, u64::from(index)];
        parts.into_iter().fold(salt, |hash, part| mix(hash ^ part))
    };
    let all =
        u128::from(half(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(half(0xd1b5_4a32_d192_ed03));
    AssignmentGuid(uuid::Builder::from_custom_bytes(all.to_be_bytes()).into_uuid())
}

/// The finish of SplitMix64: every bit of the input changes half of the output's.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
