//! What the cell knows, on disk, so that an agent that starts again restarts no app.
//!
//! ```text
//! <directory>/key                    the key that seals specs, readable by root only
//!             journal                token, assignments, and what happened to each of them
//!             specs/<digest of id>   one spec, sealed: it holds credentials
//! ```
//! Only what changed is written, and once for a whole turn of the agent. Everything carries its own
//! check, so a kill at any moment loses no more than the write under way, and damage loses no more
//! than the line or file it is in. Damage is told and never read as "nothing is wanted".

mod journal;
mod seal;
mod spec_folder;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cfx_process::durable_file::{self, MODE_SECRET};
use cfx_process::entropy::IdSource;
use cfx_protocol::actual::{Address, Outcome};
use cfx_protocol::desired::{Assignment, InstanceSpec, SpecId};
use cfx_protocol::generation::Token;
use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::InstanceState;
use serde::{Deserialize, Serialize};

use crate::plan::{Desired, Instance};
use journal::{Journal, Line};
use seal::Key;
use spec_folder::SpecFolder;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the state cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the state cannot be sealed")]
    Seal,
}

/// What is remembered of one assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub assignment: Assignment,
    pub start: u32,
    pub state: InstanceState,
    pub crashes: u32,
    pub remains: bool,
    pub armed: bool,
    pub ended: bool,
    pub address: Option<Address>,
    pub outcome: Option<Outcome>,
}

impl From<&Instance> for Facts {
    fn from(instance: &Instance) -> Self {
        Self {
            assignment: instance.assignment.clone(),
            start: instance.start,
            state: instance.state.clone(),
            crashes: instance.crashes,
            remains: instance.remains,
            armed: instance.armed,
            ended: instance.ended,
            address: instance.address,
            outcome: instance.outcome.clone(),
        }
    }
}

/// What an earlier agent left.
#[derive(Debug, Default)]
pub struct Restored {
    pub desired: Desired,
    pub instances: Vec<Instance>,
    /// Files that could not be read, and why. What they held comes back from the runtime and the
    /// controller.
    pub damaged: Vec<String>,
}

/// What has changed since the last time, and what it refers to.
#[derive(Debug, Default)]
pub struct Changes {
    pub token: Option<Token>,
    pub entries: Vec<Entry>,
    pub specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
    /// The entries are all there are: others are gone.
    pub whole: bool,
}

/// All that is kept about one assignment.
#[derive(Debug)]
pub struct Entry {
    pub guid: AssignmentGuid,
    /// None when the controller does not want it.
    pub wanted: Option<Assignment>,
    /// None when nothing of it is here.
    pub facts: Option<Facts>,
}

/// Writes the state of one cell.
#[derive(Debug)]
pub struct StateFile {
    specs: SpecFolder,
    journal: Journal,
    /// What the journal says, or is to say after the next rewrite.
    token: Option<Token>,
    wanted: BTreeMap<AssignmentGuid, Assignment>,
    facts: BTreeMap<AssignmentGuid, Facts>,
    journal_path: PathBuf,
}

impl StateFile {
    /// Open the folder and read what is there.
    pub fn open(directory: PathBuf, ids: IdSource) -> Result<(Self, Restored), StateError> {
        let spec_folder = directory.join("specs");
        for folder in [&directory, &spec_folder] {
            durable_file::create_private_folder(folder).map_err(cannot("make", folder))?;
        }
        let mut damaged = Vec::new();
        let key = open_key(&directory, &ids, &mut damaged)?;
        let journal_path = directory.join("journal");
        let mut file = Self {
            specs: SpecFolder::new(spec_folder, key, ids),
            journal: Journal::new(journal_path.clone()),
            token: None,
            wanted: BTreeMap::new(),
            facts: BTreeMap::new(),
            journal_path,
        };
        let restored = file.read(damaged)?;
        Ok((file, restored))
    }

    /// Write what has changed. After a failure the next call writes everything.
    pub fn save(&mut self, changes: Changes) -> Result<(), StateError> {
        let saved = self.write(changes);
        if saved.is_err() {
            self.journal.distrust();
        }
        saved
    }

    /// Specs come before what refers to them.
    fn write(&mut self, changes: Changes) -> Result<(), StateError> {
        let Changes {
            token,
            mut entries,
            specs,
            whole,
        } = changes;
        if whole {
            self.add_gone(&mut entries);
        }
        let mut lines = Vec::new();
        for entry in entries {
            self.note(entry, &specs, &mut lines)?;
        }
        // Last: one that is lost alone makes the controller repeat itself, and nothing worse.
        if let Some(token) = token.filter(|token| self.token != Some(*token)) {
            self.token = Some(token);
            lines.push(Line::Token(token));
        }
        let written = if self.journal.is_worn() {
            self.journal.rewrite(self.everything())
        } else if lines.is_empty() {
            return Ok(());
        } else {
            self.journal.append(&lines)
        };
        written.map_err(cannot("write", &self.journal_path))?;
        self.specs.sweep()
    }

    /// What is on disk and not in `entries` is gone.
    fn add_gone(&self, entries: &mut Vec<Entry>) {
        let here: BTreeSet<_> = entries.iter().map(|entry| entry.guid).collect();
        let known: BTreeSet<_> = self.wanted.keys().chain(self.facts.keys()).collect();
        let gone = known.into_iter().filter(|guid| !here.contains(guid));
        entries.extend(gone.map(|guid| Entry {
            guid: *guid,
            wanted: None,
            facts: None,
        }));
    }

    /// Take an entry over, with a line for whatever of it is news.
    fn note(
        &mut self,
        entry: Entry,
        specs: &BTreeMap<SpecId, Arc<InstanceSpec>>,
        lines: &mut Vec<Line>,
    ) -> Result<(), StateError> {
        let Entry {
            guid,
            wanted,
            facts,
        } = entry;
        let named = wanted.iter().chain(facts.iter().map(|it| &it.assignment));
        for id in named.map(|assignment| &assignment.spec) {
            if let Some(spec) = specs.get(id) {
                self.specs.write(id, spec)?;
            }
        }
        if self.wanted.get(&guid) != wanted.as_ref() {
            lines.push(match &wanted {
                Some(wanted) => Line::Wanted(wanted.clone()),
                None => Line::Unwanted(guid),
            });
            self.hold_wanted(guid, wanted);
        }
        if self.facts.get(&guid) != facts.as_ref() {
            lines.push(match &facts {
                Some(facts) => Line::Facts(Box::new(facts.clone())),
                None => Line::Gone(guid),
            });
            self.hold_facts(guid, facts);
        }
        Ok(())
    }

    fn hold_wanted(&mut self, guid: AssignmentGuid, wanted: Option<Assignment>) {
        if let Some(wanted) = &wanted {
            self.specs.hold(&wanted.spec);
        }
        let before = match wanted {
            Some(wanted) => self.wanted.insert(guid, wanted),
            None => self.wanted.remove(&guid),
        };
        if let Some(before) = before {
            self.specs.let_go(&before.spec);
        }
    }

    fn hold_facts(&mut self, guid: AssignmentGuid, facts: Option<Facts>) {
        if let Some(facts) = &facts {
            self.specs.hold(&facts.assignment.spec);
        }
        let before = match facts {
            Some(facts) => self.facts.insert(guid, facts),
            None => self.facts.remove(&guid),
        };
        if let Some(before) = before {
            self.specs.let_go(&before.assignment.spec);
        }
    }

    fn everything(&self) -> Vec<Line> {
        let wanted = self.wanted.values().cloned().map(Line::Wanted);
        let facts = self.facts.values().cloned();
        wanted
            .chain(facts.map(|facts| Line::Facts(Box::new(facts))))
            .chain(self.token.map(Line::Token))
            .collect()
    }

    fn read(&mut self, mut damaged: Vec<String>) -> Result<Restored, StateError> {
        let mut specs = self.specs.read(&mut damaged)?;
        let found = self
            .journal
            .read()
            .map_err(cannot("read", &self.journal_path))?;
        for line in found.lines {
            self.take_line(line);
        }
        let mut instances = Vec::new();
        for facts in self.facts.values() {
            match specs.get(&facts.assignment.spec) {
                Some(spec) => instances.push(restore(facts, spec)),
                None => damaged.push(format!(
                    "{} refers to a spec that is not there",
                    self.journal_path.display()
                )),
            }
        }
        if let Some(damage) = found.damage {
            // The line that is lost may have been the one that said so, and what was armed must
            // not be armed again.
            instances.iter_mut().for_each(|one| one.armed = true);
            damaged.push(damage);
        }
        let assignments: Vec<_> = self.wanted.values().cloned().collect();
        let named: BTreeSet<_> = assignments.iter().map(|a| &a.spec).collect();
        specs.retain(|id, _| named.contains(id));
        let desired = Desired::restored(self.token, specs, assignments);
        Ok(Restored {
            desired,
            instances,
            damaged,
        })
    }

    fn take_line(&mut self, line: Line) {
        match line {
            Line::Wanted(wanted) => self.hold_wanted(wanted.guid, Some(wanted)),
            Line::Unwanted(guid) => self.hold_wanted(guid, None),
            Line::Facts(facts) => self.hold_facts(facts.assignment.guid, Some(*facts)),
            Line::Gone(guid) => self.hold_facts(guid, None),
            Line::Token(token) => self.token = Some(token),
            Line::Whole(_) => {}
        }
    }
}

fn restore(facts: &Facts, spec: &Arc<InstanceSpec>) -> Instance {
    let mut instance = Instance::new(facts.assignment.clone(), spec.clone(), facts.start);
    instance.state = facts.state.clone();
    instance.crashes = facts.crashes;
    instance.remains = facts.remains;
    instance.armed = facts.armed;
    instance.ended = facts.ended;
    instance.address = facts.address;
    instance.outcome = facts.outcome.clone();
    instance
}

fn open_key(
    directory: &Path,
    ids: &IdSource,
    damaged: &mut Vec<String>,
) -> Result<Key, StateError> {
    let path = directory.join("key");
    let stored = durable_file::read(&path).map_err(cannot("read", &path))?;
    if let Some(bytes) = &stored {
        if let Some(key) = Key::from_bytes(bytes) {
            return Ok(key);
        }
        damaged.push(format!("{} is not a key", path.display()));
    }
    let (key, bytes) = Key::generate(ids).ok_or(StateError::Seal)?;
    durable_file::write(&path, &bytes, MODE_SECRET).map_err(cannot("write", &path))?;
    Ok(key)
}

fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
