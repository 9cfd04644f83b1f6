use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::id::ClusterGuid;
use cfx_store::lease::Monotonic;
use cfx_store::memory::MemoryStore;
use jiff::Timestamp;

use super::*;
use crate::state::buildpack::Buildpack;
use crate::state::domain::Domain;
use crate::state::stack::Stack;

#[test]
fn every_system_buildpack_is_whole_and_its_archive_always_the_same() {
    for name in SYSTEM_BUILDPACKS {
        let bytes = archive(name).expect("packs");
        assert_eq!(bytes, archive(name).expect("packs again"));
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip");
        for script in ["bin/detect", "bin/release"] {
            let file = zip.by_name(script).expect(script);
            assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(FILE_MODE));
        }
    }
}

struct Platform {
    state: StateHandle,
    clock: Clock,
    ids: IdSource,
    auth: Auth,
    blobs: Blobs,
    _folder: tempfile::TempDir,
}

impl Platform {
    async fn new() -> Self {
        let monotonic = Monotonic::new(|| Duration::ZERO);
        let store = Arc::new(MemoryStore::new(ClusterGuid::NIL, monotonic));
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            state: StateHandle::open(store).await.expect("opens"),
            clock: Clock::manual(Timestamp::UNIX_EPOCH).0,
            ids: IdSource::seeded(1),
            auth: Auth::default(),
            blobs: Blobs::open(folder.path()).expect("opens"),
            _folder: folder,
        }
    }

    async fn start(&self, password: Option<&str>) -> Option<String> {
        self.start_with(password, "a-secret").await
    }

    async fn start_with(&self, password: Option<&str>, autoscaler: &str) -> Option<String> {
        let wishes = Wishes {
            admin_password: password.map(str::to_owned),
            apps_domain: "apps.test".to_owned(),
            autoscaler_secret: Some(autoscaler.to_owned()),
        };
        let (state, clock, ids) = (&self.state, &self.clock, &self.ids);
        let made = run(state, clock, ids, &self.auth, &self.blobs, wishes).await;
        made.expect("bootstraps").admin_password
    }

    async fn is_password(&self, password: &str) -> bool {
        let admin = user::named(&self.state.read(), bootstrap::ADMIN, "uaa").expect("an admin");
        let hash = admin.password_hash.as_deref();
        let verified = self.auth.passwords().verify(password, hash).await;
        verified.expect("verifies")
    }
}

#[tokio::test]
async fn a_platform_begins_once_and_is_only_completed_after_that() {
    let platform = Platform::new().await;
    let made = platform.start(None).await.expect("a password is made");
    assert!(platform.is_password(&made).await);
    let state = platform.state.read();
    let stacks: Vec<_> = state
        .all::<Stack>()
        .map(|stack| stack.name.clone())
        .collect();
    assert_eq!(stacks, ["host"]);
    let mut domains: Vec<_> = state.all::<Domain>().map(|it| it.name.clone()).collect();
    domains.sort();
    assert_eq!(domains, ["apps.internal", "apps.test"]);
    let mut buildpacks: Vec<_> = state.all::<Buildpack>().collect();
    buildpacks.sort_by_key(|it| it.position);
    assert_eq!(buildpacks[0].name, "nodejs_buildpack");
    assert_eq!(buildpacks[4].name, "binary_buildpack");
    for buildpack in buildpacks {
        let blob = buildpack.blob.as_ref().expect("has content");
        assert!(platform.blobs.contains(blob));
    }

    let before = platform.state.token();
    assert_eq!(platform.start(None).await, None);
    assert_eq!(platform.start(Some(&made)).await, None, "it is set already");
    assert_eq!(
        platform.state.token(),
        before,
        "nothing was missing, so nothing was written"
    );
    assert_eq!(platform.start(Some("new")).await.as_deref(), Some("new"));
    assert!(platform.is_password("new").await);
    assert!(!platform.is_password(&made).await);
}

#[tokio::test]
async fn the_autoscalers_client_follows_its_secret() {
    let platform = Platform::new().await;
    let hash = || {
        let client = platform.state.read();
        let client = client.get::<Client>(&bootstrap::AUTOSCALER.to_owned());
        client.and_then(|client| client.secret_hash.clone())
    };
    platform.start_with(None, "first").await;
    let first = hash().expect("a client");
    platform.start_with(None, "first").await;
    assert_eq!(hash().as_ref(), Some(&first), "it is left alone");
    platform.start_with(None, "second").await;
    let second = hash();
    let passwords = platform.auth.passwords();
    let verified = passwords.verify("second", second.as_deref()).await;
    assert!(verified.expect("verifies"), "a new secret takes effect");
}
