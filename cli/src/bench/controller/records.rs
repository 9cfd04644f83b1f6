//! The records of a platform with many apps, as pushes would have left them.

use std::convert::Infallible;

use cfx_cloud_controller::state::app::{App, DesiredState, Lifecycle};
use cfx_cloud_controller::state::domain::Domain;
use cfx_cloud_controller::state::droplet::{Droplet, DropletContent, DropletState};
use cfx_cloud_controller::state::intent::IntentChunk;
use cfx_cloud_controller::state::meta::Meta;
use cfx_cloud_controller::state::organization::Organization;
use cfx_cloud_controller::state::process::{Process, RunningVersion};
use cfx_cloud_controller::state::route::{Destination, Route};
use cfx_cloud_controller::state::space::Space;
use cfx_cloud_controller::state::{StateHandle, WriteError};
use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{
    AppGuid, DestinationGuid, DomainGuid, DropletGuid, OrgGuid, ProcessGuid, RouteGuid, SpaceGuid,
};
use cfx_protocol::route::{EndpointProtocol, RouteOptions};
use jiff::Timestamp;

use super::super::planner::guid;
use crate::args::BenchControllerArgs;
use crate::failure::{Failure, Outcome};

/// Apps in one commit, which takes four records of each.
const APPS_PER_COMMIT: u32 = 30;
/// Memory sizes of the apps, MB.
const MEMORY_MB: [u32; 6] = [64, 128, 256, 512, 768, 1_024];

pub(super) fn process_guid(n: u32) -> ProcessGuid {
    ProcessGuid(guid(2, n.into()))
}

pub(super) async fn fill(state: &StateHandle, args: &BenchControllerArgs) -> Outcome {
    let written = state.write(|draft| {
        draft.put(Organization {
            guid: OrgGuid(guid(4, 0)),
            name: "bench".to_owned(),
            suspended: false,
            meta: meta(),
        });
        draft.put(Space {
            guid: SpaceGuid(guid(6, 0)),
            name: "bench".to_owned(),
            organization: OrgGuid(guid(4, 0)),
            meta: meta(),
        });
        draft.put(Domain {
            guid: DomainGuid(guid(7, 0)),
            name: "apps.bench".to_owned(),
            internal: false,
            organization: None,
            default: true,
            meta: meta(),
        });
        Ok::<_, Infallible>(())
    });
    written.await.map_err(not_written)?;
    let (each, extra) = (args.instances / args.apps, args.instances % args.apps);
    let mut next = 0;
    while next < args.apps {
        let some = next..args.apps.min(next + APPS_PER_COMMIT);
        next = some.end;
        let written = state.write(|draft| {
            for n in some {
                draft.put(app(n));
                draft.put(droplet(n));
                draft.put(process(n, each + u32::from(n < extra)));
                draft.put(route(n));
            }
            Ok::<_, Infallible>(())
        });
        written.await.map_err(not_written)?;
    }
    Ok(())
}

/// What `cf scale` writes. Answers how many are wanted now.
pub(super) async fn scale(state: &StateHandle, process: ProcessGuid, by: u32) -> Outcome<u32> {
    let written = state.write(|draft| {
        draft.update::<Process>(&process, |it| it.instances += by);
        let process = draft.get::<Process>(&process);
        Ok::<_, Infallible>(process.map_or(0, |it| it.instances))
    });
    written.await.map_err(not_written)
}

/// One commit.
pub(super) async fn write(
    state: &StateHandle,
    chunks: impl Iterator<Item = IntentChunk>,
) -> Outcome {
    let written = state.write(|draft| {
        for chunk in chunks {
            draft.put(chunk);
        }
        Ok::<_, Infallible>(())
    });
    written.await.map_err(not_written)
}

/// The same chunk with something to write in it.
pub(super) fn again(chunk: &IntentChunk) -> IntentChunk {
    let mut chunk = chunk.clone();
    for intent in &mut chunk.intents {
        intent.version += 1;
    }
    chunk
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_written(error: WriteError<Infallible>) -> Failure {
    Failure::new(format!("the state takes no records: {error}"))
}

fn meta() -> Meta {
    Meta::new(Timestamp::UNIX_EPOCH)
}

fn app_guid(n: u32) -> AppGuid {
    AppGuid(guid(3, n.into()))
}

fn droplet_guid(n: u32) -> DropletGuid {
    DropletGuid(guid(5, n.into()))
}

fn app(n: u32) -> App {
    App {
        guid: app_guid(n),
        name: format!("app-{n}"),
        space: SpaceGuid(guid(6, 0)),
        desired_state: DesiredState::Started,
        lifecycle: Lifecycle::Docker,
        current_droplet: Some(droplet_guid(n)),
        environment: Default::default(),
        features: Default::default(),
        build_caches: Default::default(),
        meta: meta(),
    }
}

fn droplet(n: u32) -> Droplet {
    Droplet {
        guid: droplet_guid(n),
        app: app_guid(n),
        package: None,
        build: None,
        state: DropletState::Staged,
        error: None,
        content: DropletContent::Docker {
            image: "bench/none".to_owned(),
            username: None,
            password: None,
        },
        process_types: Default::default(),
        meta: meta(),
    }
}

fn process(n: u32, instances: u32) -> Process {
    let memory_mb = MEMORY_MB[n as usize % MEMORY_MB.len()];
    Process {
        guid: process_guid(n),
        app: app_guid(n),
        process_type: "web".to_owned(),
        command: None,
        instances,
        memory_mb,
        disk_mb: 512,
        log_rate_bytes: None,
        health: HealthCheck::default(),
        readiness: ReadinessCheck::default(),
        version: 1,
        version_max: 1,
        running: Some(RunningVersion {
            version: 1,
            droplet: Some(droplet_guid(n)),
            command: None,
            environment: Default::default(),
            memory_mb,
            disk_mb: 512,
            log_rate_bytes: None,
            health: HealthCheck::default(),
            readiness: ReadinessCheck::default(),
            vcap_services: "{}".to_owned(),
            uris: Vec::new(),
            app_name: format!("app-{n}"),
        }),
        meta: meta(),
    }
}

fn route(n: u32) -> Route {
    Route {
        guid: RouteGuid(guid(8, n.into())),
        host: format!("app-{n}"),
        path: String::new(),
        domain: DomainGuid(guid(7, 0)),
        space: SpaceGuid(guid(6, 0)),
        destinations: vec![Destination {
            guid: DestinationGuid(guid(9, n.into())),
            app: app_guid(n),
            process_type: "web".to_owned(),
            port: None,
            protocol: EndpointProtocol::Http1,
        }],
        options: RouteOptions::default(),
        meta: meta(),
    }
}
