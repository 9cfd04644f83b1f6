//! The one thread that touches sled: it takes requests in order, gathers commits that wait into
//! one durable write, and only then answers them and tells the watchers.
//!
//! What it must never do: answer before the write is durable, or show a reader what may yet be lost.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::SledOptions;
use super::disk::{Disk, Opened, WriteError};
use super::lock::LockFile;
use crate::codec::{Meta, Record};
use crate::commit::{self, Commit, CommitError, Op, Revisions};
use crate::lease::{LeaseError, LeaseId, Leases};
use crate::store::{Identity, Loaded, Revision, StoreError};
use crate::watch::{Event, Feed, WatchBatch, WatchError, WatchStream};

/// Most operations gathered into one durable write. Nobody waits for a group to fill: it is what
/// came in while the write before was on its way to the disk.
const GROUP_OPS_MAX: usize = 1_024;
/// Most bytes of such a write.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long what failed is left alone before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<T>;
type Answer = Result<Revision, CommitError>;

#[derive(Debug)]
pub(super) enum Request {
    Load(String, Reply<Result<Loaded, StoreError>>),
    Commit(Commit, Reply<Result<Revision, CommitError>>),
    Watch(String, Revision, Reply<Result<WatchStream, WatchError>>),
    Grant(Duration, Reply<Result<LeaseId, LeaseError>>),
    KeepAlive(LeaseId, Reply<Result<(), LeaseError>>),
    Revoke(LeaseId, Reply<Result<(), LeaseError>>),
    Close(Reply<()>),
}

/// A request and its place in the bounded queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: Request,
    pub(super) _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) struct Committer {
    options: SledOptions,
    requests: Receiver<Queued>,
    disk: DiskState,
    meta: Meta,
    feed: Feed,
    leases: Leases,
    /// Leases that are due but could not be ended are tried again then.
    leases_rest_until: Duration,
    group: Group,
    lock: LockFile,
}

#[derive(Debug)]
enum DiskState {
    Works(Box<Disk>),
    Broken { detail: String, since: Duration },
}

/// Commits that were judged but are not durable yet.
#[derive(Debug, Default)]
struct Group {
    /// The newest state of each key that the group touches; none is deleted.
    records: BTreeMap<String, Option<Record>>,
    batches: Vec<WatchBatch>,
    /// Who asked, if anybody did, and what to say once the group is durable.
    answers: Vec<(Option<Reply<Answer>>, Answer)>,
    revision: Revision,
    keys: u64,
    ops: usize,
    bytes: usize,
}

impl Committer {
    /// Opens the store. Leases end with their process, so their keys go first.
    pub(super) fn open(
        options: SledOptions,
        requests: Receiver<Queued>,
    ) -> Result<Self, StoreError> {
        let lock = LockFile::acquire(&options.path)?;
        let Opened { disk, meta, leased } = Disk::open(&options, true)?;
        let mut committer = Self {
            options,
            requests,
            disk: DiskState::Works(Box::new(disk)),
            meta,
            feed: Feed::new(meta.revision),
            leases: Leases::default(),
            leases_rest_until: Duration::ZERO,
            group: Group::default(),
            lock,
        };
        committer.start_group();
        let keys: Vec<String> = leased.into_iter().map(|(key, _)| key).collect();
        committer.delete(&keys);
        committer.write_group();
        let reserve_bytes = committer.options.space_reserve_bytes;
        committer.disk()?.keep_reserve(reserve_bytes);
        Ok(committer)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            cluster: self.meta.cluster,
            epoch: self.meta.epoch,
        }
    }

    /// Serves until `Close`, or until every handle is gone.
    pub(super) fn run(mut self) {
        let mut closing = None;
        while closing.is_none() {
            let first = match self.wait() {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.expire_leases();
            let mut next = first;
            while let Some(queued) = next {
                closing = self.take(queued.request);
                if closing.is_some() || self.group.is_full() {
                    break;
                }
                next = self.requests.try_recv().ok();
            }
            self.write_group();
        }
        self.feed.close();
        if let DiskState::Works(disk) = self.disk {
            disk.close();
        }
        drop(self.lock);
        if let Some(reply) = closing {
            answer(reply, ());
        }
    }

    /// The next request, or none when a lease is due.
    fn wait(&self) -> Result<Option<Queued>, RecvTimeoutError> {
        match self.leases.next_end() {
            Some(end) => self
                .requests
                .recv_timeout(
                    end.max(self.leases_rest_until)
                        .saturating_sub(self.options.clock.now()),
                )
                .map(Some),
            None => self
                .requests
                .recv()
                .map(Some)
                .map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Takes one request. All but commits see only what is durable.
    fn take(&mut self, request: Request) -> Option<Reply<()>> {
        self.expire_leases();
        if let Request::Commit(commit, reply) = request {
            self.judge(commit, Some(reply));
            return None;
        }
        self.write_group();
        let now = self.options.clock.now();
        match request {
            Request::Commit(..) => {}
            Request::Load(prefix, reply) => answer(reply, self.load(&prefix)),
            Request::Watch(prefix, from, reply) => {
                answer(reply, self.feed.subscribe(&prefix, from));
            }
            Request::Grant(ttl, reply) => answer(reply, self.leases.grant(ttl, now)),
            Request::KeepAlive(id, reply) => answer(reply, self.leases.keep_alive(id, now)),
            Request::Revoke(id, reply) => answer(reply, self.end_lease(id)),
            Request::Close(reply) => return Some(reply),
        }
        None
    }

    fn load(&mut self, prefix: &str) -> Result<Loaded, StoreError> {
        let entries = self
            .disk()?
            .load(prefix)
            .map_err(|detail| self.fail(detail))?;
        Ok(Loaded {
            revision: self.meta.revision,
            entries,
        })
    }

    fn judge(&mut self, commit: Commit, reply: Option<Reply<Answer>>) {
        let ops = commit.ops.len();
        let answer = self.judged(commit);
        self.group.ops += ops.max(1);
        self.group.answers.push((reply, answer));
    }

    fn judged(&mut self, commit: Commit) -> Answer {
        for op in &commit.ops {
            if let Op::Put {
                lease: Some(id), ..
            } = op
                && !self.leases.exists(*id)
            {
                return Err(CommitError::NoLease(*id));
            }
        }
        self.disk()?;
        let revision = self.group.revision + 1;
        let events = {
            let (group, disk) = (&self.group, &self.disk);
            commit::judge(commit, revision, |key| group.lookup(disk, key))
        };
        let events = events.inspect_err(|error| {
            tracing::trace!(%error, "commit refused");
        })?;
        if events.is_empty() {
            return Ok(self.group.revision);
        }
        self.group.add(revision, events);
        Ok(revision)
    }

    /// Makes the gathered commits durable, tells the watchers, and answers.
    fn write_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        if let Err(error) = self.write(&group) {
            for (reply, judged) in group.answers {
                let told = match (&error, judged) {
                    // Refused for a reason of its own that holds whatever became of the others.
                    (_, Err(error @ (CommitError::NoLease(_) | CommitError::Store(_)))) => error,
                    (WriteError::Refused(error), _) => again(error),
                    (WriteError::Broken(detail), _) => CommitError::Unknown {
                        detail: detail.clone(),
                    },
                };
                answer_any(reply, Err(told));
            }
        } else {
            for batch in group.batches {
                for event in &batch.events {
                    self.leases.follow(event);
                }
                self.feed.publish(batch);
            }
            for (reply, judged) in group.answers {
                answer_any(reply, judged);
            }
        }
        self.start_group();
    }

    fn write(&mut self, group: &Group) -> Result<(), WriteError> {
        if group.batches.is_empty() {
            return Ok(());
        }
        let meta = Meta {
            revision: group.revision,
            keys: group.keys,
            ..self.meta
        };
        let result = match &mut self.disk {
            DiskState::Works(disk) => disk.write(&group.records, &meta),
            DiskState::Broken { detail, .. } => Err(WriteError::Refused(StoreError::Unavailable {
                detail: detail.clone(),
            })),
        };
        match &result {
            Ok(()) => self.meta = meta,
            Err(WriteError::Broken(detail)) => drop(self.fail(detail.clone())),
            Err(WriteError::Refused(_)) => {}
        }
        result
    }

    fn start_group(&mut self) {
        self.group = Group {
            revision: self.meta.revision,
            keys: self.meta.keys,
            ..Group::default()
        };
    }

    fn expire_leases(&mut self) {
        let now = self.options.clock.now();
        if now < self.leases_rest_until {
            return;
        }
        for id in self.leases.due(now) {
            if let Err(error) = self.end_lease(id) {
                tracing::warn!(%error, lease = %id, "a lease could not be ended yet");
                self.leases_rest_until = now + RETRY_AFTER;
            }
        }
    }

    /// The lease goes only with its keys: when they cannot be deleted now, it ends later.
    fn end_lease(&mut self, id: LeaseId) -> Result<(), LeaseError> {
        let keys = self.leases.keys(id)?;
        self.delete(&keys);
        self.write_group();
        if self.leases.keys(id)?.is_empty() {
            return self.leases.end(id);
        }
        Err(LeaseError::Store(StoreError::Unavailable {
            detail: "the keys of the lease could not be deleted".to_owned(),
        }))
    }

    fn delete(&mut self, keys: &[String]) {
        if keys.is_empty() {
            return;
        }
        let ops = keys.iter().map(Op::delete).collect();
        self.judge(
            Commit {
                compares: Vec::new(),
                ops,
            },
            None,
        );
    }

    /// sled, opened again when it broke and some time has gone by.
    fn disk(&mut self) -> Result<&mut Disk, StoreError> {
        if let DiskState::Broken { detail, since } = &self.disk {
            let now = self.options.clock.now();
            if now.saturating_sub(*since) < RETRY_AFTER {
                return Err(StoreError::Unavailable {
                    detail: detail.clone(),
                });
            }
            self.reopen(now)?;
        }
        match &mut self.disk {
            DiskState::Works(disk) => Ok(disk),
            DiskState::Broken { detail, .. } => Err(StoreError::Unavailable {
                detail: detail.clone(),
            }),
        }
    }

    /// Commits whose fate was unknown show now; watchers did not hear of them and must list again.
    fn reopen(&mut self, now: Duration) -> Result<(), StoreError> {
        let opened = Disk::open(&self.options, false).inspect_err(|error| {
            self.disk = DiskState::Broken {
                detail: error.to_string(),
                since: now,
            };
        })?;
        tracing::warn!(
            revision = opened.meta.revision,
            "the store was opened again"
        );
        if opened.meta.revision != self.meta.revision {
            self.feed.reset(opened.meta.revision);
        }
        self.meta = opened.meta;
        self.leases.adopt(opened.leased);
        let mut disk = opened.disk;
        disk.keep_reserve(self.options.space_reserve_bytes);
        self.disk = DiskState::Works(Box::new(disk));
        // A broken sled takes no commits, so none is in the group; it may hold refusals.
        self.group.revision = self.meta.revision;
        self.group.keys = self.meta.keys;
        Ok(())
    }

    /// Gives sled up until it is opened again.
    fn fail(&mut self, detail: String) -> StoreError {
        tracing::error!(detail, "the store does not serve");
        let since = self.options.clock.now();
        let broken = DiskState::Broken {
            detail: detail.clone(),
            since,
        };
        if let DiskState::Works(disk) = std::mem::replace(&mut self.disk, broken) {
            disk.close();
        }
        StoreError::Unavailable { detail }
    }
}

impl Group {
    fn is_full(&self) -> bool {
        self.ops >= GROUP_OPS_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    fn lookup(&self, disk: &DiskState, key: &str) -> Result<Option<Revisions>, StoreError> {
        let stored;
        let record = match (self.records.get(key), disk) {
            (Some(record), _) => record.as_ref(),
            (None, DiskState::Works(disk)) => {
                stored = disk
                    .get(key)
                    .map_err(|detail| StoreError::Unavailable { detail })?;
                stored.as_ref()
            }
            (None, DiskState::Broken { detail, .. }) => {
                return Err(StoreError::Unavailable {
                    detail: detail.clone(),
                });
            }
        };
        Ok(record.map(|record| Revisions {
            create: record.create,
            modified: record.modified,
        }))
    }

    fn add(&mut self, revision: Revision, events: Vec<Event>) {
        self.revision = revision;
        for event in &events {
            match event {
                Event::Put { entry, lease } => {
                    self.bytes += entry.key.len() + entry.value.len();
                    self.keys += u64::from(entry.create_revision == revision);
                    self.records.insert(
                        entry.key.clone(),
                        Some(Record {
                            create: entry.create_revision,
                            modified: revision,
                            lease: lease.map_or(0, |id| id.0),
                            value: entry.value.clone(),
                        }),
                    );
                }
                Event::Delete { key, .. } => {
                    self.keys -= 1;
                    self.records.insert(key.clone(), None);
                }
            }
        }
        self.batches.push(WatchBatch { revision, events });
    }
}

/// The same error for each commit of a group.
fn again(error: &StoreError) -> CommitError {
    CommitError::Store(match error {
        StoreError::NoSpace { detail } => StoreError::NoSpace {
            detail: detail.clone(),
        },
        other => StoreError::Unavailable {
            detail: other.to_string(),
        },
    })
}

/// The store's own commits have nobody to answer.
fn answer_any<T>(reply: Option<Reply<T>>, value: T) {
    if let Some(reply) = reply {
        answer(reply, value);
    }
}

/// A caller that has gone away needs no answer.
fn answer<T>(reply: Reply<T>, value: T) {
    drop(reply.send(value));
}
