//! The router of this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::identity::{Authority, IdentityError};
use cfx_process::shutdown::Shutdown;
use cfx_protocol::id::RouterGuid;
use cfx_router::{Certificate, Certificates, Config, Drain, Edges, Error, Limits, Running};

use super::error_text;
use super::settings::Settings;
use crate::failure::{Failure, Outcome};

/// The port of plain HTTP, where apps reach each other by name alone.
pub(crate) const HTTP_PORT: u16 = 80;
/// Nobody balances load over a platform of one machine, so there is nobody to warn first.
const DRAIN_LOCAL: Drain = Drain {
    wait: Duration::ZERO,
    timeout: Duration::from_secs(5),
};

/// Start the router of `cfx up`; instances reach it on their cells' gateways.
pub(crate) async fn start(
    settings: &Settings,
    guid: RouterGuid,
    folder: PathBuf,
    gateways: &[Ipv4Addr],
    certificates: Arc<Certificates>,
    edges: Edges,
    shutdown: &Shutdown,
) -> Outcome<Running> {
    let internal = gateways.iter().flat_map(|gateway| {
        [HTTP_PORT, settings.http_port].map(|port| SocketAddr::from((*gateway, port)))
    });
    let config = Config {
        guid,
        http: vec![settings.address(settings.http_port)],
        https: vec![settings.address(settings.https_port)],
        internal: internal.collect(),
        admin: Some((Ipv4Addr::LOCALHOST, 0).into()),
        certificates,
        table_file: Some(folder.join("routes.json")),
        access_log_file: None,
        threads: threads(),
        limits: Limits::default(),
        drain: DRAIN_LOCAL,
    };
    start_router(config, edges, shutdown).await
}

/// Start a router with all it was told.
pub(crate) async fn start_router(
    config: Config,
    edges: Edges,
    shutdown: &Shutdown,
) -> Outcome<Running> {
    cfx_router::start(config, edges, shutdown.clone())
        .await
        .map_err(|error| {
            let next = match &error {
                Error::Listen { .. } => {
                    "choose other ports: --http-port N --https-port N; `ss -ltnp` tells who has them"
                }
                Error::Thread(_) => "raise the limit of threads (`ulimit -u`)",
            };
            Failure::new(format!("the router cannot start: {}", error_text(&error))).next(next)
        })
}

/// One thread a core.
pub(crate) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A certificate of the platform's own authority for the apps domain.
pub(crate) fn certificates(
    authority: &Authority,
    domain: &str,
    clock: &Clock,
) -> Outcome<Arc<Certificates>> {
    let unusable = |error: &dyn std::error::Error| {
        Failure::new(format!(
            "no certificate for *.{domain}: {}",
            error_text(error)
        ))
        .next("choose another domain: --domain DOMAIN")
    };
    let names = [domain.to_owned(), format!("*.{domain}")];
    let identity = authority
        .issue_server(&names, clock.now())
        .map_err(|error: IdentityError| unusable(&error))?;
    let certificate = Certificate {
        certificate: identity.certificate,
        key: identity.key,
    };
    Certificates::single(&certificate).map_err(|error| unusable(&error))
}

/// What the router touches of the world.
pub(crate) fn edges(clock: &Clock, ids: &IdSource, client: InternalClient) -> Edges {
    Edges::to_controllers(clock.clone(), ids.clone(), client)
}
