//! `bench router`: what a request costs through the router, and without it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AppGuid, ClusterGuid, InstanceGuid, ProcessGuid, RouteGuid, RouterGuid};
use cfx_protocol::link::RHYTHM_MS;
use cfx_protocol::metrics::RouterMetrics;
use cfx_protocol::route::{Endpoint, EndpointProtocol, Route, RouteFrame, RouteOptions, TableAck};
use cfx_protocol::telemetry::LogEnvelope;
use cfx_router::{
    Certificates, Config, Drain, EdgeError, Edges, Limits, LogSink, MetricsSink, TableSource,
    TableStream,
};

use super::child::{Subject, own_cpu_seconds};
use super::load::{self, Load};
use super::{Reading, show};
use crate::args::BenchRouterArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::platform;

const HOST: &str = "bench.localhost";
/// The route is there from the first frame on; this many tries to see it.
const WARM_TRIES: u32 = 50;
const WARM_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn bench(context: &Context, args: &BenchRouterArgs) -> Outcome {
    let (backend, address) = Subject::start(&["bench", "backend"], &[]).await?;
    let (proxy, front) = Subject::start(&["bench", "proxy", "--backend", &address], &[]).await?;
    let (direct, through) = (parsed(&address)?, parsed(&front)?);
    let load = |address| Load {
        address,
        host: HOST,
        connections: args.connections,
        duration: Duration::from_secs(args.seconds.into()),
    };
    warm(context, through).await?;
    let mut measured = Measured::default();
    for round in 1..=args.rounds {
        let round_name = format!("round {round} of {}", args.rounds);
        let progress = context.terminal.progress(&round_name);
        let one = measure(context, load(direct), &[&backend]).await?;
        measured.direct.push(one);
        let router_before = proxy.cpu_seconds()?;
        let one = measure(context, load(through), &[&backend, &proxy]).await?;
        let router_cpu = proxy.cpu_seconds()? - router_before;
        measured
            .router_only
            .push(one.requests / router_cpu.max(f64::EPSILON));
        measured.through.push(one);
        drop(progress);
    }
    proxy.end().await?;
    backend.end().await?;
    show(context, &measured.readings(args), args.json)
}

/// One reading.
#[derive(Debug, Clone, Copy)]
struct Run {
    requests: f64,
    seconds: f64,
    /// Of generator, backend and, when it is in between, router.
    cpu_seconds: f64,
}

#[derive(Debug, Default)]
struct Measured {
    direct: Vec<Run>,
    through: Vec<Run>,
    router_only: Vec<f64>,
}

impl Measured {
    fn readings(&self, args: &BenchRouterArgs) -> Vec<Reading> {
        let per_cpu = |runs: &[Run]| -> Vec<f64> {
            runs.iter()
                .map(|run| run.requests / run.cpu_seconds)
                .collect()
        };
        let per_second = |runs: &[Run]| -> Vec<f64> {
            runs.iter().map(|run| run.requests / run.seconds).collect()
        };
        let floor_is = "a direct connection to the same server";
        let load = format!("{} connections, 1 KiB answers", args.connections);
        vec![
            Reading::new(
                "router",
                format!("requests per CPU-second of all processes ({load})"),
                "req/cpu-s",
                floor_is,
                per_cpu(&self.through),
                per_cpu(&self.direct),
            ),
            Reading::new(
                "router",
                "requests per CPU-second of the router alone",
                "req/cpu-s",
                floor_is,
                self.router_only.clone(),
                per_cpu(&self.direct),
            ),
            Reading::new(
                "router",
                "requests per second",
                "req/s",
                floor_is,
                per_second(&self.through),
                per_second(&self.direct),
            ),
        ]
    }
}

async fn measure(context: &Context, load: Load<'_>, subjects: &[&Subject]) -> Outcome<Run> {
    let cpu = || -> Outcome<f64> {
        let mut total = own_cpu_seconds()?;
        for subject in subjects {
            total += subject.cpu_seconds()?;
        }
        Ok(total)
    };
    let (before, started) = (cpu()?, context.clock.monotonic());
    let requests = load::run(load, &context.clock).await?;
    let seconds = context
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    let cpu_seconds = (cpu()? - before).max(f64::EPSILON);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let requests = requests as f64;
    Ok(Run {
        requests,
        seconds,
        cpu_seconds,
    })
}

/// Until the route answers.
async fn warm(context: &Context, address: SocketAddr) -> Outcome {
    for _ in 0..WARM_TRIES {
        if load::answers(address, HOST).await {
            return Ok(());
        }
        context.clock.sleep(WARM_PAUSE).await;
    }
    Err(Failure::new("the router does not answer its route"))
}

fn parsed(line: &str) -> Outcome<SocketAddr> {
    line.parse()
        .map_err(|_| Failure::new(format!("a subject said `{line}` instead of its address")))
}

/// The subject: a router with one route, until the process ends. The first line says where.
pub(super) async fn proxy(context: &Context, backend: SocketAddr) -> Outcome {
    let shutdown = Shutdown::new();
    let table = Arc::new(OneRoute { backend });
    let edges = Edges {
        clock: context.clock.clone(),
        ids: IdSource::system(),
        table: table.clone(),
        logs: table.clone(),
        metrics: table,
    };
    let config = Config {
        guid: RouterGuid::NIL,
        http: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        https: Vec::new(),
        internal: Vec::new(),
        admin: None,
        certificates: Certificates::none(),
        table_file: None,
        access_log_file: None,
        threads: platform::router_threads(),
        limits: Limits::default(),
        drain: Drain {
            wait: Duration::ZERO,
            timeout: Duration::ZERO,
        },
    };
    let running = platform::start_router(config, edges, &shutdown).await?;
    let address = running.addresses().http.first().copied();
    let address = address.ok_or_else(|| Failure::new("the router listens nowhere"))?;
    context.terminal.say(address.to_string());
    platform::interrupted().await;
    shutdown.request();
    running.stopped().await;
    Ok(())
}

/// The table of a platform with one app of one instance; logs go nowhere.
#[derive(Debug)]
struct OneRoute {
    backend: SocketAddr,
}

impl OneRoute {
    fn token() -> Token {
        Token {
            cluster: ClusterGuid::NIL,
            epoch: 1,
            revision: 1,
        }
    }

    fn snapshot(&self) -> RouteFrame {
        RouteFrame::Snapshot {
            token: Self::token(),
            routes: vec![Route {
                guid: RouteGuid::NIL,
                host: HOST.to_owned(),
                path: String::new(),
                internal: false,
                options: RouteOptions::default(),
                endpoints: vec![Endpoint {
                    address: self.backend,
                    protocol: EndpointProtocol::Http1,
                    app: AppGuid::NIL,
                    process: ProcessGuid::NIL,
                    instance: InstanceGuid::NIL,
                    index: 0,
                }],
            }],
        }
    }
}

#[async_trait]
impl TableSource for OneRoute {
    async fn dial(&self) -> Result<Box<dyn TableStream>, EdgeError> {
        Ok(Box::new(Frames {
            first: Some(self.snapshot()),
        }))
    }

    async fn acknowledge(&self, _: TableAck) -> Result<(), EdgeError> {
        Ok(())
    }
}

#[async_trait]
impl LogSink for OneRoute {
    async fn deliver(&self, _: &[LogEnvelope]) -> Result<(), EdgeError> {
        Ok(())
    }
}

#[async_trait]
impl MetricsSink for OneRoute {
    async fn deliver(&self, _: &RouterMetrics) -> Result<(), EdgeError> {
        Ok(())
    }
}

struct Frames {
    first: Option<RouteFrame>,
}

#[async_trait]
impl TableStream for Frames {
    async fn next(&mut self) -> Result<Option<RouteFrame>, EdgeError> {
        if let Some(snapshot) = self.first.take() {
            return Ok(Some(snapshot));
        }
        cfx_process::clock::Clock::system()
            .sleep(Duration::from_millis(RHYTHM_MS))
            .await;
        Ok(Some(RouteFrame::Keepalive {
            token: OneRoute::token(),
        }))
    }
}
