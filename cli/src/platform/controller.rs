//! The controller of this process: its store, its authority, and the clients of its neighbours.

use std::sync::Arc;
use std::time::Duration;

use cfx_cloud_controller::config::{Autoscaler, Config};
use cfx_cloud_controller::start::{Edges, Error, Running, start};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::identity::Authority;
use cfx_process::shutdown::Shutdown;
use cfx_process::tls;
use cfx_protocol::id::{CellGuid, RouterGuid};
use cfx_protocol::link::Role;
use uuid::Uuid;

use super::error_text;
use super::folder::DataFolder;
use super::settings::Settings;
use super::store;
use crate::args::StoreRole;
use crate::failure::{Failure, Outcome};

/// Longest that the first report of a cell may take.
const CELLS_READY: Duration = Duration::from_secs(10);

/// A controller at work.
#[derive(Debug)]
pub(super) struct Controller {
    running: Running,
    authority: Arc<Authority>,
}

/// The controller of `cfx up`: everything on this machine.
pub(super) async fn local(
    settings: &Settings,
    folder: &DataFolder,
    password: &str,
    autoscaler: Autoscaler,
    clock: &Clock,
    ids: &IdSource,
    shutdown: &Shutdown,
) -> Outcome<Controller> {
    let config = Config {
        data_dir: folder.path("controller"),
        api_listen: settings.address(settings.api_port),
        api_tls: None,
        internal_listen: ([127, 0, 0, 1], 0).into(),
        admin_listen: Some(([127, 0, 0, 1], 0).into()),
        external_url: None,
        apps_domain: settings.domain.clone(),
        admin_password: Some(password.to_owned()),
        http_port: Some(settings.http_port),
        https_port: Some(settings.https_port),
        autoscaler: Some(autoscaler),
    };
    run(config, clock, ids, shutdown).await
}

/// Open the store and start.
pub(super) async fn run(
    config: Config,
    clock: &Clock,
    ids: &IdSource,
    shutdown: &Shutdown,
) -> Outcome<Controller> {
    let data = config.data_dir.parent().unwrap_or(&config.data_dir);
    let store = store::open(data, StoreRole::Controller, clock, ids).await?;
    let authority = Authority::load_or_create(&config.data_dir.join("authority"), clock.now());
    let authority = Arc::new(authority.map_err(|error| {
        Failure::new(format!(
            "the platform's authority cannot be used: {}",
            error_text(&error)
        ))
        .next("check who owns the data folder, and that the disk has room")
    })?);
    let edges = Edges {
        clock: clock.clone(),
        ids: ids.clone(),
        store: Arc::new(store),
        authority: Arc::clone(&authority),
    };
    let started = Box::pin(start(config, edges, shutdown)).await;
    let running = started.map_err(|error| {
        let next = match &error {
            Error::Listen { .. } => {
                "choose another port: --api-port N; `ss -ltnp` tells who has it"
            }
            _ => "the log in the data folder has more",
        };
        Failure::new(format!(
            "the controller cannot start: {}",
            error_text(&error)
        ))
        .next(next)
    })?;
    Ok(Controller { running, authority })
}

impl Controller {
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// How a cell of this process reaches it.
    pub(super) fn cell_client(&self, guid: CellGuid) -> Outcome<InternalClient> {
        self.client(Role::Cell, guid.0)
    }

    /// How a router of this process reaches it.
    pub(super) fn router_client(&self, guid: RouterGuid) -> Outcome<InternalClient> {
        self.client(Role::Router, guid.0)
    }

    fn client(&self, role: Role, guid: Uuid) -> Outcome<InternalClient> {
        let unusable = |error: &dyn std::error::Error| {
            let name = role.as_str();
            Failure::new(format!("no identity for the {name}: {}", error_text(error)))
                .next("check that the clock of this machine is right")
        };
        let identity = self
            .running
            .identity(role, guid)
            .map_err(|error| unusable(&error))?;
        let config = tls::client(&identity).map_err(|error| unusable(&error))?;
        let internal = self.running.addresses().internal;
        Ok(InternalClient::new(config, vec![internal]))
    }

    /// Wait for the first reports; without them the platform is up, but places nothing yet.
    pub(super) async fn wait_for_cells(&self, count: u32) -> bool {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.running.cells_ready(count, CELLS_READY).await
    }

    /// Wait for its end, after the shutdown was requested.
    pub(super) async fn stopped(self) {
        if let Err(error) = self.running.ended().await {
            tracing::error!(error = error_text(&error), "the store did not close well");
        }
    }
}
