//! An API over a fresh state in memory, and a client for it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use cfx_process::clock::{Clock, ManualTime};
use cfx_process::entropy::IdSource;
use cfx_process::telemetry;
use cfx_protocol::id::{ClusterGuid, UserGuid};
use cfx_store::commit::{COMMIT_OPS_MAX, Commit, Op};
use cfx_store::lease::Monotonic;
use cfx_store::memory::MemoryStore;
use cfx_store::store::{Entry, Store};
use http::{Method, Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tower_service::Service;
use uuid::Uuid;

use crate::actions::bootstrap::{self, Means};
use crate::actions::{Act, act, session};
use crate::api::{self, Context, Settings};
use crate::auth::{ACCESS_TOKEN_LIFE_S, Auth, Claims, generate_signing_key};
use crate::blobs::Blobs;
use crate::cells::Observed;
use crate::convergence::Insight;
use crate::convergence::status::Platform;
use crate::events::Events;
use crate::log_cache::LogCache;
use crate::metrics::Metrics;
use crate::metrics_history::MetricsHistory;
use crate::routing::Routers;
use crate::state::auth::SigningKey;
use crate::state::package::BlobFacts;
use crate::state::user::User;
use crate::state::{Draft, StateHandle};

/// The origin that requests name as their host.
pub(super) const ORIGIN: &str = "http://api.test:8880";
pub(super) const ADMIN_PASSWORD: &str = "correct horse battery";

/// When every test begins.
pub(super) fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("in range")
}

pub(super) struct Harness {
    pub(super) context: Context,
    pub(super) time: ManualTime,
    router: Router,
    store: Arc<MemoryStore>,
    _blobs: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// `(status, code, detail)` of a v3 error.
    pub(super) fn error(&self) -> (u16, i64, String) {
        let body = self.json();
        let error = &body["errors"][0];
        let detail = error["detail"].as_str().unwrap_or_default().to_owned();
        (
            self.status.as_u16(),
            error["code"].as_i64().unwrap_or(0),
            detail,
        )
    }

    pub(super) fn guid(&self) -> String {
        assert!(self.status.is_success(), "{self:?}");
        self.json()["guid"].as_str().expect("a guid").to_owned()
    }
}

/// Keys take a moment to make, so all tests share one; likewise the hash of the password.
fn signing_key() -> SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| generate_signing_key(start()).expect("a key"))
        .clone()
}

async fn admin_hash(auth: &Auth) -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return hash.clone();
    }
    let ids = IdSource::seeded(9);
    let hash = auth
        .passwords()
        .hash(ADMIN_PASSWORD, &ids)
        .await
        .expect("hashes");
    HASH.get_or_init(|| hash).clone()
}

impl Harness {
    /// A platform that has just begun.
    pub(super) async fn new() -> Self {
        let harness = Self::with(&[]).await;
        harness.bootstrap().await;
        harness
    }

    /// Everything that the store holds, to begin another platform with.
    pub(super) async fn entries(&self) -> Vec<Entry> {
        self.store.load("/").await.expect("loads").entries
    }

    /// A platform with this state.
    pub(super) async fn with(entries: &[Entry]) -> Self {
        let monotonic = Monotonic::new(|| Duration::ZERO);
        let store = Arc::new(MemoryStore::new(ClusterGuid::NIL, monotonic));
        for chunk in entries.chunks(COMMIT_OPS_MAX) {
            let put = |entry: &Entry| Op::Put {
                key: entry.key.clone(),
                value: entry.value.clone(),
                lease: None,
            };
            let commit = Commit {
                compares: Vec::new(),
                ops: chunk.iter().map(put).collect(),
            };
            store.commit(commit).await.expect("commits");
        }
        let (clock, time) = Clock::manual(start());
        let folder = tempfile::tempdir().expect("a folder");
        let observed = Observed::default();
        let auth = Auth::default();
        let context = Context {
            state: StateHandle::open(store.clone()).await.expect("opens"),
            clock,
            ids: IdSource::seeded(1),
            platform: Platform {
                insight: Insight::default(),
                routers: Routers::default(),
                observed: observed.clone(),
                started_at: start(),
            },
            observed,
            blobs: Blobs::open(folder.path()).expect("opens"),
            log_cache: LogCache::default(),
            metrics: MetricsHistory::default(),
            events: Arc::new(Events::new(Metrics::register(
                &telemetry::Metrics::default(),
            ))),
            auth,
            settings: Arc::new(Settings {
                apps_domain: "apps.test".to_owned(),
                ..Settings::default()
            }),
        };
        Self {
            router: api::router(context.clone()),
            context,
            time,
            store,
            _blobs: folder,
        }
    }

    async fn bootstrap(&self) {
        let blob = BlobFacts {
            sha256: "0".repeat(64),
            size_bytes: 1,
        };
        let means = Means {
            admin_password_hash: Some(admin_hash(&self.context.auth).await),
            autoscaler_secret_hash: None,
            signing_key: Some(signing_key()),
            apps_domain: "apps.test".to_owned(),
            buildpacks: vec![("system_buildpack".to_owned(), blob)],
        };
        self.write(|draft, act| bootstrap::bootstrap(draft, act, means).expect("bootstraps"))
            .await;
    }

    /// Change the state directly.
    pub(super) async fn write<T>(&self, change: impl FnOnce(&mut Draft, &Act<'_>) -> T) -> T {
        let act = Act {
            now: self.context.clock.now(),
            ids: &self.context.ids,
            actor: act::platform(),
        };
        let written = self
            .context
            .state
            .write(|draft| Ok::<_, std::convert::Infallible>(change(draft, &act)));
        written.await.expect("writes")
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.time.advance(Duration::from_secs(seconds));
    }

    /// A token for a user that is there, without the cost of a password.
    pub(super) async fn token_of(&self, guid: UserGuid) -> String {
        let scopes = [
            "cloud_controller.read",
            "cloud_controller.write",
            "openid",
            "password.write",
        ];
        let state = self.context.state.read();
        let user = state.get::<User>(&guid).expect("a user").clone();
        let scopes = scopes.iter().map(|scope| (*scope).to_owned());
        let scopes: std::collections::BTreeSet<String> =
            scopes.chain(user.groups.iter().cloned()).collect();
        let session = self
            .write(|draft, act| {
                session::begin(draft, act, guid, "cf", scopes.clone(), String::new())
            })
            .await;
        let claims = claims(
            &user,
            session,
            scopes.into_iter().collect(),
            self.context.clock.now(),
        );
        self.context.auth.sign(&state, &claims).expect("signs")
    }

    pub(super) async fn admin_token(&self) -> String {
        let state = self.context.state.read();
        let admin = crate::actions::user::named(&state, "admin", "uaa").expect("an admin");
        self.token_of(admin.guid).await
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> Reply {
        self.send(Method::GET, path, Some(token), "").await
    }

    pub(super) async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(token), &body.to_string())
            .await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "api.test:8880")
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("bearer {token}"));
        }
        self.request(
            request
                .body(Body::from(body.to_owned()))
                .expect("a request"),
        )
        .await
    }

    pub(super) async fn request(&self, request: Request<Body>) -> Reply {
        let response = self
            .router
            .clone()
            .call(request)
            .await
            .expect("never fails");
        let (parts, body) = response.into_parts();
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        };
        let bytes = to_bytes(body, 64 * 1024 * 1024).await.expect("a body");
        Reply {
            status: parts.status,
            headers: parts.headers.iter().map(header).collect(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

fn claims(user: &User, session: Uuid, scope: Vec<String>, now: Timestamp) -> Claims {
    Claims {
        jti: session.simple().to_string(),
        sub: user.guid.to_string(),
        scope,
        client_id: "cf".to_owned(),
        cid: "cf".to_owned(),
        azp: "cf".to_owned(),
        grant_type: "password".to_owned(),
        user_id: Some(user.guid.to_string()),
        origin: Some(user.origin.clone()),
        user_name: Some(user.username.clone()),
        email: None,
        authorities: Vec::new(),
        session: Some(session),
        revocable: true,
        iat: now.as_second(),
        exp: now.as_second() + ACCESS_TOKEN_LIFE_S,
        iss: ORIGIN.to_owned(),
        zid: "uaa".to_owned(),
        aud: vec!["cloud_controller".to_owned()],
    }
}
