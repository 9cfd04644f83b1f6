//! Every number a router counts, with its name.
//!
//! Each thread counts for itself in atomics that no other thread writes; a scrape adds them up.
//! Labels are bounded: a route, an app or a host is never one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Counters carry `_total` on the wire.
pub(crate) const REQUESTS: &str = "cfx_router_requests";
pub(crate) const ROUTER_ERRORS: &str = "cfx_router_errors";
pub(crate) const REQUESTS_IN_FLIGHT: &str = "cfx_router_requests_in_flight";
pub(crate) const CONNECTIONS: &str = "cfx_router_client_connections";
pub(crate) const LATENCY_SECONDS: &str = "cfx_router_latency_seconds";
pub(crate) const LOOKUP_SECONDS: &str = "cfx_router_route_lookup_seconds";
pub(crate) const UPGRADES: &str = "cfx_router_upgrades";
pub(crate) const UPSTREAM_DIALS: &str = "cfx_router_upstream_dials";
pub(crate) const UPSTREAM_DIAL_FAILURES: &str = "cfx_router_upstream_dial_failures";
pub(crate) const UPSTREAM_RETRIES: &str = "cfx_router_upstream_retries";
pub(crate) const ACCESS_LOG_DROPS: &str = "cfx_router_access_log_dropped_lines";
pub(crate) const TABLE_ROUTES: &str = "cfx_router_table_routes";
pub(crate) const TABLE_ENDPOINTS: &str = "cfx_router_table_endpoints";
pub(crate) const TABLE_REVISION: &str = "cfx_router_table_revision";
pub(crate) const TABLE_AGE_SECONDS: &str = "cfx_router_table_age_seconds";
pub(crate) const TABLE_UPDATES: &str = "cfx_router_table_updates";
pub(crate) const STREAM_LOSSES: &str = "cfx_router_table_stream_losses";

/// Upper bounds of the latency histogram, seconds; gorouter's, and two finer ones.
const LATENCY_BUCKETS: [f64; 12] = [
    0.002, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6,
];
/// Upper bounds of the lookup histogram, seconds.
const LOOKUP_BUCKETS: [f64; 12] = [
    2.5e-7, 5e-7, 1e-6, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 64e-6, 128e-6, 256e-6, 512e-6,
];
const BUCKETS: usize = 12;
/// Status codes by their first digit.
const STATUS_GROUPS: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// A number that one thread writes and a scrape reads.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Only the owning thread may call this: it is a load and a store, not an exchange.
    pub(crate) fn add(&self, by: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(by);
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, by: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_sub(by);
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64; BUCKETS],
    /// One more for what exceeds every bound.
    counts: [Count; BUCKETS + 1],
    sum_ns: Count,
}

impl Histogram {
    fn new(bounds: &'static [f64; BUCKETS]) -> Self {
        Self {
            bounds,
            counts: Default::default(),
            sum_ns: Count::default(),
        }
    }

    pub(crate) fn observe(&self, value: Duration) {
        let seconds = value.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket].add(1);
        self.sum_ns
            .add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What one thread counts; a cache line boundary keeps other threads' numbers away.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct ThreadMetrics {
    requests: [Count; STATUS_GROUPS.len()],
    errors: Box<[Count]>,
    pub(crate) in_flight: Count,
    pub(crate) connections: Count,
    pub(crate) latency: Histogram,
    pub(crate) lookup: Histogram,
    pub(crate) upgrades: Count,
    pub(crate) dials: Count,
    pub(crate) dial_failures: Count,
    pub(crate) retries: Count,
    pub(crate) access_log_drops: Count,
}

impl ThreadMetrics {
    pub(crate) fn new(error_kinds: usize) -> Self {
        Self {
            requests: Default::default(),
            errors: (0..error_kinds).map(|_| Count::default()).collect(),
            in_flight: Count::default(),
            connections: Count::default(),
            latency: Histogram::new(&LATENCY_BUCKETS),
            lookup: Histogram::new(&LOOKUP_BUCKETS),
            upgrades: Count::default(),
            dials: Count::default(),
            dial_failures: Count::default(),
            retries: Count::default(),
            access_log_drops: Count::default(),
        }
    }

    pub(crate) fn request_done(&self, status: u16, took: Duration) {
        let group = usize::from(status / 100);
        let group = if group < STATUS_GROUPS.len() {
            group
        } else {
            0
        };
        self.requests[group].add(1);
        self.latency.observe(took);
    }

    pub(crate) fn error(&self, kind: usize) {
        if let Some(count) = self.errors.get(kind) {
            count.add(1);
        }
    }
}

/// What is counted beside the threads.
#[derive(Debug, Default)]
pub(crate) struct TableMetrics {
    pub(crate) routes: Count,
    pub(crate) endpoints: Count,
    pub(crate) revision: Count,
    /// Of the last frame, milliseconds on the monotonic clock.
    pub(crate) heard_ms: Count,
    pub(crate) updates: Count,
    pub(crate) stream_losses: Count,
    pub(crate) log_lines_undelivered: Count,
}

/// Adds everything up at a scrape.
pub(crate) struct Scrape {
    pub(crate) threads: Vec<Arc<ThreadMetrics>>,
    pub(crate) table: Arc<TableMetrics>,
    pub(crate) clock: cfx_process::clock::Clock,
    pub(crate) error_names: &'static [&'static str],
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        self.encode_upstream(&mut encoder)?;
        self.encode_table(&mut encoder)
    }
}

impl Scrape {
    fn sum(&self, of: impl Fn(&ThreadMetrics) -> &Count) -> u64 {
        let values = self.threads.iter().map(|thread| of(thread).get());
        values.fold(0, u64::wrapping_add)
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            REQUESTS,
            "Requests answered, by first digit of the status",
            None,
            MetricType::Counter,
        )?;
        for (group, name) in STATUS_GROUPS.iter().enumerate() {
            let labels = [("status_group", *name)];
            let count = self.sum(|thread| &thread.requests[group]);
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            ROUTER_ERRORS,
            "Requests that the router answered itself, by X-Cf-RouterError",
            None,
            MetricType::Counter,
        )?;
        for (kind, name) in self.error_names.iter().enumerate() {
            let labels = [("error", *name)];
            let count = self.sum(|thread| &thread.errors[kind]);
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        self.histogram(
            encoder,
            LATENCY_SECONDS,
            "Time from request head to the end of the answer",
            |thread| &thread.latency,
        )?;
        self.histogram(
            encoder,
            LOOKUP_SECONDS,
            "Time to find a route, of a sample of requests",
            |thread| &thread.lookup,
        )?;
        let in_flight = self.sum(|thread| &thread.in_flight);
        gauge(
            encoder,
            REQUESTS_IN_FLIGHT,
            "Requests being answered, upgraded connections included",
            in_flight,
        )?;
        let connections = self.sum(|thread| &thread.connections);
        gauge(encoder, CONNECTIONS, "Open client connections", connections)
    }

    fn encode_upstream(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Of = fn(&ThreadMetrics) -> &Count;
        let counters: [(&str, &str, Of); 4] = [
            (UPGRADES, "Connections upgraded", |t| &t.upgrades),
            (UPSTREAM_DIALS, "Connections to instances", |t| &t.dials),
            (
                UPSTREAM_DIAL_FAILURES,
                "Connections that instances did not take",
                |t| &t.dial_failures,
            ),
            (UPSTREAM_RETRIES, "Attempts after the first", |t| &t.retries),
        ];
        for (name, help, of) in counters {
            counter(encoder, name, help, self.sum(of))?;
        }
        let dropped = self.sum(|thread| &thread.access_log_drops);
        counter(
            encoder,
            ACCESS_LOG_DROPS,
            "Access log lines dropped because their taker was slow or gone",
            dropped.wrapping_add(self.table.log_lines_undelivered.get()),
        )
    }

    fn encode_table(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let table = &self.table;
        let heard = Duration::from_millis(table.heard_ms.get());
        let age = self.clock.monotonic().saturating_sub(heard).as_secs();
        for (name, help, value) in [
            (TABLE_ROUTES, "Routes in the table", table.routes.get()),
            (
                TABLE_ENDPOINTS,
                "Endpoints in the table, counted per route",
                table.endpoints.get(),
            ),
            (
                TABLE_REVISION,
                "Revision of the table's token",
                table.revision.get(),
            ),
            (
                TABLE_AGE_SECONDS,
                "Time since a controller confirmed the table",
                age,
            ),
        ] {
            gauge(encoder, name, help, value)?;
        }
        counter(
            encoder,
            TABLE_UPDATES,
            "Tables published",
            table.updates.get(),
        )?;
        counter(
            encoder,
            STREAM_LOSSES,
            "Times the stream of tables was lost",
            table.stream_losses.get(),
        )
    }

    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&ThreadMetrics) -> &Histogram,
    ) -> fmt::Result {
        let Some(bounds) = self.threads.first().map(|thread| of(thread).bounds) else {
            return Ok(());
        };
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds
            .enumerate()
            .map(|(index, bound)| (bound, self.sum(|thread| &of(thread).counts[index])))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.sum(|thread| &of(thread).sum_ns));
        let mut metric: MetricEncoder<'_> =
            encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
}
