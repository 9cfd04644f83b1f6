//! What a plan is made from: cells, wanted works, and the intents they have already.
//!
//! Intents lie with the work they belong to, and cells are found by guid, so that a planner that
//! looks only at what changed can take the same shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::cell::Capacity;
use cfx_protocol::id::{
    AppGuid, AssignmentGuid, BuildGuid, CellGuid, DropletGuid, OrgGuid, ProcessGuid, TaskGuid,
};
use cfx_protocol::link::{CELL_LOST_MS, CELL_SUSPECT_MS};

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub cells: BTreeMap<CellGuid, Cell>,
    pub processes: Vec<Process>,
    pub runs: Vec<RunOnce>,
    /// Cells that intents name but that never registered are silent since then: since the
    /// controller began to listen.
    pub listening_since: Duration,
}

/// One cell as it was last heard.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    pub name: Arc<str>,
    pub zone: Arc<str>,
    pub stacks: BTreeSet<String>,
    pub tags: BTreeSet<String>,
    /// It can run docker images.
    pub images: bool,
    pub capacity: Capacity,
    /// When it was heard last.
    pub heard: Duration,
    /// Its runtime answers.
    pub healthy: bool,
    pub draining: bool,
}

/// Is a cell there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    Alive,
    /// Silent for a moment: nothing new is placed on it.
    Suspect,
    /// Silent for long: its instances are replaced.
    Lost,
}

impl Liveness {
    #[must_use]
    pub fn after(silence: Duration) -> Self {
        if silence >= Duration::from_millis(CELL_LOST_MS) {
            Self::Lost
        } else if silence >= Duration::from_millis(CELL_SUSPECT_MS) {
            Self::Suspect
        } else {
            Self::Alive
        }
    }
}

/// Whose instance it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    Process(ProcessGuid),
    Task(TaskGuid),
    Staging(BuildGuid),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(guid) => write!(f, "process {guid}"),
            Self::Task(guid) => write!(f, "task {guid}"),
            Self::Staging(guid) => write!(f, "staging {guid}"),
        }
    }
}

/// A process that is to run. One that is to run no more is here with 0 instances until its last
/// intent is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub guid: ProcessGuid,
    pub app: AppGuid,
    pub org: OrgGuid,
    /// Instances of another version are to be replaced.
    pub version: u64,
    /// Indices `0..instances` are wanted.
    pub instances: u32,
    pub shape: Shape,
    pub rollout: Rollout,
    /// In the order they were made.
    pub intents: Vec<Intent>,
}

/// How instances of an older version give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// At once: `cf restart`.
    Replace,
    /// Each when its successor is routable, with at most this many successors starting.
    Rolling { max_in_flight: u32 },
}

/// A work that runs once: a task, or the staging of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOnce {
    pub work: Work,
    pub app: AppGuid,
    pub org: OrgGuid,
    pub shape: Shape,
    /// False: it has ended or was cancelled, and only what is left of it matters.
    pub wanted: bool,
    /// How long it has existed.
    pub age: Duration,
    pub intent: Option<Intent>,
}

/// What an instance needs of its cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    pub size: Size,
    pub root: Root,
    /// Isolation segment: only cells with this tag, and only they.
    pub isolation: Option<Arc<str>>,
    /// A cell that has it on disk, because it holds an instance of it, is preferred among equals.
    pub droplet: Option<DropletGuid>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    pub memory_mb: u32,
    pub disk_mb: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    Stack(Arc<str>),
    /// A docker image.
    Image,
}

/// One instance on one cell, durable since before the cell heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub assignment: AssignmentGuid,
    pub index: u32,
    pub version: u64,
    pub cell: CellGuid,
    /// What it reserves there until it is gone.
    pub size: Size,
    pub phase: Phase,
    pub seen: Seen,
}

/// How far its end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Run,
    /// Out of the routes; `withdrawn` is when the last router confirmed that.
    Unroute {
        withdrawn: Option<Duration>,
    },
    /// Its cell is told to stop it.
    Stop,
}

/// What its cell said of it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Nothing yet.
    Unknown,
    Crashed,
    Starting,
    /// Healthy, but not to receive requests now.
    Unready,
    Routable,
    /// The cell followed the order to stop it, and nothing of it is left.
    Gone,
}

impl Snapshot {
    /// How long a cell has been silent.
    #[must_use]
    pub fn silence(&self, cell: CellGuid, now: Duration) -> Duration {
        let heard = self
            .cells
            .get(&cell)
            .map_or(self.listening_since, |cell| cell.heard);
        now.saturating_sub(heard)
    }

    /// When each cell was heard last; those that only intents name, when the controller began to
    /// listen.
    pub fn heard(&self) -> impl Iterator<Item = Duration> {
        let named = self.intents().map(|(_, intent)| intent.cell);
        let strangers: BTreeSet<_> = named.filter(|it| !self.cells.contains_key(it)).collect();
        let known = self.cells.values().map(|cell| cell.heard);
        known.chain(std::iter::repeat_n(self.listening_since, strangers.len()))
    }

    /// Every intent with the app it belongs to.
    pub fn intents(&self) -> impl Iterator<Item = (AppGuid, &Intent)> {
        let of_processes = self
            .processes
            .iter()
            .flat_map(|process| process.intents.iter().map(|intent| (process.app, intent)));
        let of_runs = self
            .runs
            .iter()
            .filter_map(|run| Some((run.app, run.intent.as_ref()?)));
        of_processes.chain(of_runs)
    }
}

impl Process {
    /// The droplet that an instance has on its cell's disk, as far as this is known.
    #[must_use]
    pub fn droplet_of(&self, intent: &Intent) -> Option<DropletGuid> {
        let is_current = intent.version == self.version;
        self.shape.droplet.filter(|_| is_current)
    }
}

impl Intent {
    #[must_use]
    pub fn runs(&self) -> bool {
        self.phase == Phase::Run
    }

    #[must_use]
    pub fn is_routable(&self) -> bool {
        self.seen == Seen::Routable
    }

    /// It serves, or nobody has told yet whether it does: so it is with all of them when a
    /// controller begins.
    #[must_use]
    pub fn may_serve(&self) -> bool {
        matches!(self.seen, Seen::Routable | Seen::Unknown)
    }
}
