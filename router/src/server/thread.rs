//! The life of one thread: bind a core to its listeners, follow the table, end in order.
//!
//! ```text
//!   Serving --shutdown--> Draining --wait--> Closing --no connections, or timeout--> end
//! ```

use std::future::poll_fn;
use std::io;
use std::net::TcpListener as StdListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::connection::{self, Door};
use super::core::{Core, Dice, Phase, spawn};
use crate::access_log::buffer::{self, LogBuffer, LogQueue};
use crate::config::{Drain, Limits};
use crate::events::Events;
use crate::metrics::ThreadMetrics;
use crate::proxy::upstream;
use crate::table::publish::Publisher;
use crate::traffic::{self, TrafficQueue};

/// Wait after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everything a thread is made of; it crosses into the thread, the core does not leave it.
pub(crate) struct Seed {
    pub(crate) index: usize,
    pub(crate) listeners: Vec<(StdListener, Door)>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) metrics: Arc<ThreadMetrics>,
    pub(crate) events: Arc<Events>,
    pub(crate) shutdown: Shutdown,
    pub(crate) log: LogQueue,
    pub(crate) traffic: TrafficQueue,
    pub(crate) dice: (u64, u64),
}

/// A thread that is gone must neither hold back acknowledgements nor go unnoticed.
struct EndGuard {
    index: usize,
    publisher: Arc<Publisher>,
    events: Arc<Events>,
    shutdown: Shutdown,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.publisher.picked_up(self.index, u64::MAX);
        if !self.shutdown.is_requested() {
            self.events.thread_lost(self.index);
            self.shutdown.request();
        }
    }
}

/// Run the thread until it has drained.
pub(crate) fn run(seed: Seed) -> io::Result<()> {
    let _end = EndGuard {
        index: seed.index,
        publisher: seed.publisher.clone(),
        events: seed.events.clone(),
        shutdown: seed.shutdown.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let log = LogBuffer::new(seed.log.clone(), seed.metrics.clone());
    let tasks = LocalSet::new();
    let core = Core::new(
        seed.index,
        seed.clock.clone(),
        seed.limits,
        seed.metrics.clone(),
        log.clone(),
        seed.traffic.clone(),
        Dice::new(seed.dice),
    );
    let ended = tasks.block_on(&runtime, live(seed, core.clone()));
    // Dropping the tasks ends what is still in flight, and that is logged too.
    drop(tasks);
    log.flush();
    core.traffic
        .tell(core.index, traffic::second_of(&core.clock) + 1);
    ended
}

async fn live(seed: Seed, core: Rc<Core>) -> io::Result<()> {
    spawn(core.watchdog.clone().run(core.clock.clone()));
    spawn(buffer::flush_often(core.log.clone(), core.clock.clone()));
    spawn(upstream::sweep_often(core.clone()));
    spawn(traffic::tell_often(core.clone()));
    for (listener, door) in seed.listeners {
        let listener = TcpListener::from_std(listener)?;
        spawn(accept(core.clone(), listener, door, seed.events.clone()));
    }
    follow(&core, &seed.publisher, seed.phase, seed.drain).await;
    Ok(())
}

/// Take over each new table and each new phase, until drained.
async fn follow(
    core: &Rc<Core>,
    publisher: &Publisher,
    phase: watch::Receiver<Phase>,
    drain: Drain,
) {
    // To the very end: what is in flight may still be tried again at another instance.
    let mut tables = pin!(follow_tables(core, publisher));
    let abandoned = tokio::select! {
        () = &mut tables => return,
        abandoned = follow_phases(core, phase) => abandoned,
    };
    if abandoned {
        return;
    }
    let quiet = async {
        while core.connections() > 0 {
            core.connection_closed.notified().await;
        }
    };
    tokio::select! {
        () = tables => {}
        () = quiet => {}
        () = core.clock.sleep(drain.timeout) => {
            let left = core.connections();
            tracing::warn!(left, "connections did not end in time and are cut");
        }
    }
}

/// Ends only if the publisher does.
async fn follow_tables(core: &Core, publisher: &Publisher) {
    let mut generations = publisher.generations();
    loop {
        let generation = *generations.borrow_and_update();
        core.serve_table(publisher.newest());
        publisher.picked_up(core.index, generation);
        if generations.changed().await.is_err() {
            return;
        }
    }
}

/// Until the listeners are to close; true when whoever started the router is gone without a word.
async fn follow_phases(core: &Core, mut phase: watch::Receiver<Phase>) -> bool {
    loop {
        if phase.changed().await.is_err() {
            return true;
        }
        let next = *phase.borrow_and_update();
        core.enter(next);
        if next == Phase::Closing {
            return false;
        }
    }
}

async fn accept(core: Rc<Core>, listener: TcpListener, door: Door, events: Arc<Events>) {
    loop {
        if core.phase() >= Phase::Closing {
            break;
        }
        if core.connections() >= core.limits.connections_max {
            core.connection_closed.notified().await;
            continue;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = core.phase_changed.notified() => continue,
        };
        match accepted {
            Ok((stream, peer)) => open(&core, stream, peer, &door),
            Err(error) => {
                events.accept_failed(&error);
                core.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // What the kernel accepted already must not be reset by closing the listener.
    while let Some(Ok((stream, peer))) = poll_fn(|cx| match listener.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
    {
        open(&core, stream, peer, &door);
    }
}

fn open(core: &Rc<Core>, stream: TcpStream, peer: std::net::SocketAddr, door: &Door) {
    spawn(connection::serve(core.clone(), stream, peer, door.clone()));
}
