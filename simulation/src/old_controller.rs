//! An old controller: a copy of the disk, brought to life by mistake. It knows an earlier state and
//! speaks with an earlier epoch; whoever has followed the true controller since must not follow it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::controller::Controller;
use crate::network::Peer;
use crate::trace::Fact;
use crate::world::{Event, World};

/// The true controller has this long to be followed in its new epoch.
const AWAKES_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct OldController {
    pub(crate) controller: Controller,
    /// Who reaches it instead of the true one.
    pub(crate) reached_by: BTreeSet<Peer>,
}

impl World {
    /// The disk is copied, and the true controller begins a new epoch.
    pub(crate) fn copy_controller(&mut self) {
        if self.old.is_some() || !self.controller.is_running() {
            return;
        }
        let controller = self.controller.on(self.controller.disk.copy());
        self.old = Some(OldController {
            controller,
            reached_by: BTreeSet::new(),
        });
        self.controller.kill(&mut self.around);
        self.start_controller();
        self.around.after(AWAKES_AFTER, Event::OldControllerAwakes);
    }

    /// Some of those who follow the new epoch reach the old controller from now on.
    pub(crate) fn old_controller_awakes(&mut self) {
        let epoch = self.controller.state_token().map(|token| token.epoch);
        let mut followers: Vec<_> = self.peers();
        followers.retain(|peer| self.followed_epoch(*peer) == epoch && epoch.is_some());
        let Some(old) = self.old.as_mut() else {
            return;
        };
        old.controller.start(&mut self.around);
        for peer in followers {
            if self.around.dice.chance(60) {
                self.around
                    .tell(Fact::Note(format!("{peer:?} reaches the old controller")));
                old.reached_by.insert(peer);
                self.controller.cut_off(peer, &mut self.around);
            }
        }
    }

    fn followed_epoch(&self, peer: Peer) -> Option<u64> {
        let token = match peer {
            Peer::Cell(cell) => self.cells[cell]
                .agent()
                .and_then(|agent| agent.desired.token),
            Peer::Router(router) => self.routers[router].token(),
        };
        token.map(|token| token.epoch)
    }

    pub(crate) fn old_controller_ends(&mut self) {
        if let Some(mut old) = self.old.take() {
            old.controller.kill(&mut self.around);
        }
    }
}
