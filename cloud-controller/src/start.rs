//! Starts a controller and ends it in order.
//!
//! ```text
//!   load state -> bootstrap -> bind all -> board, driver, route table, janitors -> serve
//!   shutdown -> streams end -> requests finish -> tasks end -> store closed
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cfx_planner::Liveness;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_server::HttpServer;
use cfx_process::identity::{Authority, Identity, IdentityError};
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::telemetry;
use cfx_process::tls::{self, Clients, TlsError};
use cfx_protocol::link::Role;
use cfx_store::store::{Store, StoreError};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::admin::Admin;
use crate::auth::Auth;
use crate::blobs::Blobs;
use crate::bootstrap::{self, BootstrapError, Wishes};
use crate::cells::Observed;
use crate::config::Config;
use crate::convergence::status::Platform;
use crate::convergence::{Board, Dispatch, Driver, Insight};
use crate::events::Events;
use crate::housekeeping::Housekeeping;
use crate::janitor::Janitor;
use crate::log_cache::LogCache;
use crate::metrics::Metrics;
use crate::metrics_history::MetricsHistory;
use crate::metrics_history::intake::{self, Intake};
use crate::routing::{Routers, publisher};
use crate::state::{OpenError, StateHandle};
use crate::{api, internal};

/// Time that the tasks have to end once the shutdown was requested.
const TASKS_END: Duration = Duration::from_secs(10);
/// Between looks at whether cells are there.
const READY_LOOK: Duration = Duration::from_millis(20);

/// Everything ambient that a controller needs.
#[derive(Debug, Clone)]
pub struct Edges {
    pub clock: Clock,
    pub ids: IdSource,
    pub store: Arc<dyn Store>,
    pub authority: Arc<Authority>,
}

/// Why a controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    State(#[from] OpenError),
    #[error("cannot use the folder for blobs, {path}: {source}")]
    Blobs {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Where a controller listens, with the ports it really got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub api: SocketAddr,
    pub internal: SocketAddr,
    pub admin: Option<SocketAddr>,
}

/// A controller at work.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    admin_password: Option<String>,
    state: StateHandle,
    observed: Observed,
    metrics: MetricsHistory,
    edges: Edges,
    supervisor: Supervisor,
}

/// Start everything. The shutdown ends it; `Running::ended` waits for that.
pub async fn start(config: Config, edges: Edges, shutdown: &Shutdown) -> Result<Running, Error> {
    let state = StateHandle::open(edges.store.clone()).await?;
    let blobs = open_blobs(&config)?;
    let auth = Auth::default();
    let wishes = Wishes {
        admin_password: config.admin_password.clone(),
        apps_domain: config.apps_domain.clone(),
        autoscaler_secret: config
            .autoscaler
            .as_ref()
            .map(|it| it.client_secret.clone()),
    };
    let (clock, ids) = (&edges.clock, &edges.ids);
    let made = bootstrap::run(&state, clock, ids, &auth, &blobs, wishes).await?;
    let listeners = Listeners::bind(&config).await?;
    let addresses = listeners.addresses;
    let parts = Parts::new(&config, state.clone(), auth, blobs, addresses.api);
    let supervisor = Supervisor::new("controller", shutdown.child());
    let running = Running {
        addresses,
        admin_password: made.admin_password,
        state,
        observed: parts.observed.clone(),
        metrics: parts.metrics.clone(),
        edges: edges.clone(),
        supervisor: supervisor.clone(),
    };
    parts.spawn(&config, &edges, &supervisor, listeners)?;
    tracing::info!(api = %addresses.api, internal = %addresses.internal, "the controller serves");
    Ok(running)
}

impl Running {
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The password of `admin`, when it was made or set by this start: nobody can learn it later.
    #[must_use]
    pub fn admin_password(&self) -> Option<&str> {
        self.admin_password.as_deref()
    }

    #[must_use]
    pub fn state(&self) -> &StateHandle {
        &self.state
    }

    /// What instances used and answered.
    #[must_use]
    pub fn metrics(&self) -> &MetricsHistory {
        &self.metrics
    }

    /// An identity for a cell or router in the same process: it needs no join token.
    pub fn identity(&self, role: Role, guid: Uuid) -> Result<Identity, IdentityError> {
        let now = self.edges.clock.now();
        self.edges.authority.issue(role, guid, now)
    }

    /// Wait until this many cells have reported. False: not within the deadline.
    pub async fn cells_ready(&self, count: usize, deadline: Duration) -> bool {
        let ready = |now| {
            let cells = self.observed.cells().into_iter();
            let ready = cells.filter(|it| it.known && it.liveness(now) == Liveness::Alive);
            ready.count() >= count
        };
        let clock = &self.edges.clock;
        let wait = async {
            while !ready(clock.monotonic()) {
                clock.sleep(READY_LOOK).await;
            }
        };
        tokio::time::timeout(deadline, wait).await.is_ok()
    }

    /// Resolves when it is to end: the shutdown was requested, or a task that must not end has.
    pub async fn ending(&self) {
        self.supervisor.shutdown().requested().await;
    }

    /// Wait for the end that the shutdown asks for, and let go of the store.
    pub async fn ended(self) -> Result<(), StoreError> {
        self.supervisor.shutdown().requested().await;
        self.supervisor.join(TASKS_END).await;
        self.edges.store.close().await
    }
}

struct Listeners {
    api: TcpListener,
    internal: TcpListener,
    admin: Option<TcpListener>,
    addresses: Addresses,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, Error> {
        let (api, api_address) = bind(config.api_listen).await?;
        let (internal, internal_address) = bind(config.internal_listen).await?;
        let (admin, admin_address) = match config.admin_listen {
            Some(address) => {
                let (listener, address) = bind(address).await?;
                (Some(listener), Some(address))
            }
            None => (None, None),
        };
        let addresses = Addresses {
            api: api_address,
            internal: internal_address,
            admin: admin_address,
        };
        Ok(Self {
            api,
            internal,
            admin,
            addresses,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn open_blobs(config: &Config) -> Result<Blobs, Error> {
    let path = config.data_dir.join("blobs");
    Blobs::open(&path).map_err(|source| Error::Blobs {
        path: path.display().to_string(),
        source,
    })
}

/// Everything that the tasks share.
struct Parts {
    state: StateHandle,
    observed: Observed,
    routers: Routers,
    insight: Insight,
    auth: Auth,
    blobs: Blobs,
    log_cache: LogCache,
    metrics: MetricsHistory,
    telemetry: telemetry::Metrics,
    events: Arc<Events>,
    cf_api: Arc<str>,
}

impl Parts {
    fn new(config: &Config, state: StateHandle, auth: Auth, blobs: Blobs, api: SocketAddr) -> Self {
        let telemetry = telemetry::Metrics::default();
        let events = Arc::new(Events::new(Metrics::register(&telemetry)));
        Self {
            state,
            observed: Observed::default(),
            routers: Routers::default(),
            insight: Insight::default(),
            auth,
            blobs,
            log_cache: LogCache::default(),
            metrics: MetricsHistory::default(),
            telemetry,
            events,
            cf_api: cf_api(config, api).into(),
        }
    }

    /// The one place where the controller's tasks begin.
    fn spawn(
        self,
        config: &Config,
        edges: &Edges,
        supervisor: &Supervisor,
        listeners: Listeners,
    ) -> Result<(), Error> {
        let shutdown = supervisor.shutdown().clone();
        let board = Board::new(self.state.clone(), self.cf_api.clone());
        let dispatch = Dispatch::new(&board, edges.clock.clone());
        let (publisher, table) = publisher::publisher(
            self.state.clone(),
            self.observed.clone(),
            self.routers.clone(),
            edges.clock.clone(),
            self.events.clone(),
        );
        let driver = self.driver(edges, &dispatch);
        let task = |name, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let shutdown = shutdown.clone();
            supervisor.spawn(name, OnEnd::StopComponent, async move {
                shutdown.or(future).await;
            });
        };
        task("desired sets", Box::pin(board.run()));
        task("route table", Box::pin(table.run()));
        task("convergence", Box::pin(driver.run()));
        task(
            "janitor",
            Box::pin(self.janitor(edges).run(shutdown.clone())),
        );
        let housekeeping = self.housekeeping(edges).run(shutdown.clone());
        task("housekeeping", Box::pin(housekeeping));

        let authority = &edges.authority;
        let identity = authority.issue(Role::Controller, edges.ids.guid(), edges.clock.now())?;
        let metrics = self.intake(config, edges, &publisher);
        // To its end: what is in memory then goes to the journal.
        let keep = metrics.clone().run(shutdown.clone());
        supervisor.spawn("metrics", OnEnd::StopComponent, keep);
        let internal = self.internal(edges, dispatch, publisher, metrics);
        let internal = internal::endpoints(internal);
        let internal_tls = tls::server(&identity, Clients::MayIdentify, &[b"http/1.1"])?;
        let server = |router, tls| HttpServer {
            router,
            tls,
            clock: edges.clock.clone(),
            shutdown: shutdown.clone(),
            supervisor: supervisor.clone(),
        };
        let internal = server(internal, Some(internal_tls)).run(listeners.internal);
        task("internal listener", Box::pin(internal));
        let api = server(
            api::router(self.api(config, edges, listeners.addresses.internal)),
            config.api_tls.clone(),
        );
        task("api listener", Box::pin(api.run(listeners.api)));
        if let Some(listener) = listeners.admin {
            let admin = Admin::new(self.telemetry.clone()).router();
            task(
                "admin listener",
                Box::pin(server(admin, None).run(listener)),
            );
        }
        Ok(())
    }

    fn driver(&self, edges: &Edges, dispatch: &Dispatch) -> Driver {
        Driver {
            state: self.state.clone(),
            observed: self.observed.clone(),
            dispatch: dispatch.clone(),
            routers: self.routers.clone(),
            insight: self.insight.clone(),
            clock: edges.clock.clone(),
            ids: edges.ids.clone(),
            events: self.events.clone(),
        }
    }

    fn janitor(&self, edges: &Edges) -> Janitor {
        Janitor {
            state: self.state.clone(),
            clock: edges.clock.clone(),
            log_cache: self.log_cache.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn housekeeping(&self, edges: &Edges) -> Housekeeping {
        Housekeeping {
            state: self.state.clone(),
            blobs: self.blobs.clone(),
            clock: edges.clock.clone(),
        }
    }

    fn intake(
        &self,
        config: &Config,
        edges: &Edges,
        publisher: &crate::routing::Publisher,
    ) -> Intake {
        Intake::new(intake::Parts {
            history: self.metrics.clone(),
            state: self.state.clone(),
            observed: self.observed.clone(),
            publisher: publisher.clone(),
            clock: edges.clock.clone(),
            journal: Some(config.data_dir.join("metrics").join("journal")),
        })
    }

    fn internal(
        &self,
        edges: &Edges,
        dispatch: Dispatch,
        publisher: crate::routing::Publisher,
        metrics: Intake,
    ) -> internal::Context {
        internal::Context {
            state: self.state.clone(),
            observed: self.observed.clone(),
            dispatch,
            publisher,
            routers: self.routers.clone(),
            log_cache: self.log_cache.clone(),
            metrics,
            blobs: self.blobs.clone(),
            authority: edges.authority.clone(),
            clock: edges.clock.clone(),
            ids: edges.ids.clone(),
            events: self.events.clone(),
        }
    }

    fn api(&self, config: &Config, edges: &Edges, internal: SocketAddr) -> api::Context {
        api::Context {
            state: self.state.clone(),
            clock: edges.clock.clone(),
            ids: edges.ids.clone(),
            observed: self.observed.clone(),
            platform: Platform {
                insight: self.insight.clone(),
                routers: self.routers.clone(),
                observed: self.observed.clone(),
                started_at: edges.clock.now(),
            },
            blobs: self.blobs.clone(),
            log_cache: self.log_cache.clone(),
            metrics: self.metrics.clone(),
            events: self.events.clone(),
            auth: self.auth.clone(),
            settings: Arc::new(api::Settings {
                external_url: config.external_url.clone(),
                tls: config.api_tls.is_some(),
                apps_domain: config.apps_domain.clone(),
                http_port: config.http_port,
                https_port: config.https_port,
                authority: edges.authority.certificate().to_owned(),
                controllers: vec![internal],
                autoscaler: config.autoscaler.as_ref().map(|it| it.address),
            }),
        }
    }
}

/// Where apps find the API: what the operator named, else the listener, by an address that can be
/// dialled.
fn cf_api(config: &Config, listener: SocketAddr) -> String {
    if let Some(url) = &config.external_url {
        return url.clone();
    }
    let ip = match listener.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let scheme = match config.api_tls {
        Some(_) => "https",
        None => "http",
    };
    format!("{scheme}://{}", SocketAddr::new(ip, listener.port()))
}
