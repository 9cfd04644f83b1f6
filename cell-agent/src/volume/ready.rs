//! Volumes made ahead: a mounted disk with its folders, which only wants a name and an owner.
//!
//! They lie in a folder of their own until they are renamed, so whatever ends an agent, the next
//! one finds them and either takes them up or clears them away.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{VolumeError, image, io, make_folder, mount, template};

/// Sizes of which volumes are kept: those that were asked for last.
const SIZES_MAX: usize = 4;
/// Made last: a disk that has it is whole.
const LAST_FOLDER: &str = "slot";

/// Shared by all who make volumes of one cell.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    directory: PathBuf,
    shelf: Arc<Mutex<Shelf>>,
    numbers: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Shelf {
    most: usize,
    /// Sizes in bytes, the last asked for first.
    sizes: VecDeque<u64>,
    /// By their size.
    volumes: BTreeMap<u64, Vec<PathBuf>>,
}

impl Ready {
    /// Take up what an earlier agent made; what is not whole is deleted.
    pub(super) fn open(directory: PathBuf) -> Result<Self, VolumeError> {
        let mut shelf = Shelf::default();
        let mut next = 0;
        for entry in std::fs::read_dir(&directory).map_err(io("list", &directory))? {
            let path = entry.map_err(io("list", &directory))?.path();
            match size_of_whole(&path) {
                Some((size, number)) => {
                    next = next.max(number + 1);
                    shelf.put(size, path);
                }
                None => delete(&path)?,
            }
        }
        Ok(Self {
            directory,
            shelf: Arc::new(Mutex::new(shelf)),
            numbers: Arc::new(AtomicU64::new(next)),
        })
    }

    pub(super) fn keep(&self, most: usize) {
        self.shelf.lock().most = most;
    }

    /// More of this size are likely to be asked for.
    pub(super) fn want(&self, size_bytes: u64) {
        self.shelf.lock().want(size_bytes);
    }

    /// Move one of this size to `place`; false when there is none.
    pub(super) fn take(&self, size_bytes: u64, place: &Path) -> Result<bool, VolumeError> {
        let Some(path) = self.shelf.lock().take(size_bytes) else {
            return Ok(false);
        };
        std::fs::rename(&path, place).map_err(io("move into place", &path))?;
        Ok(true)
    }

    /// Make the next that is missing, or let go of one too many; false when all is as it should.
    pub(super) fn stock(&self, templates: &Path) -> Result<bool, VolumeError> {
        let (surplus, missing) = {
            let mut shelf = self.shelf.lock();
            (shelf.surplus(), shelf.missing())
        };
        if let Some(path) = surplus {
            return delete(&path).map(|()| true);
        }
        let Some(size) = missing else {
            return Ok(false);
        };
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{size}-{number}"));
        let template = template::ensure(templates, size)?;
        if let Err(error) = make_disk(&template, &path) {
            delete(&path)?;
            return Err(error);
        }
        self.shelf.lock().put(size, path);
        Ok(true)
    }

    pub(super) fn clear(&self) -> Result<(), VolumeError> {
        let volumes = std::mem::take(&mut self.shelf.lock().volumes);
        volumes.values().flatten().try_for_each(|path| delete(path))
    }
}

impl Shelf {
    fn take(&mut self, size: u64) -> Option<PathBuf> {
        self.volumes.get_mut(&size)?.pop()
    }

    fn put(&mut self, size: u64, path: PathBuf) {
        self.volumes.entry(size).or_default().push(path);
    }

    /// More of this size are likely to be asked for.
    fn want(&mut self, size: u64) {
        self.sizes.retain(|one| *one != size);
        self.sizes.push_front(size);
        self.sizes.truncate(SIZES_MAX);
    }

    /// Each size that is in use has its share.
    fn share(&self) -> usize {
        self.most / self.sizes.len().max(1)
    }

    fn missing(&self) -> Option<u64> {
        let count = |size: &u64| self.volumes.get(size).map_or(0, Vec::len);
        let wanting = |size: &&u64| count(size) < self.share();
        self.sizes.iter().find(wanting).copied()
    }

    /// One of a size that nobody asks for any more, or of which there are too many.
    fn surplus(&mut self) -> Option<PathBuf> {
        let share = self.share();
        let is_known = |size| self.sizes.is_empty() || self.sizes.contains(size);
        let mut sizes = self.volumes.iter_mut();
        let (_, volumes) = sizes.find(|(size, volumes)| {
            let most = if is_known(size) { share } else { 0 };
            volumes.len() > most
        })?;
        volumes.pop()
    }
}

/// `<size>-<number>`, mounted and with all its folders.
fn size_of_whole(path: &Path) -> Option<(u64, u64)> {
    let (size, number) = path.file_name()?.to_str()?.split_once('-')?;
    let disk = path.join("disk");
    let is_whole = mount::is_mounted(&disk) && disk.join(LAST_FOLDER).is_dir();
    is_whole.then_some((size.parse().ok()?, number.parse().ok()?))
}

/// A fresh disk in a folder of its own, mounted, with the folders that every volume has.
pub(super) fn make_disk(template: &Path, folder: &Path) -> Result<(), VolumeError> {
    make_folder(folder, None)?;
    let (file, disk) = (folder.join("image"), folder.join("disk"));
    make_folder(&disk, None)?;
    image::copy_sparse(template, &file).map_err(io("copy the template to", &file))?;
    mount::image(&file, &disk)?;
    for name in ["tmp", LAST_FOLDER] {
        make_folder(&disk.join(name), None)?;
    }
    Ok(())
}

/// Unmount and delete a volume's folder. Deleting what is not there succeeds.
pub(super) fn delete(folder: &Path) -> Result<(), VolumeError> {
    for place in ["home", "disk"] {
        mount::unmount(&folder.join(place))?;
    }
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("delete", folder)(error)),
    }
}
