//! What the cell knows, on disk, so that an agent that starts again restarts no app.
//!
//! ```text
//! <directory>/key                    the key that seals specs, readable by root only
//!             desired                token and assignments
//!             specs/<digest of id>   one spec, sealed: it holds credentials
//!             instances/<guid>       what happened to one assignment
//! ```
//! Every file appears whole or not at all and carries its own check, so a kill at any moment loses
//! no more than the write under way, and a damaged file loses no more than itself. Damage is told
//! and never read as "nothing is wanted".

mod seal;

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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::{Desired, Instance};
use seal::Key;

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

#[derive(Serialize, Deserialize)]
struct DesiredFile {
    token: Option<Token>,
    assignments: Vec<Assignment>,
}

/// Writes the state of one cell.
#[derive(Debug)]
pub struct StateFile {
    directory: PathBuf,
    key: Key,
    ids: IdSource,
    specs: BTreeSet<SpecId>,
    saved: BTreeMap<AssignmentGuid, Facts>,
    saved_token: Option<Token>,
}

impl StateFile {
    /// Open the folder and read what is there.
    pub fn open(directory: PathBuf, ids: IdSource) -> Result<(Self, Restored), StateError> {
        for folder in [
            directory.clone(),
            directory.join("specs"),
            directory.join("instances"),
        ] {
            durable_file::create_private_folder(&folder).map_err(io("make", &folder))?;
        }
        let mut damaged = Vec::new();
        let key = open_key(&directory, &ids, &mut damaged)?;
        let mut file = Self {
            directory,
            key,
            ids,
            specs: BTreeSet::new(),
            saved: BTreeMap::new(),
            saved_token: None,
        };
        let restored = file.read_all(damaged)?;
        Ok((file, restored))
    }

    /// Write what has changed since the last time. Specs come before what refers to them.
    pub fn save<'a>(
        &mut self,
        desired: &Desired,
        instances: impl Iterator<Item = &'a Instance> + Clone,
    ) -> Result<(), StateError> {
        let own = instances
            .clone()
            .map(|one| (&one.assignment.spec, &one.spec));
        for (id, spec) in desired.specs.iter().chain(own) {
            if !self.specs.contains(id) {
                self.write_spec(id, spec)?;
                self.specs.insert(id.clone());
            }
        }
        if desired.token.is_some() && desired.token != self.saved_token {
            self.write_desired(desired)?;
            self.saved_token = desired.token;
        }
        let mut gone: BTreeSet<_> = self.saved.keys().copied().collect();
        for instance in instances.clone() {
            gone.remove(&instance.assignment.guid);
            self.write_facts(Facts::from(instance))?;
        }
        for guid in gone {
            self.remove(&self.instance_path(guid))?;
            self.saved.remove(&guid);
        }
        let used = instances.map(|one| &one.assignment.spec);
        self.drop_unused_specs(desired.specs.keys().chain(used).collect())
    }

    fn write_spec(&self, id: &SpecId, spec: &Arc<InstanceSpec>) -> Result<(), StateError> {
        let plain = serde_json::to_vec(&(id, spec))?;
        let sealed = self.key.seal(plain, &self.ids).ok_or(StateError::Seal)?;
        self.write(&self.spec_path(id), &sealed)
    }

    fn write_desired(&self, desired: &Desired) -> Result<(), StateError> {
        let file = DesiredFile {
            token: desired.token,
            assignments: desired.assignments.values().cloned().collect(),
        };
        self.write(
            &self.directory.join("desired"),
            &checked(&serde_json::to_vec(&file)?),
        )
    }

    fn write_facts(&mut self, facts: Facts) -> Result<(), StateError> {
        let guid = facts.assignment.guid;
        if self.saved.get(&guid) != Some(&facts) {
            self.write(
                &self.instance_path(guid),
                &checked(&serde_json::to_vec(&facts)?),
            )?;
            self.saved.insert(guid, facts);
        }
        Ok(())
    }

    fn drop_unused_specs(&mut self, used: BTreeSet<&SpecId>) -> Result<(), StateError> {
        let unused: Vec<_> = self
            .specs
            .iter()
            .filter(|id| !used.contains(id))
            .cloned()
            .collect();
        for id in unused {
            self.remove(&self.spec_path(&id))?;
            self.specs.remove(&id);
        }
        Ok(())
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), StateError> {
        durable_file::write(path, content, MODE_SECRET).map_err(io("write", path))
    }

    fn remove(&self, path: &Path) -> Result<(), StateError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("delete", path)(error)),
            _ => Ok(()),
        }
    }

    /// Ids come from outside: their digest is a safe file name.
    fn spec_path(&self, id: &SpecId) -> PathBuf {
        let name = hex::encode(Sha256::digest(id.0.as_bytes()));
        self.directory.join("specs").join(name)
    }

    fn instance_path(&self, guid: AssignmentGuid) -> PathBuf {
        self.directory.join("instances").join(guid.to_string())
    }

    fn read_all(&mut self, mut damaged: Vec<String>) -> Result<Restored, StateError> {
        let mut specs = BTreeMap::new();
        for path in files(&self.directory.join("specs"))? {
            let content = durable_file::read(&path)
                .map_err(io("read", &path))?
                .unwrap_or_default();
            let opened = self.key.open(content);
            match opened.and_then(|plain| {
                serde_json::from_slice::<(SpecId, Arc<InstanceSpec>)>(&plain).ok()
            }) {
                Some((id, spec)) => drop(specs.insert(id, spec)),
                None => damaged.push(format!("{} cannot be opened", path.display())),
            }
        }
        let path = self.directory.join("desired");
        let desired: Option<DesiredFile> = read_checked(&path, &mut damaged)?;
        let (token, assignments) = desired.map_or((None, Vec::new()), |d| (d.token, d.assignments));
        let mut instances = Vec::new();
        for path in files(&self.directory.join("instances"))? {
            let Some(facts) = read_checked::<Facts>(&path, &mut damaged)? else {
                continue;
            };
            match specs.get(&facts.assignment.spec) {
                Some(spec) => instances.push(restore(&facts, spec)),
                None => damaged.push(format!(
                    "{} refers to a spec that is not there",
                    path.display()
                )),
            }
            self.saved.insert(facts.assignment.guid, facts);
        }
        self.specs = specs.keys().cloned().collect();
        self.saved_token = token;
        let named: BTreeSet<_> = assignments.iter().map(|a| &a.spec).collect();
        specs.retain(|id, _| named.contains(id));
        let desired = Desired::restored(token, specs, assignments);
        Ok(Restored {
            desired,
            instances,
            damaged,
        })
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
    let stored = durable_file::read(&path).map_err(io("read", &path))?;
    if let Some(bytes) = &stored {
        if let Some(key) = Key::from_bytes(bytes) {
            return Ok(key);
        }
        damaged.push(format!("{} is not a key", path.display()));
    }
    let (key, bytes) = Key::generate(ids).ok_or(StateError::Seal)?;
    durable_file::write(&path, &bytes, MODE_SECRET).map_err(io("write", &path))?;
    Ok(key)
}

/// The content under a line with its digest.
fn checked(content: &[u8]) -> Vec<u8> {
    let mut text = format!("cfx1 {}\n", hex::encode(Sha256::digest(content))).into_bytes();
    text.extend_from_slice(content);
    text
}

fn read_checked<T: DeserializeOwned>(
    path: &Path,
    damaged: &mut Vec<String>,
) -> Result<Option<T>, StateError> {
    let Some(text) = durable_file::read(path).map_err(io("read", path))? else {
        return Ok(None);
    };
    let parsed = text.iter().position(|byte| *byte == b'\n').and_then(|end| {
        let (line, content) = (text.get(..=end)?, text.get(end + 1..)?);
        checked(content)
            .starts_with(line)
            .then(|| serde_json::from_slice(content).ok())?
    });
    if parsed.is_none() {
        damaged.push(format!("{} is damaged", path.display()));
    }
    Ok(parsed)
}

/// Files of a folder, without those that were being written.
fn files(folder: &Path) -> Result<Vec<PathBuf>, StateError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io("list", folder))? {
        let entry = entry.map_err(io("list", folder))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            // A write that a kill interrupted.
            std::fs::remove_file(entry.path()).map_err(io("delete", &entry.path()))?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
