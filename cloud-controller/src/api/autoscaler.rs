//! `/v1/...` and `/health`: the autoscaler's public API, reached by path on the API listener.
//!
//! Requests are passed on whole and within limits. Who may do what is judged over there, by the
//! caller's own token against this API; nothing of it is decided here.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::context::Context;
use super::error::{Answer, ApiError, Code};
use super::request;

/// Largest request, bytes: a policy with every rule and schedule that it may have is a quarter.
const REQUEST_MAX_BYTES: usize = 1024 * 1024;
/// Largest answer, bytes: a page of decisions is a hundredth.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Longest that the autoscaler may take: its clients wait as long.
const DEADLINE: Duration = Duration::from_secs(30);
/// What of a request's head the autoscaler is told.
const PASSED_ON: [HeaderName; 3] = [AUTHORIZATION, CONTENT_TYPE, ACCEPT];
/// What of an answer's head the caller is told.
const PASSED_BACK: [HeaderName; 2] = [CONTENT_TYPE, RETRY_AFTER];

const ABSENT: &str = "There is no autoscaler on this platform. `cfx up` brings one; elsewhere \
                      start one with `cfx serve autoscaler` and name it in the controller's file";
const SILENT: &str = "The autoscaler does not answer. Try again in a moment.";

pub(super) async fn forward(State(context): State<Context>, request: Request) -> Answer {
    let Some(address) = context.settings.autoscaler else {
        return Err(ApiError::new(Code::ResourceNotFound, ABSENT));
    };
    let (head, body) = request.into_parts();
    let body = request::read(body, REQUEST_MAX_BYTES).await?;
    let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
    let mut asked = http::Request::new(Full::new(body));
    *asked.method_mut() = head.method;
    *asked.uri_mut() = target.parse().map_err(ApiError::internal)?;
    *asked.headers_mut() = chosen(&head.headers, &PASSED_ON);
    let host = HeaderValue::try_from(address.to_string()).map_err(ApiError::internal)?;
    asked.headers_mut().insert(HOST, host);
    let silent = |inside: String| ApiError::unavailable(SILENT, inside);
    match tokio::time::timeout(DEADLINE, exchange(address, asked)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(silent(error.to_string())),
        Err(_) => Err(silent(format!("no answer within {DEADLINE:?}"))),
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// One request over a connection of its own: a handful a second, on one machine or the next.
async fn exchange(
    address: SocketAddr,
    request: http::Request<Full<Bytes>>,
) -> Result<Response, Failed> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?;
        let mut answer = Response::new(Body::from(body.to_bytes()));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = chosen(&head.headers, &PASSED_BACK);
        Ok(answer)
    };
    // When the connection ends early, the answer learns of it and says so.
    let driven = async {
        drop(connection.await);
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = driven => never,
    }
}

fn chosen(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let present = |name: &HeaderName| Some((name.clone(), headers.get(name)?.clone()));
    names.iter().filter_map(present).collect()
}
