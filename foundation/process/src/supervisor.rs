//! Every task has a name, an owner and a failure policy. The only place that spawns.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;

/// What the end of a task before the wish to stop means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEnd {
    /// The component cannot live without it: stop the component.
    StopComponent,
    /// It did its work.
    Nothing,
}

/// Owns the tasks of one component.
#[derive(Clone)]
pub struct Supervisor {
    component: &'static str,
    shutdown: Shutdown,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    #[must_use]
    pub fn new(component: &'static str, shutdown: Shutdown) -> Self {
        Self {
            component,
            shutdown,
            tasks: Arc::default(),
        }
    }

    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Start a task. Ended tasks are forgotten at the next spawn, so short ones cost nothing.
    pub fn spawn<F>(&self, name: &'static str, on_end: OnEnd, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        let component = self.component;
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let guard = EndGuard {
                component,
                name,
                on_end,
                shutdown,
            };
            future.await;
            drop(guard);
        });
    }

    /// Wait until all tasks have ended; past the deadline they are aborted.
    pub async fn join(&self, deadline: Duration) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!(
                component = self.component,
                ?deadline,
                "tasks did not stop in time and were aborted"
            );
            tasks.abort_all();
        }
    }
}

/// Runs when the task ends in whichever way, by panic too.
struct EndGuard {
    component: &'static str,
    name: &'static str,
    on_end: OnEnd,
    shutdown: Shutdown,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                component = self.component,
                task = self.name,
                "a task panicked"
            );
        }
        if self.on_end == OnEnd::StopComponent && !self.shutdown.is_requested() {
            tracing::error!(
                component = self.component,
                task = self.name,
                "a task that must not end has ended"
            );
            self.shutdown.request();
        }
    }
}
