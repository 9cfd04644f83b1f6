//! How this cell calls the engine: one connection setting, one deadline for each kind of call.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::NAME;
use crate::runtime::RuntimeError;

/// A healthy daemon answers at once; past this the cell stops taking work.
pub(super) const PING: Duration = Duration::from_secs(1);
/// Reads the daemon's own memory.
pub(super) const INSPECT: Duration = Duration::from_secs(2);
/// Lists what may be hundreds of containers.
pub(super) const LIST: Duration = Duration::from_secs(10);
/// Makes a layer on disk; a start storm queues here.
pub(super) const CREATE: Duration = Duration::from_secs(60);
/// Makes namespaces and the first process.
pub(super) const START: Duration = Duration::from_secs(30);
/// Only sends a signal, but waits for the lock of a container that is starting.
/// Kills, unmounts and deletes a layer; a stuck one must not hold a drain.
pub(super) const REMOVE: Duration = Duration::from_secs(30);
/// An image may be gigabytes behind a slow registry.
pub(super) const PULL: Duration = Duration::from_secs(15 * 60);
/// The stack image is a few kilobytes.
pub(super) const IMPORT: Duration = Duration::from_secs(30);

/// The client's own limit for a call, seconds: over the longest of the deadlines above, so that
/// only those count.
const CLIENT_TIMEOUT_S: u64 = 16 * 60;

pub(super) async fn connect(socket: &Path) -> Result<Docker, RuntimeError> {
    let unreachable = |error: Error| RuntimeError::Unreachable {
        runtime: NAME,
        detail: error.to_string(),
    };
    let path = socket.to_string_lossy();
    let client = Docker::connect_with_unix(&path, CLIENT_TIMEOUT_S, API_DEFAULT_VERSION)
        .map_err(unreachable)?;
    tokio::time::timeout(INSPECT, client.negotiate_version())
        .await
        .map_err(|_| deadline("agree on a version", INSPECT))?
        .map_err(unreachable)
}

/// A call under its deadline.
pub(super) async fn bounded<T>(
    action: &'static str,
    after: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, RuntimeError> {
    plain(action, after, call)
        .await?
        .map_err(|error| failed(action, &error))
}

/// A call under its deadline, of which some errors are answers.
pub(super) async fn plain<T>(
    action: &'static str,
    after: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, RuntimeError> {
    tokio::time::timeout(after, call)
        .await
        .map_err(|_| deadline(action, after))
}

fn deadline(action: &'static str, after: Duration) -> RuntimeError {
    RuntimeError::Deadline {
        runtime: NAME,
        action,
        after,
    }
}

pub(super) fn failed(action: &'static str, error: &Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { message, .. } => RuntimeError::Failed {
            runtime: NAME,
            action,
            detail: message.clone(),
        },
        Error::DockerStreamError { error } => RuntimeError::Failed {
            runtime: NAME,
            action,
            detail: error.clone(),
        },
        Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::IOError { .. }
        | Error::SocketNotFoundError(_) => RuntimeError::Unreachable {
            runtime: NAME,
            detail: error.to_string(),
        },
        _ => RuntimeError::Failed {
            runtime: NAME,
            action,
            detail: error.to_string(),
        },
    }
}

/// The status the engine answered with.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}
