//! The autoscaler of this process: its store, and how it reaches the platform.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cfx_autoscaler::{Config, Credentials, Edges, Error, PublicApi, Running, start};
use cfx_process::clock::Clock;
use cfx_process::durable_file;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;

use super::error_text;
use super::folder::DataFolder;
use super::settings::Settings;
use super::store;
use crate::args::StoreRole;
use crate::failure::{Failure, Outcome};

/// Its name in UAA.
pub(super) const CLIENT: &str = "autoscaler";
const SECRET: &str = "autoscaler-secret";

/// What an autoscaler is told about its platform and its place.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The data folder.
    pub(super) data: &'a Path,
    pub(super) config: Config,
    /// Of the public API.
    pub(super) api: &'a str,
    /// PEM of whom to trust there; none means the system's.
    pub(super) authority: Option<&'a str>,
    pub(super) credentials: Credentials,
}

/// The autoscaler of `cfx up`. It may start before the platform: without rules it asks nobody.
pub(super) async fn local(
    settings: &Settings,
    secret: &str,
    clock: &Clock,
    ids: &IdSource,
    shutdown: &Shutdown,
) -> Outcome<Running> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(any_port);
    config.admin_listen = Some(any_port);
    let place = Place {
        data: &settings.data,
        config,
        api: &settings.api_url(),
        authority: None,
        credentials: Credentials {
            client: CLIENT.to_owned(),
            secret: secret.to_owned(),
        },
    };
    run(place, clock, ids, shutdown).await
}

/// The secret of its UAA client: the kept one or a new one, for its owner's eyes only.
pub(super) fn secret(folder: &DataFolder, ids: &IdSource) -> Outcome<String> {
    folder.secret(SECRET, ids)
}

/// Open the store and start.
pub(super) async fn run(
    place: Place<'_>,
    clock: &Clock,
    ids: &IdSource,
    shutdown: &Shutdown,
) -> Outcome<Running> {
    let own = place.data.join(StoreRole::Autoscaler.folder());
    durable_file::create_private_folder(&own).map_err(|error| {
        Failure::new(format!("cannot use {}: {error}", own.display()))
            .next("check who owns the data folder, and that the disk has room")
    })?;
    let store = store::open(place.data, StoreRole::Autoscaler, clock, ids).await?;
    let api = PublicApi::new(place.api, place.credentials, place.authority, clock.clone());
    let api = api.map_err(|error| {
        Failure::new(format!(
            "the autoscaler cannot trust the API: {}",
            error_text(&error)
        ))
        .next("name a PEM file of certificates: authority")
    })?;
    let edges = Edges::to_platform(clock.clone(), ids.clone(), Arc::new(store), &api);
    start(place.config, edges, shutdown.clone())
        .await
        .map_err(|error| {
            let next = match &error {
                Error::Listen { .. } => "choose another address; `ss -ltnp` tells who has it",
                Error::State(_) => "the log in the data folder has more",
            };
            Failure::new(format!(
                "the autoscaler cannot start: {}",
                error_text(&error)
            ))
            .next(next)
        })
}

/// Wait for its end, after the shutdown was requested.
pub(super) async fn stopped(running: Running) {
    if let Err(error) = running.stopped().await {
        let error = error_text(&error);
        tracing::error!(error, "the autoscaler's store did not close well");
    }
}
