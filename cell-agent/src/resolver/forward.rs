//! Asks the machine's name servers, byte for byte, under limits.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Questions on their way upstream at once, of the whole cell: each holds a socket.
const IN_FLIGHT_MAX: usize = 512;
/// ... and of one instance, so that none can take all.
const IN_FLIGHT_EACH_MAX: usize = 64;
/// How long one name server may take; the client asks again after 2 s by itself.
const UPSTREAM_TIMEOUT: Duration = Duration::from_millis(1_800);
/// Largest answer over UDP: what clients offer at most, with room to spare.
const DATAGRAM_MAX: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Forwarder {
    upstreams: Vec<SocketAddr>,
    in_flight: Mutex<HashMap<IpAddr, usize>>,
}

/// How the client asked, and so how its question travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// A place among the questions on their way; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    forwarder: Arc<Forwarder>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut in_flight = self.forwarder.in_flight.lock();
        if let Some(count) = in_flight.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                in_flight.remove(&self.client);
            }
        }
    }
}

impl Forwarder {
    pub(super) fn new(upstreams: Vec<SocketAddr>) -> Self {
        Self {
            upstreams,
            in_flight: Mutex::default(),
        }
    }

    /// A place for one more question of a client; none when it, or the cell, has too many.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut in_flight = self.in_flight.lock();
        let all: usize = in_flight.values().sum();
        let own = in_flight.get(&client).copied().unwrap_or(0);
        if all >= IN_FLIGHT_MAX || own >= IN_FLIGHT_EACH_MAX {
            return None;
        }
        in_flight.insert(client, own + 1);
        Some(Place {
            forwarder: self.clone(),
            client,
        })
    }

    /// The first answer of a name server; none when none answers in time.
    pub(super) async fn ask(&self, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
        for upstream in &self.upstreams {
            let asking = async {
                match transport {
                    Transport::Udp => ask_udp(*upstream, request).await,
                    Transport::Tcp => ask_tcp(*upstream, request).await,
                }
            };
            match tokio::time::timeout(UPSTREAM_TIMEOUT, asking).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%upstream, %error, "a name server failed"),
                Err(_) => tracing::debug!(%upstream, "a name server did not answer in time"),
            }
        }
        None
    }
}

/// A socket for each question: its port is random and it takes datagrams of the server alone, so
/// that nobody can slip in an answer.
async fn ask_udp(upstream: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let local: IpAddr = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(upstream).await?;
    socket.send(request).await?;
    let mut answer = vec![0; DATAGRAM_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer.first_chunk::<2>() == request.first_chunk() {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_tcp(upstream: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    write_message(&mut stream, request).await?;
    read_message(&mut stream)
        .await?
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Over TCP a message has its length before it.
pub(super) async fn write_message<W>(stream: &mut W, message: &[u8]) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// The next message; none at the end of the stream.
pub(super) async fn read_message<R>(stream: &mut R) -> io::Result<Option<Vec<u8>>>
where
    R: AsyncRead + Unpin,
{
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}
