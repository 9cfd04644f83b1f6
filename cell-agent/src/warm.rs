//! Instances made ahead of need: all of an instance but who it is.
//!
//! ```text
//! keeper: address, volume, container whose first process waits   -> ready
//! start:  ready -> taken -> address, volume, container passed on -> the instance's own
//! ```
//! Who starts takes one of the same stack and disk size, if there is one, and then needs
//! milliseconds. Of which kind they are follows demand, how many there are is configured. Whatever
//! goes by a name of this pool is no leftover; what an ended agent made is taken up by the next one,
//! or swept by it as anything else that nobody knows.

pub mod keeper;
mod member;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_protocol::desired::{Root, Work};
use cfx_protocol::id::InstanceGuid;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::hooks::{Order, volume};

/// Memory that one takes before it is anybody's, mebibytes: the engine's own process beside it has
/// 2.5, the launcher and what the kernel keeps for both the rest.
pub const MEMBER_MB: u64 = 4;
/// Kinds that are kept side by side.
const PROFILES_MAX: usize = 4;
/// A kind that nobody asked for in this time makes room for those that somebody did.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What cannot change any more once a container is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub stack: String,
    pub size_bytes: u64,
    /// Files that may be open: a process may be given fewer, but not more.
    pub fds: u32,
}

impl Profile {
    /// The kind that a start needs; none for what is always made from nothing: a docker image, a
    /// staging, which mounts its own inputs, and a restart, which keeps the address it had.
    fn of(order: &Order) -> Option<Self> {
        let is_fresh = order.address.is_none() && !order.remains;
        let is_staging = matches!(order.spec.work, Work::Staging(_));
        match &order.spec.root {
            Root::Stack { name, .. } if is_fresh && !is_staging => Some(Self {
                stack: name.clone(),
                size_bytes: volume::size_bytes(order),
                fds: order.spec.limits.fds,
            }),
            _ => None,
        }
    }
}

/// The pool of one cell; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Warm {
    pool: Arc<Mutex<Pool>>,
    /// Names of all that are being made, ready, or being passed on.
    names: watch::Sender<BTreeSet<InstanceGuid>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Pool {
    most: usize,
    /// Kinds and when they were last asked for, the last first; none for a guess.
    wanted: VecDeque<(Profile, Option<Duration>)>,
    /// The oldest first.
    ready: VecDeque<(InstanceGuid, Profile)>,
    making: Vec<Profile>,
    /// Of which something is left that nobody will use: to be ended, again if need be.
    broken: Vec<InstanceGuid>,
}

/// What the keeper is to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Make(Profile),
    End(InstanceGuid),
    Nothing,
}

impl Warm {
    /// `most` is how many are kept; none with 0.
    #[must_use]
    pub fn new(most: usize, clock: Clock) -> Self {
        let pool = Pool {
            most,
            ..Pool::default()
        };
        Self {
            pool: Arc::new(Mutex::new(pool)),
            names: watch::Sender::default(),
            clock,
        }
    }

    /// One that fits, if there is one. What is asked for decides what is made next.
    #[must_use]
    pub fn take(&self, order: &Order) -> Option<Taken> {
        let profile = Profile::of(order)?;
        let mut pool = self.pool.lock();
        pool.want(profile.clone(), self.clock.monotonic());
        let name = pool.take(&profile)?;
        Some(Taken {
            warm: self.clone(),
            name,
            is_passed: false,
        })
    }

    #[must_use]
    pub fn names(&self) -> BTreeSet<InstanceGuid> {
        self.names.borrow().clone()
    }

    #[must_use]
    pub fn ready(&self) -> usize {
        self.pool.lock().ready.len()
    }

    /// Make no more and end those that are there. Returns when none is left.
    pub async fn close(&self) {
        self.pool.lock().most = 0;
        let mut names = self.names.subscribe();
        // The sender lives as long as `self`.
        drop(names.wait_for(BTreeSet::is_empty).await);
    }

    fn add_name(&self, name: InstanceGuid) {
        self.names.send_modify(|names| names.extend([name]));
    }

    fn drop_name(&self, name: InstanceGuid) {
        self.names
            .send_modify(|names| names.retain(|one| *one != name));
    }
}

impl Pool {
    fn want(&mut self, profile: Profile, now: Duration) {
        let is_fresh = |last: Duration| now.saturating_sub(last) < FORGET_AFTER;
        self.wanted
            .retain(|(one, last)| *one != profile && last.is_some_and(is_fresh));
        self.wanted.push_front((profile, Some(now)));
        self.wanted.truncate(PROFILES_MAX);
    }

    fn take(&mut self, profile: &Profile) -> Option<InstanceGuid> {
        let found = self.ready.iter().position(|(_, one)| one == profile)?;
        self.ready.remove(found).map(|(name, _)| name)
    }

    /// Take one out by name; false when somebody was faster.
    fn withdraw(&mut self, name: InstanceGuid) -> bool {
        let before = self.ready.len() + self.broken.len();
        self.ready.retain(|(one, _)| *one != name);
        self.broken.retain(|one| *one != name);
        self.ready.len() + self.broken.len() < before
    }

    /// What is to be done next, begun: whoever asks after this is told of something else.
    fn begin(&mut self) -> Next {
        let next = self.next();
        match &next {
            Next::Make(profile) => self.making.push(profile.clone()),
            Next::End(name) => drop(self.withdraw(*name)),
            Next::Nothing => {}
        }
        next
    }

    fn made(&mut self, profile: &Profile) {
        if let Some(place) = self.making.iter().position(|one| one == profile) {
            self.making.swap_remove(place);
        }
    }

    fn count(&self, profile: &Profile) -> usize {
        let ready = self.ready.iter().map(|(_, one)| one);
        ready
            .chain(&self.making)
            .filter(|one| *one == profile)
            .count()
    }

    /// Each kind that is wanted has an equal share; what the division leaves goes to the last one.
    fn share(&self, place: usize) -> usize {
        let kinds = self.wanted.len().max(1);
        let rest = if place == 0 { self.most % kinds } else { 0 };
        self.most / kinds + rest
    }

    fn next(&self) -> Next {
        if let Some(name) = self.broken.first() {
            return Next::End(*name);
        }
        let share_of = |profile: &Profile| {
            let place = self.wanted.iter().position(|(one, _)| one == profile);
            place.map_or(0, |place| self.share(place))
        };
        let surplus = self.ready.iter().find(|(_, profile)| {
            let ready = self.ready.iter().filter(|(_, one)| one == profile).count();
            ready > share_of(profile)
        });
        if let Some((name, _)) = surplus {
            return Next::End(*name);
        }
        let missing = self
            .wanted
            .iter()
            .find(|(profile, _)| self.count(profile) < share_of(profile));
        missing.map_or(Next::Nothing, |(profile, _)| Next::Make(profile.clone()))
    }
}

/// One that is being passed on: until this is dropped its old name is no leftover's. What is left
/// under that name is ended, unless it was passed on whole.
#[derive(Debug)]
pub struct Taken {
    warm: Warm,
    name: InstanceGuid,
    is_passed: bool,
}

impl Taken {
    #[must_use]
    pub fn name(&self) -> InstanceGuid {
        self.name
    }

    /// Nothing goes by its old name any more.
    pub fn passed_on(mut self) {
        self.is_passed = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.is_passed {
            self.warm.drop_name(self.name);
        } else {
            self.warm.pool.lock().broken.push(self.name);
        }
    }
}

#[cfg(test)]
mod tests;
