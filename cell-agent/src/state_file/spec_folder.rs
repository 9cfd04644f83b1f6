//! The specs that something on this cell refers to, one sealed file each: they hold credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cfx_process::durable_file::{self, MODE_SECRET};
use cfx_process::entropy::IdSource;
use cfx_protocol::desired::{InstanceSpec, SpecId};
use sha2::{Digest, Sha256};

use super::seal::Key;
use super::{StateError, cannot};

#[derive(Debug)]
pub(super) struct SpecFolder {
    folder: PathBuf,
    key: Key,
    ids: IdSource,
    present: BTreeSet<SpecId>,
    /// How many refer to each, whether it is there or not.
    users: BTreeMap<SpecId, usize>,
}

impl SpecFolder {
    pub(super) fn new(folder: PathBuf, key: Key, ids: IdSource) -> Self {
        Self {
            folder,
            key,
            ids,
            present: BTreeSet::new(),
            users: BTreeMap::new(),
        }
    }

    /// All that can be opened; the others are told.
    pub(super) fn read(
        &mut self,
        damaged: &mut Vec<String>,
    ) -> Result<BTreeMap<SpecId, Arc<InstanceSpec>>, StateError> {
        let mut specs = BTreeMap::new();
        for path in files(&self.folder)? {
            let content = durable_file::read(&path).map_err(cannot("read", &path))?;
            let opened = self.key.open(content.unwrap_or_default());
            match opened.and_then(|plain| {
                serde_json::from_slice::<(SpecId, Arc<InstanceSpec>)>(&plain).ok()
            }) {
                Some((id, spec)) => drop(specs.insert(id, spec)),
                None => damaged.push(format!("{} cannot be opened", path.display())),
            }
        }
        self.present = specs.keys().cloned().collect();
        Ok(specs)
    }

    /// Write it unless it is there.
    pub(super) fn write(&mut self, id: &SpecId, spec: &InstanceSpec) -> Result<(), StateError> {
        if self.present.contains(id) {
            return Ok(());
        }
        let plain = serde_json::to_vec(&(id, spec))?;
        let sealed = self.key.seal(plain, &self.ids).ok_or(StateError::Seal)?;
        let path = self.path(id);
        durable_file::write(&path, &sealed, MODE_SECRET).map_err(cannot("write", &path))?;
        self.present.insert(id.clone());
        Ok(())
    }

    pub(super) fn hold(&mut self, id: &SpecId) {
        *self.users.entry(id.clone()).or_default() += 1;
    }

    pub(super) fn let_go(&mut self, id: &SpecId) {
        if let Some(users) = self.users.get_mut(id) {
            *users -= 1;
            if *users == 0 {
                self.users.remove(id);
            }
        }
    }

    /// Delete what nothing refers to any more.
    pub(super) fn sweep(&mut self) -> Result<(), StateError> {
        let is_unused = |id: &&SpecId| !self.users.contains_key(*id);
        let unused: Vec<_> = self.present.iter().filter(is_unused).cloned().collect();
        for id in unused {
            remove(&self.path(&id))?;
            self.present.remove(&id);
        }
        Ok(())
    }

    /// Ids come from outside: their digest is a safe file name.
    fn path(&self, id: &SpecId) -> PathBuf {
        let name = hex::encode(Sha256::digest(id.0.as_bytes()));
        self.folder.join(name)
    }
}

fn remove(path: &Path) -> Result<(), StateError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("delete", path)(error)),
        _ => Ok(()),
    }
}

/// Files of a folder, without those that were being written.
fn files(folder: &Path) -> Result<Vec<PathBuf>, StateError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot("list", folder))? {
        let entry = entry.map_err(cannot("list", folder))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            // A write that a kill interrupted.
            remove(&entry.path())?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}
