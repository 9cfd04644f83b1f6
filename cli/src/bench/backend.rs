//! The server that `bench router` asks, with and without a router in between: one short answer.

use std::convert::Infallible;

use bytes::Bytes;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::{OnEnd, Supervisor};
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Bytes of the answer.
const ANSWER: &[u8] = &[b'x'; 1024];

/// Serve until the process ends. The first line says where.
pub(super) async fn serve(context: &Context) -> Outcome {
    let listener = listen().await?;
    let address = listener.local_addr();
    let address = address.map_err(|error| Failure::new(format!("no address: {error}")))?;
    context.terminal.say(address.to_string());
    let supervisor = Supervisor::new("backend", Shutdown::new());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        drop(stream.set_nodelay(true));
        supervisor.spawn("connection", OnEnd::Nothing, async move {
            let answer = service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(ANSWER))))
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer);
            // The generator closes its connections as it likes.
            drop(served.await);
        });
    }
}

async fn listen() -> Outcome<TcpListener> {
    TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| Failure::new(format!("cannot listen: {error}")))
}
