//! Makes the next table out of the last one and a frame of the stream.
//!
//! The applier refuses what is older than what it follows or comes from another cluster, and
//! says when a frame was missed. It never waits and never touches what was published.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use cfx_protocol::generation::{Refused, Token};
use cfx_protocol::id::{InstanceGuid, RouteGuid};
use cfx_protocol::route::{Endpoint, Route, RouteFrame};

use super::{EndpointEntry, Load, RouteEntry, Shard, Table, shard_index};

/// Forgotten instances are swept from the register once it is this many times the live ones.
const LOADS_SLACK: usize = 2;
/// The register is never swept below this many entries.
const LOADS_MIN: usize = 1_024;

/// Why a frame was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("the table is refused: {0}")]
    Refused(#[from] Refused),
    #[error("a frame was missed: this one follows {needed}, not {followed}")]
    Missed { followed: Token, needed: Token },
    #[error("a change arrived before the first whole table")]
    NoSnapshot,
}

/// Owns the newest table and what is needed to make the next.
#[derive(Debug)]
pub(crate) struct Applier {
    table: Arc<Table>,
    routes: HashMap<RouteGuid, Arc<RouteEntry>>,
    loads: HashMap<(InstanceGuid, SocketAddr), Weak<Load>>,
    threads: usize,
}

impl Applier {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            table: Arc::new(Table::empty()),
            routes: HashMap::new(),
            loads: HashMap::new(),
            threads,
        }
    }

    pub(crate) fn token(&self) -> Option<Token> {
        self.table.token
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The table after `frame`; none when the frame changes nothing.
    pub(crate) fn apply(&mut self, frame: RouteFrame) -> Result<Option<Arc<Table>>, ApplyError> {
        if let Some(followed) = self.token() {
            followed.admit(frame.token())?;
        }
        match frame {
            RouteFrame::Snapshot { token, routes } => Ok(Some(self.snapshot(token, routes))),
            RouteFrame::Delta {
                token,
                previous,
                upsert,
                remove,
            } => {
                self.must_follow(previous)?;
                Ok(Some(self.delta(token, upsert, &remove)))
            }
            RouteFrame::Keepalive { token } => self.must_follow(token).map(|()| None),
        }
    }

    fn must_follow(&self, needed: Token) -> Result<(), ApplyError> {
        match self.token() {
            None => Err(ApplyError::NoSnapshot),
            Some(followed) if followed == needed => Ok(()),
            Some(followed) => Err(ApplyError::Missed { followed, needed }),
        }
    }

    fn snapshot(&mut self, token: Token, routes: Vec<Route>) -> Arc<Table> {
        self.routes.clear();
        let next = Table::empty();
        self.make(next, token, routes, &[])
    }

    fn delta(&mut self, token: Token, upsert: Vec<Route>, remove: &[RouteGuid]) -> Arc<Table> {
        let next = Table::clone(&self.table);
        self.make(next, token, upsert, remove)
    }

    fn make(
        &mut self,
        mut next: Table,
        token: Token,
        upsert: Vec<Route>,
        remove: &[RouteGuid],
    ) -> Arc<Table> {
        next.token = Some(token);
        for guid in remove {
            self.take_out(&mut next, *guid);
        }
        for route in upsert {
            self.take_out(&mut next, route.guid);
            let entry = Arc::new(self.entry(route));
            insert(&mut next, entry.clone());
            self.routes.insert(entry.guid, entry);
        }
        self.table = Arc::new(next);
        self.sweep_loads();
        self.table.clone()
    }

    fn take_out(&mut self, table: &mut Table, guid: RouteGuid) {
        if let Some(entry) = self.routes.remove(&guid) {
            remove_entry(table, &entry);
        }
    }

    fn entry(&mut self, route: Route) -> RouteEntry {
        let endpoints = route.endpoints.into_iter();
        RouteEntry {
            guid: route.guid,
            host: route.host.to_ascii_lowercase().into(),
            path: route.path.trim_end_matches('/').into(),
            internal: route.internal,
            balancing: route.options.balancing,
            endpoints: endpoints.map(|e| self.endpoint(e)).collect(),
        }
    }

    fn endpoint(&mut self, endpoint: Endpoint) -> EndpointEntry {
        let slot = self
            .loads
            .entry((endpoint.instance, endpoint.address))
            .or_default();
        let load = slot.upgrade().unwrap_or_else(|| {
            let load = Arc::new(Load::new(self.threads));
            *slot = Arc::downgrade(&load);
            load
        });
        EndpointEntry { endpoint, load }
    }

    fn sweep_loads(&mut self) {
        let live = self.table.counts.endpoints.max(LOADS_MIN);
        if self.loads.len() > live * LOADS_SLACK {
            self.loads.retain(|_, load| load.strong_count() > 0);
        }
    }
}

fn insert(table: &mut Table, entry: Arc<RouteEntry>) {
    table.counts.routes += 1;
    table.counts.endpoints += entry.endpoints.len();
    let (key, wildcard) = key_of(&entry);
    table.counts.wildcards += usize::from(wildcard);
    let shard = Arc::make_mut(&mut table.shards[shard_index(&key)]);
    let routes = Arc::make_mut(shard.side(wildcard).entry(key).or_default());
    let position = routes.partition_point(|other| other.path.len() >= entry.path.len());
    routes.insert(position, entry);
}

fn remove_entry(table: &mut Table, entry: &RouteEntry) {
    let (key, wildcard) = key_of(entry);
    let shard = Arc::make_mut(&mut table.shards[shard_index(&key)]);
    let Some(routes) = shard.side(wildcard).get_mut(&key) else {
        return;
    };
    let routes = Arc::make_mut(routes);
    let before = routes.len();
    routes.retain(|other| other.guid != entry.guid);
    let removed = before - routes.len();
    if routes.is_empty() {
        shard.side(wildcard).remove(&key);
    }
    table.counts.routes -= removed;
    if removed > 0 {
        table.counts.endpoints -= entry.endpoints.len();
        table.counts.wildcards -= usize::from(wildcard);
    }
}

fn key_of(entry: &RouteEntry) -> (Arc<str>, bool) {
    match entry.wildcard_suffix() {
        Some(suffix) => (suffix.into(), true),
        None => (entry.host.clone(), false),
    }
}

impl Shard {
    fn side(&mut self, wildcard: bool) -> &mut HashMap<Arc<str>, Arc<Vec<Arc<RouteEntry>>>> {
        if wildcard {
            &mut self.wildcard
        } else {
            &mut self.exact
        }
    }
}
