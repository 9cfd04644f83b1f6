//! The keeper's loop: one thread, which sleeps until a socket or a process has something to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::record::{self, Record};
use super::{complain, take_over};
use crate::cgroup::{self, Cgroups};
use crate::channel::{Channel, Listener};
use crate::error::{Refusal, SandboxError, errno, io};
use crate::inside::Masks;
use crate::message::{Answer, Asked, Told};
use crate::seccomp::Filter;
use crate::spec::Ended;
use crate::stack::{NAMESPACE, Stack};

/// Things that happened, taken at once.
const EVENTS: usize = 64;
/// A group whose last process is just leaving is tried again after this, milliseconds.
const RETRY_MS: u16 = 2;
/// How long nobody may ask, while nothing runs, before it ends, milliseconds: longer
/// than whoever started it takes to connect.
const IDLE_MS: u16 = 2_000;

/// Who waits for an answer: connection and number.
pub(super) type Waiting = (u64, u64);

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) boot: String,
    /// The keeper's own mount namespace.
    pub(super) home: File,
    version: String,
    pub(super) cgroups: Cgroups,
    pub(super) masks: Masks,
    pub(super) filter: Filter,
    pub(super) epoll: Epoll,
    listener: Listener,
    connections: BTreeMap<u64, Channel>,
    pub(super) stacks: BTreeMap<String, Stack>,
    pub(super) kept: BTreeMap<String, Kept>,
    /// Which sandbox a number in an event means.
    names: BTreeMap<u64, String>,
    /// Groups of nobody that were not quite empty.
    pub(super) unclean: BTreeSet<String>,
    last: u64,
    pub(super) leaves: bool,
}

/// One sandbox.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: Record,
    pub(super) number: u64,
    /// While it runs.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) is_child: bool,
    /// Until it execs.
    pub(super) starting: Option<Starting>,
    /// Its end clears it away.
    pub(super) releasing: Vec<Waiting>,
}

impl Kept {
    /// Of an earlier keeper.
    pub(super) fn adopted(record: Record, number: u64, pidfd: Option<OwnedFd>) -> Self {
        Self {
            record,
            number,
            pidfd,
            is_child: false,
            starting: None,
            releasing: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Starting {
    pub(super) child: OwnedFd,
    pub(super) waiting: Vec<Waiting>,
    pub(super) failure: Option<Refusal>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Listener,
    Connection(u64),
    /// A sandbox's first process ended.
    End(u64),
    /// It execs, or says why not.
    Start(u64),
}

impl Source {
    const KIND_SHIFT: u32 = 62;

    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Listener => (0, 0),
            Self::Connection(number) => (1, number),
            Self::End(number) => (2, number),
            Self::Start(number) => (3, number),
        };
        kind << Self::KIND_SHIFT | number
    }

    fn decode(data: u64) -> Self {
        let number = data & ((1 << Self::KIND_SHIFT) - 1);
        match data >> Self::KIND_SHIFT {
            0 => Self::Listener,
            1 => Self::Connection(number),
            2 => Self::End(number),
            _ => Self::Start(number),
        }
    }
}

impl Keeper {
    pub(super) fn new(cell: &str, version: &str, listener: Listener) -> Result<Self, SandboxError> {
        let cgroups = Cgroups::find(Path::new(cgroup::ROOT), cell)?;
        cgroups.prepare()?;
        cgroups.shelter()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(errno("make an epoll"))?;
        let mut keeper = Self {
            boot: record::boot_id().map_err(io("learn which boot this is"))?,
            home: File::open(NAMESPACE).map_err(io("hold its own mount namespace"))?,
            version: version.to_owned(),
            cgroups,
            masks: Masks::of_machine(),
            filter: Filter::compile(),
            epoll,
            listener,
            connections: BTreeMap::new(),
            stacks: BTreeMap::new(),
            kept: BTreeMap::new(),
            names: BTreeMap::new(),
            unclean: BTreeSet::new(),
            last: 0,
            leaves: false,
        };
        watch(&keeper.epoll, keeper.listener.as_fd(), Source::Listener)?;
        take_over::take_over(&mut keeper)?;
        Ok(keeper)
    }

    /// Until nothing runs and nobody asks.
    pub(super) fn serve(&mut self) -> Result<(), SandboxError> {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.leaves {
            let timeout = if self.has_unclean() {
                EpollTimeout::from(RETRY_MS)
            } else if self.is_idle() {
                EpollTimeout::from(IDLE_MS)
            } else {
                EpollTimeout::NONE
            };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(0) if self.is_idle() && !self.has_unclean() => break,
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(errno("wait")(error)),
            };
            for event in events.iter().take(count) {
                self.handle(Source::decode(event.data()));
            }
            self.clean();
        }
        if self.kept.is_empty() && self.unclean.is_empty() {
            self.cgroups.close()?;
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.kept.values().all(|kept| kept.pidfd.is_none())
    }

    fn has_unclean(&self) -> bool {
        !self.unclean.is_empty()
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Listener => self.accept(),
            Source::Connection(number) => self.hear(number),
            Source::End(number) => {
                if let Some(name) = self.names.get(&number).cloned() {
                    self.ended(&name);
                }
            }
            Source::Start(number) => {
                if let Some(name) = self.names.get(&number).cloned() {
                    self.started(&name);
                }
            }
        }
    }

    fn accept(&mut self) {
        // Refused, or gone again: it may come back.
        let Ok(channel) = self.listener.accept() else {
            return;
        };
        let hello = Told::Hello {
            version: self.version.clone(),
        };
        let number = self.number();
        let source = Source::Connection(number);
        if channel.send(&hello, &[]).is_ok() && watch(&self.epoll, channel.as_fd(), source).is_ok()
        {
            self.connections.insert(number, channel);
        }
    }

    /// Everything that a connection has to say now.
    fn hear(&mut self, number: u64) {
        while let Some(channel) = self.connections.get(&number) {
            match channel.receive::<Asked>() {
                Ok(Some((asked, files))) => {
                    self.answer((number, asked.number), asked.request, files)
                }
                Err(SandboxError::Io { source, .. })
                    if source.kind() == io::ErrorKind::WouldBlock =>
                {
                    return;
                }
                // Gone, or not an agent of this version.
                Ok(None) | Err(_) => self.hang_up(number),
            }
        }
    }

    fn hang_up(&mut self, number: u64) {
        if let Some(channel) = self.connections.remove(&number) {
            unwatch(&self.epoll, channel.as_fd());
        }
    }

    pub(super) fn tell(&mut self, (connection, number): Waiting, answer: Result<Answer, Refusal>) {
        let told = Told::Answer { number, answer };
        let Some(channel) = self.connections.get(&connection) else {
            return;
        };
        // An agent that does not listen has to connect anew and ask again.
        if channel.send(&told, &[]).is_err() {
            self.hang_up(connection);
        }
    }

    pub(super) fn keep(&mut self, kept: Kept) {
        let name = kept.record.sandbox.name.clone();
        self.names.insert(kept.number, name.clone());
        self.kept.insert(name, kept);
    }

    /// The first process is gone, and with it all others of its namespace.
    fn ended(&mut self, name: &str) {
        let Some(kept) = self.kept.get_mut(name) else {
            return;
        };
        let Some(pidfd) = kept.pidfd.take() else {
            return;
        };
        let status = if kept.is_child { reap(&pidfd) } else { None };
        unwatch(&self.epoll, pidfd.as_fd());
        let group = self.cgroups.group(name);
        kept.record.sandbox.ended = Some(Ended {
            status,
            out_of_memory: group.oom_kills() > 0,
        });
        // Whatever it still had to say about its start.
        if kept.starting.is_some() {
            self.started(name);
        }
        self.unclean.insert(name.to_owned());
        let Some(kept) = self.kept.get(name) else {
            return;
        };
        if kept.releasing.is_empty()
            && let Err(error) = kept.record.save()
        {
            // In memory it is right; only a keeper after this one would not know.
            complain(&error);
        }
        let told = Told::Ended {
            name: name.to_owned(),
        };
        for channel in self.connections.values() {
            // A hint: an agent that does not listen looks by itself.
            channel.send(&told, &[]).unwrap_or_default();
        }
    }

    /// Groups of what has ended, and then everything of what is to be released.
    fn clean(&mut self) {
        for name in std::mem::take(&mut self.unclean) {
            if !self.remove_group(&name) {
                self.unclean.insert(name);
                continue;
            }
            let is_released = self
                .kept
                .get(&name)
                .is_some_and(|kept| !kept.releasing.is_empty());
            if is_released && let Some(kept) = self.kept.remove(&name) {
                self.names.remove(&kept.number);
                let answer = record::remove(&name)
                    .map(|()| Answer::Done)
                    .map_err(|error| Refusal::failed("remove its record", &error));
                for waiting in kept.releasing {
                    self.tell(waiting, answer.clone());
                }
            }
        }
    }

    fn remove_group(&self, name: &str) -> bool {
        match self.cgroups.group(name).remove() {
            Ok(is_gone) => is_gone,
            Err(error) => {
                complain(&error);
                true
            }
        }
    }

    /// A start that failed leaves nothing.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(kept) = self.kept.remove(name) {
            self.names.remove(&kept.number);
            self.unclean.insert(name.to_owned());
            if let Err(error) = record::remove(name) {
                complain(&error);
            }
        }
    }
}

/// The status of a child; none when the kernel says that it is nobody's here.
fn reap(pidfd: &OwnedFd) -> Option<i32> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags) {
        Ok(WaitStatus::Exited(_, status)) => Some(status),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
        _ => None,
    }
}

pub(super) fn watch(epoll: &Epoll, fd: impl AsFd, source: Source) -> Result<(), SandboxError> {
    let event = EpollEvent::new(EpollFlags::EPOLLIN, source.encode());
    epoll.add(fd, event).map_err(errno("watch a file"))
}

/// Before a file is closed: a child that has not yet execed still has it, and it would be told of.
pub(super) fn unwatch(epoll: &Epoll, fd: impl AsFd) {
    // It was watched, or it does not matter.
    epoll.delete(fd).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn an_event_tells_what_it_is_about() {
        for source in [
            Source::Listener,
            Source::Connection(1),
            Source::End(u64::MAX >> 2),
            Source::Start(7),
        ] {
            assert_eq!(Source::decode(source.encode()), source);
        }
    }
}
