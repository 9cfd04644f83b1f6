//! Blobs for cells, over mutual TLS. A cell gets and sends what its own work needs and nothing
//! else: a stolen cell reads the apps that were placed on it, not everybody's.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use cfx_process::identity::PeerIdentity;
use cfx_protocol::id::{AppGuid, BuildpackGuid, CellGuid, DropletGuid, PackageGuid};
use cfx_protocol::link::{PREFIX, Role};
use http::{StatusCode, header};
use tokio_util::io::ReaderStream;

use super::{BLOB_MAX_BYTES, Blobs, ReceiveError};
use crate::actions::build;
use crate::state::app::App;
use crate::state::build::{Build, BuildState};
use crate::state::buildpack::Buildpack;
use crate::state::droplet::{Droplet, DropletContent};
use crate::state::package::BlobFacts;
use crate::state::process::Process;
use crate::state::task::Task;
use crate::state::{Draft, Link, State, StateHandle};

/// Bytes read from disk at once while a blob is sent.
const READ_BYTES: usize = 256 * 1024;

/// What the endpoints need.
#[derive(Debug, Clone)]
pub struct InternalBlobs {
    pub state: StateHandle,
    pub blobs: Blobs,
}

/// The blob endpoints of the internal listener, with their full paths.
pub fn router(internal: InternalBlobs) -> Router {
    let caches = format!("{PREFIX}/build_caches/{{app}}/{{stack}}");
    Router::new()
        .route(&format!("{PREFIX}/packages/{{guid}}"), get(package))
        .route(
            &format!("{PREFIX}/droplets/{{guid}}"),
            get(droplet).put(put_droplet),
        )
        .route(&format!("{PREFIX}/buildpacks/{{guid}}"), get(buildpack))
        .route(&caches, put(put_cache).get(cache))
        .with_state(internal)
}

/// Why a cell does not get it.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("a certificate of a cell is needed")]
    NotACell,
    /// The same for what is not there and for what is not this cell's business.
    #[error("there is no such blob for this cell")]
    NoSuchBlob,
    #[error("{0}")]
    Receive(#[from] ReceiveError),
    #[error("the controller could not keep or read the blob: {0}")]
    Ours(String),
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotACell => StatusCode::FORBIDDEN,
            Self::NoSuchBlob => StatusCode::NOT_FOUND,
            Self::Receive(error) if error.is_ours() => StatusCode::INSUFFICIENT_STORAGE,
            Self::Receive(ReceiveError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Receive(_) => StatusCode::BAD_REQUEST,
            Self::Ours(detail) => {
                tracing::error!(%detail, "a blob could not be served");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, self.to_string()).into_response()
    }
}

fn cell_of(request: &Request) -> Result<CellGuid, Denied> {
    match request.extensions().get::<PeerIdentity>() {
        Some(peer) if peer.role == Role::Cell => Ok(CellGuid(peer.guid)),
        _ => Err(Denied::NotACell),
    }
}

async fn package(
    Shared(internal): Shared<InternalBlobs>,
    Path(guid): Path<PackageGuid>,
    request: Request,
) -> Result<Response, Denied> {
    let cell = cell_of(&request)?;
    let state = internal.state.read();
    let mut orders = staging_on(&state, cell).filter_map(|build| build.work.as_ref());
    let order = orders.find(|work| work.package.guid == guid);
    let facts = order.map(|work| BlobFacts {
        sha256: work.package.sha256.clone(),
        size_bytes: work.package.size_bytes,
    });
    send(&internal.blobs, facts.as_ref(), "application/zip").await
}

async fn buildpack(
    Shared(internal): Shared<InternalBlobs>,
    Path(guid): Path<BuildpackGuid>,
    request: Request,
) -> Result<Response, Denied> {
    let cell = cell_of(&request)?;
    let state = internal.state.read();
    // The version that the cell's order names, else the present one.
    let ordered = staging_on(&state, cell)
        .filter_map(|build| build.work.as_ref())
        .flat_map(|work| work.buildpacks.iter())
        .find(|buildpack| buildpack.blob.guid == guid)
        .map(|buildpack| BlobFacts {
            sha256: buildpack.blob.sha256.clone(),
            size_bytes: buildpack.blob.size_bytes,
        });
    let present = || state.get::<Buildpack>(&guid)?.blob.clone();
    let facts = ordered.or_else(present);
    send(&internal.blobs, facts.as_ref(), "application/zip").await
}

async fn droplet(
    Shared(internal): Shared<InternalBlobs>,
    Path(guid): Path<DropletGuid>,
    request: Request,
) -> Result<Response, Denied> {
    let cell = cell_of(&request)?;
    let state = internal.state.read();
    let record = state.get::<Droplet>(&guid);
    let record = record.filter(|droplet| runs_on(&state, droplet.app, cell));
    let facts = record.and_then(|droplet| match &droplet.content {
        DropletContent::Buildpack { blob, .. } => blob.as_ref(),
        DropletContent::Docker { .. } => None,
    });
    send(&internal.blobs, facts, "application/gzip").await
}

async fn cache(
    Shared(internal): Shared<InternalBlobs>,
    Path((app, stack)): Path<(AppGuid, String)>,
    request: Request,
) -> Result<Response, Denied> {
    let cell = cell_of(&request)?;
    let state = internal.state.read();
    let mut staging = staging_on(&state, cell);
    let allowed = staging.any(|build| build.app == app);
    let record = state.get::<App>(&app).filter(|_| allowed);
    let facts = record.and_then(|app| app.build_caches.get(&stack));
    send(&internal.blobs, facts, "application/gzip").await
}

async fn put_droplet(
    Shared(internal): Shared<InternalBlobs>,
    Path(guid): Path<DropletGuid>,
    request: Request,
) -> Result<StatusCode, Denied> {
    let cell = cell_of(&request)?;
    let state = internal.state.read();
    let build = staging_on(&state, cell).find(|build| build.droplet == guid);
    let build = build.ok_or(Denied::NoSuchBlob)?.guid;
    internal
        .take_in(request, |draft, facts| {
            build::droplet_uploaded(draft, build, facts);
        })
        .await
}

async fn put_cache(
    Shared(internal): Shared<InternalBlobs>,
    Path((app, stack)): Path<(AppGuid, String)>,
    request: Request,
) -> Result<StatusCode, Denied> {
    let cell = cell_of(&request)?;
    let state = internal.state.read();
    let for_stack = |build: &&Build| build.work.as_ref().is_some_and(|work| work.stack == stack);
    let mut staging = staging_on(&state, cell).filter(for_stack);
    let build = staging.find(|build| build.app == app);
    let build = build.ok_or(Denied::NoSuchBlob)?.guid;
    internal
        .take_in(request, |draft, facts| {
            build::cache_uploaded(draft, build, facts);
        })
        .await
}

impl InternalBlobs {
    /// Receive a body, keep it, and note it in the state; then it is acknowledged.
    async fn take_in(
        &self,
        request: Request,
        note: impl FnOnce(&mut Draft, BlobFacts),
    ) -> Result<StatusCode, Denied> {
        let body = request.into_body().into_data_stream();
        let arrived = self.blobs.receive_all(body, BLOB_MAX_BYTES).await?;
        let blobs = self.blobs.clone();
        let kept = tokio::task::spawn_blocking(move || blobs.keep(arrived)).await;
        let facts = kept.map_err(ours)?.map_err(ReceiveError::Disk)?;
        let noted = self.state.write(|draft| {
            note(draft, facts);
            Ok::<_, std::convert::Infallible>(())
        });
        noted.await.map_err(ours)?;
        Ok(StatusCode::CREATED)
    }
}

/// Builds that this cell stages now.
fn staging_on(state: &State, cell: CellGuid) -> impl Iterator<Item = &Build> {
    state
        .all::<Build>()
        .map(std::sync::Arc::as_ref)
        .filter(move |build| {
            build.state == BuildState::Staging
                && build
                    .intent
                    .as_ref()
                    .is_some_and(|intent| intent.cell == cell)
        })
}

/// Does anything of the app belong on this cell?
fn runs_on(state: &State, app: AppGuid, cell: CellGuid) -> bool {
    let mut processes = state.linked::<Process>(Link::ProcessesOf(app.0));
    let mut tasks = state.linked::<Task>(Link::TasksOf(app.0));
    processes.any(|process| {
        let mut intents = state.intents_of(process.guid);
        intents.any(|intent| intent.cell == cell)
    }) || tasks.any(|task| task.intent.as_ref().is_some_and(|it| it.cell == cell))
}

/// Stream a blob from disk.
async fn send(
    blobs: &Blobs,
    facts: Option<&BlobFacts>,
    content_type: &'static str,
) -> Result<Response, Denied> {
    let facts = facts.ok_or(Denied::NoSuchBlob)?;
    let file = tokio::fs::File::open(blobs.path(&facts.sha256)).await;
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::error!(
                sha256 = facts.sha256,
                "a blob that a record names is missing"
            );
            return Err(Denied::NoSuchBlob);
        }
        Err(error) => return Err(ours(error)),
    };
    let body = Body::from_stream(ReaderStream::with_capacity(file, READ_BYTES));
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_LENGTH, facts.size_bytes.to_string()),
    ];
    Ok((headers, body).into_response())
}

fn ours(error: impl std::fmt::Display) -> Denied {
    Denied::Ours(error.to_string())
}

#[cfg(test)]
mod tests;
