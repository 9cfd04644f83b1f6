//! The route table: an immutable snapshot in shards, looked up by host and path.
//!
//! A table is never changed: `apply` makes the next one, which shares every shard that no change
//! touched, and `publish` hands it to the threads. Nothing here locks, waits or does I/O.

pub(crate) mod apply;
pub(crate) mod publish;
pub(crate) mod replica;
pub(crate) mod saved;
pub(crate) mod sync;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cfx_protocol::generation::Token;
use cfx_protocol::id::RouteGuid;
use cfx_protocol::route::{Balancing, Endpoint, Route, RouteOptions};

/// Shards of a table. An update copies the shards it touches and one pointer for each other: at
/// a million routes a shard holds about a thousand.
const SHARDS: usize = 1_024;

/// Every route at one token.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// None before the first table.
    token: Option<Token>,
    shards: Box<[Arc<Shard>]>,
    counts: Counts,
}

/// How much a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) routes: usize,
    pub(crate) endpoints: usize,
    /// Without any, a lookup that fails on the exact host is over.
    wildcards: usize,
}

/// The routes of the hosts that hash to one place.
#[derive(Debug, Clone, Default)]
struct Shard {
    exact: HashMap<Arc<str>, Arc<Vec<Arc<RouteEntry>>>>,
    /// By what follows `*.`.
    wildcard: HashMap<Arc<str>, Arc<Vec<Arc<RouteEntry>>>>,
}

/// A route as the request path wants it.
#[derive(Debug)]
pub(crate) struct RouteEntry {
    pub(crate) guid: RouteGuid,
    /// As published: a wildcard keeps its `*.`.
    pub(crate) host: Arc<str>,
    pub(crate) path: Box<str>,
    pub(crate) internal: bool,
    pub(crate) balancing: Balancing,
    pub(crate) endpoints: Box<[EndpointEntry]>,
}

/// An instance behind a route; `load` is shared by every route that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct EndpointEntry {
    pub(crate) endpoint: Endpoint,
    pub(crate) load: Arc<Load>,
}

/// What the threads tell each other about one instance, over all table generations.
#[derive(Debug)]
pub(crate) struct Load {
    /// Requests in flight, one counter per thread, so that no two threads write one cache line.
    in_flight: Box<[Padded]>,
    /// Milliseconds on the monotonic clock until which it is avoided; rarely written.
    failed_until_ms: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Padded(AtomicU32);

impl Load {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            in_flight: (0..threads).map(|_| Padded::default()).collect(),
            failed_until_ms: AtomicU64::new(0),
        }
    }

    /// Publish what thread `thread` has in flight. Only that thread writes its counter.
    pub(crate) fn set_in_flight(&self, thread: usize, count: u32) {
        if let Some(counter) = self.in_flight.get(thread) {
            counter.0.store(count, Ordering::Relaxed);
        }
    }

    /// Requests in flight over all threads.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
            .iter()
            .map(|counter| counter.0.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn threads(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn mark_failed(&self, now: Duration, pause: Duration) {
        self.failed_until_ms
            .store(whole_ms(now + pause), Ordering::Relaxed);
    }

    pub(crate) fn clear_failed(&self) {
        self.failed_until_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_failed(&self, now: Duration) -> bool {
        let until = self.failed_until_ms.load(Ordering::Relaxed);
        until != 0 && whole_ms(now) < until
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Which routes a listener may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Clients from outside: internal routes do not exist for them.
    Public,
    /// Instances of the platform.
    Instances,
}

impl Table {
    pub(crate) fn empty() -> Self {
        Self {
            token: None,
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn token(&self) -> Option<Token> {
        self.token
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The route for a lower-case host without port and a request path.
    ///
    /// The exact host comes before wildcards, and a wildcard with more labels before one with
    /// fewer. Within a host the longest path that has endpoints wins; one without is returned
    /// only when no shorter one has any.
    pub(crate) fn lookup(&self, host: &str, path: &str, reach: Reach) -> Option<&Arc<RouteEntry>> {
        let exact = self.shard(host).exact.get(host);
        if let Some(found) = exact.and_then(|routes| best(routes, path, reach)) {
            return Some(found);
        }
        if self.counts.wildcards == 0 {
            return None;
        }
        let mut rest = host;
        while let Some((_, suffix)) = rest.split_once('.') {
            rest = suffix;
            let wildcard = self.shard(rest).wildcard.get(rest);
            if let Some(found) = wildcard.and_then(|routes| best(routes, path, reach)) {
                return Some(found);
            }
        }
        None
    }

    /// Every route, in no order.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<RouteEntry>> {
        self.shards.iter().flat_map(|shard| {
            let hosts = shard.exact.values().chain(shard.wildcard.values());
            hosts.flat_map(|routes| routes.iter())
        })
    }

    fn shard(&self, host: &str) -> &Shard {
        &self.shards[shard_index(host)]
    }
}

/// FNV-1a: a host's shard only spreads the copying of updates, so it needs no keyed hash. The
/// maps within use one.
fn shard_index(host: &str) -> usize {
    let hash = host.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from((hash ^ (hash >> 32)) % SHARDS as u64).unwrap_or_default()
}

fn best<'t>(
    routes: &'t [Arc<RouteEntry>],
    path: &str,
    reach: Reach,
) -> Option<&'t Arc<RouteEntry>> {
    let mut empty = None;
    for route in routes {
        if !route.matches(path, reach) {
            continue;
        }
        if !route.endpoints.is_empty() {
            return Some(route);
        }
        empty = empty.or(Some(route));
    }
    empty
}

impl RouteEntry {
    /// Paths match by whole segments and, as in Cloud Foundry, in any letter case.
    fn matches(&self, path: &str, reach: Reach) -> bool {
        if self.internal && reach == Reach::Public {
            return false;
        }
        if self.path.is_empty() {
            return true;
        }
        let (path, own) = (path.as_bytes(), self.path.as_bytes());
        path.len() >= own.len()
            && path[..own.len()].eq_ignore_ascii_case(own)
            && path.get(own.len()).is_none_or(|next| *next == b'/')
    }

    /// The suffix of a wildcard host.
    fn wildcard_suffix(&self) -> Option<&str> {
        self.host.strip_prefix("*.")
    }

    pub(crate) fn to_route(&self) -> Route {
        Route {
            guid: self.guid,
            host: self.host.to_string(),
            path: self.path.to_string(),
            internal: self.internal,
            options: RouteOptions {
                balancing: self.balancing,
            },
            endpoints: self.endpoints.iter().map(|e| e.endpoint.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
