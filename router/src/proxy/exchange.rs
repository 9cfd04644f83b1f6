//! One request and its answer, from head to last byte: deadlines, counters, the log record.
//!
//! Owned jointly by the stages and the two bodies of a request. `Completion` is the one guard
//! whose end is the end of the exchange.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::admit::Host;
use super::failure::CLIENT_GONE;
use super::upstream::LocalEndpoint;
use crate::access_log::AccessRecord;
use crate::server::connection::Client;
use crate::server::core::Core;
use crate::server::watchdog::Watch;

/// Logged for clients that left before the answer; never sent.
const STATUS_CLIENT_GONE: u16 = 499;

#[derive(Debug)]
pub(crate) struct Exchange {
    core: Rc<Core>,
    client: Rc<Client>,
    started: Duration,
    /// Of the whole request.
    deadline: Watch,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    /// The request's body is through, so that the upstream connection can be used again.
    request_done: Cell<bool>,
    /// When the present attempt began; zero before.
    attempt_started: Cell<Duration>,
    /// The instance of the present or last attempt.
    endpoint: RefCell<Option<Rc<LocalEndpoint>>>,
    /// None once the exchange is over.
    record: RefCell<Option<AccessRecord>>,
}

impl Exchange {
    pub(crate) fn begin(core: &Rc<Core>, client: &Rc<Client>, parts: &Parts) -> Rc<Self> {
        core.metrics.in_flight.add(1);
        let started = core.now();
        let deadline = core.watchdog.watch();
        deadline.arm(started + core.limits.request_timeout);
        let record = AccessRecord {
            started_at: core.clock.now(),
            host: None,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            referer: parts.headers.get(REFERER).cloned(),
            user_agent: parts.headers.get(USER_AGENT).cloned(),
            client: client.peer,
            endpoint: None,
            forwarded_for: None,
            forwarded_proto: None,
            request_id: None,
            took: Duration::ZERO,
            upstream_took: Duration::ZERO,
            failed_attempts: 0,
            failed_attempts_took: Duration::ZERO,
            router_error: None,
        };
        Rc::new(Self {
            core: core.clone(),
            client: client.clone(),
            started,
            deadline,
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            request_done: Cell::new(false),
            attempt_started: Cell::new(Duration::ZERO),
            endpoint: RefCell::new(None),
            record: RefCell::new(Some(record)),
        })
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.client.http2
    }

    pub(crate) fn started(&self) -> Duration {
        self.started
    }

    pub(crate) fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_expired(cx)
    }

    /// An upgraded connection may live as long as it likes.
    pub(crate) fn lift_deadline(&self) {
        self.deadline.disarm();
    }

    pub(crate) fn asked_for(&self, host: &Host) {
        self.note(|record| record.host = Some(host.value().clone()));
    }

    /// What the instance is told about the client is logged as well.
    pub(crate) fn forwards(&self, id: HeaderValue, by: &HeaderValue, proto: Option<&HeaderValue>) {
        self.note(|record| {
            record.request_id = Some(id);
            record.forwarded_for = Some(by.clone());
            record.forwarded_proto = proto.cloned();
        });
    }

    pub(crate) fn request_id(&self) -> Option<HeaderValue> {
        let record = self.record.borrow();
        record.as_ref().and_then(|record| record.request_id.clone())
    }

    pub(crate) fn attempt_begins(&self, endpoint: &Rc<LocalEndpoint>) {
        self.attempt_started.set(self.core.now());
        self.endpoint.replace(Some(endpoint.clone()));
        self.note(|record| record.endpoint = Some(endpoint.endpoint.clone()));
    }

    pub(crate) fn attempt_failed(&self) {
        let took = self.core.now().saturating_sub(self.attempt_started.take());
        self.note(|record| {
            record.failed_attempts += 1;
            record.failed_attempts_took += took;
        });
    }

    pub(crate) fn failed(&self, kind: usize, error: Option<HeaderValue>) {
        self.core.metrics.error(kind);
        self.note(|record| record.router_error = error);
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.note(|record| record.status = status.as_u16());
    }

    fn note(&self, note: impl FnOnce(&mut AccessRecord)) {
        if let Some(record) = self.record.borrow_mut().as_mut() {
            note(record);
        }
    }

    pub(crate) fn count_in(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
    }

    pub(crate) fn count_out(&self, bytes: u64) {
        self.bytes_out.set(self.bytes_out.get() + bytes);
    }

    pub(crate) fn request_is_done(&self) {
        self.request_done.set(true);
    }

    pub(crate) fn is_request_done(&self) -> bool {
        self.request_done.get()
    }

    fn complete(&self) {
        let Some(mut record) = self.record.borrow_mut().take() else {
            return;
        };
        let core = &self.core;
        let now = core.now();
        record.took = now.saturating_sub(self.started);
        let attempt = self.attempt_started.get();
        if attempt > Duration::ZERO {
            record.upstream_took = now.saturating_sub(attempt);
        }
        if record.status == 0 {
            record.status = STATUS_CLIENT_GONE;
            core.metrics.error(CLIENT_GONE);
        }
        record.bytes_in = self.bytes_in.get();
        record.bytes_out = self.bytes_out.get();
        core.metrics.in_flight.subtract(1);
        core.metrics.request_done(record.status, record.took);
        if let Some(endpoint) = self.endpoint.take() {
            core.traffic.ended(&endpoint, record.status, record.took);
        }
        self.client.request_ends(core);
        core.log.push(record);
    }
}

/// The exchange ends with this guard, in whichever way.
#[derive(Debug)]
pub(crate) struct Completion(Option<Rc<Exchange>>);

impl Completion {
    pub(crate) fn of(exchange: &Rc<Exchange>) -> Self {
        Self(Some(exchange.clone()))
    }

    /// Another guard ends the exchange.
    pub(crate) fn goes_on(mut self) {
        self.0 = None;
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.complete();
        }
    }
}
