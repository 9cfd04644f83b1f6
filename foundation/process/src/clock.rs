//! Time as an argument. The only place that reads a clock or sleeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

/// Wall time for people and records, monotonic time for deadlines.
pub trait Time: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;
    /// Since an arbitrary start; never goes back, whatever happens to the wall clock.
    fn monotonic(&self) -> Duration;
}

/// A shared clock; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Clock(Arc<dyn Time>);

impl Clock {
    /// The machine's clock. Under tokio's paused test time its monotonic side is paused too.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime {
            started: monotonic_now(),
        }))
    }

    /// A clock that shows somebody else's time: the simulator's.
    #[must_use]
    pub fn of(time: impl Time + 'static) -> Self {
        Self(Arc::new(time))
    }

    /// A clock that moves only when told.
    #[must_use]
    pub fn manual(start: Timestamp) -> (Self, ManualTime) {
        let manual = ManualTime(Arc::new(Mutex::new((start, Duration::ZERO))));
        (Self(Arc::new(manual.clone())), manual)
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Nanoseconds since 1970, as log envelopes carry them.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        i64::try_from(self.now().as_nanosecond()).unwrap_or(i64::MAX)
    }

    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is where sleeping is allowed"
    )]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[derive(Debug)]
struct SystemTime {
    started: tokio::time::Instant,
}

#[allow(clippy::disallowed_methods, reason = "this is where the clock is read")]
fn monotonic_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

impl Time for SystemTime {
    #[allow(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        monotonic_now().duration_since(self.started)
    }
}

/// The hand on a manual clock.
#[derive(Clone, Debug)]
pub struct ManualTime(Arc<Mutex<(Timestamp, Duration)>>);

impl ManualTime {
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock();
        let wall = time.0.checked_add(by).unwrap_or(Timestamp::MAX);
        *time = (wall, time.1 + by);
    }
}

impl Time for ManualTime {
    fn now(&self) -> Timestamp {
        self.0.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().1
    }
}
