//! The API on a real loopback socket.

use std::time::Duration;

use cfx_process::http_server::HttpServer;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::harness::Harness;
use crate::api;

#[tokio::test]
async fn the_api_answers_on_a_socket_and_survives_what_is_thrown_at_it() {
    let harness = Harness::new().await;
    let shutdown = Shutdown::new();
    let supervisor = Supervisor::new("test", shutdown.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let server = HttpServer {
        router: api::router(harness.context.clone()),
        tls: None,
        clock: harness.context.clock.clone(),
        shutdown: shutdown.clone(),
        supervisor: supervisor.clone(),
    };
    supervisor.spawn("api", OnEnd::Nothing, server.run(listener));

    let ask = async |request: &[u8]| {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request).await.expect("writes");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        read.expect("in time").expect("reads");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let root = ask(b"GET / HTTP/1.1\r\nhost: x:1\r\nconnection: close\r\n\r\n").await;
    assert!(root.starts_with("HTTP/1.1 200 OK"), "{root}");
    assert!(root.contains("http://x:1/v3"), "{root}");
    let huge = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-y: {}\r\n\r\n",
        "a".repeat(10_000_000)
    );
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // The server may hang up before all of it is written.
    let written = stream.write_all(huge.as_bytes()).await;
    drop((written, stream));
    let rude = ask(b"\x16\x03\x01nonsense\r\n\r\n").await;
    assert!(
        rude.is_empty() || rude.starts_with("HTTP/1.1 400"),
        "{rude}"
    );
    let post = b"POST /v3/organizations HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-length: 2\r\n\r\n{}";
    assert!(ask(post).await.starts_with("HTTP/1.1 401"), "still there");
    shutdown.request();
    supervisor.join(Duration::from_secs(5)).await;
}
