//! A table without a router around it, for who follows one elsewhere: the simulator.

use cfx_protocol::generation::Token;
use cfx_protocol::route::{Route, RouteFrame};

use super::apply::{Applier, ApplyError};

/// Follows frames as a router does, by the same code.
#[derive(Debug)]
pub struct Replica(Applier);

/// The frame was not applied; a router dials again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct NotApplied(#[from] ApplyError);

impl Default for Replica {
    fn default() -> Self {
        Self(Applier::new(1))
    }
}

impl Replica {
    /// True when the table changed.
    pub fn apply(&mut self, frame: RouteFrame) -> Result<bool, NotApplied> {
        Ok(self.0.apply(frame)?.is_some())
    }

    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.0.token()
    }

    /// All routes, in the order of their guids.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let mut routes: Vec<_> = self
            .0
            .table()
            .routes()
            .map(|entry| entry.to_route())
            .collect();
        routes.sort_by_key(|route| route.guid);
        routes
    }

    /// What a router saves, to begin from after a restart.
    #[must_use]
    pub fn saved(&self) -> Option<RouteFrame> {
        let token = self.token()?;
        Some(RouteFrame::Snapshot {
            token,
            routes: self.routes(),
        })
    }
}
