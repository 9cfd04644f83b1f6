//! The connections of one thread: HTTP/1.1 by hyper's connections directly, plain or over TLS.
//!
//! A request and its connection are driven together by whoever asks, so nothing is spawned and a
//! request that is given up takes its connection with it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ask::{Answer, Ask, WireError};
use super::target::Target;
use crate::client::Stream;

/// Time to connect and finish the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, bytes; a page with everything on it is a tenth of it.
const ANSWER_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes kept of a body that is looked at.
const KEPT_MAX_BYTES: usize = 64 * 1024;
/// What cfx's router, like Cloud Foundry's, says when an answer is its own.
const ROUTER_ERROR: &str = "x-cf-routererror";
/// Longest word of the router that is told apart.
const ROUTER_ERROR_MAX_CHARS: usize = 40;

/// Takes a request to a server and brings the answer.
pub(crate) trait Wire {
    fn exchange(&self, ask: Ask) -> impl Future<Output = Result<Answer, WireError>>;
}

/// To a real server. Idle connections are kept for the next request, newest first.
#[derive(Debug)]
pub(crate) struct HttpWire {
    target: Arc<Target>,
    timeout: Duration,
    idle: RefCell<Vec<Connection>>,
}

impl HttpWire {
    pub(crate) fn new(target: Arc<Target>, timeout: Duration) -> Self {
        Self {
            target,
            timeout,
            idle: RefCell::default(),
        }
    }

    async fn attempt(&self, ask: Ask) -> Result<Answer, WireError> {
        let (is_new, wants_body) = (ask.is_new, ask.wants_body);
        let mut request = self.request(ask);
        let mut is_reused = !is_new;
        loop {
            let idle = is_reused.then(|| self.idle.borrow_mut().pop()).flatten();
            let was_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(&self.target).await?,
            };
            is_reused = !was_new;
            match connection.ask(request, wants_body).await {
                Ok(mut answer) => {
                    answer.was_new = was_new;
                    // A new visitor's connection ends with the visit.
                    if !is_new && connection.is_open() {
                        self.idle.borrow_mut().push(connection);
                    }
                    return Ok(answer);
                }
                // Closed by the server while idle: nothing was sent, so another one may take it.
                Err(Unasked::NotSent(back)) if is_reused => request = *back,
                Err(Unasked::NotSent(_)) => return Err(WireError::Closed),
                Err(Unasked::Failed(error)) => return Err(error),
            }
        }
    }

    fn request(&self, ask: Ask) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(ask.body));
        *request.method_mut() = ask.method;
        // A path that is no path was refused when it was read; the root stands for it here.
        *request.uri_mut() = ask.path.parse().unwrap_or_default();
        *request.headers_mut() = ask.headers;
        let headers = request.headers_mut();
        headers
            .entry(header::HOST)
            .or_insert_with(|| self.target.host.clone());
        request
    }
}

impl Wire for HttpWire {
    async fn exchange(&self, ask: Ask) -> Result<Answer, WireError> {
        tokio::time::timeout(self.timeout, self.attempt(ask))
            .await
            .unwrap_or(Err(WireError::Timeout))
    }
}

/// A request that got no answer.
enum Unasked {
    /// Not a byte of it was sent.
    NotSent(Box<Request<Full<Bytes>>>),
    Failed(WireError),
}

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    driver: Option<Pin<Box<Driver>>>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self, WireError> {
        let opening = async {
            let stream = TcpStream::connect(&target.addresses[..]).await;
            let stream = stream.map_err(|error| connect_error(&error))?;
            drop(stream.set_nodelay(true));
            let stream = match &target.tls {
                None => Stream::Plain(stream),
                Some((connector, name)) => {
                    let tls = connector.connect(name.clone(), stream).await;
                    Stream::Tls(Box::new(tls.map_err(|_| WireError::Tls)?))
                }
            };
            let (sender, driver) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| read_error(&error))?;
            Ok(Self {
                sender,
                driver: Some(Box::pin(driver)),
            })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, opening)
            .await
            .unwrap_or(Err(WireError::ConnectTimeout))
    }

    fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        wants_body: bool,
    ) -> Result<Answer, Unasked> {
        let Self { sender, driver } = self;
        let work = async {
            if sender.ready().await.is_err() {
                return Err(Unasked::NotSent(Box::new(request)));
            }
            let response = sender.try_send_request(request).await;
            let response = response.map_err(|mut error| match error.take_message() {
                Some(request) => Unasked::NotSent(Box::new(request)),
                None => Unasked::Failed(read_error(error.error())),
            })?;
            let answer = read(response, wants_body).await;
            let answer = answer.map_err(Unasked::Failed)?;
            // Until the connection can take another one it is not idle.
            drop(sender.ready().await);
            Ok(answer)
        };
        drive(driver, work).await
    }
}

/// Poll the connection whenever the work on it is polled: before it, so that an answer that is there
/// is taken at once, and after it, so that what it handed over is sent at once.
async fn drive<T>(driver: &mut Option<Pin<Box<Driver>>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        loop {
            turn(driver, context);
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            if !turn(driver, context) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// True when the connection ended in this turn: the work has to hear of it.
fn turn(driver: &mut Option<Pin<Box<Driver>>>, context: &mut Context<'_>) -> bool {
    let ended = driver
        .as_mut()
        .is_some_and(|alive| alive.as_mut().poll(context).is_ready());
    if ended {
        *driver = None;
    }
    ended
}

async fn read(response: Response<Incoming>, wants_body: bool) -> Result<Answer, WireError> {
    let router_error = response.headers().get(ROUTER_ERROR);
    let router_error = router_error.and_then(|value| value.to_str().ok());
    let mut answer = Answer {
        status: response.status().as_u16(),
        router_error: router_error.map(|said| said.chars().take(ROUTER_ERROR_MAX_CHARS).collect()),
        ..Answer::default()
    };
    let mut body = response.into_body();
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| read_error(&error))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        answer.bytes += data.len() as u64;
        if answer.bytes > ANSWER_MAX_BYTES {
            return Err(WireError::TooLarge);
        }
        if wants_body && kept.len() + data.len() <= KEPT_MAX_BYTES {
            kept.extend_from_slice(data);
        }
    }
    answer.body = kept.freeze();
    Ok(answer)
}

fn connect_error(error: &io::Error) -> WireError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => WireError::Refused,
        io::ErrorKind::ConnectionReset => WireError::Reset,
        _ => WireError::Connect,
    }
}

fn read_error(error: &hyper::Error) -> WireError {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return WireError::Closed;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => WireError::Closed,
                _ => WireError::Reset,
            };
        }
        cause = inner.source();
    }
    WireError::Protocol
}

#[cfg(test)]
mod tests;
