//! The live side of one armed start: its output is read, its end is seen, its health is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cfx_protocol::desired::Work;
use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::InstanceState;
use cfx_protocol::telemetry::Stream;
use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{News, Shared};
use crate::health::{Finding, Monitor, Unheard};
use crate::hooks::{Made, Order};
use crate::logs::reader::{self, Channel};
use crate::runtime::{ExitRecord, Signal};
use crate::slot::{Attached, Slot};

/// How long the end of an instance is not told for the sake of its last output: within 200 ms it
/// must be out of its routes.
const LAST_WORDS_SOON: Duration = Duration::from_millis(100);
/// How long its last output is read after that.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);
/// How often the runtime is asked how a start ended, and the pause between.
const ASKS_MAX: u32 = 20;
const ASK_PAUSE: Duration = Duration::from_millis(50);
/// The exit status of a process that was killed.
const STATUS_KILLED: i32 = 137;

/// How a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub status: i32,
    pub out_of_memory: bool,
    /// Its time was up.
    pub expired: bool,
    /// Neither the launcher nor the runtime knows how it ended.
    pub lost: bool,
}

impl Exit {
    pub const LOST: Self = Self {
        status: STATUS_KILLED,
        out_of_memory: false,
        expired: false,
        lost: true,
    };
}

#[derive(Debug)]
pub struct Standing {
    pub order: Order,
    pub made: Made,
    /// None until it is armed.
    channel: Mutex<Option<Arc<Channel>>>,
    exit: watch::Sender<Option<Exit>>,
    /// Its time was up.
    expired: AtomicBool,
    /// The kernel killed a part of it at its memory limit.
    out_of_memory: AtomicBool,
    /// Ends the monitor and the wait for the end.
    watching: CancellationToken,
}

impl Standing {
    #[must_use]
    pub fn new(order: Order, made: Made) -> Arc<Self> {
        Arc::new(Self {
            order,
            made,
            channel: Mutex::new(None),
            exit: watch::Sender::new(None),
            expired: AtomicBool::new(false),
            out_of_memory: AtomicBool::new(false),
            watching: CancellationToken::new(),
        })
    }

    #[must_use]
    pub fn assignment(&self) -> AssignmentGuid {
        self.order.assignment.guid
    }

    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Bytes of log delivered; none when it has not been armed.
    #[must_use]
    pub fn log_bytes(&self) -> Option<u64> {
        self.channel
            .lock()
            .as_ref()
            .map(|channel| channel.delivered())
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let mut exit = self.exit.subscribe();
        // The sender lives as long as `self`.
        drop(exit.wait_for(Option::is_some).await);
    }

    pub(super) fn end_watching(&self) {
        self.watching.cancel();
    }

    /// The task that lives as long as the armed start.
    pub(super) async fn live(
        self: Arc<Self>,
        shared: Arc<Shared>,
        attached: Attached,
        state: InstanceState,
    ) {
        let voice = shared.voice(&self.order);
        let limit = self.order.spec.limits.log_rate_bytes;
        let clock = shared.tools.clock.clone();
        let channel = Channel::new(voice, limit, shared.budget.clone(), clock.clone());
        let channel = Arc::new(channel);
        *self.channel.lock() = Some(channel.clone());
        let Attached {
            lifeline,
            stdout,
            stderr,
        } = attached;
        let output = async {
            tokio::join!(
                reader::read(channel.clone(), Stream::Out, stdout),
                reader::read(channel.clone(), Stream::Err, stderr),
            )
        };
        let until_end = async {
            tokio::select! {
                () = lifeline.ended() => {}
                () = self.mind_deadline(&shared) => {}
                () = self.watch_health(&shared, &state) => {}
            }
        };
        let output = output.fuse();
        tokio::pin!(output, until_end);
        loop {
            tokio::select! {
                _ = &mut output => {}
                () = &mut until_end => break,
            }
        }
        // The end is told soon, after the last output if that is as soon; output that the CPU
        // budget holds back is read a little longer.
        for patience in [LAST_WORDS_SOON, LAST_WORDS_MAX] {
            if !output.is_terminated() {
                drop(tokio::time::timeout(patience, &mut output).await);
            }
            self.finish(&shared).await;
        }
    }

    /// A hint came that it has ended: see whether that is so.
    pub(super) async fn look(&self, shared: &Shared) {
        let name = self.order.name();
        if let Ok(Some(_)) = shared.tools.runtime.exit_record(name).await {
            self.finish(shared).await;
        }
    }

    pub(super) async fn finish(&self, shared: &Shared) {
        if self.exit().is_some() {
            return;
        }
        let expired = self.expired.load(Ordering::Relaxed);
        let read = self.read_exit(shared).await;
        // Whoever ends it for want of memory leaves no record that says so.
        let out_of_memory = self.out_of_memory.load(Ordering::Relaxed);
        let exit = Exit {
            expired,
            out_of_memory: read.out_of_memory || out_of_memory,
            lost: read.lost && !out_of_memory,
            ..read
        };
        let first = self.exit.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(exit);
            first
        });
        self.watching.cancel();
        if first {
            shared.tell(self.assignment(), self.order.start, News::Ended(exit));
        }
    }

    /// The kernel killed a part of it: what is left would go on half, so all of it ends.
    pub(super) async fn run_out_of_memory(&self, shared: &Shared) {
        let known = self.out_of_memory.swap(true, Ordering::Relaxed);
        if known || self.exit().is_some() {
            return;
        }
        let name = self.order.name();
        let voice = shared.voice(&self.order);
        voice.cell("A process of the instance was killed at its memory limit; the instance ends");
        if let Err(error) = shared.tools.runtime.signal(name, Signal::Kill).await {
            shared.events.step_failed(name, "kill", &error.to_string());
        }
    }

    /// The launcher's record says most; the runtime knows about launchers that were killed.
    async fn read_exit(&self, shared: &Shared) -> Exit {
        let slot = self
            .made
            .disk
            .as_ref()
            .map(|disk| Slot::at(disk.slot.clone()));
        let record = slot.and_then(|slot| slot.exit_record().ok().flatten());
        if let Some(record) = record
            && (record.out_of_memory || i32::from(record.status) != STATUS_KILLED)
        {
            return Exit {
                status: record.status.into(),
                out_of_memory: record.out_of_memory,
                expired: false,
                lost: false,
            };
        }
        match self.ask_runtime(shared).await {
            Some(known) => Exit {
                status: record.map_or(known.status, |record| record.status.into()),
                out_of_memory: known.out_of_memory,
                expired: false,
                lost: false,
            },
            None => record.map_or(Exit::LOST, |record| Exit {
                status: record.status.into(),
                out_of_memory: false,
                expired: false,
                lost: false,
            }),
        }
    }

    /// The runtime may notice an end later than the agent does.
    async fn ask_runtime(&self, shared: &Shared) -> Option<ExitRecord> {
        for _ in 0..ASKS_MAX {
            match shared.tools.runtime.exit_record(self.order.name()).await {
                Ok(Some(record)) => return Some(record),
                Ok(None) => shared.tools.clock.sleep(ASK_PAUSE).await,
                Err(_) => return None,
            }
        }
        None
    }

    /// A staging has a time; at its end it is killed. Nothing else has one. Never returns.
    async fn mind_deadline(&self, shared: &Shared) {
        let Work::Staging(work) = &self.order.spec.work else {
            return std::future::pending().await;
        };
        let time = Duration::from_secs(u64::from(work.timeout_s));
        shared.tools.clock.sleep(time).await;
        self.expired.store(true, Ordering::Relaxed);
        // Whether it works or not: what is left is cleared away by name later.
        if let Err(error) = shared
            .tools
            .runtime
            .signal(self.order.name(), Signal::Kill)
            .await
        {
            shared
                .events
                .step_failed(self.order.name(), "kill", &error.to_string());
        }
        std::future::pending().await
    }

    /// Never returns: the end of health is for the agent to decide about.
    async fn watch_health(&self, shared: &Shared, state: &InstanceState) {
        let watch = self
            .watching
            .run_until_cancelled(self.monitor(shared, state));
        watch.await;
        std::future::pending().await
    }

    async fn monitor(&self, shared: &Shared, state: &InstanceState) {
        let tell = |finding| {
            shared.tell(self.assignment(), self.order.start, News::Found(finding));
            Ok::<(), Unheard>(())
        };
        let Work::Process {
            health, readiness, ..
        } = &self.order.spec.work
        else {
            if !matches!(state, InstanceState::Running { .. }) {
                tell(Finding::Healthy { ready: true }).unwrap_or_default();
            }
            return;
        };
        let Some(address) = self.made.address else {
            return;
        };
        let clock = shared.tools.clock.clone();
        let monitor = Monitor::new(
            health.clone(),
            readiness.clone(),
            address,
            &self.made.ports,
            shared.crowd.clone(),
            clock,
        );
        match state {
            InstanceState::Running { ready, .. } => monitor.keep_watching(*ready, tell).await,
            _ => monitor.from_start(tell).await,
        }
    }
}
