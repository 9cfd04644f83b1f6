//! New connections to instances.

use std::net::SocketAddr;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::RequestBody;
use crate::server::core::{Core, LocalExecutor, spawn};

/// Why an instance could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("dial tcp: i/o timeout")]
    Timeout,
    #[error("dial tcp: {}", os_message(.0))]
    Refused(std::io::Error),
    #[error("{0}")]
    Handshake(hyper::Error),
}

/// As Go words the common ones.
fn os_message(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

/// A connection that serves one request at a time.
pub(crate) async fn http1(
    core: &Core,
    address: SocketAddr,
) -> Result<http1::SendRequest<RequestBody>, DialError> {
    let stream = connect(core, address).await?;
    let (sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(DialError::Handshake)?;
    spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an instance ended early");
        }
    });
    Ok(sender)
}

/// A connection that serves many requests at once.
pub(crate) async fn http2(
    core: &Core,
    address: SocketAddr,
) -> Result<http2::SendRequest<RequestBody>, DialError> {
    let stream = connect(core, address).await?;
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(DialError::Handshake)?;
    spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection to an instance ended early");
        }
    });
    Ok(sender)
}

async fn connect(core: &Core, address: SocketAddr) -> Result<TcpStream, DialError> {
    core.metrics.dials.add(1);
    let connecting = TcpStream::connect(address);
    let connected = tokio::time::timeout(core.limits.dial_timeout, connecting).await;
    let stream = match connected {
        Ok(connected) => connected.map_err(DialError::Refused),
        Err(_) => Err(DialError::Timeout),
    };
    let stream = stream.inspect_err(|_| core.metrics.dial_failures.add(1))?;
    stream.set_nodelay(true).map_err(DialError::Refused)?;
    Ok(stream)
}
