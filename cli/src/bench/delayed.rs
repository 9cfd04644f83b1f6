//! A server of known delay: what `bench load` measures.

use std::convert::Infallible;
use std::time::Duration;

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
use crate::load::{Pace, Timer, real_time};

/// Answer every request this long after it came, until the process ends. The first line says where.
pub(super) async fn serve(context: &Context, micros: u32) -> Outcome {
    // Else the delay is what the scheduler makes of it, and no longer known.
    real_time();
    let delay = Duration::from_micros(micros.into());
    let failed = |error: std::io::Error| Failure::new(format!("cannot listen: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    context.terminal.say(address.to_string());
    let supervisor = Supervisor::new("delayed", Shutdown::new());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        drop(stream.set_nodelay(true));
        supervisor.spawn("connection", OnEnd::Nothing, async move {
            let answer = service_fn(move |_| async move {
                // Without a timer the answer comes at once, and the bench shows it.
                if let Ok(mut timer) = Timer::new() {
                    timer.sleep(delay).await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer);
            // The generator closes its connections as it likes.
            drop(served.await);
        });
    }
}
