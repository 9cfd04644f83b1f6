//! A platform of the bench's own: this binary in a process of its own, in a temporary folder, with
//! a small native app on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cfx_cell_agent::capacity::Machine;
use clap::Parser;
use serde_json::{Value, json};

use super::child::Subject;
use super::idle::free_ports;
use crate::args::{Args, RuntimeFlag};
use crate::client::resource::{Process, Route, Stats};
use crate::context::{Context, InSpace};
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::output::{Progress, Terminal};
use crate::platform::interrupted;

/// The app, and what containers of the floor are named after.
pub(super) const NAME: &str = "cfx-bench-app";
/// The app beside it.
const ATTACKER: &str = "cfx-bench-attacker";
/// Memory and disk of an instance, MiB.
const MEMORY_MB: u64 = 32;
const DISK_MB: u64 = 32;
/// A staging wants this much beside the instances, MiB.
const STAGING_MB: u64 = 4_096;
/// Slots beside those of the instances.
const SLOTS_SPARE: u32 = 20;
/// The server of the app: small, static, native, and on every machine that can run cells.
const BUSYBOX: &str = "/bin/busybox";
/// Bytes of the app: its server, and the rest is padding.
const APP_BYTES: usize = 8 << 20;
/// When this long nothing has ended, everything has: the longest grace, and some.
const REST: Duration = Duration::from_secs(15);
/// Between two looks at something that takes seconds.
const LOOK: Duration = Duration::from_millis(200);

/// What the platform is to bear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) instances: u32,
    pub(super) runtime: RuntimeFlag,
    /// Instances made ahead, and volumes and networks made ahead.
    pub(super) warm: u32,
    pub(super) ready: u32,
}

#[derive(Debug)]
pub(super) struct Lab {
    folder: tempfile::TempDir,
    subject: Subject,
    context: Context,
    router: SocketAddr,
    /// Memory and disk are offered so many times.
    pub(super) overcommit: (f64, f64),
}

/// The app, running.
#[derive(Debug)]
pub(super) struct Deployed {
    space: InSpace,
    pub(super) app: String,
    process: String,
    pub(super) host: String,
    pub(super) router: SocketAddr,
}

impl Lab {
    /// Do this work on a platform of its own, which is ended with all its instances afterwards, also
    /// when the work fails or is interrupted.
    pub(super) async fn with<T>(
        context: &Context,
        size: Size,
        progress: &Progress,
        work: impl AsyncFnOnce(&Self) -> Outcome<T>,
    ) -> Outcome<T> {
        progress.message("starting a platform of its own");
        let lab = Self::start(context, size).await?;
        let worked = tokio::select! {
            worked = work(&lab) => worked,
            () = interrupted() => Err(Failure::new("interrupted")),
        };
        progress.message("ending the platform");
        lab.end().await?;
        worked
    }

    async fn start(context: &Context, size: Size) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("cfx-bench-").tempdir();
        let folder = folder.map_err(|error| no_folder(&error))?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [api, http, https] = free_ports()?;
        let overcommit = overcommit(size.instances + size.warm, folder.path())?;
        let words = [
            "up".to_owned(),
            format!("--data={}", path("data")),
            format!("--api-port={api}"),
            format!("--http-port={http}"),
            format!("--https-port={https}"),
            format!("--runtime={}", name_of(size.runtime)),
            format!("--slots={}", size.instances + SLOTS_SPARE),
            format!("--warm={}", size.warm),
            format!("--ready={}", size.ready),
            format!("--overcommit-memory={:.1}", overcommit.0),
            format!("--overcommit-disk={:.1}", overcommit.1),
            "--trace-starts".to_owned(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let home = path("home");
        let variables = [("CFX_HOME", home.as_str()), ("NO_COLOR", "1")];
        let (subject, _) = Subject::start(&words, &variables).await?;
        let environment =
            Environment::from_variables(|name| (name == "CFX_HOME").then(|| home.clone()));
        let silent = Arc::new(Terminal::silent());
        Ok(Self {
            context: Context {
                clock: context.clock.clone(),
                ..Context::new(environment, silent, false)
            },
            folder,
            subject,
            router: ([127, 0, 0, 1], http).into(),
            overcommit,
        })
    }

    pub(super) fn pid(&self) -> i32 {
        self.subject.pid()
    }

    /// Its log, in which it tells each step of each start.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("data/log/cfx.log")
    }

    /// Push the app; one instance of it runs afterwards.
    pub(super) async fn push(&self) -> Outcome<Deployed> {
        let app = self.folder.path().join("app");
        make_app(&app)?;
        let (app, memory, disk) = (
            app.display().to_string(),
            format!("{MEMORY_MB}M"),
            format!("{DISK_MB}M"),
        );
        let words = [
            "push",
            NAME,
            "-p",
            &app,
            "-m",
            &memory,
            "-k",
            &disk,
            "--no-manifest",
        ];
        quietly(&self.context, &words).await?;
        let space = self.context.in_space()?;
        let app = space.app(NAME).await?.guid;
        let routes: Vec<Route> = space.api.list(&format!("/v3/apps/{app}/routes")).await?;
        let host = routes.first().map(|route| route.url.clone());
        let process: Process = space
            .api
            .get(&format!("/v3/apps/{app}/processes/web"))
            .await?;
        Ok(Deployed {
            space,
            app,
            process: process.guid,
            host: host.ok_or_else(|| Failure::new("the pushed app has no route"))?,
            router: self.router,
        })
    }

    /// Push an app beside it that runs this instead of a server.
    pub(super) async fn attack(&self, command: &str, limit: &str) -> Outcome {
        let app = self.folder.path().join("app").display().to_string();
        let mut words = vec!["push", ATTACKER, "-p", &app, "-c", command];
        words.extend(["-m", limit, "-k", limit, "-u", "process"]);
        words.extend(["--no-route", "--no-manifest"]);
        quietly(&self.context, &words).await
    }

    pub(super) async fn end_attack(&self) -> Outcome {
        quietly(&self.context, &["delete", ATTACKER, "-r", "-f"]).await
    }

    /// End all instances, then the platform.
    async fn end(self) -> Outcome {
        let deleted = quietly(&self.context, &["delete", NAME, "-r", "-f"]).await;
        // One that an interrupted measurement left.
        let deleted = deleted.and(self.end_attack().await);
        let volumes = self.folder.path().join("data/cells/1/volumes");
        let clock = &self.context.clock;
        let (mut last, mut changed) = (entries(&volumes), clock.monotonic());
        // What is left when it has come to rest was made ahead, for nobody.
        while last > 0 && clock.monotonic().saturating_sub(changed) < REST {
            clock.sleep(LOOK).await;
            let now = entries(&volumes);
            if now != last {
                (last, changed) = (now, clock.monotonic());
            }
        }
        self.subject.end().await?;
        deleted
    }
}

impl Deployed {
    /// Wish for so many instances; returns when that is durable.
    pub(super) async fn scale(&self, instances: u32) -> Outcome {
        let path = format!("/v3/processes/{}/actions/scale", self.process);
        let body = json!({"instances": instances});
        self.space.api.post::<Value>(&path, &body).await?;
        Ok(())
    }

    /// How many instances the API calls running, of how many.
    pub(super) async fn running(&self) -> Outcome<(usize, usize)> {
        #[derive(serde::Deserialize)]
        struct All {
            resources: Vec<Stats>,
        }
        let path = format!("/v3/processes/{}/stats", self.process);
        let all: All = self.space.api.get(&path).await?;
        let running = all.resources.iter().filter(|one| one.state == "RUNNING");
        Ok((running.count(), all.resources.len()))
    }
}

/// Run a command of this CLI; what it says goes nowhere.
pub(super) async fn quietly(context: &Context, words: &[&str]) -> Outcome {
    let words = std::iter::once("cfx").chain(words.iter().copied());
    let args = Args::try_parse_from(words)
        .map_err(|error| Failure::new(format!("the bench mistyped: {error}")))?;
    let silent = Context {
        terminal: Arc::new(Terminal::silent()),
        environment: context.environment.clone(),
        clock: context.clock.clone(),
        session: context.session.clone(),
        verbose: false,
    };
    Box::pin(crate::commands::run(args.command, &silent)).await
}

/// What must be offered so that all fit, in tenths: 1 when there is enough.
fn overcommit(instances: u32, folder: &Path) -> Outcome<(f64, f64)> {
    let machine = Machine::read(folder)
        .map_err(|error| Failure::new(format!("cannot read the machine: {error}")))?;
    let factor = |each_mb: u64, there_mb: u64| {
        let needed = u64::from(instances + SLOTS_SPARE) * each_mb + STAGING_MB;
        let tenths = (needed * 10).div_ceil(there_mb.max(1)).max(10);
        f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
    };
    Ok((
        factor(MEMORY_MB, machine.memory_mb),
        factor(DISK_MB, machine.disk_mb),
    ))
}

/// A server of one short page.
fn make_app(folder: &Path) -> Outcome {
    let failed = |error: std::io::Error| no_folder(&error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let server = busybox()?;
    std::fs::copy(server, folder.join("busybox")).map_err(failed)?;
    let size = std::fs::metadata(server).map_err(failed)?.len();
    let size = usize::try_from(size).unwrap_or(APP_BYTES);
    // Bytes that do not compress, so that the droplet has the size too.
    let mut state = 1_u64;
    let padding = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        state.to_be_bytes()[0]
    });
    let padding: Vec<u8> = padding.take(APP_BYTES.saturating_sub(size)).collect();
    std::fs::write(folder.join("padding"), padding).map_err(failed)?;
    std::fs::write(folder.join("index.html"), "ready\n").map_err(failed)?;
    let command = "web: ./busybox httpd -f -p $PORT\n";
    std::fs::write(folder.join("Procfile"), command).map_err(failed)
}

/// The server of the app and of the floor.
pub(super) fn busybox() -> Outcome<&'static Path> {
    let path = Path::new(BUSYBOX);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("{BUSYBOX} is not there"))
        .next("the bench's app is its web server: `apt-get install busybox-static`"))
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn name_of(runtime: RuntimeFlag) -> &'static str {
    match runtime {
        RuntimeFlag::Auto => "auto",
        RuntimeFlag::Docker => "docker",
        RuntimeFlag::Sandbox => "sandbox",
    }
}

fn no_folder(error: &std::io::Error) -> Failure {
    Failure::new(format!("no temporary folder: {error}")).next("check that the disk has room")
}
