//! Who may say what on the internal listener.

use cfx_cloud_controller::state::auth::JoinToken;
use cfx_cloud_controller::state::stack::Stack;
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_process::identity::{certificate_request, peer_identity};
use cfx_process::tls;
use cfx_protocol::actual::{CellReport, ReportReply};
use cfx_protocol::cell::CellUsage;
use cfx_protocol::generation::Token;
use cfx_protocol::id::{CellGuid, ClusterGuid, RouterGuid};
use cfx_protocol::link::{JoinReply, JoinRequest, PREFIX, Role};
use cfx_protocol::route::TableAck;
use http::StatusCode;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cell::registration;
use crate::world::World;

fn refused<T: std::fmt::Debug>(answer: Result<T, LinkError>) -> StatusCode {
    match answer {
        Err(LinkError::Refused { status, .. }) => status,
        other => panic!("not refused: {other:?}"),
    }
}

fn report(cell: CellGuid) -> CellReport {
    CellReport {
        cell,
        boot: Uuid::nil(),
        sequence: 1,
        applied: None,
        digest: 0,
        full: true,
        instances: Vec::new(),
        gone: Vec::new(),
        crashes: Vec::new(),
        usage: CellUsage::default(),
        healthy: true,
        draining: false,
    }
}

fn stranger(world: &World) -> InternalClient {
    let tls = tls::joining_client(world.edges.authority.certificate()).expect("a client");
    InternalClient::new(tls, vec![world.running.addresses().internal])
}

#[tokio::test]
async fn nobody_speaks_for_a_cell_but_itself() {
    let world = World::start().await;
    let cell = CellGuid(Uuid::from_u128(1));
    let path = format!("{PREFIX}/cells");
    let of_cell = registration(cell);
    for foreign in [
        stranger(&world),
        world.client(Role::Cell, 2),
        world.client(Role::Router, 1),
        world.client(Role::Autoscaler, 1),
    ] {
        let answer = foreign.post::<_, ()>(&path, &of_cell).await;
        assert_eq!(refused(answer), StatusCode::FORBIDDEN);
        let answer = foreign.download(&format!("{path}/{cell}/desired")).await;
        assert_eq!(refused(answer), StatusCode::FORBIDDEN);
        let (path, report) = (format!("{path}/{cell}/report"), report(cell));
        let answer = foreign.post::<_, ReportReply>(&path, &report).await;
        assert_eq!(refused(answer), StatusCode::FORBIDDEN);
    }
    let own = world.client(Role::Cell, 1);
    let answer = own.download(&format!("{path}/{cell}/desired")).await;
    assert_eq!(
        refused(answer),
        StatusCode::CONFLICT,
        "it has to register first"
    );
    own.post::<_, ()>(&path, &of_cell).await.expect("it may");
    let stream = own.download(&format!("{path}/{cell}/desired")).await;
    drop(stream.expect("it may"));
}

#[tokio::test]
async fn only_routers_see_the_table_and_each_confirms_for_itself() {
    let world = World::start().await;
    let routes = format!("{PREFIX}/routes");
    for foreign in [stranger(&world), world.client(Role::Cell, 9)] {
        assert_eq!(
            refused(foreign.download(&routes).await),
            StatusCode::FORBIDDEN
        );
    }
    let router = RouterGuid(Uuid::from_u128(9));
    let ack = TableAck {
        router,
        token: Token {
            cluster: ClusterGuid::NIL,
            epoch: 1,
            revision: 1,
        },
    };
    let path = format!("{PREFIX}/routers/{router}/ack");
    let other = world.client(Role::Router, 8);
    assert_eq!(
        refused(other.post::<_, ()>(&path, &ack).await),
        StatusCode::FORBIDDEN
    );
    let own = world.client(Role::Router, 9);
    own.post::<_, ()>(&path, &ack).await.expect("it may");
}

#[tokio::test]
async fn logs_are_taken_from_cells_and_routers_only() {
    let world = World::start().await;
    let path = format!("{PREFIX}/logs");
    let send = |client: InternalClient, body: &'static [u8]| {
        let path = path.clone();
        async move {
            client
                .post_bytes(&path, "application/x-ndjson", body.into())
                .await
        }
    };
    assert_eq!(
        refused(send(stranger(&world), b"").await),
        StatusCode::FORBIDDEN
    );
    let cell = world.client(Role::Cell, 1);
    assert_eq!(
        refused(send(cell.clone(), b"{}\n").await),
        StatusCode::BAD_REQUEST
    );
    send(cell, b"\n").await.expect("nothing is nothing");
}

#[tokio::test]
async fn a_join_token_admits_one_process_once() {
    let world = World::start().await;
    let token = "an operator's secret";
    let digest = hex::encode(Sha256::digest(token.as_bytes()));
    let expires_at = world.clock.now() + jiff::SignedDuration::from_hours(1);
    world
        .change(|draft| {
            draft.put(JoinToken {
                secret_digest: digest,
                role: Role::Cell,
                expires_at,
            })
        })
        .await;
    let (_, certificate_request) = certificate_request().expect("a request");
    let request = |role, token: &str| JoinRequest {
        token: token.to_owned(),
        role,
        name: "cell-1".to_owned(),
        certificate_request: certificate_request.clone(),
    };
    let client = stranger(&world);
    let path = format!("{PREFIX}/join");
    for wrong in [
        request(Role::Router, token),
        request(Role::Controller, token),
        request(Role::Cell, "a guess"),
    ] {
        let answer = client.post::<_, JoinReply>(&path, &wrong).await;
        assert_eq!(refused(answer), StatusCode::FORBIDDEN);
    }
    let good = request(Role::Cell, token);
    let reply: JoinReply = client.post(&path, &good).await.expect("it is admitted");
    let der = tls::chain(&reply.certificate).expect("PEM").remove(0);
    let peer = peer_identity(&der).expect("ours");
    assert_eq!((peer.role, peer.guid), (Role::Cell, reply.guid));
    let again = client.post::<_, JoinReply>(&path, &good).await;
    assert_eq!(refused(again), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn apps_may_name_a_stack_as_soon_as_a_cell_brings_it() {
    let world = World::start().await;
    let mut of_cell = registration(CellGuid(Uuid::from_u128(1)));
    of_cell.stacks = vec!["host".into(), "debian".into(), " ".into()];
    let own = world.client(Role::Cell, 1);
    for _ in 0..2 {
        let path = format!("{PREFIX}/cells");
        own.post::<_, ()>(&path, &of_cell).await.expect("it may");
    }
    let state = world.state();
    let mut names: Vec<_> = state.all::<Stack>().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["debian", "host"]);
}
