//! Starts an autoscaler and ends it in order.
//!
//! ```text
//!   read policies -> bind all -> follow the store, evaluator, API, admin
//!   shutdown -> last samples on disk, lead given up -> tasks end -> store closed
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::http_server::HttpServer;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::telemetry::Metrics;
use cfx_store::store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::admin;
use crate::api;
use crate::config::Config;
use crate::edges::Edges;
use crate::evaluator::Evaluator;
use crate::events::Events;
use crate::inbox::Inbox;
use crate::latest::Latest;
use crate::state::StateError;
use crate::state::policies::Policies;

/// Time that the tasks have to end once the shutdown was requested.
const TASKS_END: Duration = Duration::from_secs(10);

/// Why an autoscaler did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("its store cannot be read: {0}")]
    State(#[from] StateError),
}

/// Where an autoscaler listens, with the ports it really got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub api: SocketAddr,
    pub admin: Option<SocketAddr>,
}

/// An autoscaler at work.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    store: Arc<dyn Store>,
    metrics: Metrics,
    supervisor: Supervisor,
}

/// Start everything. The shutdown ends it; `Running::stopped` waits for that.
pub async fn start(config: Config, edges: Edges, shutdown: Shutdown) -> Result<Running, Error> {
    let metrics = Metrics::default();
    let events = Arc::new(Events::register(&metrics));
    let (policies, revision) = Policies::open(edges.store.clone(), events.clone()).await?;
    let (listener, api) = bind(config.listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let addresses = Addresses {
        api,
        admin: admin.as_ref().map(|(_, address)| *address),
    };
    let supervisor = Supervisor::new("autoscaler", shutdown);
    let shutdown = supervisor.shutdown().clone();
    let (inbox, latest) = (Inbox::default(), Latest::default());
    let evaluator = Evaluator::new(
        edges.clone(),
        policies.clone(),
        inbox.clone(),
        latest.clone(),
        events.clone(),
    );
    let evaluating = evaluator.run(config.tick, shutdown.clone());
    supervisor.spawn("evaluator", OnEnd::StopComponent, evaluating);
    let (until, following) = (shutdown.clone(), policies.clone().follow(revision));
    supervisor.spawn("policies", OnEnd::StopComponent, async move {
        until.or(following).await;
    });
    let server = |router| HttpServer {
        router,
        tls: None,
        clock: edges.clock.clone(),
        shutdown: shutdown.clone(),
        supervisor: supervisor.clone(),
    };
    let context = api::Context {
        edges: edges.clone(),
        policies,
        inbox,
        latest,
        events,
        rate: Arc::default(),
    };
    let api = server(api::endpoints(context)).run(listener);
    supervisor.spawn("api listener", OnEnd::StopComponent, api);
    if let Some((listener, _)) = admin {
        let admin = server(admin::endpoints(metrics.clone())).run(listener);
        supervisor.spawn("admin listener", OnEnd::StopComponent, admin);
    }
    tracing::info!(api = %addresses.api, "the autoscaler serves");
    Ok(Running {
        addresses,
        store: edges.store,
        metrics,
        supervisor,
    })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Running {
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its numbers, as `/metrics` prints them.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Resolves when it is to end: the shutdown was requested, or a task that must not end has.
    pub async fn ending(&self) {
        self.supervisor.shutdown().requested().await;
    }

    /// Wait for the end that the shutdown asks for, and let go of the store.
    pub async fn stopped(self) -> Result<(), StoreError> {
        self.supervisor.shutdown().requested().await;
        self.supervisor.join(TASKS_END).await;
        self.store.close().await
    }
}
