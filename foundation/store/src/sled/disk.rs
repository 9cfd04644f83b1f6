//! sled itself: opened with care, verified whole, and written durably.
//!
//! sled 0.34 needs help: its flush orders writes but does not sync the file, its blob files are
//! never synced, recovery can panic, and a damaged tail is dropped without a word. So: segments so
//! large that no page becomes a blob, an fsync of our own, a guard against panics around each call,
//! and a verification of every value at open against its checksum, the key count and the witness.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::sled::{Batch, Db, Mode};

use super::lock::patiently;
use super::space::{self, Reserve};
use super::witness::{self, Testimony, Witness};
use super::{SledOptions, io_error};
use crate::codec::{FORMAT, Meta, Record};
use crate::store::{Entry, Revision, StoreError};

/// A page of 16 values of 32 KiB must stay under a quarter of a segment, or sled moves it to a
/// blob file that it never syncs.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// Pages that sled keeps in memory; the controller holds the whole state itself.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How often sled's own thread reclaims segments; without it space is never given back.
const RECLAIM_EVERY_MS: u64 = 1_000;

/// A file that is larger than this, and than so many times its contents, has not been reclaimed.
const BLOAT_BYTES_MIN: u64 = 256 * 1024 * 1024;
const BLOAT_FACTOR: u64 = 3;

const META_KEY: &[u8] = b"m";
const KEY_PREFIX: u8 = b'k';

#[derive(Debug)]
pub(super) struct Disk {
    db: Db,
    data: PathBuf,
    db_file: File,
    data_dir: File,
    witness: Witness,
    store: PathBuf,
    reserve: Reserve,
}

/// What a verified store contains besides its values.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) disk: Disk,
    pub(super) meta: Meta,
    /// Keys that hang on leases, with the lease's number.
    pub(super) leased: Vec<(String, u64)>,
}

/// Whether a write may have reached the disk.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Nothing was written.
    Refused(StoreError),
    /// sled is not to be trusted any more before it is opened again.
    Broken(String),
}

impl Disk {
    /// Opens and verifies. `raise_epoch` is for the first open of a process.
    pub(super) fn open(options: &SledOptions, raise_epoch: bool) -> Result<Opened, StoreError> {
        let store = options.path.clone();
        let data = store.join("data");
        let testimony = witness::read(&store)?;
        let fresh = !data.join("db").exists();
        if let (true, Some(testimony)) = (fresh, testimony) {
            return Err(damaged(
                options,
                format!(
                    "its data is gone, revisions up to {} with it",
                    testimony.revision
                ),
            ));
        }
        fs::create_dir_all(&data).map_err(io_error("create", &data))?;
        remove_half_made_snapshots(&data)?;
        let db = open_sled(options, &data)?;
        let found = guard(|| verify(&db))
            .and_then(|found| found)
            .map_err(|detail| damaged(options, detail))?;
        let mut meta = match found.meta {
            Some(meta) => meta,
            None if found.keys == 0 && testimony.is_none() => new_meta(options),
            None => return Err(damaged(options, "its meta record is missing".to_owned())),
        };
        check(options, &meta, &found, testimony)?;
        warn_of_bloat(&data, found.bytes);
        if raise_epoch {
            meta.epoch = (meta.epoch + 1).max(options.epoch_min);
        }
        let disk = Self::assemble(options, db, data, &meta)?;
        Ok(Opened {
            disk,
            meta,
            leased: found.leased,
        })
    }

    /// Makes the meta record and all folders durable before the first commit is taken.
    fn assemble(
        options: &SledOptions,
        db: Db,
        data: PathBuf,
        meta: &Meta,
    ) -> Result<Self, StoreError> {
        let store = options.path.clone();
        let db_path = data.join("db");
        let db_file = File::open(&db_path).map_err(io_error("open", &db_path))?;
        let data_dir = File::open(&data).map_err(io_error("open", &data))?;
        let reserve = if options.space_guard {
            Reserve::ForSled
        } else {
            Reserve::None
        };
        space::check(&store, reserve, 0)?;
        let mut batch = Batch::default();
        batch.insert(META_KEY, meta.encode(META_KEY));
        guard(|| write_durably(&db, &db_file, &data_dir, batch))
            .and_then(|result| result)
            .map_err(|detail| StoreError::Unavailable { detail })?;
        sync_dirs(&store)?;
        // Only now may the witness say that there is a store.
        let testimony = Testimony {
            cluster: meta.cluster,
            revision: meta.revision,
        };
        let witness = Witness::create(&store, testimony)?;
        sync_dirs(&store)?;
        Ok(Self {
            db,
            data,
            db_file,
            data_dir,
            witness,
            store,
            reserve,
        })
    }

    /// From now on part of the disk stays free; opening may use it.
    pub(super) fn keep_reserve(&mut self, bytes_max: u64) {
        if self.reserve != Reserve::None {
            self.reserve = Reserve::Keep { bytes_max };
        }
    }

    /// Writes records and the meta record as one atomic batch, and returns when they are durable.
    /// `None` deletes.
    pub(super) fn write(
        &mut self,
        records: &BTreeMap<String, Option<Record>>,
        meta: &Meta,
    ) -> Result<(), WriteError> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        for (key, record) in records {
            let key = stored_key(key);
            match record {
                Some(record) => {
                    let value = record.encode(&key);
                    bytes += (key.len() + value.len()) as u64;
                    batch.insert(key, value);
                }
                None => batch.remove(key),
            }
        }
        batch.insert(META_KEY, meta.encode(META_KEY));
        space::check(&self.store, self.reserve, bytes).map_err(WriteError::Refused)?;
        guard(|| write_durably(&self.db, &self.db_file, &self.data_dir, batch))
            .and_then(|result| result)
            .map_err(WriteError::Broken)?;
        if let Err(error) = self.witness.record(meta.revision) {
            tracing::warn!(%error, "the store's witness is not up to date");
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Record>, String> {
        let stored = stored_key(key);
        let bytes = guard(|| self.db.get(&stored).map_err(|e| e.to_string())).and_then(|r| r)?;
        bytes
            .map(|bytes| Record::decode(&stored, &bytes))
            .transpose()
            .map_err(|damage| format!("the value of `{key}` is damaged: {damage}"))
    }

    pub(super) fn load(&self, prefix: &str) -> Result<Vec<Entry>, String> {
        guard(|| {
            self.db
                .scan_prefix(stored_key(prefix))
                .map(|item| {
                    let (stored, bytes) = item.map_err(|e| e.to_string())?;
                    let (key, record) = decode(&stored, &bytes)?;
                    Ok(Entry {
                        key,
                        value: record.value,
                        create_revision: record.create,
                        mod_revision: record.modified,
                    })
                })
                .collect()
        })
        .and_then(|result| result)
    }

    /// Lets go of the files. sled writes out what is left as it is dropped.
    pub(super) fn close(self) {
        let Self { db, data, .. } = self;
        if let Err(detail) = guard(move || drop(db)) {
            tracing::warn!(path = %data.display(), detail, "sled did not close cleanly");
        }
    }
}

/// sled's own flush leaves the file's pages to the kernel, so both are synced here.
fn write_durably(db: &Db, db_file: &File, data_dir: &File, batch: Batch) -> Result<(), String> {
    db.apply_batch(batch).map_err(|error| error.to_string())?;
    db.flush().map_err(|error| error.to_string())?;
    db_file
        .sync_data()
        .and_then(|()| data_dir.sync_all())
        .map_err(|error| format!("sync: {error}"))
}

/// The store's folder and the one it lies in.
fn sync_dirs(store: &Path) -> Result<(), StoreError> {
    for dir in store
        .ancestors()
        .take(2)
        .filter(|dir| *dir != Path::new(""))
    {
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io_error("sync", dir))?;
    }
    Ok(())
}

fn open_sled(options: &SledOptions, data: &Path) -> Result<Db, StoreError> {
    let config = ::sled::Config::default()
        .path(data)
        .mode(Mode::LowSpace)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(RECLAIM_EVERY_MS));
    // With our own lock held, sled's can only be held by a child that is being forked.
    let is_lock = |error: &::sled::Error| matches!(error, ::sled::Error::Io(error) if error.to_string().contains("acquire lock"));
    match guard(|| patiently(|| config.open(), is_lock)) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(::sled::Error::Io(error))) => Err(io_error("open", data)(error)),
        Ok(Err(error)) => Err(damaged(options, error.to_string())),
        Err(panic) => Err(damaged(options, panic)),
    }
}

#[derive(Debug, Default)]
struct Found {
    meta: Option<Meta>,
    keys: u64,
    bytes: u64,
    newest: Revision,
    leased: Vec<(String, u64)>,
}

/// Reads every value. An error names what is damaged.
fn verify(db: &Db) -> Result<Found, String> {
    let mut found = Found::default();
    for item in db.iter() {
        let (stored, bytes) = item.map_err(|error| error.to_string())?;
        if &*stored == META_KEY {
            let meta = Meta::decode(&stored, &bytes)
                .map_err(|damage| format!("the meta record: {damage}"))?;
            found.meta = Some(meta);
            continue;
        }
        let (key, record) = decode(&stored, &bytes)?;
        found.keys += 1;
        found.bytes += (stored.len() + bytes.len()) as u64;
        found.newest = found.newest.max(record.modified);
        if record.lease != 0 {
            found.leased.push((key, record.lease));
        }
    }
    Ok(found)
}

/// Holds what was read against what the store and its witness say must be there.
fn check(
    options: &SledOptions,
    meta: &Meta,
    found: &Found,
    testimony: Option<Testimony>,
) -> Result<(), StoreError> {
    if meta.format > FORMAT {
        return Err(StoreError::NewerFormat {
            path: options.path.clone(),
            found: meta.format,
            known: FORMAT,
        });
    }
    if found.keys != meta.keys {
        return Err(damaged(
            options,
            format!("{} keys are there instead of {}", found.keys, meta.keys),
        ));
    }
    if found.newest > meta.revision {
        return Err(damaged(
            options,
            format!("a value is newer than revision {}", meta.revision),
        ));
    }
    match testimony {
        Some(testimony) if testimony.cluster != meta.cluster => Err(damaged(
            options,
            "its data and its witness are of two clusters".to_owned(),
        )),
        Some(testimony) if testimony.revision > meta.revision => Err(damaged(
            options,
            format!(
                "its data ends at revision {}, but {} was acknowledged",
                meta.revision, testimony.revision
            ),
        )),
        _ => Ok(()),
    }
}

fn warn_of_bloat(data: &Path, bytes: u64) {
    let file_bytes = fs::metadata(data.join("db")).map_or(0, |file| file.len());
    if file_bytes > BLOAT_BYTES_MIN.max(BLOAT_FACTOR * bytes) {
        tracing::warn!(
            file_bytes,
            bytes,
            "the store's file is far larger than its contents; a backup and restore shrinks it"
        );
    }
}

fn new_meta(options: &SledOptions) -> Meta {
    Meta {
        format: FORMAT,
        cluster: options.new_cluster,
        epoch: 0,
        revision: options.first_revision,
        keys: 0,
    }
}

/// sled leaves these behind when it dies while writing one, and then trips over them.
fn remove_half_made_snapshots(data: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(data).map_err(io_error("list", data))? {
        let path = entry.map_err(io_error("list", data))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

fn stored_key(key: &str) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + key.len());
    stored.push(KEY_PREFIX);
    stored.extend_from_slice(key.as_bytes());
    stored
}

fn decode(stored: &[u8], bytes: &[u8]) -> Result<(String, Record), String> {
    let key = match stored.split_first() {
        Some((&KEY_PREFIX, key)) => std::str::from_utf8(key).ok(),
        _ => None,
    }
    .ok_or_else(|| format!("an unknown key `{}`", stored.escape_ascii()))?;
    let record = Record::decode(stored, bytes)
        .map_err(|damage| format!("the value of `{key}` is damaged: {damage}"))?;
    Ok((key.to_owned(), record))
}

fn damaged(options: &SledOptions, detail: String) -> StoreError {
    StoreError::Damaged {
        path: options.path.clone(),
        detail,
        restore_command: options.restore_command.clone(),
    }
}

/// Calls into sled, whose panics must not take the process with them.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        format!("sled panicked: {text}")
    })
}
