//! The step after preparing: command and environment go to the waiting launcher. It cannot be
//! undone, so it comes last and by itself.

use std::time::Duration;

use cfx_protocol::desired::Work;

use super::env::{APP, Facts, environment};
use super::{HookError, Made, Order, Tools};
use crate::runtime::{ExitRecord, ImageDefaults};
use crate::slot::{Attached, Command, Program, Slot};
use crate::staging;

/// Between two looks whether the launcher has died before it took its command.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Give the first process its command.
pub async fn arm(tools: &Tools, order: &Order, made: &Made) -> Result<Attached, HookError> {
    let slot = Slot::at(made.disk()?.slot.clone());
    let command = command(tools, order, made);
    tokio::select! {
        armed = slot.arm(&command, &tools.clock) => Ok(armed?),
        ended = has_ended(tools, order) => Err(HookError::EndedEarly(ended.status)),
    }
}

/// A launcher that has died will not take its command: no need to wait for that.
async fn has_ended(tools: &Tools, order: &Order) -> ExitRecord {
    loop {
        tools.clock.sleep(LOOK_EVERY).await;
        if let Ok(Some(record)) = tools.runtime.exit_record(order.name()).await {
            return record;
        }
    }
}

fn command(tools: &Tools, order: &Order, made: &Made) -> Command {
    let facts = Facts {
        instance: order.name(),
        index: order.assignment.index,
        cell: tools.cell,
        address: made.address,
        ports: &made.ports,
        image: made.image.as_ref(),
    };
    let mut env = environment(&order.spec, &facts);
    let (program, directory) = match (&order.spec.work, &made.image) {
        (Work::Staging(work), _) => {
            env.extend(staging::builder_env(work));
            (staging::builder_command(work), super::env::HOME.to_owned())
        }
        (work, Some(image)) => (image_program(work, image), image_directory(image)),
        (Work::Process { command, .. }, None) => (
            Program::Shell(command.clone().unwrap_or_else(|| droplet_command(made))),
            APP.to_owned(),
        ),
        (Work::Task { command, .. }, None) => (Program::Shell(command.clone()), APP.to_owned()),
    };
    Command {
        program,
        env: env.into_iter().collect(),
        directory,
    }
}

/// The command that staging found, when the process names none.
fn droplet_command(made: &Made) -> String {
    made.droplet
        .as_deref()
        .and_then(staging::start_command)
        .unwrap_or_else(|| "echo 'No start command was specified or detected.' >&2; exit 1".into())
}

fn image_program(work: &Work, image: &ImageDefaults) -> Program {
    let command = match work {
        Work::Process { command, .. } => command.clone(),
        Work::Task { command, .. } => Some(command.clone()),
        Work::Staging(_) => None,
    };
    match command {
        Some(command) => Program::Exec(vec!["/bin/sh".into(), "-c".into(), command]),
        None => Program::Exec([image.entrypoint.clone(), image.command.clone()].concat()),
    }
}

fn image_directory(image: &ImageDefaults) -> String {
    if image.working_dir.is_empty() {
        "/".to_owned()
    } else {
        image.working_dir.clone()
    }
}
