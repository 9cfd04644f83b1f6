//! Reads one output stream of one instance for as long as it lives.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_protocol::telemetry::Stream;
use parking_lot::Mutex;
use tokio::net::unix::pipe;

use super::Voice;
use super::budget::Budget;
use super::limit::{RateLimit, Verdict, notice};
use super::lines::Lines;

/// Bytes of one read: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;
/// Bytes within a second that are read without looking at the budget.
const QUIET_BYTES: u64 = 256 * 1024;

/// What both streams of an instance share.
#[derive(Debug)]
pub struct Channel {
    pub voice: Voice,
    pub clock: Clock,
    pub budget: Arc<Budget>,
    limit_bytes: Option<u64>,
    limit: Mutex<RateLimit>,
    /// Bytes delivered since the start.
    delivered: AtomicU64,
}

impl Channel {
    #[must_use]
    pub fn new(voice: Voice, limit_bytes: Option<u64>, budget: Arc<Budget>, clock: Clock) -> Self {
        let limit = Mutex::new(RateLimit::new(limit_bytes, clock.monotonic()));
        Self {
            voice,
            clock,
            budget,
            limit_bytes,
            limit,
            delivered: AtomicU64::new(0),
        }
    }

    /// Bytes delivered since the start.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    fn take(&self, stream: Stream, line: &[u8], now: Duration) {
        let bytes = line.len() as u64;
        let verdict = self.limit.lock().judge(bytes, now);
        match verdict {
            Verdict::Pass => {
                self.delivered.fetch_add(bytes, Ordering::Relaxed);
                self.voice.app(stream, line.to_vec());
            }
            Verdict::Drop => {}
            Verdict::DropWithNotice => {
                self.voice.aside(&notice(self.limit_bytes.unwrap_or(0)));
            }
        }
    }
}

/// Returns at the end of the stream.
pub async fn read(channel: Arc<Channel>, stream: Stream, pipe: pipe::Receiver) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut loudness = Loudness::default();
    while pipe.readable().await.is_ok() {
        let before = channel.clock.monotonic();
        let count = match pipe.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => {
                tracing::debug!(%error, "an output stream broke");
                break;
            }
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        lines.feed(bytes, |line| channel.take(stream, line, before));
        if loudness.is_loud(count as u64, before) {
            let now = channel.clock.monotonic();
            let pause = channel.budget.charge(now.saturating_sub(before), now);
            if !pause.is_zero() {
                channel.clock.sleep(pause).await;
            }
        }
    }
    let now = channel.clock.monotonic();
    lines.finish(|line| channel.take(stream, line, now));
}

/// How much came within the present second.
#[derive(Debug, Default)]
struct Loudness {
    second: u64,
    bytes: u64,
}

impl Loudness {
    fn is_loud(&mut self, bytes: u64, now: Duration) -> bool {
        if now.as_secs() != self.second {
            *self = Self {
                second: now.as_secs(),
                bytes: 0,
            };
        }
        self.bytes += bytes;
        self.bytes > QUIET_BYTES
    }
}
