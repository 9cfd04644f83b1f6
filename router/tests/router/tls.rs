//! TLS listeners: certificates by name, replaced while running, and ALPN.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cfx_process::identity::Authority;
use cfx_process::tls::{chain, joining_client};
use cfx_router::{Certificate, Certificates};
use http::{Request, StatusCode, Version};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Instance, PATIENCE, Router, Setup, endpoint, route};

const HOST: &str = "app.apps.example.com";

struct Pki {
    authority: Authority,
    _folder: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let now = cfx_process::clock::Clock::system().now();
        let authority = Authority::load_or_create(folder.path(), now).expect("an authority");
        Self {
            authority,
            _folder: folder,
        }
    }

    fn certificate(&self, name: &str) -> Certificate {
        let now: Timestamp = cfx_process::clock::Clock::system().now();
        let issued = self
            .authority
            .issue_server(&[name.to_owned()], now)
            .expect("issued");
        Certificate {
            certificate: issued.certificate,
            key: issued.key,
        }
    }

    async fn connect(&self, address: SocketAddr, name: &str, alpn: &[u8]) -> TlsStream<TcpStream> {
        let config = joining_client(self.authority.certificate()).expect("a client");
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(address).await.expect("connects");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let connected = tokio::time::timeout(PATIENCE, connecting)
            .await
            .expect("in time");
        connected.expect("a trusted certificate")
    }
}

fn presented(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let certificates = stream.get_ref().1.peer_certificates().expect("presented");
    certificates[0].to_vec()
}

fn der(certificate: &Certificate) -> Vec<u8> {
    chain(&certificate.certificate).expect("PEM")[0].to_vec()
}

#[tokio::test]
async fn the_certificate_follows_the_name_and_is_replaced_without_a_restart() {
    let pki = Pki::new();
    let (default, own) = (
        pki.certificate("*.apps.example.com"),
        pki.certificate("special.example.com"),
    );
    let certificates = Certificates::single(&default).expect("usable");
    let setup = Setup {
        certificates: certificates.clone(),
        ..Setup::default()
    };
    let router = Router::serving(setup, Vec::new()).await;
    let stream = pki.connect(router.https(), HOST, b"http/1.1").await;
    assert_eq!(presented(&stream), der(&default));
    let named = [("special.example.com".to_owned(), own.clone())];
    certificates
        .replace(Some(&default), &named)
        .expect("usable");
    let stream = pki
        .connect(router.https(), "special.example.com", b"http/1.1")
        .await;
    assert_eq!(presented(&stream), der(&own));
    let broken = Certificate {
        certificate: own.certificate.clone(),
        key: "nonsense".to_owned(),
    };
    certificates
        .replace(Some(&broken), &[])
        .expect_err("not a key");
    let stream = pki.connect(router.https(), HOST, b"http/1.1").await;
    assert_eq!(presented(&stream), der(&default));
    router.stop().await;
}

#[tokio::test]
async fn requests_over_tls_are_told_apart_and_may_speak_http2() {
    let pki = Pki::new();
    let instance = Instance::saying("hello").await;
    let certificate = pki.certificate("*.apps.example.com");
    let setup = Setup {
        certificates: Certificates::single(&certificate).expect("usable"),
        ..Setup::default()
    };
    let routes = vec![route(HOST, vec![endpoint(instance.address, 0)])];
    let router = Router::serving(setup, routes).await;
    let mut stream = pki.connect(router.https(), HOST, b"http/1.1").await;
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    drop(stream.read_to_string(&mut answer).await);
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(instance.last().header("x-forwarded-proto"), "https");

    let stream = pki.connect(router.https(), HOST, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.expect("ready");
    let request = Request::builder()
        .uri(format!("https://{HOST}/"))
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer.expect("an answer"),
        ended = connection => panic!("ended: {ended:?}"),
    };
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    router.stop().await;
}
