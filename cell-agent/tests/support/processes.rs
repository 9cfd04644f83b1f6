//! A runtime whose instances are plain processes of this machine under the real launcher, and a
//! ground of plain folders and loopback addresses: everything of the agent runs for real, without
//! root and without containers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cfx_cell_agent::hooks::ground::{Disk, Ground, GroundError};
use cfx_cell_agent::runtime::{
    Container, ContainerName, ExitRecord, ImageDefaults, Reservation, Runtime, RuntimeError,
    Sample, Signal,
};
use cfx_cell_agent::volume::VolumeSpec;
use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use nix::sys::signal::{Signal as Kill, kill, killpg};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::sync::mpsc;

#[derive(Debug, Clone)]
pub struct Processes {
    launcher: PathBuf,
    held: Arc<Mutex<BTreeMap<ContainerName, Held>>>,
    /// The next reservations fail, this many.
    pub failures: Arc<Mutex<u32>>,
    pub answers: Arc<Mutex<bool>>,
    /// Processes that the kernel killed for memory, as every container counts them.
    pub oom_kills: Arc<Mutex<u64>>,
}

#[derive(Debug)]
struct Held {
    child: Child,
    labels: BTreeMap<String, String>,
    ended: Option<ExitRecord>,
}

impl Processes {
    pub fn new(folder: &Path) -> Self {
        let launcher = cfx_cell_agent::slot::launcher::install(folder).expect("installed");
        Self {
            launcher,
            held: Arc::default(),
            failures: Arc::default(),
            answers: Arc::new(Mutex::new(true)),
            oom_kills: Arc::default(),
        }
    }

    /// Names of what runs.
    pub fn running(&self) -> Vec<ContainerName> {
        let mut held = self.held.lock();
        let alive = held
            .iter_mut()
            .filter_map(|(name, one)| one.look().is_none().then_some(*name));
        alive.collect()
    }

    /// All that is there, running or ended.
    pub fn names(&self) -> Vec<ContainerName> {
        self.held.lock().keys().copied().collect()
    }

    pub fn launcher_pid(&self, name: ContainerName) -> u32 {
        self.held.lock()[&name].child.id()
    }

    fn fail(action: &'static str, error: &dyn std::fmt::Display) -> RuntimeError {
        RuntimeError::Failed {
            runtime: "processes",
            action,
            detail: error.to_string(),
        }
    }
}

impl Held {
    fn look(&mut self) -> Option<ExitRecord> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            let by_signal = status.signal().map(|signal| 128 + signal);
            let status = status.code().or(by_signal).unwrap_or(0);
            self.ended = Some(ExitRecord {
                status,
                out_of_memory: false,
            });
        }
        self.ended
    }

    /// There is no pid namespace that would end with the launcher.
    fn kill_all(&mut self) {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for app in children.unwrap_or_default().split_whitespace() {
            if let Ok(app) = app.parse() {
                killpg(Pid::from_raw(app), Kill::SIGKILL).unwrap_or(());
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
        self.ended.get_or_insert(ExitRecord {
            status: 137,
            out_of_memory: false,
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kill_all();
    }
}

#[async_trait]
impl Runtime for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    async fn ping(&self) -> Result<(), RuntimeError> {
        if *self.answers.lock() {
            return Ok(());
        }
        Err(Self::fail("answer", &"told not to"))
    }

    async fn stacks(&self) -> Result<Vec<String>, RuntimeError> {
        Ok(vec!["host".to_owned()])
    }

    async fn image(
        &self,
        reference: &str,
        _: Option<(&str, &str)>,
    ) -> Result<ImageDefaults, RuntimeError> {
        if reference == "missing" {
            let what = format!("image {reference}");
            return Err(RuntimeError::NoRoot {
                what,
                detail: "nobody has it".to_owned(),
            });
        }
        Ok(ImageDefaults {
            entrypoint: vec!["/bin/sh".to_owned(), "-c".to_owned()],
            command: vec!["sleep 1000".to_owned()],
            ..ImageDefaults::default()
        })
    }

    async fn reserve(&self, reservation: &Reservation) -> Result<Container, RuntimeError> {
        {
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err(Self::fail("create a container", &"told to fail"));
            }
        }
        let child = Command::new(&self.launcher)
            .arg(&reservation.slot)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Self::fail("start the launcher", &error))?;
        let pid = child.id();
        let labels = reservation.labels.clone();
        let held = Held {
            child,
            labels: labels.clone(),
            ended: None,
        };
        self.held.lock().insert(reservation.name, held);
        Ok(Container {
            name: reservation.name,
            id: pid.to_string(),
            pid: Some(pid),
            labels,
        })
    }

    async fn signal(&self, name: ContainerName, signal: Signal) -> Result<(), RuntimeError> {
        let mut held = self.held.lock();
        let one = held.get_mut(&name).ok_or(RuntimeError::NoContainer(name))?;
        match signal {
            Signal::Kill => one.kill_all(),
            Signal::Term => {
                let pid = i32::try_from(one.child.id()).expect("a pid");
                kill(Pid::from_raw(pid), Kill::SIGTERM).unwrap_or(());
            }
        }
        Ok(())
    }

    async fn exit_record(&self, name: ContainerName) -> Result<Option<ExitRecord>, RuntimeError> {
        let mut held = self.held.lock();
        let one = held.get_mut(&name).ok_or(RuntimeError::NoContainer(name))?;
        Ok(one.look())
    }

    async fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError> {
        match self.exit_record(name).await? {
            Some(_) => Err(RuntimeError::NoContainer(name)),
            None => Ok(Sample {
                cpu: Duration::from_millis(10),
                memory_bytes: 1 << 20,
                pids: 2,
                oom_kills: *self.oom_kills.lock(),
            }),
        }
    }

    async fn adopt(&self) -> Result<Vec<Container>, RuntimeError> {
        let mut held = self.held.lock();
        let containers = held.iter_mut().map(|(name, one)| {
            let pid = one.child.id();
            Container {
                name: *name,
                id: pid.to_string(),
                pid: one.look().is_none().then_some(pid),
                labels: one.labels.clone(),
            }
        });
        Ok(containers.collect())
    }

    async fn release(&self, name: ContainerName) -> Result<(), RuntimeError> {
        self.held.lock().remove(&name);
        Ok(())
    }

    fn exits(&self) -> mpsc::Receiver<ContainerName> {
        mpsc::channel(1).1
    }
}

/// Folders for volumes, one loopback address for each assignment.
#[derive(Debug, Clone)]
pub struct Folders {
    directory: PathBuf,
    /// Tests run side by side: each has its own part of the loopback network.
    network: [u8; 2],
    leases: Arc<Mutex<BTreeMap<AssignmentGuid, Address>>>,
}

impl Folders {
    pub fn new(directory: PathBuf) -> Self {
        std::fs::create_dir_all(&directory).expect("made");
        static STAGES: AtomicU8 = AtomicU8::new(0);
        let process = u8::try_from(std::process::id() % 250).expect("small");
        let network = [process + 2, STAGES.fetch_add(1, Ordering::Relaxed)];
        Self {
            directory,
            network,
            leases: Arc::default(),
        }
    }

    pub fn leased(&self) -> usize {
        self.leases.lock().len()
    }

    pub fn volume_count(&self) -> usize {
        std::fs::read_dir(&self.directory).expect("there").count()
    }

    fn disk(&self, name: InstanceGuid) -> Disk {
        let folder = self.directory.join(name.to_string());
        Disk {
            home: folder.join("home"),
            tmp: folder.join("tmp"),
            slot: folder.join("slot"),
        }
    }
}

#[async_trait]
impl Ground for Folders {
    async fn lease(
        &self,
        assignment: AssignmentGuid,
        known: Option<Address>,
        port: u16,
    ) -> Result<Address, GroundError> {
        let mut leases = self.leases.lock();
        let number = u8::try_from(leases.len() + 1).expect("small");
        let ip = IpAddr::V4(Ipv4Addr::new(127, self.network[0], self.network[1], number));
        let fresh = Address {
            host: ip,
            port,
            internal_ip: ip,
        };
        Ok(*leases
            .entry(assignment)
            .or_insert_with(|| known.unwrap_or(fresh)))
    }

    async fn connect(&self, _: AssignmentGuid, _: &Container) -> Result<(), GroundError> {
        Ok(())
    }

    async fn free(&self, assignment: AssignmentGuid) -> Result<(), GroundError> {
        self.leases.lock().remove(&assignment);
        Ok(())
    }

    async fn sweep_addresses(&self) -> Result<(), GroundError> {
        Ok(())
    }

    async fn make_volume(&self, spec: VolumeSpec) -> Result<Disk, GroundError> {
        let disk = self.disk(spec.name);
        for folder in [&disk.home, &disk.tmp, &disk.slot] {
            std::fs::create_dir_all(folder).expect("made");
        }
        Ok(disk)
    }

    async fn volume(&self, name: InstanceGuid) -> Result<Option<Disk>, GroundError> {
        let disk = self.disk(name);
        Ok(disk.slot.is_dir().then_some(disk))
    }

    async fn volume_used(&self, _: InstanceGuid) -> Result<u64, GroundError> {
        Ok(4_096)
    }

    async fn release_volume(&self, name: InstanceGuid) -> Result<(), GroundError> {
        drop(std::fs::remove_dir_all(
            self.directory.join(name.to_string()),
        ));
        Ok(())
    }

    async fn volumes(&self) -> Result<Vec<InstanceGuid>, GroundError> {
        let entries = std::fs::read_dir(&self.directory).expect("there");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(names.collect())
    }

    fn gateway(&self) -> Option<IpAddr> {
        None
    }
}
