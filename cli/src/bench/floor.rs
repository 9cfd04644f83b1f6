//! What `bench start` and `bench warm` are measured against, in the same run: the usual way to start
//! the same server, one after the other.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cfx_cell_agent::runtime::sandboxed;
use tokio::process::Command;

use super::cost;
use super::lab::{NAME, busybox};
use super::load;
use crate::args::RuntimeFlag;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Longest that a container of the floor may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(1);
/// What the server of a container listens on.
const PORT: &str = "8080";

/// Of one start, on average.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    pub(super) seconds: f64,
    pub(super) cpu_s: f64,
    pub(super) is: &'static str,
}

/// The floor of this runtime, over so many starts. What was measured before is shown without it
/// when it fails.
pub(super) async fn measure(
    context: &Context,
    runtime: RuntimeFlag,
    platform: i32,
    count: u32,
) -> Option<Floor> {
    let measured = match (count, runtime) {
        (0, _) => return None,
        (_, RuntimeFlag::Sandbox) => sandbox(count).await,
        _ => docker(context, platform, count).await,
    };
    measured
        .inspect_err(|failure| {
            let why = failure.message();
            let said = format!("the floor could not be measured: {why}");
            context.terminal.warn(said);
        })
        .ok()
}

/// A bare clone of the launcher into the same namespaces, so many times in a row, each to its end.
async fn sandbox(count: u32) -> Outcome<Floor> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("no clones: {error}"));
    let folder = tempfile::Builder::new()
        .prefix("cfx-bench-")
        .tempdir()
        .map_err(|error| failed(&error))?;
    let cloning = tokio::task::spawn_blocking(move || sandboxed::floor(folder.path(), count));
    let cloned = cloning.await.map_err(|error| failed(&error))?;
    let cloned = cloned.map_err(|error| failed(&error))?;
    Ok(Floor {
        seconds: cloned.wall.as_secs_f64() / f64::from(count),
        cpu_s: cloned.cpu.as_secs_f64() / f64::from(count),
        is: "a bare clone and exec in the same namespaces, one after the other",
    })
}

/// `docker run -d -P` of the same server, so many times in a row, each to its first answer.
async fn docker(context: &Context, platform: i32, count: u32) -> Outcome<Floor> {
    make_image().await?;
    let measured = run_all(context, platform, count).await;
    for number in 0..count {
        // Those that were never made are no failure of the measurement.
        drop(run(&["rm", "--force", &name(number)]).await);
    }
    run(&["rmi", "--force", NAME]).await?;
    measured
}

async fn run_all(context: &Context, platform: i32, count: u32) -> Outcome<Floor> {
    let (began, cpu) = (
        context.clock.monotonic(),
        cost::of_platform(platform)?.cpu_s,
    );
    for number in 0..count {
        let name = name(number);
        let server = ["/bin/busybox", "httpd", "-f", "-p", PORT, "-h", "/www"];
        let words = ["run", "-d", "-P", "--expose", PORT, "--name", &name, NAME];
        run(&[words.as_slice(), server.as_slice()].concat()).await?;
        let published = run(&["port", &name, PORT]).await?;
        let port = published
            .lines()
            .find_map(|line| line.trim().rsplit_once(':')?.1.parse().ok());
        let port: u16 = port.ok_or_else(|| Failure::new("docker published no port"))?;
        answers(context, ([127, 0, 0, 1], port).into()).await?;
    }
    let seconds = context
        .clock
        .monotonic()
        .saturating_sub(began)
        .as_secs_f64();
    let cpu = cost::of_platform(platform)?.cpu_s - cpu;
    Ok(Floor {
        seconds: seconds / f64::from(count),
        cpu_s: cpu / f64::from(count),
        is: "`docker run -d -P` of the same server, one after the other",
    })
}

async fn answers(context: &Context, address: SocketAddr) -> Outcome {
    let asking = async {
        while !load::answers(address, "floor").await {
            context.clock.sleep(LOOK).await;
        }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asking)
        .await
        .map_err(|_| {
            Failure::new(format!(
                "a container of the floor did not answer within {ANSWER_TIMEOUT:?}"
            ))
        })
}

/// An image with nothing in it but the server and its page.
async fn make_image() -> Outcome {
    let failed = |error: std::io::Error| Failure::new(format!("cannot make an image: {error}"));
    let folder = tempfile::Builder::new()
        .prefix("cfx-bench-")
        .tempdir()
        .map_err(failed)?;
    let write = |make: &dyn Fn(&Path) -> std::io::Result<()>| make(folder.path()).map_err(failed);
    let server = busybox()?;
    write(&|root| std::fs::create_dir_all(root.join("bin")))?;
    write(&|root| std::fs::create_dir_all(root.join("www")))?;
    write(&|root| std::fs::copy(server, root.join("bin/busybox")).map(drop))?;
    write(&|root| std::fs::write(root.join("www/index.html"), "0\n"))?;
    let archive = tempfile::NamedTempFile::new().map_err(failed)?;
    let path = archive.path().display().to_string();
    let root = folder.path().display().to_string();
    let packed = Command::new("tar")
        .args(["-cf", &path, "-C", &root, "."])
        .output()
        .await;
    if !packed.map_err(failed)?.status.success() {
        return Err(Failure::new("`tar` cannot pack the floor's image"));
    }
    run(&["import", &path, NAME]).await.map(drop)
}

fn name(number: u32) -> String {
    format!("{NAME}-{number}")
}

/// Run the docker CLI; what it says.
async fn run(words: &[&str]) -> Outcome<String> {
    let output = Command::new("docker").args(words).output().await;
    let output = output.map_err(|error| {
        Failure::new(format!("cannot run docker: {error}"))
            .next("the floor needs the docker CLI; --floor 0 leaves it out")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "docker {}: {}",
        words[0],
        said.trim()
    )))
}
