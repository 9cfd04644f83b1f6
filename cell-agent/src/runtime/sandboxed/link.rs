//! The line to the keeper: many questions at once over one socket, and a keeper that is started
//! again when it has gone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_sandbox::channel::Channel;
use cfx_sandbox::keeper::{Home, reach};
use cfx_sandbox::message::{Answer, Asked, Request, Told};
use cfx_sandbox::{Refusal, SandboxError};
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::NAME;
use crate::hooks::told;
use crate::runtime::{ContainerName, RuntimeError};

/// Hints waiting for the agent. Past it hints are dropped: the agent looks for itself too.
const HINTS_MAX: usize = 1024;
/// How often a question is asked when the keeper goes away before it answers: every question may be
/// repeated, and the next keeper knows what this one did.
const ATTEMPTS: u32 = 2;

/// What the keeper said; none when it went away before.
type Reply = Result<Answer, Refusal>;

/// The keeper of this cell, whichever lives now.
#[derive(Debug)]
pub(super) struct Keeper {
    home: Home,
    supervisor: Supervisor,
    hints: mpsc::Sender<ContainerName>,
    line: tokio::sync::Mutex<Option<Arc<Line>>>,
}

/// One connection. A keeper that is new knows no stacks.
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    /// The same socket, where the reactor looks whether it is ready.
    readiness: UnixStream,
    asked: AtomicU64,
    /// None once it is closed.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>,
    pub(super) stacks: tokio::sync::Mutex<HashSet<String>>,
}

impl Keeper {
    pub(super) fn new(home: Home, supervisor: Supervisor) -> (Self, mpsc::Receiver<ContainerName>) {
        let (hints, receiver) = mpsc::channel(HINTS_MAX);
        let keeper = Self {
            home,
            supervisor,
            hints,
            line: tokio::sync::Mutex::default(),
        };
        (keeper, receiver)
    }

    /// Ask, under a deadline, whichever keeper there is.
    pub(super) async fn ask(
        &self,
        request: Request,
        files: &[OwnedFd],
        action: &'static str,
        after: Duration,
    ) -> Result<Reply, RuntimeError> {
        for _ in 0..ATTEMPTS {
            let line = self.line().await?;
            if let Some(reply) = line.ask(&request, files, action, after).await? {
                return Ok(reply);
            }
        }
        Err(RuntimeError::Unreachable {
            runtime: NAME,
            detail: format!("the keeper went away while it was asked to {action}"),
        })
    }

    /// The line that is open, or a new one.
    pub(super) async fn line(&self) -> Result<Arc<Line>, RuntimeError> {
        let mut line = self.line.lock().await;
        if let Some(line) = line.as_ref().filter(|line| line.is_open()) {
            return Ok(line.clone());
        }
        let home = self.home.clone();
        let reached = tokio::task::spawn_blocking(move || reach(&home)).await;
        let reached = reached.map_err(|error| unreachable(&error))?;
        let channel = reached.map_err(|error| unreachable(&error))?;
        let fresh = Arc::new(Line::new(channel).map_err(|error| unreachable(&error))?);
        let shutdown = self.supervisor.shutdown().clone();
        let (listening, hints) = (fresh.clone(), self.hints.clone());
        self.supervisor
            .spawn("hear the keeper", OnEnd::Nothing, async move {
                tokio::select! {
                    () = listening.hear(&hints) => {}
                    () = shutdown.requested() => {}
                }
                listening.close();
            });
        *line = Some(fresh.clone());
        Ok(fresh)
    }
}

impl Line {
    fn new(channel: Channel) -> io::Result<Self> {
        Ok(Self {
            readiness: UnixStream::from_std(channel.readiness()?)?,
            channel,
            asked: AtomicU64::new(1),
            waiting: Mutex::new(Some(HashMap::new())),
            stacks: tokio::sync::Mutex::default(),
        })
    }

    fn is_open(&self) -> bool {
        self.waiting.lock().is_some()
    }

    /// Whoever waits learns that no answer comes.
    fn close(&self) {
        self.waiting.lock().take();
    }

    /// None: the keeper went away.
    pub(super) async fn ask(
        &self,
        request: &Request,
        files: &[OwnedFd],
        action: &'static str,
        after: Duration,
    ) -> Result<Option<Reply>, RuntimeError> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().as_mut() {
            Some(waiting) => waiting.insert(number, sender),
            None => return Ok(None),
        };
        let asking = async {
            match self.send(number, request, files).await {
                Ok(()) => Ok(receiver.await.ok()),
                Err(error) if is_gone(&error) => {
                    // Whoever listens has not noticed yet; the next one to ask needs another line.
                    self.close();
                    Ok(None)
                }
                Err(error) => Err(unreachable(&error)),
            }
        };
        let answered = tokio::time::timeout(after, asking).await;
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&number);
        }
        answered.map_err(|_| RuntimeError::Deadline {
            runtime: NAME,
            action,
            after,
        })?
    }

    async fn send(&self, number: u64, request: &Request, files: &[OwnedFd]) -> io::Result<()> {
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let request = request.clone();
        let asked = Asked { number, request };
        let send = || self.channel.send(&asked, &files).map_err(plain);
        self.readiness.async_io(Interest::WRITABLE, send).await
    }

    /// Until the keeper goes away.
    async fn hear(&self, hints: &mpsc::Sender<ContainerName>) {
        let receive = || self.channel.receive::<Told>().map_err(plain);
        loop {
            match self.readiness.async_io(Interest::READABLE, receive).await {
                Ok(Some((told, _))) => self.take(told, hints),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the keeper cannot be understood; connecting anew");
                    return;
                }
            }
        }
    }

    fn take(&self, told: Told, hints: &mpsc::Sender<ContainerName>) {
        match told {
            Told::Hello { .. } => {}
            Told::Answer { number, answer } => {
                let mut waiting = self.waiting.lock();
                let sender = waiting.as_mut().and_then(|waiting| waiting.remove(&number));
                // Whoever asked may have given up.
                drop(sender.map(|sender| sender.send(answer)));
            }
            Told::Ended { name } => {
                if let Ok(name) = name.parse()
                    && hints.try_send(name).is_err()
                {
                    tracing::debug!(%name, "the hint of a sandbox's end was dropped");
                }
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::BrokenPipe | Kind::ConnectionReset | Kind::NotConnected
    )
}

/// What waits must stay recognisable as waiting.
fn plain(error: SandboxError) -> io::Error {
    match error {
        SandboxError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

fn unreachable(error: &dyn std::error::Error) -> RuntimeError {
    RuntimeError::Unreachable {
        runtime: NAME,
        detail: told(error),
    }
}
