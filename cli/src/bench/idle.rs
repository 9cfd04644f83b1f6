//! `bench idle`: memory of a whole platform that has nothing to do.

use std::net::TcpListener;
use std::time::Duration;

use super::child::{Memory, Subject};
use super::{Reading, show};
use crate::args::BenchIdleArgs;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::platform;

pub(super) async fn bench(context: &Context, args: &BenchIdleArgs) -> Outcome {
    let folder = tempfile::Builder::new().prefix("cfx-bench-").tempdir();
    let folder = folder.map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ports = free_ports()?;
    let [api, http, https] = ports.map(|port| port.to_string());
    let (data, home) = (path("data"), path("home"));
    let up = [
        "up",
        "--data",
        &data,
        "--api-port",
        &api,
        "--http-port",
        &http,
        "--https-port",
        &https,
    ];
    let progress = context.terminal.progress("starting a platform of its own");
    let started = context.clock.monotonic();
    let (subject, _) = Subject::start(&up, &[("CFX_HOME", &home), ("NO_COLOR", "1")]).await?;
    let ready = context
        .clock
        .monotonic()
        .saturating_sub(started)
        .as_secs_f64();
    let (bare, _) = Subject::start(&["bench", "bare"], &[]).await?;
    progress.message("letting it settle");
    context
        .clock
        .sleep(Duration::from_secs(args.settle.into()))
        .await;
    let (platform, floor) = (subject.memory()?, bare.memory()?);
    let cpu = subject.cpu_seconds()?;
    context
        .clock
        .sleep(Duration::from_secs(args.settle.into()))
        .await;
    let idle_cpu = (subject.cpu_seconds()? - cpu) / f64::from(args.settle);
    drop(progress);
    subject.end().await?;
    bare.end().await?;
    show(
        context,
        &readings(platform, floor, ready, idle_cpu),
        args.json,
    )
}

fn readings(platform: Memory, floor: Memory, ready: f64, idle_cpu: f64) -> Vec<Reading> {
    let floor_is = "a process of the same binary that only waits";
    let reading = |measure: &str, unit, value, floor| {
        Reading::new("idle", measure, unit, floor_is, vec![value], vec![floor])
    };
    vec![
        reading(
            "resident memory of controller, router and cell",
            "MiB",
            platform.resident_mib,
            floor.resident_mib,
        ),
        reading(
            "proportional memory of the same",
            "MiB",
            platform.proportional_mib,
            floor.proportional_mib,
        ),
        reading("CPU when idle", "of a core", idle_cpu, 0.0),
        reading("time to ready, first start", "s", ready, 0.0),
    ]
}

/// Ports that were free a moment ago.
pub(super) fn free_ports() -> Outcome<[u16; 3]> {
    let none = |error: std::io::Error| Failure::new(format!("no free port: {error}"));
    let mut held = Vec::new();
    let mut ports = [0; 3];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(none)?;
        *port = listener.local_addr().map_err(none)?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The floor: a runtime with its threads, and nothing on it.
pub(super) async fn bare(context: &Context) -> Outcome {
    context.terminal.say("waiting");
    platform::interrupted().await;
    Ok(())
}
