use std::time::Duration;

use axum::body::to_bytes;
use cfx_protocol::id::{AssignmentGuid, BuildGuid, ClusterGuid};
use cfx_store::lease::Monotonic;
use cfx_store::memory::MemoryStore;
use http::Method;
use tower_service::Service;
use uuid::Uuid;

use super::*;
use crate::actions::fixture::World;
use crate::state::intent::{Intent, IntentPhase};

const CELL: CellGuid = CellGuid(Uuid::from_u128(71));
const OTHER: CellGuid = CellGuid(Uuid::from_u128(72));

struct Platform {
    router: Router,
    internal: InternalBlobs,
    world: World,
    _folder: tempfile::TempDir,
}

/// A platform where `CELL` stages a build of one app.
async fn platform() -> (Platform, Build) {
    let monotonic = Monotonic::new(|| Duration::ZERO);
    let store = MemoryStore::new(ClusterGuid::NIL, monotonic);
    let state = StateHandle::open(std::sync::Arc::new(store))
        .await
        .expect("opens");
    let folder = tempfile::tempdir().expect("a folder");
    let internal = InternalBlobs {
        state,
        blobs: Blobs::open(folder.path()).expect("opens"),
    };
    let mut world = World::new();
    let app = world.new_app("shop");
    let package = world.new_package(app);
    let mut build = world.begin_build(package);
    let facts = internal.blobs.keep_bytes(b"the package").expect("keeps");
    if let Some(work) = &mut build.work {
        work.package.sha256 = facts.sha256;
        work.package.size_bytes = facts.size_bytes;
    }
    build.intent = Some(Intent {
        assignment: AssignmentGuid::NIL,
        index: 0,
        version: 0,
        cell: CELL,
        memory_mb: 1,
        disk_mb: 1,
        phase: IntentPhase::Run,
    });
    let app = world.app(app);
    let put = build.clone();
    let written = internal.state.write(|draft| {
        draft.put(app);
        draft.put(put);
        Ok::<_, std::convert::Infallible>(())
    });
    written.await.expect("writes");
    let router = router(internal.clone());
    let platform = Platform {
        router,
        internal,
        world,
        _folder: folder,
    };
    (platform, build)
}

impl Platform {
    async fn send(
        &self,
        method: Method,
        path: &str,
        peer: Option<(Role, CellGuid)>,
        body: &'static [u8],
    ) -> (u16, Vec<u8>) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .body(Body::from(body))
            .expect("a request");
        if let Some((role, guid)) = peer {
            let identity = PeerIdentity { role, guid: guid.0 };
            request.extensions_mut().insert(identity);
        }
        let response = self.router.clone().call(request).await.expect("answers");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1_000_000)
            .await
            .expect("a body");
        (status, bytes.to_vec())
    }

    fn build(&self, guid: BuildGuid) -> Build {
        let state = self.internal.state.read();
        Build::clone(state.get::<Build>(&guid).expect("a build"))
    }
}

#[tokio::test]
async fn a_cell_gets_what_it_stages_and_no_other_cell_and_nobody_else_does() {
    let (platform, build) = platform().await;
    let path = format!("/packages/{}", build.package);
    let get = async |peer| platform.send(Method::GET, &path, peer, b"").await;
    let (status, body) = get(Some((Role::Cell, CELL))).await;
    assert_eq!((status, body.as_slice()), (200, &b"the package"[..]));
    assert_eq!(get(Some((Role::Cell, OTHER))).await.0, 404);
    assert_eq!(get(Some((Role::Router, CELL))).await.0, 403);
    assert_eq!(get(None).await.0, 403);
}

#[tokio::test]
async fn only_the_cell_that_stages_a_build_can_send_its_droplet() {
    let (platform, build) = platform().await;
    let path = format!("/droplets/{}", build.droplet);
    let put = async |peer| platform.send(Method::PUT, &path, peer, b"droplet").await.0;
    assert_eq!(put(Some((Role::Cell, OTHER))).await, 404);
    assert_eq!(put(None).await, 403);
    assert_eq!(platform.build(build.guid).uploaded, None);
    assert_eq!(put(Some((Role::Cell, CELL))).await, 201);
    let facts = platform.build(build.guid).uploaded.expect("noted");
    assert!(platform.internal.blobs.contains(&facts));
    // It runs nowhere yet, so no cell may read it.
    let read = platform
        .send(Method::GET, &path, Some((Role::Cell, CELL)), b"")
        .await;
    assert_eq!(read.0, 404);
}

#[tokio::test]
async fn a_build_cache_is_for_its_own_app_and_stack() {
    let (platform, build) = platform().await;
    let stack = build.work.expect("an order").stack;
    let peer = Some((Role::Cell, CELL));
    let path = format!("/build_caches/{}/{stack}", build.app);
    assert_eq!(platform.send(Method::GET, &path, peer, b"").await.0, 404);
    assert_eq!(
        platform.send(Method::PUT, &path, peer, b"cache").await.0,
        201
    );
    for wrong in [
        format!("/build_caches/{}/other", build.app),
        format!("/build_caches/{}/{stack}", Uuid::from_u128(9)),
        format!("/build_caches/..%2f..%2fetc/{stack}"),
    ] {
        let (status, _) = platform.send(Method::PUT, &wrong, peer, b"x").await;
        assert!((400..500).contains(&status), "{wrong}: {status}");
    }
    assert!(platform.build(build.guid).uploaded_cache.is_some());
    assert_eq!(platform.world.app(build.app).build_caches.len(), 0);
}
