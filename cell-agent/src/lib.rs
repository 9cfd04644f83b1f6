//! The cell: runs what the controller assigned to this machine.
//!
//! ```text
//! link::follow --frames--> agent --plan--> execute --> hooks --> runtime, ground, staging
//!                            ^                |
//!                            +---- news ------+--> health, logs
//! link::report <--picture-- agent                  logs --> link::ship
//!                                               metrics --> link::metrics
//! ```
//! `plan` decides everything and is pure. A cell that no controller answers runs what it runs and
//! restarts what crashes; an agent that is killed is replaced by one that takes everything over.

pub mod agent;
pub mod capacity;
pub mod carried;
pub mod config;
pub mod drain;
pub mod droplet_cache;
pub mod equipment;
pub mod events;
pub mod execute;
pub mod health;
pub mod hooks;
pub mod link;
pub mod logs;
pub mod metrics;
pub mod network;
pub mod plan;
pub mod resolver;
pub mod runtime;
pub mod slot;
pub mod staging;
pub mod state_file;
pub mod volume;
pub mod warm;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::http_server::HttpServer;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::telemetry::Metrics;
use cfx_protocol::cell::{Capacity, CellRegistration};
use cfx_protocol::metrics::CellMetrics;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use agent::picture::Picture;
use agent::sweep::Sweeper;
use agent::{Agent, Message};
use capacity::Machine;
use config::Config;
use drain::Drain;
use droplet_cache::DropletCache;
use events::Events;
use execute::Executor;
use hooks::Tools;
use hooks::ground::{Ground, Ready};
use logs::Outbox;
use logs::budget::Budget;
use runtime::{ContainerName, Runtime};
use staging::Stager;
use state_file::{Restored, StateFile};
use warm::Warm;
use warm::keeper::{self, Keeper};

/// Messages that may wait for the agent; their senders wait when there are more.
const MESSAGES_MAX: usize = 256;
/// Pause before the runtime is asked again for what it holds.
const ADOPT_RETRY: Duration = Duration::from_secs(1);
/// Time that tasks have to end once the component stops.
const JOIN_DEADLINE: Duration = Duration::from_secs(5);

/// What a cell touches of the world.
#[derive(Debug, Clone)]
pub struct Edges {
    pub clock: Clock,
    pub ids: IdSource,
    pub runtime: Arc<dyn Runtime>,
    pub ground: Arc<dyn Ground>,
    pub client: InternalClient,
    pub metrics: Metrics,
}

/// The cell cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the cell cannot {action}")]
    Io {
        action: &'static str,
        source: std::io::Error,
    },
    #[error("the cell's state cannot be opened")]
    State(#[from] state_file::StateError),
    #[error("the droplet cache cannot be opened")]
    Cache(#[from] droplet_cache::CacheError),
}

/// A cell that runs until its shutdown. Its instances run on after that.
#[derive(Debug)]
pub struct Running {
    /// The cell as its instances see it; none without a network of its own.
    pub gateway: Option<IpAddr>,
    pub capacity: Capacity,
    /// Where `/metrics` and `/healthz` answer, if they do.
    pub admin: Option<SocketAddr>,
    pub drain: Drain,
    /// What the cell runs, as it changes.
    pub picture: watch::Receiver<Arc<Picture>>,
    supervisor: Supervisor,
}

impl Running {
    /// Wait until everything of the agent has ended, after the shutdown was requested.
    pub async fn join(self) {
        self.supervisor.join(JOIN_DEADLINE).await;
    }
}

/// Start the agent. It takes over what an earlier one left before it reports anything.
pub async fn start(config: Config, edges: Edges, shutdown: Shutdown) -> Result<Running, Error> {
    let io = |action| move |source| Error::Io { action, source };
    cfx_process::durable_file::create_private_folder(&config.data)
        .map_err(io("make its folder"))?;
    let machine = Machine::read(&config.data).map_err(io("read the machine"))?;
    let supervisor = Supervisor::new("cell", shutdown.clone());
    let events = Events::new(&edges.metrics);
    let (state, restored) = StateFile::open(config.data.join("state"), edges.ids.clone())?;
    for what in &restored.damaged {
        events.state_damaged(what);
    }
    let outbox = Outbox::new(edges.clock.clone());
    let tools = tools(&config, &edges, &outbox, machine)?;
    let admin = match config.admin {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(io("listen for /metrics"))?,
        ),
        None => None,
    };
    let budget = Budget::new(config.log_cpu_millicores, edges.clock.monotonic());
    let (picture, looker) = watch::channel(Arc::new(Picture::default()));
    let cell = Cell {
        config,
        edges,
        shutdown,
        supervisor,
        events,
        outbox,
        budget: Arc::new(budget),
        tools,
        machine,
    };
    let (shipped, seconds) = mpsc::channel(link::SECONDS_KEPT);
    let messages = cell.run_agent(state, restored, picture, &looker, shipped);
    cell.run_link(&messages, &looker, seconds);
    let admin_address = match admin {
        Some(listener) => {
            let address = listener.local_addr().map_err(io("listen for /metrics"))?;
            cell.run_admin(listener, &looker);
            Some(address)
        }
        None => None,
    };
    Ok(Running {
        gateway: cell.tools.ground.gateway(),
        capacity: cell.tools.capacity,
        admin: admin_address,
        drain: Drain::new(messages, looker.clone(), cell.tools.warm.clone()),
        picture: looker,
        supervisor: cell.supervisor,
    })
}

fn tools(
    config: &Config,
    edges: &Edges,
    outbox: &Outbox,
    machine: Machine,
) -> Result<Tools, Error> {
    let io = |action| move |source| Error::Io { action, source };
    let (client, clock) = (edges.client.clone(), edges.clock.clone());
    let budget = config.droplet_cache_bytes;
    let droplets = DropletCache::open(config.data.join("droplets"), budget, client.clone())?;
    let stager = Stager::open(
        config.data.join("staging"),
        client,
        outbox.clone(),
        clock.clone(),
    );
    Ok(Tools {
        runtime: edges.runtime.clone(),
        ground: edges.ground.clone(),
        droplets,
        stager: stager.map_err(io("make a folder for stagings"))?,
        clock,
        capacity: capacity::offered(machine, edges.runtime.name(), config),
        cell: config.address,
        uid_base: config.uid_base,
        warm: Warm::new(config.warm, edges.clock.clone()),
    })
}

/// Everything the tasks of a cell are made of.
struct Cell {
    config: Config,
    edges: Edges,
    shutdown: Shutdown,
    supervisor: Supervisor,
    events: Events,
    outbox: Outbox,
    budget: Arc<Budget>,
    tools: Tools,
    machine: Machine,
}

impl Cell {
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        let task = async move { shutdown.or(task).await.unwrap_or_default() };
        self.supervisor.spawn(name, OnEnd::StopComponent, task);
    }

    fn run_agent(
        &self,
        state: StateFile,
        restored: Restored,
        picture: watch::Sender<Arc<Picture>>,
        looker: &watch::Receiver<Arc<Picture>>,
        seconds: mpsc::Sender<CellMetrics>,
    ) -> mpsc::Sender<Message> {
        let clock = &self.edges.clock;
        let (executor, news) = Executor::new(execute::Parts {
            tools: self.tools.clone(),
            timing: self.config.timing,
            cell_name: self.config.name.clone(),
            events: self.events.clone(),
            outbox: self.outbox.clone(),
            budget: self.budget.clone(),
            supervisor: self.supervisor.clone(),
        });
        let (messages, receiver) = mpsc::channel(MESSAGES_MAX);
        self.spawn("hints", hints(self.edges.runtime.exits(), executor.clone()));
        let sampler = metrics::Sampler {
            tools: self.tools.clone(),
            executor: executor.clone(),
            every: self.config.timing.sample,
            cell: self.config.cell,
            messages: messages.clone(),
            seconds,
        };
        self.spawn("sampler", sampler.run());
        let sweeper = Sweeper {
            tools: self.tools.clone(),
            events: self.events.clone(),
            picture: looker.clone(),
        };
        self.spawn("sweeper", sweeper.run());
        self.run_keeper(&executor);
        let agent = Agent::new(agent::Parts {
            desired: restored.desired,
            instances: restored.instances,
            state,
            executor,
            rule: self.config.timing.back_off,
            cell_name: self.config.name.clone(),
            clock: clock.clone(),
            events: self.events.clone(),
            picture,
        });
        let tools = self.tools.clone();
        let shutdown = self.shutdown.clone();
        let boot = Boot {
            agent,
            tools,
            events: self.events.clone(),
        };
        self.spawn("agent", boot.run(news, receiver, shutdown));
        messages
    }

    fn run_keeper(&self, executor: &Executor) {
        self.tools.ground.keep_ready(Ready {
            // A runtime that makes its own cannot use them.
            networks: if self.edges.runtime.enters_networks() {
                self.config.ready.networks
            } else {
                0
            },
            ..self.config.ready
        });
        let keeper = Keeper {
            tools: self.tools.clone(),
            gate: executor.gate(),
            at_once: self.machine.cores as usize,
            ids: self.edges.ids.clone(),
            events: self.events.clone(),
        };
        self.spawn("keep ready", keeper.run());
    }

    fn run_link(
        &self,
        messages: &mpsc::Sender<Message>,
        looker: &watch::Receiver<Arc<Picture>>,
        seconds: mpsc::Receiver<CellMetrics>,
    ) {
        let Edges {
            clock, ids, client, ..
        } = &self.edges;
        let follower = link::Follower {
            client: client.clone(),
            runtime: self.edges.runtime.clone(),
            registration: self.registration(),
            messages: messages.clone(),
            events: self.events.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        self.spawn("follow the controller", follower.run());
        let reporter = link::Reporter {
            client: client.clone(),
            cell: self.config.cell,
            boot: ids.guid(),
            machine: self.machine,
            data: self.config.data.clone(),
            picture: looker.clone(),
            messages: messages.clone(),
            clock: clock.clone(),
        };
        self.spawn("report", reporter.run());
        let shipper = link::Shipper {
            client: client.clone(),
            outbox: self.outbox.clone(),
            budget: self.budget.clone(),
            events: self.events.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        };
        self.spawn("ship logs", shipper.run());
        let shipper = link::MetricsShipper {
            client: client.clone(),
            seconds,
            clock: clock.clone(),
        };
        self.spawn("ship metrics", shipper.run());
    }

    fn registration(&self) -> CellRegistration {
        let Config {
            cell,
            name,
            zone,
            tags,
            address,
            ..
        } = &self.config;
        CellRegistration {
            guid: *cell,
            name: name.clone(),
            zone: zone.clone(),
            runtime: self.edges.runtime.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // Asked of the runtime each time the cell registers.
            stacks: Vec::new(),
            tags: tags.clone(),
            capacity: self.tools.capacity,
            address: *address,
            gateway: self.tools.ground.gateway(),
        }
    }

    fn run_admin(&self, listener: TcpListener, looker: &watch::Receiver<Arc<Picture>>) {
        let server = HttpServer {
            router: metrics::endpoints(self.edges.metrics.clone(), looker.clone()),
            tls: None,
            clock: self.edges.clock.clone(),
            shutdown: self.shutdown.clone(),
            supervisor: self.supervisor.clone(),
        };
        self.spawn("admin", server.run(listener));
    }
}

/// Takes over, then runs.
struct Boot {
    agent: Agent,
    tools: Tools,
    events: Events,
}

impl Boot {
    async fn run(
        mut self,
        news: mpsc::UnboundedReceiver<execute::Told>,
        messages: mpsc::Receiver<Message>,
        shutdown: Shutdown,
    ) {
        let containers = loop {
            match self.tools.runtime.adopt().await {
                Ok(containers) => break containers,
                Err(error) => {
                    tracing::warn!(%error, "the runtime cannot tell what it holds; asking again");
                    self.tools.clock.sleep(ADOPT_RETRY).await;
                }
            }
        };
        self.agent.adopt(containers.clone()).await;
        // After instances have their addresses, before anybody new gets one.
        keeper::take_up(&self.tools, &self.events, &containers).await;
        self.agent.run(news, messages, shutdown).await;
    }
}

async fn hints(mut ended: mpsc::Receiver<ContainerName>, executor: Executor) {
    while let Some(name) = ended.recv().await {
        executor.look_at(name);
    }
    // A runtime without hints: their end is no reason to stop.
    std::future::pending().await
}
