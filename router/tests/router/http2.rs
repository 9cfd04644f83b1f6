//! HTTP/2 on either side, and across.

use std::net::SocketAddr;

use bytes::Bytes;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_protocol::route::EndpointProtocol;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{Instance, PATIENCE, Router, Setup, endpoint, get, request, route};

const HOST: &str = "app.example.com";

pub(crate) struct Http2Client {
    sender: http2::SendRequest<Full<Bytes>>,
    _tasks: Supervisor,
}

impl Http2Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("ready");
        let tasks = Supervisor::new("test client", Shutdown::new());
        tasks.spawn("connection", OnEnd::Nothing, async move {
            drop(connection.await);
        });
        Self {
            sender,
            _tasks: tasks,
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> (Response<Bytes>, HeaderMap) {
        let exchange = async {
            let answer = self.sender.send_request(request).await.expect("an answer");
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("a body");
            let trailers = body.trailers().cloned().unwrap_or_default();
            (Response::from_parts(head, body.to_bytes()), trailers)
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .expect("in time")
    }
}

fn absolute(path: &str) -> http::request::Builder {
    Request::builder().uri(format!("http://{HOST}{path}"))
}

async fn router_to(instance: &Instance, protocol: EndpointProtocol) -> Router {
    let mut endpoint = endpoint(instance.address, 0);
    endpoint.protocol = protocol;
    Router::serving(Setup::default(), vec![route(HOST, vec![endpoint])]).await
}

#[tokio::test]
async fn an_http2_client_reaches_an_http1_instance() {
    let instance =
        Instance::answering(|seen| Response::new(Full::new(seen.body.clone()).boxed())).await;
    let router = router_to(&instance, EndpointProtocol::Http1).await;
    let mut client = Http2Client::connect(router.http()).await;
    for _ in 0..3 {
        let request = absolute("/x?y")
            .method("POST")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::from("payload"))
            .expect("a request");
        let (answer, _) = client.send(request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.body(), "payload");
    }
    let seen = instance.last();
    assert_eq!(seen.head.version, Version::HTTP_11);
    assert_eq!(seen.head.uri.to_string(), "/x?y");
    assert_eq!(seen.header("host"), HOST);
    assert_eq!(seen.header("cookie"), "a=1; b=2");
    assert_eq!(instance.connections(), 1);
    let envelope = router.log_line("/x?y").await;
    let line = String::from_utf8(envelope.payload).expect("text");
    assert!(line.contains("\"POST /x?y HTTP/2.0\" 200 7 7 "), "{line}");
    router.stop().await;
}

#[tokio::test]
async fn an_http1_client_reaches_an_http2_instance() {
    let instance = Instance::saying("hello").await;
    let router = router_to(&instance, EndpointProtocol::Http2).await;
    for _ in 0..3 {
        let answer = get(router.http(), HOST, "/x").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, "hello")
        );
    }
    let seen = instance.last();
    assert_eq!(seen.head.version, Version::HTTP_2);
    assert_eq!(seen.head.uri.to_string(), format!("http://{HOST}/x"));
    assert_eq!(instance.connections(), 1);
    router.stop().await;
}

#[tokio::test]
async fn trailers_pass_so_that_grpc_works() {
    let instance = Instance::answering(|seen| {
        assert_eq!(seen.header("te"), "trailers");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let body =
            Full::<Bytes>::from("message").with_trailers(std::future::ready(Some(Ok(trailers))));
        let mut answer = Response::new(body.boxed());
        let kind = http::HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert("content-type", kind);
        answer
    })
    .await;
    let router = router_to(&instance, EndpointProtocol::Http2).await;
    let request = absolute("/service/Method")
        .method("POST")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Full::from("question"))
        .expect("a request");
    let (answer, trailers) = Http2Client::connect(router.http())
        .await
        .send(request)
        .await;
    assert_eq!(answer.body(), "message");
    assert_eq!(
        trailers.get("grpc-status").map(http::HeaderValue::as_bytes),
        Some(&b"0"[..])
    );
    router.stop().await;
}

#[tokio::test]
async fn a_router_error_over_http2_carries_no_connection_header() {
    let router = Router::serving(Setup::default(), Vec::new()).await;
    let request = absolute("/").body(Full::default()).expect("a request");
    let (answer, _) = Http2Client::connect(router.http())
        .await
        .send(request)
        .await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.headers()["x-cf-routererror"], "unknown_route");
    router.stop().await;
}

#[tokio::test]
async fn an_http2_instance_that_restarted_is_dialled_again() {
    let first = Instance::saying("first").await;
    let address = first.address;
    let mut router = router_to(&first, EndpointProtocol::Http2).await;
    assert_eq!(get(router.http(), HOST, "/").await.body, "first");
    drop(first);
    let second = Instance::saying("second").await;
    assert_ne!(second.address, address);
    let mut endpoint = endpoint(second.address, 1);
    endpoint.protocol = EndpointProtocol::Http2;
    router.publish(vec![route(HOST, vec![endpoint])]).await;
    assert_eq!(get(router.http(), HOST, "/").await.body, "second");
    router.stop().await;
    drop(request(HOST));
}
