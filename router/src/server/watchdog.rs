//! Deadlines of a thread's connections and requests, kept by one timer.
//!
//! A timer per request would cost each request a trip through the timer wheel to guard against
//! something that almost never happens. Here arming is a store; one task looks at all deadlines
//! when the nearest is due.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cfx_process::clock::Clock;
use smallvec::SmallVec;
use tokio::sync::Notify;

/// Deadlines are seen at most this much late: looking more often would cost CPU for nothing.
const GRAIN: Duration = Duration::from_millis(10);
/// No deadline.
const NEVER: Duration = Duration::MAX;

#[derive(Debug)]
pub(crate) struct Watchdog {
    entries: RefCell<Entries>,
    /// When the timer looks next.
    next_look: Cell<Duration>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Entry>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    deadline: Duration,
    expired: bool,
    waker: Option<Waker>,
}

impl Watchdog {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            entries: RefCell::default(),
            next_look: Cell::new(NEVER),
            sooner: Notify::new(),
        })
    }

    /// A deadline, not armed yet.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        let mut entries = self.entries.borrow_mut();
        let entry = Entry {
            deadline: NEVER,
            expired: false,
            waker: None,
        };
        let slot = match entries.free.pop() {
            Some(slot) => {
                entries.slots[slot] = entry;
                slot
            }
            None => {
                entries.slots.push(entry);
                entries.slots.len() - 1
            }
        };
        Watch {
            watchdog: self.clone(),
            slot,
        }
    }

    /// Have everything that polls a watch look around: the thread's phase has changed.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = {
            let entries = self.entries.borrow();
            let slots = entries.slots.iter();
            slots.filter_map(|entry| entry.waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Keeps the deadlines; runs as long as the thread.
    pub(crate) async fn run(self: Rc<Self>, clock: Clock) {
        loop {
            let now = clock.monotonic();
            let next = self.expire(now);
            self.next_look.set(next);
            if next == NEVER {
                self.sooner.notified().await;
                continue;
            }
            let pause = next.saturating_sub(now).max(GRAIN);
            tokio::select! {
                () = clock.sleep(pause) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Wake what is over; the nearest deadline that is left.
    fn expire(&self, now: Duration) -> Duration {
        let mut due: SmallVec<[Waker; 8]> = SmallVec::new();
        let mut next = NEVER;
        for entry in &mut self.entries.borrow_mut().slots {
            if entry.deadline <= now {
                entry.deadline = NEVER;
                entry.expired = true;
                due.extend(entry.waker.take());
            }
            next = next.min(entry.deadline);
        }
        due.into_iter().for_each(Waker::wake);
        next
    }
}

/// One deadline; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watchdog: Rc<Watchdog>,
    slot: usize,
}

impl Watch {
    /// Expire at `deadline` on the monotonic clock, instead of whatever was set before.
    pub(crate) fn arm(&self, deadline: Duration) {
        {
            let mut entries = self.watchdog.entries.borrow_mut();
            let entry = &mut entries.slots[self.slot];
            entry.deadline = deadline;
            entry.expired = false;
        }
        if deadline < self.watchdog.next_look.get() {
            self.watchdog.next_look.set(deadline);
            self.watchdog.sooner.notify_one();
        }
    }

    pub(crate) fn disarm(&self) {
        let mut entries = self.watchdog.entries.borrow_mut();
        entries.slots[self.slot].deadline = NEVER;
    }

    pub(crate) fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.watchdog.entries.borrow_mut();
        let entry = &mut entries.slots[self.slot];
        if entry.expired {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut entries = self.watchdog.entries.borrow_mut();
        entries.slots[self.slot].deadline = NEVER;
        let waker = entries.slots[self.slot].waker.take();
        entries.free.push(self.slot);
        drop(entries);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_watch_expires_at_its_deadline_and_not_when_disarmed_or_extended() {
        let clock = Clock::system();
        let watchdog = Watchdog::new();
        let (first, second) = (watchdog.watch(), watchdog.watch());
        let start = clock.monotonic();
        let (soon, later) = (Duration::from_millis(20), Duration::from_millis(60));
        let observed = async {
            second.arm(start + soon);
            second.disarm();
            first.arm(start + soon);
            first.arm(start + later);
            poll_fn(|cx| first.poll_expired(cx)).await;
            assert!(clock.monotonic() - start >= later);
            let untouched = poll_fn(|cx| Poll::Ready(second.poll_expired(cx))).await;
            assert!(untouched.is_pending());
        };
        tokio::select! {
            () = observed => {}
            () = watchdog.clone().run(clock.clone()) => {}
        }
    }
}
