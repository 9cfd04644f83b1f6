//! A controller as far as a cell sees one: it serves the internal link over mutual TLS, and does
//! and remembers what a test says.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::http_server::HttpServer;
use cfx_process::identity::{Authority, Identity, PeerIdentity};
use cfx_process::ndjson;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::tls::{self, Clients};
use cfx_protocol::actual::{CellReport, CrashReport, InstanceReport, ReportReply, Usage, digest};
use cfx_protocol::cell::CellRegistration;
use cfx_protocol::desired::{Assignment, DesiredFrame, InstanceSpec, SpecId};
use cfx_protocol::generation::Token;
use cfx_protocol::id::{AssignmentGuid, CellGuid, ClusterGuid};
use cfx_protocol::link::{RHYTHM_MS, Role, SHA256_HEADER};
use cfx_protocol::metrics::MetricsBatch;
use cfx_protocol::telemetry::LogEnvelope;
use futures_util::StreamExt;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Log lines that a test can look at.
const LOGS_KEPT: usize = 20_000;

#[derive(Debug, Default)]
pub struct World {
    pub token: Option<Token>,
    pub specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
    pub assignments: BTreeMap<AssignmentGuid, Assignment>,
    pub registrations: Vec<CellRegistration>,
    pub instances: BTreeMap<AssignmentGuid, InstanceReport>,
    pub crashes: Vec<CrashReport>,
    /// The newest lines.
    pub logs: Vec<LogEnvelope>,
    pub lines_seen: u64,
    /// Blobs by path below the prefix: `packages/<guid>`, ...
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub last_report: Option<CellReport>,
    pub full_reports: u32,
    /// Paths of blobs as they were asked for.
    pub downloads: Vec<String>,
    /// Streams were opened this often.
    pub streams: u32,
    listeners: Vec<mpsc::UnboundedSender<DesiredFrame>>,
}

#[derive(Debug, Clone)]
pub struct Controller {
    pub world: Arc<Mutex<World>>,
    pub address: SocketAddr,
    pub cluster: ClusterGuid,
    /// Tests run side by side on one engine: each has its own guids.
    salt: Uuid,
    changed: Arc<watch::Sender<u64>>,
    authority: Arc<Authority>,
    identity: Identity,
    /// Cancelled to end all streams.
    streams: Arc<Mutex<CancellationToken>>,
    running: Shutdown,
}

impl Controller {
    pub async fn start(folder: &std::path::Path) -> Self {
        let clock = Clock::system();
        let authority = Authority::load_or_create(folder, clock.now()).expect("an authority");
        let identity = authority
            .issue(Role::Controller, Uuid::from_u128(1), clock.now())
            .expect("an identity");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let controller = Self {
            world: Arc::default(),
            address: listener.local_addr().expect("bound"),
            cluster: ClusterGuid(Uuid::from_u128(77)),
            salt: IdSource::system().guid(),
            changed: Arc::new(watch::Sender::new(0)),
            authority: Arc::new(authority),
            identity,
            streams: Arc::default(),
            running: Shutdown::new(),
        };
        controller.world.lock().token = Some(controller.token(1, 1));
        controller.serve(listener);
        controller
    }

    pub fn token(&self, epoch: u64, revision: u64) -> Token {
        Token {
            cluster: self.cluster,
            epoch,
            revision,
        }
    }

    fn serve(&self, listener: TcpListener) {
        let tls = tls::server(&self.identity, Clients::MayIdentify, &[b"http/1.1"]).expect("TLS");
        let supervisor = Supervisor::new("fake controller", self.running.clone());
        let server = HttpServer {
            router: self.router(),
            tls: Some(tls),
            clock: Clock::system(),
            shutdown: self.running.clone(),
            supervisor: supervisor.clone(),
        };
        supervisor.spawn("server", OnEnd::Nothing, async move {
            server.run(listener).await;
        });
        // The tasks live as long as the test's runtime.
        std::mem::forget(supervisor);
    }

    /// Nobody answers from now on.
    pub fn stop(&self) {
        self.running.request();
        self.streams.lock().cancel();
    }

    /// Answers again, at the same address.
    pub async fn restart(&mut self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => Clock::system().sleep(Duration::from_millis(20)).await,
            }
        };
        self.running = Shutdown::new();
        *self.streams.lock() = CancellationToken::new();
        self.serve(listener);
    }

    /// Ends all streams, so that cells dial again.
    pub fn drop_streams(&self) {
        let old = std::mem::take(&mut *self.streams.lock());
        old.cancel();
    }

    pub fn client(&self, cell: CellGuid) -> InternalClient {
        let identity = self
            .authority
            .issue(Role::Cell, cell.0, Clock::system().now());
        let tls = tls::client(&identity.expect("an identity")).expect("TLS");
        InternalClient::new(tls, vec![self.address])
    }

    /// Assigns an instance of a spec and tells the cell.
    pub fn assign(&self, guid: u128, index: u32, spec: InstanceSpec) -> AssignmentGuid {
        let guid = AssignmentGuid(Uuid::new_v5(&self.salt, &guid.to_be_bytes()));
        let id = hex::encode(Sha256::digest(serde_json::to_vec(&spec).expect("JSON")));
        let id = SpecId(id.as_str().into());
        let assignment = Assignment {
            guid,
            spec: id.clone(),
            index,
        };
        let specs = BTreeMap::from([(id, Arc::new(spec))]);
        self.delta(specs, vec![assignment], Vec::new());
        guid
    }

    pub fn remove(&self, guid: AssignmentGuid) {
        self.delta(BTreeMap::new(), Vec::new(), vec![guid]);
    }

    fn delta(
        &self,
        specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
        upsert: Vec<Assignment>,
        remove: Vec<AssignmentGuid>,
    ) {
        let mut world = self.world.lock();
        let previous = world.token.expect("set at the start");
        let token = Token {
            revision: previous.revision + 1,
            ..previous
        };
        world.token = Some(token);
        world.specs.extend(specs.clone());
        for assignment in &upsert {
            world
                .assignments
                .insert(assignment.guid, assignment.clone());
        }
        for guid in &remove {
            world.assignments.remove(guid);
        }
        let frame = DesiredFrame::Delta {
            token,
            previous,
            specs,
            upsert,
            remove,
        };
        world
            .listeners
            .retain(|listener| listener.send(frame.clone()).is_ok());
    }

    /// Forget assignments without telling, as a controller restored from an old store does.
    pub fn forget_all(&self, token: Token) {
        let mut world = self.world.lock();
        world.assignments.clear();
        world.token = Some(token);
    }

    /// Waits until `look` sees what it wants; panics with the last view after `seconds`.
    pub async fn eventually<T>(
        &self,
        what: &str,
        seconds: u64,
        look: impl Fn(&World) -> Option<T>,
    ) -> T {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = look(&self.world.lock()) {
                    return found;
                }
                drop(tokio::time::timeout(Duration::from_millis(200), changed.changed()).await);
            }
        };
        match tokio::time::timeout(Duration::from_secs(seconds), waiting).await {
            Ok(found) => found,
            Err(_) => panic!("not within {seconds} s: {what}\n{}", self.describe()),
        }
    }

    /// How often blobs below this path were asked for.
    pub fn downloads(&self, prefix: &str) -> usize {
        let world = self.world.lock();
        world
            .downloads
            .iter()
            .filter(|path| path.starts_with(prefix))
            .count()
    }

    pub fn describe(&self) -> String {
        let world = self.world.lock();
        let mut text = String::new();
        for report in world.instances.values() {
            text.push_str(&format!(
                "{} start {} {:?} outcome {:?}\n",
                report.assignment, report.starts, report.state, report.outcome
            ));
        }
        for crash in &world.crashes {
            text.push_str(&format!(
                "crash {} of {}: {}\n",
                crash.crashes, crash.assignment, crash.reason
            ));
        }
        for line in world.logs.iter().rev().take(40).rev() {
            text.push_str(&format!(
                "[{}/{}] {}\n",
                line.source_type,
                line.instance_index,
                String::from_utf8_lossy(&line.payload)
            ));
        }
        text
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/internal/v1/cells", post(register))
            .route("/internal/v1/cells/{guid}/desired", get(desired))
            .route("/internal/v1/cells/{guid}/report", post(report))
            .route("/internal/v1/logs", post(logs))
            .route("/internal/v1/metrics", post(metrics))
            .route("/internal/v1/{*blob}", get(download))
            .route(
                "/internal/v1/droplets/{guid}",
                put(upload_droplet).get(download_droplet),
            )
            .route(
                "/internal/v1/build_caches/{app}/{stack}",
                put(upload_cache).get(download_cache),
            )
            .layer(DefaultBodyLimit::max(1 << 30))
            .with_state(self.clone())
    }
}

fn speaks_for_itself(peer: Option<Extension<PeerIdentity>>, cell: CellGuid) -> bool {
    peer.is_some_and(|peer| peer.role == Role::Cell && peer.guid == cell.0)
}

async fn register(
    State(controller): State<Controller>,
    peer: Option<Extension<PeerIdentity>>,
    Json(registration): Json<CellRegistration>,
) -> StatusCode {
    if !speaks_for_itself(peer, registration.guid) {
        return StatusCode::FORBIDDEN;
    }
    controller.world.lock().registrations.push(registration);
    StatusCode::OK
}

async fn desired(
    State(controller): State<Controller>,
    peer: Option<Extension<PeerIdentity>>,
    Path(cell): Path<Uuid>,
) -> Response {
    if !speaks_for_itself(peer, CellGuid(cell)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    {
        let mut world = controller.world.lock();
        world.streams += 1;
        let snapshot = DesiredFrame::Snapshot {
            token: world.token.expect("set at the start"),
            specs: world.specs.clone(),
            assignments: world.assignments.values().cloned().collect(),
        };
        sender.send(snapshot).expect("open");
        world.listeners.push(sender);
    }
    let end = controller.streams.lock().clone();
    let frames = futures_util::stream::unfold(receiver, move |mut receiver| {
        let controller = controller.clone();
        async move {
            let rhythm = Duration::from_millis(RHYTHM_MS);
            let frame = match tokio::time::timeout(rhythm, receiver.recv()).await {
                Ok(frame) => frame?,
                Err(_) => DesiredFrame::Keepalive {
                    token: controller.world.lock().token.expect("set at the start"),
                },
            };
            let line = ndjson::line(&frame).expect("JSON");
            Some((Ok::<Bytes, Infallible>(line), receiver))
        }
    });
    Body::from_stream(frames.take_until(end.cancelled_owned())).into_response()
}

async fn report(
    State(controller): State<Controller>,
    peer: Option<Extension<PeerIdentity>>,
    Path(cell): Path<Uuid>,
    Json(report): Json<CellReport>,
) -> Result<Json<ReportReply>, StatusCode> {
    if !speaks_for_itself(peer, CellGuid(cell)) || report.cell.0 != cell {
        return Err(StatusCode::FORBIDDEN);
    }
    let mut world = controller.world.lock();
    if report.full {
        world.instances.clear();
        world.full_reports += 1;
    }
    for instance in &report.instances {
        world
            .instances
            .insert(instance.assignment, instance.clone());
    }
    for guid in &report.gone {
        world.instances.remove(guid);
    }
    for crash in &report.crashes {
        if !world.crashes.contains(crash) {
            world.crashes.push(crash.clone());
        }
    }
    let want_full = digest(world.instances.values()) != report.digest;
    world.last_report = Some(report);
    drop(world);
    controller.changed.send_modify(|count| *count += 1);
    Ok(Json(ReportReply { want_full }))
}

/// As the controller does: the newest usage stands beside what was reported.
async fn metrics(
    State(controller): State<Controller>,
    peer: Option<Extension<PeerIdentity>>,
    Json(batch): Json<MetricsBatch>,
) -> StatusCode {
    let MetricsBatch::Cell(batch) = batch else {
        return StatusCode::BAD_REQUEST;
    };
    if !speaks_for_itself(peer, batch.cell) {
        return StatusCode::FORBIDDEN;
    }
    {
        let mut world = controller.world.lock();
        for sample in batch.samples {
            let instance = world.instances.get_mut(&sample.assignment);
            let Some(instance) = instance.filter(|one| one.starts == sample.start) else {
                continue;
            };
            let cpu = f64::from(sample.cpu_millipercent.unwrap_or(0)) / 100_000.0;
            instance.usage = Some(Usage {
                sampled_at: Clock::system().now(),
                cpu,
                cpu_entitlement: cpu,
                memory_bytes: sample.memory_bytes,
                disk_bytes: sample.disk_bytes,
                log_rate_bytes: sample.log_rate_bytes,
                pids: sample.pids,
            });
        }
    }
    controller.changed.send_modify(|count| *count += 1);
    StatusCode::NO_CONTENT
}

async fn logs(State(controller): State<Controller>, body: Bytes) -> StatusCode {
    let lines = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let parsed: Result<Vec<LogEnvelope>, _> = lines.map(serde_json::from_slice).collect();
    let Ok(parsed) = parsed else {
        return StatusCode::BAD_REQUEST;
    };
    {
        let mut world = controller.world.lock();
        world.lines_seen += parsed.len() as u64;
        world.logs.extend(parsed);
        let surplus = world.logs.len().saturating_sub(LOGS_KEPT);
        world.logs.drain(..surplus);
    }
    controller.changed.send_modify(|count| *count += 1);
    StatusCode::NO_CONTENT
}

async fn download(State(controller): State<Controller>, Path(path): Path<String>) -> Response {
    blob(&controller, &path)
}

async fn download_droplet(
    State(controller): State<Controller>,
    Path(guid): Path<String>,
) -> Response {
    blob(&controller, &format!("droplets/{guid}"))
}

async fn download_cache(
    State(controller): State<Controller>,
    Path((app, stack)): Path<(String, String)>,
) -> Response {
    blob(&controller, &format!("build_caches/{app}/{stack}"))
}

fn blob(controller: &Controller, path: &str) -> Response {
    let mut world = controller.world.lock();
    world.downloads.push(path.to_owned());
    match world.blobs.get(path) {
        Some(content) => content.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn upload_droplet(
    State(controller): State<Controller>,
    Path(guid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    store(&controller, format!("droplets/{guid}"), &headers, &body)
}

async fn upload_cache(
    State(controller): State<Controller>,
    Path((app, stack)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    store(
        &controller,
        format!("build_caches/{app}/{stack}"),
        &headers,
        &body,
    )
}

fn store(controller: &Controller, path: String, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let claimed = headers
        .get(SHA256_HEADER)
        .and_then(|value| value.to_str().ok());
    if claimed != Some(hex::encode(Sha256::digest(body)).as_str()) {
        return StatusCode::UNPROCESSABLE_ENTITY;
    }
    controller.world.lock().blobs.insert(path, body.to_vec());
    StatusCode::CREATED
}
