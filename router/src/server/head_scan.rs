//! Watches the bytes of an HTTP/1 connection for heads that two parsers could read differently.
//!
//! hyper accepts a bare LF as line end and, given Content-Length and Transfer-Encoding, silently
//! prefers the latter. Both are legal readings, and both are how requests are smuggled past a
//! proxy in front of this one. Neither can be seen above hyper, so this wrapper follows the
//! framing of the connection and, on such a head, gives hyper bytes that it answers with 400 and
//! closes. It never changes what it lets through, and bodies are skipped without a look.

mod scanner;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::scanner::{Refused, Scanner};

/// What hyper reads in place of a refused head: invalid, and complete.
const POISON: &[u8] = b"\0\r\n\r\n";

/// What the scan tells the task that serves the connection.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    head_open: AtomicBool,
}

impl Signals {
    /// A head has begun and is not complete.
    pub(crate) fn head_is_open(&self) -> bool {
        self.head_open.load(Ordering::Relaxed)
    }
}

/// Reads through to `inner`, scanning.
#[derive(Debug)]
pub(crate) struct HeadScan<S> {
    inner: S,
    scanner: Scanner,
    signals: Arc<Signals>,
    /// How much of `POISON` was given out, once a head is refused.
    poisoned: Option<usize>,
}

impl<S> HeadScan<S> {
    pub(crate) fn new(inner: S, signals: Arc<Signals>) -> Self {
        Self {
            inner,
            scanner: Scanner::default(),
            signals,
            poisoned: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadScan<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(given) = &mut this.poisoned {
            return give_poison(given, buffer);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        if let Err(Refused(at)) = this.scanner.scan(&buffer.filled()[before..]) {
            buffer.set_filled(before + at);
            return give_poison(this.poisoned.insert(0), buffer);
        }
        let inside_head = this.scanner.is_inside_head();
        this.signals.head_open.store(inside_head, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Once all is given, nothing more comes: hyper answers and closes.
fn give_poison(given: &mut usize, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let rest = &POISON[*given..];
    if rest.is_empty() {
        return Poll::Pending;
    }
    let count = rest.len().min(buffer.remaining());
    buffer.put_slice(&rest[..count]);
    *given += count;
    Poll::Ready(Ok(()))
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadScan<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
