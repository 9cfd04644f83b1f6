//! `bench push`: from the push of a small app to its first answer.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::lab::quietly;
use super::load;
use super::{Reading, show};
use crate::args::BenchPushArgs;
use crate::client::resource::Route;
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};

/// Name of the app and of the floor's container.
const NAME: &str = "cfx-bench-push";
/// The server of both: the same program, the same folder.
const SERVER: &str = "python3 -m http.server";
/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(20);
/// Longest that one round may take.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
/// What the floor's container sees of the machine: what the `host` stack offers too.
const BINDS: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"];

pub(super) async fn bench(context: &Context, args: &BenchPushArgs) -> Outcome {
    let space = context.in_space()?;
    let folder = app_folder()?;
    let image = FloorImage::make().await?;
    let measured = rounds(context, &space, &image, folder.path(), args.rounds).await;
    image.remove().await?;
    let (pushes, floors) = measured?;
    let reading = Reading::new(
        "push",
        "push of a small app to its first answer through the router",
        "s",
        "`docker run` of the same server in the same folder to its first answer",
        pushes,
        floors,
    );
    show(context, &[reading], args.json)
}

/// Seconds of each push, and of each floor.
async fn rounds(
    context: &Context,
    space: &InSpace,
    image: &FloorImage,
    folder: &Path,
    rounds: u32,
) -> Outcome<(Vec<f64>, Vec<f64>)> {
    let (mut pushes, mut floors) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let _progress = context
            .terminal
            .progress(&format!("round {round} of {rounds}"));
        floors.push(image.run(context, folder).await?);
        pushes.push(push(context, space, folder).await?);
    }
    Ok((pushes, floors))
}

fn app_folder() -> Outcome<tempfile::TempDir> {
    let failed = |error: std::io::Error| Failure::new(format!("no temporary folder: {error}"));
    let folder = tempfile::Builder::new()
        .prefix("cfx-bench-")
        .tempdir()
        .map_err(failed)?;
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).map_err(failed);
    write("Procfile", &format!("web: {SERVER} $PORT\n"))?;
    write("index.html", "hello\n")?;
    Ok(folder)
}

/// One push of an app that is not there yet, through the commands as users type them.
async fn push(context: &Context, space: &InSpace, folder: &Path) -> Outcome<f64> {
    quietly(context, &["delete", NAME, "-r", "-f"]).await?;
    let folder = folder.display().to_string();
    let started = context.clock.monotonic();
    quietly(
        context,
        &["push", NAME, "-p", &folder, "-m", "64M", "--no-manifest"],
    )
    .await?;
    let app = space.app(NAME).await?;
    let path = format!("/v3/apps/{}/routes", app.guid);
    let routes: Vec<Route> = space.api.list(&path).await?;
    let host = routes.first().map(|route| route.url.clone());
    let host = host.ok_or_else(|| Failure::new("the pushed app has no route"))?;
    let port = space.api.target().http_port.ok_or_else(|| {
        Failure::new("the platform does not tell the router's port").next("bench a cfx platform")
    })?;
    answers(context, &host, port).await?;
    let took = context
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    quietly(context, &["delete", NAME, "-r", "-f"]).await?;
    Ok(took)
}

/// Until a 200 comes.
async fn answers(context: &Context, host: &str, port: u16) -> Outcome {
    let address = ([127, 0, 0, 1], port).into();
    let asking = async {
        while !load::answers(address, host).await {
            context.clock.sleep(LOOK).await;
        }
    };
    tokio::time::timeout(ROUND_TIMEOUT, asking)
        .await
        .map_err(|_| Failure::new(format!("{host} did not answer within {ROUND_TIMEOUT:?}")))
}

/// An image with nothing in it: the container sees the machine's own folders.
struct FloorImage;

impl FloorImage {
    async fn make() -> Outcome<Self> {
        let empty = tempfile::NamedTempFile::new()
            .map_err(|error| Failure::new(format!("no temporary file: {error}")))?;
        // Two blocks of zeros are the end of a tar, and so an empty one.
        std::fs::write(empty.path(), [0_u8; 1024])
            .map_err(|error| Failure::new(format!("no temporary file: {error}")))?;
        let path = empty.path().display().to_string();
        docker(&["import", &path, NAME]).await?;
        Ok(Self)
    }

    async fn run(&self, context: &Context, folder: &Path) -> Outcome<f64> {
        let port = free_port()?;
        let server = format!("exec {SERVER} {port}");
        let mount = format!("{}:/app:ro", folder.display());
        let binds: Vec<String> = BINDS
            .iter()
            .filter(|bind| Path::new(bind).exists())
            .map(|bind| format!("{bind}:{bind}:ro"))
            .collect();
        let mut words = vec![
            "run",
            "--rm",
            "--detach",
            "--network",
            "host",
            "--name",
            NAME,
        ];
        for bind in &binds {
            words.extend(["--volume", bind]);
        }
        words.extend([
            "--volume",
            &mount,
            "--workdir",
            "/app",
            NAME,
            "/bin/sh",
            "-c",
            &server,
        ]);
        let started = context.clock.monotonic();
        docker(&words).await?;
        let answered = answers(context, "127.0.0.1", port).await;
        let took = context
            .clock
            .monotonic()
            .saturating_sub(started)
            .as_secs_f64();
        docker(&["rm", "--force", NAME]).await?;
        answered.map(|()| took)
    }

    async fn remove(self) -> Outcome {
        docker(&["rmi", "--force", NAME]).await
    }
}

fn free_port() -> Outcome<u16> {
    let none = |error: std::io::Error| Failure::new(format!("no free port: {error}"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(none)?;
    Ok(listener.local_addr().map_err(none)?.port())
}

async fn docker(words: &[&str]) -> Outcome {
    let output = Command::new("docker").args(words).output().await;
    let output = output.map_err(|error| {
        Failure::new(format!("cannot run docker: {error}"))
            .next("the floor of `bench push` needs the docker CLI")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "docker {}: {}",
        words[0],
        said.trim()
    )))
}
