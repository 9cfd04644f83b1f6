//! The wire against a real server on loopback that behaves well, badly, and not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{HttpWire, Wire};
use crate::client::Trust;
use crate::load::ask::{Answer, Ask, WireError};
use crate::load::target::{Rules, Target};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU32>,
    tasks: Supervisor,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.shutdown().request();
    }
}

impl Server {
    /// Says `answer` to each request; closes after so many on one connection.
    async fn start(answer: &'static str, requests_max: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicU32::new(0));
        let tasks = Supervisor::new("server", Shutdown::new());
        let (count, owner) = (Arc::clone(&connections), tasks.clone());
        tasks.spawn("accept", OnEnd::Nothing, async move {
            while let Some(Ok((stream, _))) = owner.shutdown().or(listener.accept()).await {
                count.fetch_add(1, Ordering::Relaxed);
                owner.spawn("connection", OnEnd::Nothing, async move {
                    serve(stream, answer, requests_max).await;
                });
            }
        });
        Self {
            address,
            connections,
            tasks,
        }
    }

    async fn wire(&self, timeout: Duration) -> HttpWire {
        let rules = Rules {
            trust: Trust::System,
            connect_to: None,
            allow_remote: false,
        };
        let url = format!("http://{}/", self.address);
        let target = Target::resolve(&url, &rules).await.expect("an address");
        HttpWire::new(Arc::new(target), timeout)
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, answer: &str, requests_max: u32) {
    let mut buffer = vec![0; 4_096];
    for _ in 0..requests_max {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn ask(is_new: bool) -> Ask {
    Ask {
        method: Method::GET,
        path: "/".into(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        is_new,
        wants_body: true,
    }
}

const LONG: Duration = Duration::from_secs(30);

async fn one(answer: &'static str) -> Result<Answer, WireError> {
    let server = Server::start(answer, 1).await;
    server.wire(LONG).await.exchange(ask(false)).await
}

#[tokio::test]
async fn idle_connections_are_used_again_and_new_visitors_bring_their_own() {
    let server = Server::start(OK, u32::MAX).await;
    let wire = server.wire(LONG).await;
    for round in 0..5 {
        let answer = wire.exchange(ask(false)).await.expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
        assert_eq!(answer.was_new, round == 0);
    }
    assert_eq!(server.connections(), 1);
    for _ in 0..3 {
        assert!(wire.exchange(ask(true)).await.expect("an answer").was_new);
    }
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced_without_a_failure() {
    let server = Server::start(OK, 1).await;
    let wire = server.wire(LONG).await;
    for round in 1..=4 {
        let answer = wire.exchange(ask(false)).await.expect("an answer");
        assert!(answer.was_new);
        assert_eq!(server.connections(), round);
        // Until the close has come here: it is on loopback, so that is a matter of turns.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_goes_wrong_has_its_name() {
    for (answer, error) in [
        ("", WireError::Closed),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            WireError::Closed,
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", WireError::Protocol),
    ] {
        assert_eq!(one(answer).await.expect_err(answer), error, "{answer:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = Server {
        address: listener.local_addr().expect("an address"),
        connections: Arc::default(),
        tasks: Supervisor::new("nobody", Shutdown::new()),
    };
    let wire = server.wire(Duration::from_millis(50)).await;
    let late = wire.exchange(ask(false)).await;
    assert_eq!(late.expect_err("nobody answers"), WireError::Timeout);
    drop(listener);
    let refused = wire.exchange(ask(false)).await;
    assert_eq!(refused.expect_err("nobody listens"), WireError::Refused);
}

#[tokio::test]
async fn the_routers_own_answers_are_told_from_the_apps() {
    let answer = one(
        "HTTP/1.1 502 Bad Gateway\r\nX-Cf-RouterError: endpoint_failure (EOF)\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.router_error.as_deref(),
        Some("endpoint_failure (EOF)")
    );
}
