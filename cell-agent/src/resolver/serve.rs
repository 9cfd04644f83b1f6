//! The two servers: datagrams and connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::supervisor::{OnEnd, Supervisor};
use hickory_proto::op::ResponseCode;
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::answer::{Decision, Zones, failure};
use super::forward::{Forwarder, Transport, read_message, write_message};

/// Largest question over UDP; real ones stay under 512.
const REQUEST_MAX: usize = 4 * 1024;
/// Connections at once: names go over UDP, and only what does not fit comes here.
const CONNECTIONS_MAX: usize = 128;
/// How long a connection may be silent.
const IDLE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) zones: Arc<RwLock<Zones>>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) supervisor: Supervisor,
}

impl Server {
    pub(super) async fn serve_udp(&self, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; REQUEST_MAX];
        loop {
            let (length, client) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An earlier answer could not be delivered: not this socket's trouble.
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be received");
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            let request = buffer.get(..length).unwrap_or_default();
            let decision = self.zones.read().decide(request);
            match decision {
                Decision::Ignore => {}
                Decision::Reply(reply) => send(&socket, &reply, client).await,
                Decision::Forward => {
                    let server = self.clone();
                    let (socket, request) = (socket.clone(), request.to_vec());
                    let forward = async move {
                        let reply = server.forward(&request, client.ip(), Transport::Udp);
                        if let Some(reply) = reply.await {
                            send(&socket, &reply, client).await;
                        }
                    };
                    self.supervisor
                        .spawn("resolver question", OnEnd::Nothing, forward);
                }
            }
        }
    }

    pub(super) async fn serve_tcp(&self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let (stream, client) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            let server = self.clone();
            self.supervisor
                .spawn("resolver connection", OnEnd::Nothing, async move {
                    if let Err(error) = server.serve_connection(stream, client).await {
                        tracing::debug!(%client, %error, "a connection ended early");
                    }
                    drop(place);
                });
        }
    }

    async fn serve_connection(&self, mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
        loop {
            let next = tokio::time::timeout(IDLE_MAX, read_message(&mut stream)).await;
            let Ok(Some(request)) = next.unwrap_or(Ok(None)) else {
                return Ok(());
            };
            let decision = self.zones.read().decide(&request);
            let reply = match decision {
                Decision::Ignore => return Ok(()),
                Decision::Reply(reply) => Some(reply),
                Decision::Forward => self.forward(&request, client.ip(), Transport::Tcp).await,
            };
            if let Some(reply) = reply {
                tokio::time::timeout(IDLE_MAX, write_message(&mut stream, &reply)).await??;
            }
        }
    }

    /// The upstream's answer, or the word that there was none.
    async fn forward(
        &self,
        request: &[u8],
        client: IpAddr,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let Some(_place) = self.forwarder.admit(client) else {
            tracing::debug!(%client, "too many questions at once");
            return failure(request, ResponseCode::ServFail);
        };
        let answer = self.forwarder.ask(request, transport).await;
        answer.or_else(|| failure(request, ResponseCode::ServFail))
    }
}

async fn send(socket: &UdpSocket, reply: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(reply, client).await {
        tracing::debug!(%client, %error, "an answer could not be sent");
    }
}
