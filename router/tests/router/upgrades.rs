//! WebSockets and other upgrades.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Instance, PATIENCE, Router, Setup, endpoint, eventually, route};

const HOST: &str = "app.example.com";
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: app.example.com\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("more"));
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("a head");
    String::from_utf8(head).expect("text")
}

/// Agrees to the upgrade and sends everything back.
async fn echo() -> Instance {
    Instance::raw(|mut stream| {
        Box::pin(async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
            assert!(head.contains("\r\nConnection: Upgrade\r\n"), "{head}");
            assert!(head.contains("\r\nSec-Websocket-Key: k\r\n"), "{head}");
            let agree = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\nfirst";
            stream.write_all(agree.as_bytes()).await.expect("sends");
            let (mut read, mut write) = stream.split();
            drop(tokio::io::copy(&mut read, &mut write).await);
        })
    })
    .await
}

#[tokio::test]
async fn bytes_flow_both_ways_until_one_side_ends() {
    let instance = echo().await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let mut stream = TcpStream::connect(router.http()).await.expect("connects");
    stream.write_all(ASK.as_bytes()).await.expect("sends");
    let head = read_head(&mut stream).await;
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nSec-Websocket-Accept: a\r\n"), "{head}");
    assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.expect("sent at once");
    assert_eq!(&first, b"first");
    for message in [&b"\n\nbare\n"[..], b"\0\xff"] {
        stream.write_all(message).await.expect("sends");
        let mut echoed = vec![0; message.len()];
        stream.read_exact(&mut echoed).await.expect("comes back");
        assert_eq!(echoed, message);
    }
    assert_eq!(router.metric("cfx_router_requests_in_flight"), 1.0);
    assert_eq!(router.metric("cfx_router_upgrades_total"), 1.0);
    stream.shutdown().await.expect("half closed");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("closed");
    assert!(rest.is_empty());
    let envelope = router.log_line("/ws").await;
    let line = String::from_utf8(envelope.payload).expect("text");
    assert!(line.contains("\" 101 9 14 "), "{line}");
    assert_eq!(router.metric("cfx_router_requests_in_flight"), 0.0);
    router.stop().await;
}

#[tokio::test]
async fn draining_waits_for_an_upgraded_connection_and_then_cuts_it() {
    let instance = echo().await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let mut setup = Setup::default();
    setup.drain.timeout = std::time::Duration::from_millis(300);
    let router = Router::serving(setup, routes).await;
    let mut stream = TcpStream::connect(router.http()).await.expect("connects");
    stream.write_all(ASK.as_bytes()).await.expect("sends");
    read_head(&mut stream).await;
    router.shutdown.request();
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.expect("sent at once");
    stream.write_all(b"still").await.expect("sends");
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.expect("still works");
    let mut rest = Vec::new();
    drop(
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .expect("cut"),
    );
    router.stop().await;
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_502() {
    let instance = Instance::raw(|mut stream| {
        Box::pin(async move {
            let head = read_head(&mut stream).await;
            assert!(head.starts_with("GET"));
            let agree =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
            stream.write_all(agree.as_bytes()).await.expect("sends");
        })
    })
    .await;
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(Setup::default(), routes).await;
    let answer = crate::support::get(router.http(), HOST, "/").await;
    assert_eq!(answer.status.as_u16(), 502);
    let _requests = eventually(&mut instance.requests(), |_| true).await;
    router.stop().await;
}
