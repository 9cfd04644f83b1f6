//! Bounds how many starts run at once. Who waits is served in order of arrival within an
//! organisation, and organisations take turns, so that one large push cannot starve the others.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cfx_protocol::id::OrgGuid;
use parking_lot::Mutex;
use tokio::sync::oneshot;

#[derive(Debug, Clone)]
pub struct FairGate(Arc<Mutex<Gate>>);

#[derive(Debug)]
struct Gate {
    at_once: usize,
    free: usize,
    waiting: BTreeMap<OrgGuid, VecDeque<oneshot::Sender<Permit>>>,
    /// Organisations that wait, the next first.
    turns: VecDeque<OrgGuid>,
}

/// The right to start; dropping it lets the next one in.
#[derive(Debug)]
pub struct Permit(Option<FairGate>);

impl FairGate {
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Mutex::new(Gate {
            at_once: at_once.max(1),
            free: at_once.max(1),
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
        })))
    }

    /// Wait for the turn of `org`. Dropping the future gives the place up.
    pub async fn enter(&self, org: OrgGuid) -> Permit {
        let waiting = {
            let mut gate = self.0.lock();
            if gate.free > 0 {
                gate.free -= 1;
                return Permit(Some(self.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            let queue = gate.waiting.entry(org).or_default();
            queue.push_back(sender);
            if queue.len() == 1 {
                gate.turns.push_back(org);
            }
            receiver
        };
        // The gate never drops a waiting sender; if it did, entering is the harmless mistake.
        waiting.await.unwrap_or(Permit(None))
    }

    /// Is no start under way?
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let gate = self.0.lock();
        gate.free == gate.at_once
    }

    fn leave(&self) {
        loop {
            let next = {
                let mut gate = self.0.lock();
                let next = gate.next();
                if next.is_none() {
                    gate.free += 1;
                }
                next
            };
            let Some(next) = next else {
                return;
            };
            match next.send(Permit(Some(self.clone()))) {
                Ok(()) => return,
                // It has stopped waiting; its permit must not come back here a second time.
                Err(mut permit) => permit.0 = None,
            }
        }
    }
}

impl Gate {
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let org = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&org)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&org);
        } else {
            self.turns.push_back(org);
        }
        next
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use uuid::Uuid;

    use super::*;

    fn org(number: u128) -> OrgGuid {
        OrgGuid(Uuid::from_u128(number))
    }

    #[test]
    fn organisations_take_turns_and_nobody_overtakes_within_one() {
        let gate = FairGate::new(1);
        let first = gate.enter(org(1)).now_or_never().expect("free");
        let mut waiting: Vec<(usize, BoxFuture<'_, Permit>)> = Vec::new();
        // Five of a large push, then one each of two others.
        for (number, of) in [1, 1, 1, 1, 1, 2, 3].into_iter().enumerate() {
            let mut entering = gate.enter(org(of)).boxed();
            assert!(entering.as_mut().now_or_never().is_none());
            waiting.push((number, entering));
        }
        let mut served = Vec::new();
        let mut held = Some(first);
        while !waiting.is_empty() {
            drop(held.take());
            let mut still = Vec::new();
            for (number, mut entering) in waiting {
                match entering.as_mut().now_or_never() {
                    Some(permit) => {
                        served.push(number);
                        held = Some(permit);
                    }
                    None => still.push((number, entering)),
                }
            }
            waiting = still;
        }
        assert_eq!(served, [0, 5, 6, 1, 2, 3, 4]);
    }

    #[test]
    fn who_stops_waiting_gives_the_place_up() {
        let gate = FairGate::new(1);
        let held = gate.enter(org(1)).now_or_never().expect("free");
        let mut gone = gate.enter(org(1)).boxed();
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        drop(held);
        assert!(gate.is_quiet());
        let next = gate.enter(org(2)).now_or_never();
        assert!(next.is_some(), "the gate is free again");
        assert!(!gate.is_quiet());
    }
}
