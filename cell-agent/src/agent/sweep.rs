//! Clears away what belongs to nobody: leftovers of an agent that was killed in the middle of a
//! step, or of a step that was dropped.
//!
//! What is on the machine is listed first and what is known is read afterwards: a name is known
//! before anything of it is made, so nothing that is being made is ever taken for a leftover.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::InstanceGuid;
use tokio::sync::watch;

use super::picture::Picture;
use crate::events::Events;
use crate::hooks::{self, Tools, told};

/// Between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Between the first sweeps, while strays may become leftovers.
const SWEEP_SOON: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Sweeper {
    pub tools: Tools,
    pub events: Events,
    pub picture: watch::Receiver<Arc<Picture>>,
}

impl Sweeper {
    pub async fn run(self) {
        loop {
            let had_strays = !self.picture.borrow().strays.is_empty();
            if self.picture.borrow().changes > 0 {
                self.sweep().await;
            }
            let fresh = self.picture.borrow().changes == 0;
            let pause = if had_strays || fresh {
                SWEEP_SOON
            } else {
                SWEEP_EVERY
            };
            self.tools.clock.sleep(pause).await;
        }
    }

    async fn sweep(&self) {
        let Some(found) = self.list().await else {
            return;
        };
        let (mut known, has_strays) = {
            let picture = self.picture.borrow();
            (picture.names(), !picture.strays.is_empty())
        };
        known.extend(self.tools.warm.names());
        for name in found.difference(&known) {
            match hooks::clear(&self.tools, *name).await {
                Ok(()) => self.events.swept(*name),
                Err(error) => self.events.step_failed(*name, "sweep", &told(&error)),
            }
        }
        // A stray's address is leased by nobody and still in use.
        if !has_strays && let Err(error) = self.tools.ground.sweep_addresses().await {
            self.events
                .step_failed(InstanceGuid::NIL, "sweep addresses", &told(&error));
        }
    }

    /// Names of everything on the machine; none when not all could be listed.
    async fn list(&self) -> Option<BTreeSet<InstanceGuid>> {
        let containers = self.tools.runtime.adopt().await.ok()?;
        let volumes = self.tools.ground.volumes().await.ok()?;
        let stagings = self.tools.stager.list();
        let names = containers.into_iter().map(|container| container.name);
        Some(names.chain(volumes).chain(stagings).collect())
    }
}
