//! What a router reaches outside itself: time, ids, the source of its table, the takers of logs and
//! of metrics.
//!
//! `ControllerLink` is the real thing; tests feed frames by hand.

use std::fmt;

use async_trait::async_trait;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_process::ndjson::{NdjsonError, NdjsonReader};
use cfx_protocol::link::{FRAME_MAX_BYTES, PREFIX};
use cfx_protocol::metrics::{MetricsBatch, RouterMetrics};
use cfx_protocol::route::{RouteFrame, TableAck};
use cfx_protocol::telemetry::LogEnvelope;
use hyper::body::Incoming;
use std::sync::Arc;

/// Everything ambient that a router needs.
#[derive(Debug, Clone)]
pub struct Edges {
    pub clock: Clock,
    pub ids: IdSource,
    pub table: Arc<dyn TableSource>,
    pub logs: Arc<dyn LogSink>,
    pub metrics: Arc<dyn MetricsSink>,
}

impl Edges {
    /// The edges of a router that follows controllers.
    #[must_use]
    pub fn to_controllers(clock: Clock, ids: IdSource, client: InternalClient) -> Self {
        let link = Arc::new(ControllerLink(client));
        Self {
            clock,
            ids,
            table: link.clone(),
            logs: link.clone(),
            metrics: link,
        }
    }
}

/// Why an edge did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Stream(#[from] NdjsonError),
    #[error("a log envelope cannot be written down: {0}")]
    Envelope(#[from] serde_json::Error),
    #[error("{0}")]
    Other(String),
}

impl EdgeError {
    /// The same may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Link(error) => error.is_transient(),
            Self::Stream(_) | Self::Other(_) => true,
            Self::Envelope(_) => false,
        }
    }
}

/// Where route tables come from.
#[async_trait]
pub trait TableSource: Send + Sync + fmt::Debug {
    /// Open the stream: a snapshot first, then deltas and keepalives.
    async fn dial(&self) -> Result<Box<dyn TableStream>, EdgeError>;
    /// Say that every thread serves a table.
    async fn acknowledge(&self, ack: TableAck) -> Result<(), EdgeError>;
}

/// An open stream of frames.
#[async_trait]
pub trait TableStream: Send {
    /// The next frame; none at a clean end.
    async fn next(&mut self) -> Result<Option<RouteFrame>, EdgeError>;
}

/// Takes the access log. A batch that is refused is dropped and counted, never retried.
#[async_trait]
pub trait LogSink: Send + Sync + fmt::Debug {
    async fn deliver(&self, batch: &[LogEnvelope]) -> Result<(), EdgeError>;
}

/// Takes what the router saw, one batch a second. A batch may come twice when its fate was unknown.
#[async_trait]
pub trait MetricsSink: Send + Sync + fmt::Debug {
    async fn deliver(&self, batch: &RouterMetrics) -> Result<(), EdgeError>;
}

/// The controllers, over the internal link.
#[derive(Debug, Clone)]
pub struct ControllerLink(pub InternalClient);

#[async_trait]
impl TableSource for ControllerLink {
    async fn dial(&self) -> Result<Box<dyn TableStream>, EdgeError> {
        let path = format!("{PREFIX}/routes");
        Ok(Box::new(self.0.stream(&path, FRAME_MAX_BYTES).await?))
    }

    async fn acknowledge(&self, ack: TableAck) -> Result<(), EdgeError> {
        let path = format!("{PREFIX}/routers/{}/ack", ack.router);
        Ok(self.0.post::<_, ()>(&path, &ack).await?)
    }
}

#[async_trait]
impl TableStream for NdjsonReader<Incoming, RouteFrame> {
    async fn next(&mut self) -> Result<Option<RouteFrame>, EdgeError> {
        Ok(NdjsonReader::next(self).await?)
    }
}

#[async_trait]
impl LogSink for ControllerLink {
    async fn deliver(&self, batch: &[LogEnvelope]) -> Result<(), EdgeError> {
        let mut body = Vec::new();
        for envelope in batch {
            serde_json::to_writer(&mut body, envelope)?;
            body.push(b'\n');
        }
        let path = format!("{PREFIX}/logs");
        let link = &self.0;
        Ok(link
            .post_bytes(&path, "application/x-ndjson", body.into())
            .await?)
    }
}

#[async_trait]
impl MetricsSink for ControllerLink {
    async fn deliver(&self, batch: &RouterMetrics) -> Result<(), EdgeError> {
        let path = format!("{PREFIX}/metrics");
        let batch = MetricsBatch::Router(batch.clone());
        Ok(self.0.post::<_, ()>(&path, &batch).await?)
    }
}
