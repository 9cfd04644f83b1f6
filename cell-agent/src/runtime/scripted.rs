//! A runtime that runs nothing: it does what a test tells it, for tests of whatever stands on a
//! runtime. It passes the runtimes' contract as far as that needs no kernel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::clock::Clock;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    Container, ContainerName, ExitRecord, ImageDefaults, Reservation, RootFs, Runtime,
    RuntimeError, Sample, Signal,
};

/// Hints that may wait, as with a real runtime.
const HINTS_MAX: usize = 1024;
/// First pid that containers get.
const FIRST_PID: u32 = 10_000;

/// A call that can be delayed or made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Ping,
    Image,
    Reserve,
    Signal,
    ExitRecord,
    Sample,
    Adopt,
    Release,
}

/// The hand on the runtime; cloning it gives another hand on the same one.
#[derive(Debug, Clone)]
pub struct Scripted {
    clock: Clock,
    state: Arc<Mutex<State>>,
    exits: mpsc::Sender<ContainerName>,
}

#[derive(Debug, Default)]
struct State {
    containers: BTreeMap<ContainerName, Entry>,
    stacks: BTreeSet<String>,
    images: BTreeMap<String, ImageDefaults>,
    delays: BTreeMap<Call, Duration>,
    failures: BTreeMap<Call, VecDeque<RuntimeError>>,
    calls: Vec<(Call, Option<ContainerName>)>,
    ignores_term: BTreeSet<ContainerName>,
    next_pid: u32,
    receiver: Option<mpsc::Receiver<ContainerName>>,
}

#[derive(Debug)]
struct Entry {
    container: Container,
    ended: Option<ExitRecord>,
    sample: Sample,
}

impl Scripted {
    /// Offers the stack `host` and no image.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let (exits, receiver) = mpsc::channel(HINTS_MAX);
        let state = State {
            stacks: BTreeSet::from(["host".to_owned()]),
            next_pid: FIRST_PID,
            receiver: Some(receiver),
            ..State::default()
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
            exits,
        }
    }

    /// From now on an image is there.
    pub fn add_image(&self, reference: &str, defaults: ImageDefaults) {
        self.state
            .lock()
            .images
            .insert(reference.to_owned(), defaults);
    }

    /// From now on a call takes this long.
    pub fn delay(&self, call: Call, by: Duration) {
        self.state.lock().delays.insert(call, by);
    }

    /// The next such call fails; told several times, so do the next ones, in this order.
    pub fn fail_next(&self, call: Call, error: RuntimeError) {
        let mut state = self.state.lock();
        state.failures.entry(call).or_default().push_back(error);
    }

    /// The container's first process ends, as by itself.
    pub fn end(&self, name: ContainerName, record: ExitRecord) {
        if self.state.lock().end(name, record) {
            // A full channel drops a hint, as a real runtime may.
            self.exits.try_send(name).unwrap_or_default();
        }
    }

    /// The container vanishes without a word, as after a crash of the machine.
    pub fn vanish(&self, name: ContainerName) {
        self.state.lock().containers.remove(&name);
    }

    /// The container will not end on TERM, only on KILL.
    pub fn ignore_term(&self, name: ContainerName) {
        self.state.lock().ignores_term.insert(name);
    }

    pub fn set_sample(&self, name: ContainerName, sample: Sample) {
        if let Some(entry) = self.state.lock().containers.get_mut(&name) {
            entry.sample = sample;
        }
    }

    /// All calls so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<(Call, Option<ContainerName>)> {
        self.state.lock().calls.clone()
    }

    /// Names of the containers that run.
    #[must_use]
    pub fn running(&self) -> Vec<ContainerName> {
        let state = self.state.lock();
        let alive = state
            .containers
            .iter()
            .filter(|(_, entry)| entry.ended.is_none());
        alive.map(|(name, _)| *name).collect()
    }

    async fn begin(&self, call: Call, name: Option<ContainerName>) -> Result<(), RuntimeError> {
        let delay = {
            let mut state = self.state.lock();
            state.calls.push((call, name));
            state.delays.get(&call).copied()
        };
        if let Some(delay) = delay {
            self.clock.sleep(delay).await;
        }
        let mut state = self.state.lock();
        let failure = state.failures.get_mut(&call).and_then(VecDeque::pop_front);
        failure.map_or(Ok(()), Err)
    }
}

impl State {
    /// Tells whether it ended now.
    fn end(&mut self, name: ContainerName, record: ExitRecord) -> bool {
        match self.containers.get_mut(&name) {
            Some(entry) if entry.ended.is_none() => {
                entry.ended = Some(record);
                entry.container.pid = None;
                true
            }
            _ => false,
        }
    }

    fn entry(&self, name: ContainerName) -> Result<&Entry, RuntimeError> {
        let entry = self.containers.get(&name);
        entry.ok_or(RuntimeError::NoContainer(name))
    }

    fn root(&self, root: &RootFs) -> Result<(), RuntimeError> {
        let (there, what) = match root {
            RootFs::Stack(name) => (self.stacks.contains(name), format!("stack `{name}`")),
            RootFs::Image { reference, .. } => (
                self.images.contains_key(reference),
                format!("image {reference}"),
            ),
        };
        if there {
            return Ok(());
        }
        let detail = "the script does not have it".to_owned();
        Err(RuntimeError::NoRoot { what, detail })
    }
}

#[async_trait]
impl Runtime for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn ping(&self) -> Result<(), RuntimeError> {
        self.begin(Call::Ping, None).await
    }

    async fn stacks(&self) -> Result<Vec<String>, RuntimeError> {
        Ok(self.state.lock().stacks.iter().cloned().collect())
    }

    async fn image(
        &self,
        reference: &str,
        _credentials: Option<(&str, &str)>,
    ) -> Result<ImageDefaults, RuntimeError> {
        self.begin(Call::Image, None).await?;
        let defaults = self.state.lock().images.get(reference).cloned();
        defaults.ok_or_else(|| RuntimeError::NoRoot {
            what: format!("image {reference}"),
            detail: "the script does not have it".to_owned(),
        })
    }

    async fn reserve(&self, reservation: &Reservation) -> Result<Container, RuntimeError> {
        self.begin(Call::Reserve, Some(reservation.name)).await?;
        let mut state = self.state.lock();
        if let Some(entry) = state.containers.get(&reservation.name) {
            return Ok(entry.container.clone());
        }
        state.root(&reservation.root)?;
        let pid = state.next_pid;
        state.next_pid += 1;
        let container = Container {
            name: reservation.name,
            id: format!("scripted-{pid}"),
            pid: Some(pid),
            labels: reservation.labels.clone(),
        };
        let entry = Entry {
            container: container.clone(),
            ended: None,
            sample: Sample {
                cpu: Duration::ZERO,
                memory_bytes: 0,
                pids: 1,
                oom_kills: 0,
            },
        };
        state.containers.insert(reservation.name, entry);
        Ok(container)
    }

    async fn signal(&self, name: ContainerName, signal: Signal) -> Result<(), RuntimeError> {
        self.begin(Call::Signal, Some(name)).await?;
        let ends = {
            let state = self.state.lock();
            state.entry(name)?;
            signal == Signal::Kill || !state.ignores_term.contains(&name)
        };
        if ends {
            let status = match signal {
                Signal::Term => 143,
                Signal::Kill => 137,
            };
            let out_of_memory = false;
            self.end(
                name,
                ExitRecord {
                    status,
                    out_of_memory,
                },
            );
        }
        Ok(())
    }

    async fn exit_record(&self, name: ContainerName) -> Result<Option<ExitRecord>, RuntimeError> {
        self.begin(Call::ExitRecord, Some(name)).await?;
        Ok(self.state.lock().entry(name)?.ended)
    }

    async fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError> {
        self.begin(Call::Sample, Some(name)).await?;
        let state = self.state.lock();
        let entry = state.entry(name)?;
        match entry.ended {
            None => Ok(entry.sample),
            Some(_) => Err(RuntimeError::NoContainer(name)),
        }
    }

    async fn adopt(&self) -> Result<Vec<Container>, RuntimeError> {
        self.begin(Call::Adopt, None).await?;
        let state = self.state.lock();
        let containers = state.containers.values();
        Ok(containers.map(|entry| entry.container.clone()).collect())
    }

    async fn release(&self, name: ContainerName) -> Result<(), RuntimeError> {
        self.begin(Call::Release, Some(name)).await?;
        let killed = ExitRecord {
            status: 137,
            out_of_memory: false,
        };
        // A release that kills is an end as well.
        self.end(name, killed);
        self.state.lock().containers.remove(&name);
        Ok(())
    }

    fn exits(&self) -> mpsc::Receiver<ContainerName> {
        let taken = self.state.lock().receiver.take();
        taken.unwrap_or_else(|| mpsc::channel(1).1)
    }
}

#[cfg(test)]
mod tests;
