//! A platform, or one role of it, in this process: the one place where the components meet.
//!
//! ```text
//!   cfx up:  data folder -> autoscaler -> controller -> cells' networks -> router -> cells -> login
//!   Ctrl-C:  autoscaler -> router drains -> controller -> instances end -> cells; the next start brings them back
//!   kill -9: instances run on, and the next start finds them again
//! ```
//! Nothing here decides anything about apps: it reads settings, starts components, and waits.

mod autoscaler;
mod cell;
mod controller;
mod folder;
mod gate;
mod join;
mod local;
mod log_file;
mod serve;
mod settings;
mod store;

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use cfx_cloud_controller::config::Autoscaler;
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_process::telemetry::{self, LogFormat};
use cfx_protocol::id::{CellGuid, RouterGuid};
use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::args::UpArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Fields;

pub(crate) use gate::{start_router, threads as router_threads};
pub(crate) use serve::serve;
pub(crate) use store::{back_up, restore};

use cell::{Cell, Grounded};
use controller::Controller;
use folder::DataFolder;
use log_file::LogFile;
use settings::Settings;

/// What is logged.
const LOG_FILTER: &str = "info";
/// The same with each step of each start.
const LOG_FILTER_STARTS: &str = "info,cfx_start=trace";
const LOG_FILE: &str = "log/cfx.log";
/// Exit code after a second Ctrl-C: 128 and the signal's number.
const EXIT_INTERRUPTED: u8 = 130;
/// Open files of a platform: some ten for each of 4,000 instances, and its connections. Below what
/// kernels allow a process by default, which is 1,048,576.
const FILES_WANTED: u64 = 200_000;
/// Longest that a role may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// `cfx up`.
pub(crate) async fn up(context: &Context, args: UpArgs) -> Outcome {
    let settings = Settings::read(args, &context.environment)?;
    check_machine()?;
    let folder = DataFolder::take(&settings.data, &format!("API at {}", settings.api_url()))?;
    install_log(context, &folder, settings.trace_starts)?;
    raise_file_limit();
    let ids = IdSource::system();
    let password = folder.admin_password(settings.admin_password.as_deref(), &ids)?;
    let platform = Box::pin(Platform::start(
        &settings,
        &folder,
        &password,
        &context.clock,
        &ids,
    ))
    .await?;
    let place = Box::pin(local::log_in(context, &settings, &password)).await?;
    announce(context, &settings, &folder, &platform, &place);
    let failed = tokio::select! {
        () = interrupted() => None,
        role = platform.failed() => Some(role),
    };
    context.terminal.note("Stopping...");
    tokio::select! {
        () = platform.stop() => {}
        () = interrupted() => return Err(Failure::silent(EXIT_INTERRUPTED)),
    }
    match failed {
        None => Ok(()),
        Some(role) => Err(
            Failure::new(format!("the {role} ended by itself")).next(format!(
                "the log tells why: {}",
                folder.path(LOG_FILE).display()
            )),
        ),
    }
}

/// All roles of one machine. Each has its own wish to stop, because they stop in order.
#[derive(Debug)]
struct Platform {
    /// This machine as each cell's instances see it.
    gateways: Vec<Ipv4Addr>,
    /// What instances run on.
    runtime: &'static str,
    autoscaler: (cfx_autoscaler::Running, Shutdown),
    controller: (Controller, Shutdown),
    router: (cfx_router::Running, Shutdown),
    cells: (Vec<Cell>, Shutdown),
}

impl Platform {
    async fn start(
        settings: &Settings,
        folder: &DataFolder,
        password: &str,
        clock: &Clock,
        ids: &IdSource,
    ) -> Outcome<Self> {
        let (stop_controller, stop_router, stop_cells) =
            (Shutdown::new(), Shutdown::new(), Shutdown::new());
        let stop_autoscaler = Shutdown::new();
        let secret = autoscaler::secret(folder, ids)?;
        let start = autoscaler::local(settings, &secret, clock, ids, &stop_autoscaler);
        let autoscaler = Box::pin(start).await?;
        let reached = Autoscaler {
            address: autoscaler.addresses().api,
            client_secret: secret,
        };
        let stop = &stop_controller;
        let start = controller::local(settings, folder, password, reached, clock, ids, stop);
        let controller = Box::pin(start).await?;
        let mut grounds = Vec::new();
        for number in 1..=settings.cells {
            let guid = CellGuid(folder.guid(&format!("cell-{number}"), ids)?);
            let plan = local::cell_plan(settings, folder, number, guid)?;
            grounds.push((guid, cell::ground(plan, clock, &stop_cells).await?));
        }
        let gateways: Vec<_> = grounds.iter().map(|(_, ground)| ground.gateway()).collect();
        // They all look at the same machine.
        let runtime = grounds.first().map_or("", |(_, ground)| ground.runtime());
        let guid = RouterGuid(folder.guid("router", ids)?);
        let edges = gate::edges(clock, ids, controller.router_client(guid)?);
        let certificates = gate::certificates(controller.authority(), &settings.domain, clock)?;
        let place = folder.path("router");
        let router = gate::start(
            settings,
            guid,
            place,
            &gateways,
            certificates,
            edges,
            &stop_router,
        )
        .await?;
        let cells = start_cells(grounds, &controller, clock, ids, &stop_cells).await?;
        if !controller.wait_for_cells(settings.cells).await {
            tracing::warn!("not every cell has reported yet");
        }
        Ok(Self {
            gateways,
            runtime,
            autoscaler: (autoscaler, stop_autoscaler),
            controller: (controller, stop_controller),
            router: (router, stop_router),
            cells: (cells, stop_cells),
        })
    }

    /// Where each role answers `/metrics` and `/healthz`.
    fn admins(&self) -> Vec<String> {
        let controller = self.controller.0.running().addresses().admin;
        let router = self.router.0.addresses().admin;
        let autoscaler = self.autoscaler.0.addresses().admin;
        let roles = [
            ("controller", controller),
            ("router", router),
            ("autoscaler", autoscaler),
        ]
        .into_iter();
        let cells = self.cells.0.iter().map(|cell| ("cell", cell.admin()));
        roles
            .chain(cells)
            .filter_map(|(role, address)| Some(format!("{role} http://{}/metrics", address?)))
            .collect()
    }

    /// Resolves when a role has ended by itself, with its name.
    async fn failed(&self) -> &'static str {
        tokio::select! {
            () = self.controller.0.running().ending() => "controller",
            () = self.autoscaler.0.ending() => "autoscaler",
            () = self.router.1.requested() => "router",
            () = self.cells.1.requested() => "cell",
        }
    }

    async fn stop(self) {
        let (running, stop) = self.autoscaler;
        stop.request();
        within("autoscaler", autoscaler::stopped(running)).await;
        let (router, stop) = self.router;
        stop.request();
        within("router", router.stopped()).await;
        // Before the cells: it would place anew what they end.
        let (controller, stop) = self.controller;
        stop.request();
        within("controller", controller.stopped()).await;
        let (cells, stop) = self.cells;
        within("instances", join_all(cells.iter().map(Cell::halt))).await;
        stop.request();
        for cell in cells {
            within("cell", cell.stopped()).await;
        }
    }
}

async fn start_cells(
    grounds: Vec<(CellGuid, Grounded)>,
    controller: &Controller,
    clock: &Clock,
    ids: &IdSource,
    stop: &Shutdown,
) -> Outcome<Vec<Cell>> {
    let mut cells = Vec::with_capacity(grounds.len());
    for (guid, ground) in grounds {
        let client = controller.cell_client(guid)?;
        cells.push(ground.start(clock, ids, client, stop).await?);
    }
    Ok(cells)
}

async fn within<T>(role: &str, stopping: impl Future<Output = T>) {
    if tokio::time::timeout(STOP_DEADLINE, stopping).await.is_err() {
        tracing::warn!(role, "did not stop in time");
    }
}

/// Resolves at Ctrl-C, or when the process is asked to end.
pub(crate) async fn interrupted() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        // Without a handler the signal ends the process anyway.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

fn check_machine() -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            "a platform needs root, for networks and volumes of its instances",
        )
        .next("run it as root: `sudo cfx up`"));
    }
    Ok(())
}

/// To a file; with `--verbose` to stderr, for people.
fn install_log(context: &Context, folder: &DataFolder, trace_starts: bool) -> Outcome {
    let filter = match trace_starts {
        true => LOG_FILTER_STARTS,
        false => LOG_FILTER,
    };
    if context.verbose {
        let writer = BoxMakeWriter::new(std::io::stderr);
        telemetry::install(LogFormat::Human, filter, writer);
        return Ok(());
    }
    let path = folder.path(LOG_FILE);
    let file = LogFile::open(&path).map_err(|error| {
        Failure::new(format!("cannot write {}: {error}", path.display()))
            .next("check that the data folder's disk has room")
    })?;
    telemetry::install(LogFormat::Json, filter, BoxMakeWriter::new(file));
    Ok(())
}

/// Each connection is a file, and each instance some more: root takes what it will need, anybody
/// else what the system allows.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        let more = hard.max(FILES_WANTED);
        setrlimit(Resource::RLIMIT_NOFILE, more, more)
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard))
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

fn announce(
    context: &Context,
    settings: &Settings,
    folder: &DataFolder,
    platform: &Platform,
    place: &local::Place,
) {
    let terminal = &context.terminal;
    let password = folder.password_path();
    terminal.say(terminal.style().good("The platform is up."));
    terminal.blank();
    let mut fields = Fields::new();
    fields
        .add("API endpoint", settings.api_url())
        .add(
            "apps domain",
            format!(
                "{} (http {}, https {})",
                settings.domain, settings.http_port, settings.https_port
            ),
        )
        .add("cells", settings.cells.to_string())
        .add("runtime", platform.runtime);
    if !settings.gateway_ports.is_empty() {
        fields.add("open to apps", open_to_apps(settings, &platform.gateways));
    }
    fields
        .add("data", settings.data.display().to_string())
        .add("log", folder.path(LOG_FILE).display().to_string())
        .add("metrics", platform.admins().join(", "))
        .add("user", "admin")
        .add("password", format!("in {}", password.display()))
        .add(
            "log in",
            format!(
                "cfx login -a {} -u admin -p \"$(cat {})\"",
                settings.api_url(),
                password.display()
            ),
        );
    terminal.fields(&fields);
    terminal.blank();
    terminal.say(format!(
        "This machine's cfx is logged in: org {}, space {}.",
        place.org, place.space
    ));
    terminal
        .say("Next, in another terminal: `cfx push NAME -p FOLDER`. Ctrl-C stops the platform.");
    if !settings.listen.is_loopback() {
        terminal.warn(
            "the API speaks plain HTTP beyond this machine; put TLS before it, or use `cfx serve`",
        );
    }
}

/// Where a database on this machine has to listen, and where apps find it.
fn open_to_apps(settings: &Settings, gateways: &[Ipv4Addr]) -> String {
    let ports: Vec<_> = settings.gateway_ports.iter().map(u16::to_string).collect();
    let gateways: Vec<_> = gateways.iter().map(Ipv4Addr::to_string).collect();
    format!(
        "port {} at {}; apps also find it by any name under {}",
        ports.join(", "),
        gateways.join(", "),
        settings.domain
    )
}

/// An error with its causes, each once.
fn error_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
