//! Waiting for an exact moment.
//!
//! tokio's timer knows milliseconds; a latency of 20 ms that is measured from a moment one
//! millisecond off is 5 % wrong. The kernel's timers are exact to some microseconds.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// A wait of nothing would disarm the kernel's timer instead.
const LEAST: Duration = Duration::from_nanos(1);

/// Waits. A wait may be dropped half-way and asked for again; it may end early, so whoever waits
/// looks at the clock.
pub(crate) trait Pace {
    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()>;
}

/// One of the kernel's timers.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<Descriptor>);

#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe because a descriptor could change; ours is owned and cannot"
        )]
        Ok(Self(AsyncFd::new(Descriptor(timer))?))
    }

    async fn wait(&self, time: Duration) -> io::Result<()> {
        let at = Expiration::OneShot(TimeSpec::from_duration(time.max(LEAST)));
        // Setting it also forgets an earlier expiry that nobody read.
        self.0.get_ref().0.set(at, TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(read) = ready.try_io(|timer| timer.get_ref().0.wait().map_err(Into::into)) {
                return read;
            }
        }
    }
}

impl Pace for Timer {
    async fn sleep(&mut self, time: Duration) {
        // Fails only when the kernel refuses its own timer.
        drop(self.wait(time).await);
    }
}

#[cfg(test)]
mod tests {
    use cfx_process::clock::Clock;
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_timer_waits_at_least_as_long_as_asked_also_after_one_was_given_up() {
        let clock = Clock::system();
        let mut pace = Timer::new().expect("a timer");
        let given_up = pace.sleep(Duration::from_secs(3_600)).now_or_never();
        assert!(given_up.is_none());
        for micros in [0, 300, 5_000] {
            let before = clock.monotonic();
            pace.sleep(Duration::from_micros(micros)).await;
            assert!(clock.monotonic() - before >= Duration::from_micros(micros));
        }
    }
}
