//! The link to a controller: mutual TLS, NDJSON frames down, acknowledgements and logs up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router as Endpoints;
use axum::extract::Path;
use axum::routing::{get, post};
use bytes::Bytes;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::http_server::HttpServer;
use cfx_process::identity::{Authority, PeerIdentity};
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_process::tls::{self, Clients};
use cfx_protocol::id::RouterGuid;
use cfx_protocol::link::Role;
use cfx_protocol::route::{RouteFrame, TableAck};
use cfx_protocol::telemetry::LogEnvelope;
use cfx_router::{Certificates, Config, Drain, Edges, Limits, start};
use http::StatusCode;
use hyper::body::Frame;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::support::{self, Instance, PATIENCE, endpoint, eventually, route, token};

const HOST: &str = "app.example.com";

/// What the controller of this test got.
#[derive(Debug, Clone, Default)]
struct Got {
    asked_by: Option<PeerIdentity>,
    acks: Vec<(String, TableAck)>,
    logs: Vec<LogEnvelope>,
}

struct Lines(mpsc::UnboundedReceiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

fn endpoints(got: watch::Sender<Got>, frames: Vec<RouteFrame>) -> Endpoints {
    let (acks, logs) = (got.clone(), got.clone());
    let streams = Arc::new(Mutex::new(Vec::new()));
    let routes = get(
        async move |identity: Option<axum::Extension<PeerIdentity>>| {
            got.send_modify(|got| got.asked_by = identity.map(|identity| identity.0));
            let (lines, body) = mpsc::unbounded_channel();
            for frame in &frames {
                let mut line = serde_json::to_vec(frame).expect("JSON");
                line.push(b'\n');
                // Torn anywhere, as a network does.
                for half in line.chunks(line.len() / 2 + 1) {
                    lines.send(Bytes::copy_from_slice(half)).expect("open");
                }
            }
            // The stream stays open.
            streams.lock().expect("whole").push(lines);
            axum::body::Body::new(Lines(body))
        },
    );
    Endpoints::new()
        .route("/internal/v1/routes", routes)
        .route(
            "/internal/v1/routers/{guid}/ack",
            post(
                async move |Path(guid): Path<String>, axum::Json(ack): axum::Json<TableAck>| {
                    acks.send_modify(|got| got.acks.push((guid, ack)));
                    StatusCode::NO_CONTENT
                },
            ),
        )
        .route(
            "/internal/v1/logs",
            post(async move |body: String| {
                let lines = body
                    .lines()
                    .map(|line| serde_json::from_str(line).expect("JSON"));
                let lines: Vec<LogEnvelope> = lines.collect();
                logs.send_modify(|got| got.logs.extend(lines));
                StatusCode::NO_CONTENT
            }),
        )
}

#[tokio::test]
async fn a_router_follows_a_controller_over_mutual_tls() {
    let clock = Clock::system();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::load_or_create(folder.path(), clock.now()).expect("an authority");
    let identity = |role, guid| {
        let guid = Uuid::from_u128(guid);
        authority.issue(role, guid, clock.now()).expect("issued")
    };
    let instance = Instance::saying("hello").await;
    let own = route(HOST, vec![endpoint(instance.address, 0)]);
    let frames = vec![
        RouteFrame::Snapshot {
            token: token(1, 1),
            routes: Vec::new(),
        },
        RouteFrame::Delta {
            token: token(1, 2),
            previous: token(1, 1),
            upsert: vec![own],
            remove: Vec::new(),
        },
    ];
    let (got, mut seen) = watch::channel(Got::default());
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new("test controller", shutdown.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let server = HttpServer {
        router: endpoints(got, frames),
        tls: Some(
            tls::server(&identity(Role::Controller, 1), Clients::MayIdentify, &[]).expect("TLS"),
        ),
        clock: clock.clone(),
        shutdown: shutdown.clone(),
        supervisor: supervisor.clone(),
    };
    supervisor.spawn("controller", OnEnd::Nothing, server.run(listener));

    let tls = tls::client(&identity(Role::Router, 5)).expect("TLS");
    let client = InternalClient::new(tls, vec![address]);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        guid: RouterGuid(Uuid::from_u128(5)),
        http: vec![any],
        https: Vec::new(),
        internal: Vec::new(),
        admin: None,
        certificates: Certificates::none(),
        table_file: None,
        access_log_file: None,
        threads: NonZeroUsize::MIN,
        limits: Limits::default(),
        drain: Drain {
            wait: std::time::Duration::ZERO,
            timeout: PATIENCE,
        },
    };
    let edges = Edges::to_controllers(clock, IdSource::seeded(1), client);
    let router = start(config, edges, shutdown.clone())
        .await
        .expect("starts");
    let acknowledged = |got: &Got| got.acks.iter().any(|(_, ack)| ack.token == token(1, 2));
    let state = eventually(&mut seen, acknowledged).await;
    let asker = state.asked_by.expect("identified");
    assert_eq!((asker.role, asker.guid), (Role::Router, Uuid::from_u128(5)));
    assert_eq!(state.acks[0].0, Uuid::from_u128(5).to_string());
    let answer = support::get(router.addresses().http[0], HOST, "/logged").await;
    assert_eq!(answer.status, StatusCode::OK);
    let state = eventually(&mut seen, |got| !got.logs.is_empty()).await;
    assert_eq!(state.logs[0].source_type, "RTR");
    shutdown.request();
    tokio::time::timeout(PATIENCE, router.stopped())
        .await
        .expect("stops");
    supervisor.join(PATIENCE).await;
}
