//! Fills the pools in idle moments, and never at the cost of a start that somebody waits for.

use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_protocol::id::InstanceGuid;
use futures_util::future::join_all;

use super::{Next, Profile, member};
use crate::events::Events;
use crate::execute::FairGate;
use crate::hooks::{Tools, told};
use crate::runtime::Container;

/// Between two looks while there is nothing to do, or the cell is busy.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The cell must have had nothing to start for this long.
const QUIET: Duration = Duration::from_millis(300);
/// After a failure: what failed will most likely fail again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Between two looks at one of those that are ready.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Disk of an instance that names none: Cloud Foundry's default, and the first guess before anybody
/// asked for anything, bytes.
const SIZE_GUESS_BYTES: u64 = 1 << 30;
/// The local default stack.
const STACK_GUESS: &str = "host";
/// Files that an app may open in Cloud Foundry, unless it is configured otherwise.
const FDS_GUESS: u32 = 16_384;

#[derive(Debug)]
pub struct Keeper {
    pub tools: Tools,
    pub gate: FairGate,
    /// Instances that are made, or ended, at the same time: a start that comes meanwhile waits for
    /// none of them, but shares the machine with them.
    pub at_once: usize,
    pub ids: IdSource,
    pub events: Events,
}

impl Keeper {
    pub async fn run(self) {
        let mut quiet_since = None;
        let mut checked = self.now();
        if self.makes_ahead() {
            self.guess().await;
        }
        loop {
            if !self.gate.is_quiet() && !self.is_closing() {
                quiet_since = None;
                self.pause(LOOK_EVERY).await;
                continue;
            }
            let since = *quiet_since.get_or_insert_with(|| self.now());
            if self.now().saturating_sub(since) < QUIET && !self.is_closing() {
                self.pause(LOOK_EVERY).await;
                continue;
            }
            if self.step().await {
                continue;
            }
            if self.now().saturating_sub(checked) > CHECK_EVERY {
                checked = self.now();
                self.check().await;
            }
            self.pause(LOOK_EVERY).await;
        }
    }

    /// Make or clear away a few things; false when there is nothing to do, or nothing that works.
    async fn step(&self) -> bool {
        match self.tools.ground.stock().await {
            Ok(true) => return true,
            Ok(false) => {}
            // What is made ahead in another way may work all the same.
            Err(error) => {
                self.failed(InstanceGuid::NIL, "stock", told(&error)).await;
            }
        }
        if !self.makes_ahead() {
            return false;
        }
        let begun = std::iter::from_fn(|| {
            let next = self.tools.warm.pool.lock().begin();
            (next != Next::Nothing).then_some(next)
        });
        let steps = begun.take(self.at_once).map(|next| self.carry_out(next));
        let worked = join_all(steps.collect::<Vec<_>>()).await;
        worked.contains(&true)
    }

    /// What was begun; false when it did not work.
    async fn carry_out(&self, next: Next) -> bool {
        match next {
            Next::Make(profile) => self.make(profile).await,
            Next::End(name) => self.end(name).await,
            Next::Nothing => false,
        }
    }

    async fn make(&self, profile: Profile) -> bool {
        let warm = &self.tools.warm;
        let name = self.ids.guid();
        warm.add_name(name);
        let made = member::make(&self.tools, name, &profile).await;
        let failure = {
            let mut pool = warm.pool.lock();
            pool.made(&profile);
            match made {
                Ok(()) => {
                    pool.ready.push_back((name, profile));
                    None
                }
                Err(error) => Some(error),
            }
        };
        self.events.warm(warm.ready());
        let Some(error) = failure else {
            return true;
        };
        self.end(name).await;
        let error = told(&error);
        self.failed(name, "make an instance ahead", error).await
    }

    async fn end(&self, name: InstanceGuid) -> bool {
        let warm = &self.tools.warm;
        let ended = member::end(&self.tools, name).await;
        if let Err(error) = ended {
            warm.pool.lock().broken.push(name);
            let step = "end an instance made ahead";
            return self.failed(name, step, told(&error)).await;
        }
        warm.drop_name(name);
        self.events.warm(warm.ready());
        true
    }

    /// Has the oldest ended by itself? The next one is looked at the next time.
    async fn check(&self) {
        let oldest = {
            let mut pool = self.tools.warm.pool.lock();
            let oldest = pool.ready.pop_front();
            let name = oldest.as_ref().map(|(name, _)| *name);
            pool.ready.extend(oldest);
            name
        };
        let Some(name) = oldest else {
            return;
        };
        if let Ok(Some(_)) = self.tools.runtime.exit_record(name).await {
            // Unless somebody took it meanwhile.
            let is_ours = self.tools.warm.pool.lock().withdraw(name);
            if is_ours {
                self.end(name).await;
            }
        }
    }

    /// Until somebody asks: the stack and the limits that apps get unasked.
    async fn guess(&self) {
        let mut stacks = self.tools.runtime.stacks().await.unwrap_or_default();
        // The machine's own, where it is offered, else the first.
        stacks.sort_by_key(|stack| stack != STACK_GUESS);
        let mut pool = self.tools.warm.pool.lock();
        if let Some(stack) = stacks.into_iter().next()
            && pool.wanted.is_empty()
        {
            let profile = Profile {
                stack,
                size_bytes: SIZE_GUESS_BYTES,
                fds: FDS_GUESS,
            };
            pool.wanted.push_back((profile, None));
        }
    }

    fn makes_ahead(&self) -> bool {
        self.tools.runtime.makes_ahead()
    }

    fn is_closing(&self) -> bool {
        let pool = self.tools.warm.pool.lock();
        pool.most == 0 && pool.next() != Next::Nothing
    }

    fn now(&self) -> Duration {
        self.tools.clock.monotonic()
    }

    async fn pause(&self, time: Duration) {
        self.tools.clock.sleep(time).await;
    }

    async fn failed(&self, name: InstanceGuid, step: &'static str, error: String) -> bool {
        self.events.step_failed(name, step, &error);
        self.pause(AFTER_FAILURE).await;
        false
    }
}

/// Take up what an earlier agent made ahead; what is not whole is ended, and what is too many by the
/// keeper.
pub async fn take_up(tools: &Tools, events: &Events, containers: &[Container]) {
    let warm = &tools.warm;
    for container in containers {
        let Some((profile, address)) = member::kind(container) else {
            continue;
        };
        let taken = match member::take_up(tools, container, address).await {
            Ok(false) => member::end(tools, container.name).await.map(|()| false),
            other => other,
        };
        match taken {
            Ok(true) => {
                warm.add_name(container.name);
                let mut pool = warm.pool.lock();
                if !pool.wanted.iter().any(|(one, _)| *one == profile) {
                    pool.want(profile.clone(), tools.clock.monotonic());
                }
                pool.ready.push_back((container.name, profile));
            }
            Ok(false) => {}
            Err(error) => events.step_failed(container.name, "take up", &told(&error)),
        }
    }
    events.warm(warm.ready());
}
