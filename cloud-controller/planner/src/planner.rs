//! The planner that follows: it is told what changed, and a pass costs what changed and what is
//! under way, not what there is.
//!
//! Of most works nothing is to be said until somebody touches them: all their instances are to run,
//! on cells that stay. They are quiet. The others are busy, and each pass looks at all of those:
//! - a work that was set or removed since the last pass;
//! - one with an instance that is ending, or that found no place;
//! - one with an instance on a cell that changed, is lost, drains or never registered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cfx_protocol::id::{AppGuid, CellGuid, DropletGuid, ProcessGuid};

use crate::convergence::{self, View, Wishes};
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::snapshot::{Cell, Intent, Liveness, Process, RunOnce, Snapshot, Work};
use crate::{brake, placement, task};

/// Answers as `plan` would of a snapshot with its works in order.
#[derive(Debug, Default)]
pub struct Planner {
    cells: BTreeMap<CellGuid, Cell>,
    /// As of the last pass.
    liveness: BTreeMap<CellGuid, Liveness>,
    works: BTreeMap<Work, Item>,
    /// How many intents of which work each cell has.
    held: BTreeMap<(CellGuid, Work), u32>,
    /// Cells that only intents name.
    strangers: BTreeSet<CellGuid>,
    busy: BTreeSet<Work>,
    ledger: Ledger,
    listening_since: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Process(Process),
    Once(RunOnce),
}

impl Planner {
    /// One that knows nothing yet. Cells that it never hears of are silent since then.
    #[must_use]
    pub fn new(listening_since: Duration) -> Self {
        Self {
            listening_since,
            ..Self::default()
        }
    }

    /// A cell registered or changed.
    pub fn set_cell(&mut self, guid: CellGuid, cell: Cell) {
        let liveness = self.liveness.get(&guid).copied();
        // The next pass looks how long it has been silent; until then it is taken for what it was.
        let liveness = liveness.unwrap_or(Liveness::Alive);
        self.ledger.set_cell(guid, &cell, liveness);
        self.liveness.insert(guid, liveness);
        self.cells.insert(guid, cell);
        self.strangers.remove(&guid);
        self.rouse(guid);
    }

    pub fn remove_cell(&mut self, guid: CellGuid) {
        if self.cells.remove(&guid).is_none() {
            return;
        }
        self.liveness.remove(&guid);
        self.ledger.remove_cell(guid);
        if self.works_on(guid).next().is_some() {
            self.strangers.insert(guid);
        }
        self.rouse(guid);
    }

    /// A cell was heard.
    pub fn hear(&mut self, guid: CellGuid, at: Duration) {
        if let Some(cell) = self.cells.get_mut(&guid) {
            cell.heard = at;
        }
    }

    /// A process, or any of its intents, is new or different.
    pub fn set_process(&mut self, process: Process) {
        self.set(Work::Process(process.guid), Item::Process(process));
    }

    pub fn set_run(&mut self, run: RunOnce) {
        self.set(run.work, Item::Once(run));
    }

    /// A work is not there any more, nor any intent of it.
    pub fn remove(&mut self, work: Work) {
        if let Some(item) = self.works.remove(&work) {
            for intent in item.intents() {
                self.leave(work, &item, intent);
            }
        }
        self.busy.remove(&work);
    }

    /// Works that have intents on a cell.
    pub fn works_on(&self, cell: CellGuid) -> impl Iterator<Item = Work> {
        let first = Work::Process(ProcessGuid(uuid::Uuid::nil()));
        let from = self.held.range((cell, first)..);
        from.take_while(move |((on, _), _)| *on == cell)
            .map(|((_, work), _)| *work)
    }

    /// One pass. `now` is monotonic; an equal past gives equal plans.
    #[must_use]
    pub fn plan(&mut self, now: Duration, seed: u64) -> Plan {
        drop(self.listen(now));
        let mode = brake::mode(self.heard(), now);
        let view = View {
            cells: &self.cells,
            listening_since: self.listening_since,
            now,
            mode,
        };
        let mut wishes = Wishes::default();
        let mut quiet = Vec::new();
        for work in &self.busy {
            let Some(item) = self.works.get(work) else {
                continue;
            };
            let before = wishes.requests.len() + wishes.endings.len();
            item.converge(&view, &mut wishes);
            let nothing = wishes.requests.len() + wishes.endings.len() == before;
            if nothing && item.is_settled(&view) {
                quiet.push(*work);
            }
        }
        for work in quiet {
            self.busy.remove(&work);
        }
        let (requests, mut actions) = (wishes.requests, wishes.endings);
        Plan {
            unplaced: placement::place(&mut self.ledger, &requests, seed, &mut actions),
            actions,
            mode,
        }
    }

    /// Compare what is known with everything, and take over what differs. Answers how many things
    /// did: each is a change that was missed.
    pub fn sweep(&mut self, all: Snapshot) -> usize {
        let mut repairs = 0;
        let extra = self.cells.keys().filter(|it| !all.cells.contains_key(it));
        for guid in extra.copied().collect::<Vec<_>>() {
            self.remove_cell(guid);
            repairs += 1;
        }
        for (guid, cell) in all.cells {
            if self.cells.get(&guid) != Some(&cell) {
                self.set_cell(guid, cell);
                repairs += 1;
            }
        }
        let processes = all.processes.into_iter().map(Item::Process);
        let items = processes.chain(all.runs.into_iter().map(Item::Once));
        let items: BTreeMap<_, _> = items.map(|item| (item.work(), item)).collect();
        let extra = self.works.keys().filter(|it| !items.contains_key(it));
        for work in extra.copied().collect::<Vec<_>>() {
            self.remove(work);
            repairs += 1;
        }
        for (work, item) in items {
            if self.works.get(&work) != Some(&item) {
                self.set(work, item);
                repairs += 1;
            }
        }
        repairs
    }

    /// Works that the next pass looks at.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Instances that are entered only where they differ from before: a process of thousands
    /// changes one at a time.
    fn set(&mut self, work: Work, item: Item) {
        let before = self.works.remove(&work);
        let same = before.as_ref().is_some_and(|it| it.owner() == item.owner());
        let old = before.as_ref().map_or(&[][..], Item::intents);
        let new = item.intents();
        for nth in 0..old.len().max(new.len()) {
            let (old, new) = (old.get(nth), new.get(nth));
            if same && old == new {
                continue;
            }
            if let (Some(before), Some(old)) = (&before, old) {
                self.leave(work, before, old);
            }
            if let Some(new) = new {
                self.enter(work, &item, new);
            }
        }
        self.works.insert(work, item);
        self.busy.insert(work);
    }

    fn enter(&mut self, work: Work, item: &Item, intent: &Intent) {
        self.ledger
            .enter(item.app(), item.droplet_of(intent), intent);
        *self.held.entry((intent.cell, work)).or_default() += 1;
        if !self.cells.contains_key(&intent.cell) {
            self.strangers.insert(intent.cell);
        }
    }

    fn leave(&mut self, work: Work, item: &Item, intent: &Intent) {
        self.ledger
            .leave(item.app(), item.droplet_of(intent), intent);
        let key = (intent.cell, work);
        if let Some(held) = self.held.get_mut(&key) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&key);
            }
        }
        if self.works_on(intent.cell).next().is_none() {
            self.strangers.remove(&intent.cell);
        }
    }

    /// Something may be to be said of what is on this cell.
    fn rouse(&mut self, cell: CellGuid) {
        let works: Vec<_> = self.works_on(cell).collect();
        self.busy.extend(works);
    }

    /// Look which cells fell silent since the last time, or are heard again.
    pub fn listen(&mut self, now: Duration) -> Vec<CellGuid> {
        let mut changed = Vec::new();
        for ((guid, cell), liveness) in self.cells.iter().zip(self.liveness.values_mut()) {
            let is = Liveness::after(now.saturating_sub(cell.heard));
            if is != *liveness {
                *liveness = is;
                self.ledger.set_cell(*guid, cell, is);
                changed.push(*guid);
            }
        }
        for cell in &changed {
            self.rouse(*cell);
        }
        changed
    }

    fn heard(&self) -> impl Iterator<Item = Duration> {
        let known = self.cells.values().map(|cell| cell.heard);
        let strangers = std::iter::repeat_n(self.listening_since, self.strangers.len());
        known.chain(strangers)
    }
}

impl Item {
    fn work(&self) -> Work {
        match self {
            Self::Process(process) => Work::Process(process.guid),
            Self::Once(run) => run.work,
        }
    }

    fn app(&self) -> AppGuid {
        match self {
            Self::Process(process) => process.app,
            Self::Once(run) => run.app,
        }
    }

    fn intents(&self) -> &[Intent] {
        match self {
            Self::Process(process) => &process.intents,
            Self::Once(run) => run.intent.as_slice(),
        }
    }

    fn droplet_of(&self, intent: &Intent) -> Option<DropletGuid> {
        match self {
            Self::Process(process) => process.droplet_of(intent),
            Self::Once(run) => run.shape.droplet,
        }
    }

    /// All that the ledger's entries of its intents depend on, beside the intents.
    fn owner(&self) -> (AppGuid, Option<DropletGuid>, u64) {
        match self {
            Self::Process(it) => (it.app, it.shape.droplet, it.version),
            Self::Once(run) => (run.app, run.shape.droplet, 0),
        }
    }

    fn converge<'a>(&'a self, view: &View<'_>, wishes: &mut Wishes<'a>) {
        match self {
            Self::Process(process) => convergence::converge(process, view, wishes),
            Self::Once(run) => task::converge(run, view, wishes),
        }
    }

    /// Time alone will not make anything of it: see the head of this file.
    fn is_settled(&self, view: &View<'_>) -> bool {
        let stays = |it: &Intent| it.runs() && view.cells.contains_key(&it.cell) && view.stays(it);
        self.intents().iter().all(stays)
    }
}
