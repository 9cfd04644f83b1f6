//! A thread's connections to instances: keeping them for reuse, giving them up.
//!
//! Every pool belongs to one thread and one instance; a connection to one instance can never
//! serve another, whatever address that one has. Limits and lifetimes come from the config.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cfx_protocol::id::{InstanceGuid, RouteGuid};
use cfx_protocol::route::{Balancing, Endpoint, EndpointProtocol};
use http::HeaderValue;
use hyper::client::conn::{http1, http2};

use super::body::RequestBody;
use super::dial::{self, DialError};
use crate::server::core::Core;
use crate::table::{EndpointEntry, Load, RouteEntry};
use crate::traffic::Second;

/// Time between looks for connections and instances that are no longer needed.
const SWEEP_PAUSE: Duration = Duration::from_secs(5);

type Key = (InstanceGuid, SocketAddr, EndpointProtocol);

/// What a thread knows of routes and instances beside the table.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    routes: RefCell<HashMap<RouteGuid, Rc<LocalRoute>>>,
    endpoints: RefCell<HashMap<KeyHash, Rc<LocalEndpoint>>>,
}

/// `EndpointProtocol` has no hash of its own.
type KeyHash = (InstanceGuid, SocketAddr, bool);

/// A route with this thread's turn among its instances.
#[derive(Debug)]
pub(crate) struct LocalRoute {
    entry: Weak<RouteEntry>,
    pub(crate) path: Box<str>,
    pub(crate) balancing: Balancing,
    pub(crate) endpoints: Box<[Rc<LocalEndpoint>]>,
    turn: Cell<usize>,
}

impl LocalRoute {
    /// Where the next choice begins; each call moves on by one.
    pub(crate) fn next_start(&self) -> usize {
        let start = self.turn.get();
        let next = start + 1;
        self.turn
            .set(if next < self.endpoints.len() { next } else { 0 });
        start.min(self.endpoints.len())
    }
}

/// An instance as this thread reaches it.
#[derive(Debug)]
pub(crate) struct LocalEndpoint {
    pub(crate) endpoint: Endpoint,
    pub(crate) load: Arc<Load>,
    pub(crate) app_id: HeaderValue,
    pub(crate) instance_id: HeaderValue,
    pub(crate) instance_index: HeaderValue,
    /// This thread's requests in flight, up to the end of the answer's body.
    in_flight: Cell<u32>,
    /// What this thread has to tell of it.
    pub(crate) second: Second,
    idle: RefCell<Vec<Idle>>,
    http2: RefCell<Option<http2::SendRequest<RequestBody>>>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Duration,
}

impl LocalEndpoint {
    fn new(entry: &EndpointEntry) -> Self {
        let text = |value: String| {
            // Guids and numbers are always valid values.
            HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        let endpoint = entry.endpoint.clone();
        Self {
            app_id: text(endpoint.app.to_string()),
            instance_id: text(endpoint.instance.to_string()),
            instance_index: text(endpoint.index.to_string()),
            endpoint,
            load: entry.load.clone(),
            in_flight: Cell::new(0),
            second: Second::default(),
            idle: RefCell::default(),
            http2: RefCell::default(),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// The connection used last, if one is ready; closed ones are forgotten on the way.
    fn take_idle(&self) -> Option<http1::SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if candidate.sender.is_ready() {
                return Some(candidate.sender);
            }
        }
        None
    }

    fn forget_idle_since(&self, oldest: Duration) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|kept| kept.since >= oldest && !kept.sender.is_closed());
        let mut http2 = self.http2.borrow_mut();
        if http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
            *http2 = None;
        }
    }
}

impl Upstreams {
    /// This thread's view of a route of the table.
    pub(crate) fn route(&self, core: &Core, entry: &Arc<RouteEntry>) -> Rc<LocalRoute> {
        let mut routes = self.routes.borrow_mut();
        if let Some(known) = routes.get(&entry.guid)
            && std::ptr::eq(known.entry.as_ptr(), Arc::as_ptr(entry))
        {
            return known.clone();
        }
        let endpoints: Box<[_]> = entry.endpoints.iter().map(|e| self.endpoint(e)).collect();
        let route = Rc::new(LocalRoute {
            entry: Arc::downgrade(entry),
            path: entry.path.clone(),
            balancing: entry.balancing,
            // Threads begin at different instances, or all would load the same one first.
            turn: Cell::new(core.dice.below(endpoints.len())),
            endpoints,
        });
        routes.insert(entry.guid, route.clone());
        route
    }

    fn endpoint(&self, entry: &EndpointEntry) -> Rc<LocalEndpoint> {
        let (instance, address, protocol): Key = (
            entry.endpoint.instance,
            entry.endpoint.address,
            entry.endpoint.protocol,
        );
        let key = (instance, address, protocol == EndpointProtocol::Http2);
        let mut endpoints = self.endpoints.borrow_mut();
        let known = endpoints.get(&key);
        if let Some(known) = known.filter(|known| known.endpoint == entry.endpoint) {
            return known.clone();
        }
        let endpoint = Rc::new(LocalEndpoint::new(entry));
        endpoints.insert(key, endpoint.clone());
        endpoint
    }

    fn sweep(&self, oldest: Duration) {
        // Routes and connections are dropped outside the borrow: dropping may run other code.
        let gone: Vec<_> = {
            let mut routes = self.routes.borrow_mut();
            let gone = routes.extract_if(|_, route| route.entry.strong_count() == 0);
            gone.collect()
        };
        drop(gone);
        let gone: Vec<_> = {
            let mut endpoints = self.endpoints.borrow_mut();
            let gone = endpoints.extract_if(|_, endpoint| Rc::strong_count(endpoint) == 1);
            gone.collect()
        };
        drop(gone);
        for endpoint in self.endpoints.borrow().values() {
            endpoint.forget_idle_since(oldest);
        }
    }
}

/// Close what was not used for long; runs as long as the thread.
pub(crate) async fn sweep_often(core: Rc<Core>) {
    let keep = core.limits.upstream_idle_timeout;
    loop {
        core.clock.sleep(SWEEP_PAUSE.min(keep)).await;
        core.upstreams.sweep(core.now().saturating_sub(keep));
    }
}

/// One request's use of a connection. It counts as in flight until dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    endpoint: Rc<LocalEndpoint>,
    thread: usize,
    channel: Option<Channel>,
    /// The connection has served before, so it may have been closed meanwhile.
    reused: bool,
}

#[derive(Debug)]
pub(crate) enum Channel {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Lease {
    pub(crate) fn endpoint(&self) -> &LocalEndpoint {
        &self.endpoint
    }

    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn channel(&mut self) -> Option<&mut Channel> {
        self.channel.as_mut()
    }

    /// The answer came to its clean end: keep the connection.
    pub(crate) fn give_back(mut self, core: &Core) {
        let Some(Channel::Http1(sender)) = self.channel.take() else {
            return;
        };
        if sender.is_closed() {
            return;
        }
        let mut idle = self.endpoint.idle.borrow_mut();
        if idle.len() < core.limits.upstream_idle_max {
            let since = core.now();
            idle.push(Idle { sender, since });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.endpoint.in_flight.get() - 1;
        self.endpoint.in_flight.set(left);
        self.endpoint.load.set_in_flight(self.thread, left);
    }
}

/// Get a connection to `endpoint`, idle or new. The request counts as in flight from now on.
pub(crate) async fn acquire(
    core: &Core,
    endpoint: &Rc<LocalEndpoint>,
    upgrading: bool,
) -> Result<Lease, DialError> {
    let count = endpoint.in_flight.get() + 1;
    endpoint.in_flight.set(count);
    endpoint.load.set_in_flight(core.index, count);
    core.traffic.begins(endpoint);
    let mut lease = Lease {
        endpoint: endpoint.clone(),
        thread: core.index,
        channel: None,
        reused: true,
    };
    let address = endpoint.endpoint.address;
    // Upgrades exist in HTTP/1 only.
    if endpoint.endpoint.protocol == EndpointProtocol::Http2 && !upgrading {
        let open = endpoint.http2.borrow().clone();
        if let Some(open) = open.filter(http2::SendRequest::is_ready) {
            lease.channel = Some(Channel::Http2(open));
            return Ok(lease);
        }
        lease.reused = false;
        let opened = dial::http2(core, address).await?;
        *endpoint.http2.borrow_mut() = Some(opened.clone());
        lease.channel = Some(Channel::Http2(opened));
        return Ok(lease);
    }
    if let Some(sender) = endpoint.take_idle() {
        lease.channel = Some(Channel::Http1(sender));
        return Ok(lease);
    }
    lease.reused = false;
    lease.channel = Some(Channel::Http1(dial::http1(core, address).await?));
    Ok(lease)
}
