//! `cfx serve`: one role of a platform on many machines, told by a file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cfx_cell_agent::runtime::docker::SOCKET_DEFAULT;
use cfx_process::clock::Clock;
use cfx_process::config;
use cfx_process::entropy::IdSource;
use cfx_process::identity::Identity;
use cfx_process::shutdown::Shutdown;
use cfx_process::tls::{self, Clients};
use cfx_protocol::id::{CellGuid, RouterGuid};
use cfx_protocol::link::Role;
use cfx_router::{Certificate, Certificates, Drain, Limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::folder::DataFolder;
use super::join::{self, Membership};
use super::{
    autoscaler, cell, controller, error_text, gate, install_log, interrupted, raise_file_limit,
    within,
};
use crate::args::{RuntimeFlag, ServeArgs, ServeRole};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

pub(crate) async fn serve(context: &Context, args: &ServeArgs) -> Outcome {
    let (clock, ids) = (&context.clock, &IdSource::system());
    match args.role {
        ServeRole::Controller => {
            let file = load(&args.config)?;
            Box::pin(serve_controller(context, file, clock, ids)).await
        }
        ServeRole::Cell => {
            let file = load(&args.config)?;
            Box::pin(serve_cell(context, file, clock, ids)).await
        }
        ServeRole::Autoscaler => {
            let file = load(&args.config)?;
            Box::pin(serve_autoscaler(context, file, clock, ids)).await
        }
        ServeRole::Router => {
            let file = load(&args.config)?;
            Box::pin(serve_router(context, file, clock, ids)).await
        }
    }
}

fn load<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    config::load(path).map_err(|error| {
        Failure::new(error.to_string())
            .next("deploy/roles has a sample of each role's file with all of its keys")
    })
}

/// A controller's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ControllerFile {
    data: PathBuf,
    /// The public API.
    api: SocketAddr,
    /// TLS of the public API; without it it speaks plain HTTP.
    api_tls: Option<CertificateFiles>,
    /// Cells and routers dial this one.
    internal: SocketAddr,
    /// `/healthz` and `/metrics`.
    admin: Option<SocketAddr>,
    /// The origin in links; without it the one that each request was sent to.
    external_url: Option<String>,
    /// The default domain of apps.
    domain: String,
    http_port: Option<u16>,
    https_port: Option<u16>,
    admin_password: Option<String>,
    autoscaler: Option<AutoscalerPart>,
}

/// What a controller knows of the platform's autoscaler.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AutoscalerPart {
    /// Requests for its API are passed on to there.
    address: SocketAddr,
    /// The UAA client `autoscaler` is made with the secret in here.
    secret_file: PathBuf,
}

/// An autoscaler's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AutoscalerFile {
    data: PathBuf,
    /// URL of the platform's public API.
    api: String,
    /// PEM of whom to trust there; without it the system's authorities.
    authority: Option<PathBuf>,
    /// Its UAA client.
    client: Option<String>,
    secret_file: PathBuf,
    /// Its own API; the controller passes requests on to there.
    listen: SocketAddr,
    /// `/healthz` and `/metrics`.
    admin: Option<SocketAddr>,
}

/// PEM files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// A cell's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CellFile {
    platform: Membership,
    cell: cfx_cell_agent::config::Raw,
    /// Domains of the platform, which instances resolve without asking others.
    #[serde(default)]
    domains: Vec<String>,
    /// The router that those names mean to instances; without it one on this machine.
    router: Option<Ipv4Addr>,
    /// TCP ports of this machine that instances may reach.
    #[serde(default)]
    gateway_ports: Vec<u16>,
    /// What its instances run on.
    #[serde(default)]
    runtime: RuntimeFlag,
    /// Where the Docker Engine listens.
    docker_socket: Option<PathBuf>,
    /// Offer the stack made of this machine's own folders.
    #[serde(default = "yes")]
    host_stack: bool,
}

fn yes() -> bool {
    true
}

/// A router's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RouterFile {
    platform: Membership,
    name: String,
    data: PathBuf,
    #[serde(default)]
    http: Vec<SocketAddr>,
    #[serde(default)]
    https: Vec<SocketAddr>,
    /// Reached by instances only: these also answer internal routes.
    #[serde(default)]
    internal: Vec<SocketAddr>,
    /// `/healthz`, `/metrics` and the table.
    admin: Option<SocketAddr>,
    /// What the https listeners present.
    tls: Option<CertificateFiles>,
    access_log: Option<PathBuf>,
}

async fn serve_controller(
    context: &Context,
    file: ControllerFile,
    clock: &Clock,
    ids: &IdSource,
) -> Outcome {
    let folder = DataFolder::take(&file.data, &format!("API at {}", file.api))?;
    install_log(context, &folder, false)?;
    raise_file_limit();
    let password = folder.admin_password(file.admin_password.as_deref(), ids)?;
    let api_tls = match &file.api_tls {
        None => None,
        Some(files) => Some(server_config(files)?),
    };
    let config = cfx_cloud_controller::config::Config {
        data_dir: folder.path("controller"),
        api_listen: file.api,
        api_tls,
        internal_listen: file.internal,
        admin_listen: file.admin,
        external_url: file.external_url,
        apps_domain: file.domain,
        admin_password: Some(password),
        http_port: file.http_port,
        https_port: file.https_port,
        autoscaler: file.autoscaler.map(reached).transpose()?,
    };
    let stop = Shutdown::new();
    let controller = controller::run(config, clock, ids, &stop).await?;
    let addresses = controller.running().addresses();
    context.terminal.say(format!(
        "controller: API at {}, cells and routers at {}",
        addresses.api, addresses.internal
    ));
    let password = folder.password_path();
    context
        .terminal
        .say(format!("user admin, password in {}", password.display()));
    let by_itself = tokio::select! {
        () = interrupted() => false,
        () = controller.running().ending() => true,
    };
    stop.request();
    within("controller", controller.stopped()).await;
    if by_itself {
        Err(ended("controller"))
    } else {
        Ok(())
    }
}

fn reached(part: AutoscalerPart) -> Outcome<cfx_cloud_controller::config::Autoscaler> {
    Ok(cfx_cloud_controller::config::Autoscaler {
        address: part.address,
        client_secret: secret(&part.secret_file)?,
    })
}

async fn serve_autoscaler(
    context: &Context,
    file: AutoscalerFile,
    clock: &Clock,
    ids: &IdSource,
) -> Outcome {
    let folder = DataFolder::take(&file.data, &format!("autoscaler of {}", file.api))?;
    install_log(context, &folder, false)?;
    let authority = file.authority.as_deref().map(read).transpose()?;
    let mut config = cfx_autoscaler::Config::new(file.listen);
    config.admin_listen = file.admin;
    let client = file.client.unwrap_or_else(|| autoscaler::CLIENT.to_owned());
    let place = autoscaler::Place {
        data: &file.data,
        config,
        api: &file.api,
        authority: authority.as_deref(),
        credentials: cfx_autoscaler::Credentials {
            client,
            secret: secret(&file.secret_file)?,
        },
    };
    let stop = Shutdown::new();
    let running = autoscaler::run(place, clock, ids, &stop).await?;
    context.terminal.say(format!(
        "autoscaler of {}: API at {}",
        file.api,
        running.addresses().api
    ));
    let by_itself = tokio::select! {
        () = interrupted() => false,
        () = running.ending() => true,
    };
    stop.request();
    within("autoscaler", autoscaler::stopped(running)).await;
    if by_itself {
        Err(ended("autoscaler"))
    } else {
        Ok(())
    }
}

async fn serve_cell(context: &Context, file: CellFile, clock: &Clock, ids: &IdSource) -> Outcome {
    let folder = DataFolder::take(&file.cell.data, &format!("cell {}", file.cell.name))?;
    install_log(context, &folder, false)?;
    raise_file_limit();
    let name = file.cell.name.clone();
    let data = file.cell.data.clone();
    let member = join::member(&file.platform, Role::Cell, &name, &data, clock).await?;
    let config = file.cell.check(CellGuid(member.guid)).map_err(|error| {
        Failure::new(error.to_string()).next("correct the `cell` part of the file")
    })?;
    let plan = cell::Plan {
        config,
        runtime: file.runtime.into(),
        docker_socket: file.docker_socket.unwrap_or_else(|| SOCKET_DEFAULT.into()),
        domains: file.domains,
        gateway_ports: file.gateway_ports,
        answer: file.router,
        host_stack: file.host_stack,
    };
    let stop = Shutdown::new();
    let ground = cell::ground(plan, clock, &stop).await?;
    let cell = ground.start(clock, ids, member.client, &stop).await?;
    context
        .terminal
        .say(format!("cell {name}: {}", member.guid));
    let by_itself = tokio::select! {
        () = interrupted() => false,
        () = stop.requested() => true,
    };
    stop.request();
    within("cell", cell.stopped()).await;
    if by_itself {
        Err(ended("cell"))
    } else {
        Ok(())
    }
}

async fn serve_router(
    context: &Context,
    file: RouterFile,
    clock: &Clock,
    ids: &IdSource,
) -> Outcome {
    let folder = DataFolder::take(&file.data, &format!("router {}", file.name))?;
    install_log(context, &folder, false)?;
    raise_file_limit();
    let member = join::member(&file.platform, Role::Router, &file.name, &file.data, clock).await?;
    let certificates = match &file.tls {
        None => Certificates::none(),
        Some(files) => presented(files)?,
    };
    let config = cfx_router::Config {
        guid: RouterGuid(member.guid),
        http: file.http,
        https: file.https,
        internal: file.internal,
        admin: file.admin,
        certificates,
        table_file: Some(folder.path("routes.json")),
        access_log_file: file.access_log,
        threads: gate::threads(),
        limits: Limits::default(),
        drain: Drain::default(),
    };
    let stop = Shutdown::new();
    let edges = gate::edges(clock, ids, member.client);
    let router = gate::start_router(config, edges, &stop).await?;
    let addresses = router.addresses();
    context.terminal.say(format!(
        "router {}: http {:?}, https {:?}",
        file.name, addresses.http, addresses.https
    ));
    let stopping = router.stopped();
    tokio::select! {
        () = interrupted() => {}
        () = stop.requested() => return Err(ended("router")),
    }
    stop.request();
    // Draining takes as long as it takes; a second Ctrl-C ends it.
    tokio::select! {
        () = stopping => Ok(()),
        () = interrupted() => Err(Failure::silent(super::EXIT_INTERRUPTED)),
    }
}

fn ended(role: &str) -> Failure {
    Failure::new(format!("the {role} ended by itself")).next("the log in its data folder tells why")
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display()))
            .next("name PEM files that cfx may read")
    })
}

/// The first line of a file that only its owner should read.
fn secret(path: &Path) -> Outcome<String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display()))
            .next("name a file with one secret: `head -c 24 /dev/urandom | base64 > FILE`")
    })?;
    let secret = text.lines().next().unwrap_or_default().trim().to_owned();
    if secret.is_empty() {
        return Err(Failure::new(format!("{} holds no secret", path.display()))
            .next("its first line is the secret: `head -c 24 /dev/urandom | base64 > FILE`"));
    }
    Ok(secret)
}

fn presented(files: &CertificateFiles) -> Outcome<Arc<Certificates>> {
    let certificate = Certificate {
        certificate: read(&files.certificate)?,
        key: read(&files.key)?,
    };
    Certificates::single(&certificate).map_err(|error| unusable(files, &error))
}

fn server_config(files: &CertificateFiles) -> Outcome<Arc<rustls::ServerConfig>> {
    let identity = Identity {
        certificate: read(&files.certificate)?,
        key: read(&files.key)?,
        authority: String::new(),
    };
    tls::server(&identity, Clients::Anyone, &[b"h2", b"http/1.1"])
        .map_err(|error| unusable(files, &error))
}

fn unusable(files: &CertificateFiles, error: &dyn std::error::Error) -> Failure {
    let path = files.certificate.display();
    Failure::new(format!("{path} cannot be used: {}", error_text(error)))
        .next("name a PEM certificate chain and its key")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample with its optional keys turned on.
    fn with_every_key(sample: &str) -> String {
        let is_key = |text: &str| {
            let name = text.trim_start().split_once(':').map(|(name, _)| name);
            name.is_some_and(|name| {
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b"_-".contains(&b))
            })
        };
        let line = |line: &str| match line.split_once("# ") {
            Some((before, text)) if before.trim().is_empty() && is_key(text) => {
                format!("{before}{text}\n")
            }
            _ => format!("{line}\n"),
        };
        sample.lines().map(line).collect()
    }

    fn reads<T: DeserializeOwned>(name: &str, sample: &str) {
        for text in [sample.to_owned(), with_every_key(sample)] {
            if let Err(error) = config::parse::<T>(Path::new(name), &text) {
                panic!("{error} in\n{text}");
            }
        }
    }

    #[test]
    fn the_samples_of_deploy_roles_name_only_keys_that_there_are() {
        let controller = include_str!("../../../deploy/roles/controller.yml");
        assert_ne!(with_every_key(controller), controller);
        reads::<ControllerFile>("controller.yml", controller);
        reads::<CellFile>("cell.yml", include_str!("../../../deploy/roles/cell.yml"));
        reads::<RouterFile>(
            "router.yml",
            include_str!("../../../deploy/roles/router.yml"),
        );
        let autoscaler = include_str!("../../../deploy/roles/autoscaler.yml");
        reads::<AutoscalerFile>("autoscaler.yml", autoscaler);
    }
}
