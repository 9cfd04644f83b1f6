//! Starts a controller on a memory store, and puts apps straight into its state.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cfx_cloud_controller::state::app::{App, DesiredState, Lifecycle};
use cfx_cloud_controller::state::domain::Domain;
use cfx_cloud_controller::state::droplet::{Droplet, DropletContent, DropletState};
use cfx_cloud_controller::state::intent::Intent;
use cfx_cloud_controller::state::meta::Meta;
use cfx_cloud_controller::state::organization::Organization;
use cfx_cloud_controller::state::package::BlobFacts;
use cfx_cloud_controller::state::process::{Process, RunningVersion};
use cfx_cloud_controller::state::route::{Destination, Route};
use cfx_cloud_controller::state::space::Space;
use cfx_cloud_controller::state::{Draft, State};
use cfx_cloud_controller::{Config, Edges, Running, start};
use cfx_process::clock::{Clock, ManualTime};
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::identity::Authority;
use cfx_process::shutdown::Shutdown;
use cfx_process::tls;
use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{
    AppGuid, ClusterGuid, DestinationGuid, DomainGuid, DropletGuid, OrgGuid, ProcessGuid,
    RouteGuid, SpaceGuid,
};
use cfx_protocol::link::Role;
use cfx_protocol::route::{EndpointProtocol, RouteOptions};
use cfx_store::lease::Monotonic;
use cfx_store::memory::MemoryStore;
use jiff::Timestamp;
use uuid::Uuid;

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) time: ManualTime,
    pub(crate) clock: Clock,
    pub(crate) edges: Edges,
    pub(crate) shutdown: Shutdown,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Certificates are judged by the machine's clock.
        let wall = Clock::system().now();
        let (clock, time) = Clock::manual(wall);
        let store = MemoryStore::new(ClusterGuid::NIL, Monotonic::new(|| Duration::ZERO));
        let authority = Authority::load_or_create(folder.path(), wall);
        let edges = Edges {
            clock: clock.clone(),
            ids: IdSource::seeded(1),
            store: Arc::new(store),
            authority: Arc::new(authority.expect("an authority")),
        };
        let shutdown = Shutdown::new();
        let config = config(folder.path());
        let running = start(config, edges.clone(), &shutdown)
            .await
            .expect("starts");
        Self {
            running,
            time,
            clock,
            edges,
            shutdown,
            folder,
        }
    }

    /// As after `kill -9`: everything in memory is gone, the store is not.
    pub(crate) async fn restart(&mut self) {
        self.shutdown.request();
        self.shutdown = Shutdown::new();
        let config = config(self.folder.path());
        let edges = self.edges.clone();
        self.running = start(config, edges, &self.shutdown).await.expect("starts");
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.running.state().read()
    }

    pub(crate) async fn change<T>(&self, change: impl FnOnce(&mut Draft) -> T) -> T {
        let written = self
            .running
            .state()
            .write(|draft| Ok::<_, Infallible>(change(draft)));
        written.await.expect("the store takes it")
    }

    pub(crate) fn client(&self, role: Role, guid: u128) -> InternalClient {
        let identity = self.running.identity(role, Uuid::from_u128(guid));
        let tls = tls::client(&identity.expect("an identity")).expect("a client");
        InternalClient::new(tls, vec![self.running.addresses().internal])
    }

    /// An app with a web process, a droplet and a route `app-<n>.example.com`.
    pub(crate) async fn push(&self, n: u128, instances: u32) -> ProcessGuid {
        self.change(|draft| {
            put_surroundings(draft);
            put_app(draft, n, instances);
        })
        .await;
        process_guid(n)
    }

    pub(crate) async fn scale(&self, process: ProcessGuid, instances: u32) {
        let scale = |process: &mut Process| process.instances = instances;
        let known = self.change(|draft| draft.update(&process, scale)).await;
        assert!(known, "the process is there");
    }

    pub(crate) async fn stop(&self, n: u128) {
        let stop = |app: &mut App| app.desired_state = DesiredState::Stopped;
        self.change(|draft| draft.update(&app_guid(n), stop)).await;
    }

    pub(crate) fn intents(&self, process: ProcessGuid) -> Vec<Intent> {
        self.state().intents_of(process).cloned().collect()
    }
}

fn config(folder: &std::path::Path) -> Config {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    Config {
        data_dir: folder.to_owned(),
        api_listen: any,
        api_tls: None,
        internal_listen: any,
        admin_listen: Some(any),
        external_url: None,
        admin_password: Some("correct horse battery staple".to_owned()),
        apps_domain: "example.com".to_owned(),
        http_port: None,
        https_port: None,
        autoscaler: None,
    }
}

/// Waits until something is so, and says what was the case last when it never is.
pub(crate) async fn eventually<F, T>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let clock = Clock::system();
    let end = clock.monotonic() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) if clock.monotonic() > end => panic!("{what}: {last}"),
            Err(_) => clock.sleep(LOOK).await,
        }
    }
}

/// `eventually` for a plain look at something.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || {
        let is_so = is_so();
        async move { is_so.then_some(()).ok_or_else(|| "it is not so".to_owned()) }
    })
    .await;
}

pub(crate) fn app_guid(n: u128) -> AppGuid {
    AppGuid(Uuid::from_u128(0xa000 + n))
}

pub(crate) fn process_guid(n: u128) -> ProcessGuid {
    ProcessGuid(Uuid::from_u128(0xb000 + n))
}

pub(crate) fn droplet_guid(n: u128) -> DropletGuid {
    DropletGuid(Uuid::from_u128(0xd000 + n))
}

fn meta() -> Meta {
    Meta::new(Timestamp::UNIX_EPOCH)
}

fn put_surroundings(draft: &mut Draft) {
    draft.put(Organization {
        guid: OrgGuid(Uuid::from_u128(1)),
        name: "org".into(),
        suspended: false,
        meta: meta(),
    });
    draft.put(Space {
        guid: SpaceGuid(Uuid::from_u128(2)),
        name: "space".into(),
        organization: OrgGuid(Uuid::from_u128(1)),
        meta: meta(),
    });
    draft.put(Domain {
        guid: DomainGuid(Uuid::from_u128(3)),
        name: "routes.example.com".into(),
        internal: false,
        default: false,
        organization: None,
        meta: meta(),
    });
}

fn put_app(draft: &mut Draft, n: u128, instances: u32) {
    draft.put(App {
        guid: app_guid(n),
        name: format!("app-{n}"),
        space: SpaceGuid(Uuid::from_u128(2)),
        desired_state: DesiredState::Started,
        lifecycle: Lifecycle::Buildpack {
            buildpacks: Vec::new(),
            stack: "host".into(),
        },
        current_droplet: Some(droplet_guid(n)),
        environment: BTreeMap::new(),
        features: BTreeMap::new(),
        build_caches: BTreeMap::new(),
        meta: meta(),
    });
    draft.put(droplet(n));
    draft.put(process(n, instances));
    draft.put(Route {
        guid: route_guid(n),
        host: format!("app-{n}"),
        path: String::new(),
        domain: DomainGuid(Uuid::from_u128(3)),
        space: SpaceGuid(Uuid::from_u128(2)),
        destinations: vec![Destination {
            guid: DestinationGuid(Uuid::from_u128(0xe000 + n)),
            app: app_guid(n),
            process_type: "web".into(),
            port: None,
            protocol: EndpointProtocol::Http1,
        }],
        options: RouteOptions::default(),
        meta: meta(),
    });
}

pub(crate) fn route_guid(n: u128) -> RouteGuid {
    RouteGuid(Uuid::from_u128(0xf000 + n))
}

fn droplet(n: u128) -> Droplet {
    Droplet {
        guid: droplet_guid(n),
        app: app_guid(n),
        package: None,
        build: None,
        state: DropletState::Staged,
        error: None,
        content: DropletContent::Buildpack {
            blob: Some(BlobFacts {
                sha256: "00".into(),
                size_bytes: 1,
            }),
            stack: "host".into(),
            buildpacks: Vec::new(),
            detected_buildpack: None,
        },
        process_types: BTreeMap::from([("web".to_owned(), "./run".to_owned())]),
        meta: meta(),
    }
}

fn process(n: u128, instances: u32) -> Process {
    Process {
        guid: process_guid(n),
        app: app_guid(n),
        process_type: "web".into(),
        command: None,
        instances,
        memory_mb: 256,
        disk_mb: 512,
        log_rate_bytes: None,
        health: HealthCheck::default(),
        readiness: ReadinessCheck::default(),
        version: 1,
        version_max: 1,
        running: Some(running(n, 1)),
        meta: meta(),
    }
}

pub(crate) fn running(n: u128, version: u64) -> RunningVersion {
    RunningVersion {
        version,
        droplet: Some(droplet_guid(n)),
        command: Some("./run".into()),
        environment: BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]),
        memory_mb: 256,
        disk_mb: 512,
        log_rate_bytes: None,
        health: HealthCheck::default(),
        readiness: ReadinessCheck::default(),
        vcap_services: "{}".into(),
        uris: vec![format!("app-{n}.routes.example.com")],
        app_name: format!("app-{n}"),
    }
}
