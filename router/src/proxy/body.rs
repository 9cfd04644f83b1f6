//! The two bodies of a request. Bytes pass frame by frame and are only counted.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::exchange::{Completion, Exchange};
use super::upstream::Lease;
use crate::server::connection::Client;
use crate::server::core::spawn;

/// Bytes of a body that are read and forgotten after an early answer, as Go's server does.
const LINGER_MAX_BYTES: usize = 256 * 1024;
/// Time that this may take.
const LINGER_TIME: Duration = Duration::from_secs(5);

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request took longer than it may")]
    Deadline,
    #[error(transparent)]
    Transfer(#[from] hyper::Error),
}

/// What the client sends, on its way to an instance.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// None when there is nothing to send.
    incoming: Option<Incoming>,
    exchange: Rc<Exchange>,
}

impl RequestBody {
    pub(crate) fn new(incoming: Option<Incoming>, exchange: Rc<Exchange>) -> Self {
        if incoming.is_none() {
            exchange.request_is_done();
        }
        Self { incoming, exchange }
    }

    /// The client's body, if none of it was sent.
    pub(crate) fn into_incoming(self) -> Option<Incoming> {
        self.incoming
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        let exchange = &this.exchange;
        match &polled {
            Poll::Pending => exchange.client().stall_begins(exchange.core()),
            Poll::Ready(frame) => {
                exchange.client().stall_ends();
                if let Some(Ok(frame)) = frame {
                    exchange.count_in(frame.data_ref().map_or(0, Bytes::len));
                }
                if frame.is_none() || incoming.is_end_stream() {
                    exchange.request_is_done();
                }
            }
        }
        polled.map_err(BodyError::Transfer)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.as_ref().map(Incoming::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

/// Read on for a while after an answer that did not wait for the whole body. Closing at once
/// could reset the connection before the client has seen the answer.
pub(crate) fn linger(mut body: Incoming, client: &Client) {
    if client.http2 {
        return;
    }
    let reading = async move {
        let mut left = LINGER_MAX_BYTES;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    spawn(async move {
        // When the time is over the body is dropped, and the connection with it.
        drop(tokio::time::timeout(LINGER_TIME, reading).await);
    });
}

/// What the client gets.
#[derive(Debug)]
pub(crate) struct ProxyBody {
    content: Content,
    /// Ends the exchange when the body is dropped.
    completion: Option<Completion>,
}

#[derive(Debug)]
enum Content {
    Empty,
    Text(Bytes),
    Stream(Stream),
}

/// The answer of an instance, whose connection goes back to the pool at the clean end.
#[derive(Debug)]
struct Stream {
    incoming: Incoming,
    lease: Option<Lease>,
    exchange: Rc<Exchange>,
    ended: bool,
}

impl ProxyBody {
    pub(crate) fn empty() -> Self {
        Self {
            content: Content::Empty,
            completion: None,
        }
    }

    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => text.into(),
        };
        Self {
            content: Content::Text(bytes),
            completion: None,
        }
    }

    pub(crate) fn streaming(incoming: Incoming, lease: Lease, exchange: Rc<Exchange>) -> Self {
        Self {
            content: Content::Stream(Stream {
                incoming,
                lease: Some(lease),
                exchange,
                ended: false,
            }),
            completion: None,
        }
    }

    pub(crate) fn completes(&mut self, completion: Completion) {
        self.completion = Some(completion);
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Text(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Text(bytes) => bytes.is_empty(),
            Content::Stream(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Text(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let exchange = &self.exchange;
        exchange.client().stall_ends();
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => {
                if exchange.poll_deadline(cx).is_ready() {
                    return Poll::Ready(Some(Err(BodyError::Deadline)));
                }
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Ok(frame))) => {
                exchange.count_out(frame.data_ref().map_or(0, Bytes::len) as u64);
                // Trailers are the last frame there is.
                self.ended = frame.is_trailers();
                exchange.client().stall_begins(exchange.core());
            }
            Poll::Ready(Some(Err(_))) => {}
        }
        polled.map_err(BodyError::Transfer)
    }

    fn is_over(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.is_over()
            && self.exchange.is_request_done()
        {
            lease.give_back(self.exchange.core());
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        // First the connection, then the record: whoever sees the record may count on the
        // connection.
        self.content = Content::Empty;
        drop(self.completion.take());
    }
}
