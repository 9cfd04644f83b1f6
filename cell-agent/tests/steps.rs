//! Every step of a start fails in turn, and is cut short by the agent's end at any moment: nothing
//! is left behind, and in the end everything runs.

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_cell_agent::hooks::ground::{Disk, Ground, GroundError};
use cfx_cell_agent::runtime::{
    Container, ContainerName, ExitRecord, ImageDefaults, Reservation, Runtime, RuntimeError,
    Sample, Signal,
};
use cfx_cell_agent::volume::VolumeSpec;
use cfx_process::clock::Clock;
use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use cfx_protocol::instance::{CrashReason, InstanceState};
use parking_lot::Mutex;
use support::controller::World;
use support::processes::{Folders, Processes};
use support::{SERVER, Stage, web};
use tokio::sync::mpsc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Image,
    Lease,
    Volume,
    /// The slot cannot be made: its folder is missing.
    Slot,
    Reserve,
    Connect,
    /// The launcher is gone before it gets its command.
    Arm,
    /// Clearing away fails the first times.
    Clear,
}

/// Processes and folders, of which one step fails a number of times.
#[derive(Debug, Clone)]
struct Faulty {
    runtime: Processes,
    ground: Folders,
    plan: Arc<Mutex<(Fault, u32)>>,
}

impl Faulty {
    fn strikes(&self, fault: Fault) -> bool {
        let mut plan = self.plan.lock();
        let strikes = plan.0 == fault && plan.1 > 0;
        plan.1 -= u32::from(strikes);
        strikes
    }

    fn runtime(&self, fault: Fault) -> Result<(), RuntimeError> {
        if self.strikes(fault) {
            let detail = "told to fail".to_owned();
            return Err(RuntimeError::Failed {
                runtime: "faulty",
                action: "do it",
                detail,
            });
        }
        Ok(())
    }

    fn ground(&self, fault: Fault) -> Result<(), GroundError> {
        if self.strikes(fault) {
            return Err(GroundError {
                action: "do it",
                detail: "told to fail".to_owned(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Runtime for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn ping(&self) -> Result<(), RuntimeError> {
        self.runtime.ping().await
    }

    async fn stacks(&self) -> Result<Vec<String>, RuntimeError> {
        self.runtime.stacks().await
    }

    async fn image(
        &self,
        reference: &str,
        credentials: Option<(&str, &str)>,
    ) -> Result<ImageDefaults, RuntimeError> {
        self.runtime(Fault::Image)?;
        self.runtime.image(reference, credentials).await
    }

    async fn reserve(&self, reservation: &Reservation) -> Result<Container, RuntimeError> {
        self.runtime(Fault::Reserve)?;
        let container = self.runtime.reserve(reservation).await?;
        if self.strikes(Fault::Arm) {
            self.runtime.signal(reservation.name, Signal::Kill).await?;
        }
        Ok(container)
    }

    async fn signal(&self, name: ContainerName, signal: Signal) -> Result<(), RuntimeError> {
        self.runtime.signal(name, signal).await
    }

    async fn exit_record(&self, name: ContainerName) -> Result<Option<ExitRecord>, RuntimeError> {
        self.runtime.exit_record(name).await
    }

    async fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError> {
        self.runtime.sample(name).await
    }

    async fn adopt(&self) -> Result<Vec<Container>, RuntimeError> {
        self.runtime.adopt().await
    }

    async fn release(&self, name: ContainerName) -> Result<(), RuntimeError> {
        self.runtime(Fault::Clear)?;
        self.runtime.release(name).await
    }

    fn exits(&self) -> mpsc::Receiver<ContainerName> {
        self.runtime.exits()
    }
}

#[async_trait]
impl Ground for Faulty {
    async fn lease(
        &self,
        assignment: AssignmentGuid,
        known: Option<Address>,
        port: u16,
    ) -> Result<Address, GroundError> {
        self.ground(Fault::Lease)?;
        self.ground.lease(assignment, known, port).await
    }

    async fn connect(&self, guid: AssignmentGuid, one: &Container) -> Result<(), GroundError> {
        self.ground(Fault::Connect)?;
        self.ground.connect(guid, one).await
    }

    async fn free(&self, assignment: AssignmentGuid) -> Result<(), GroundError> {
        self.ground.free(assignment).await
    }

    async fn sweep_addresses(&self) -> Result<(), GroundError> {
        Ok(())
    }

    async fn make_volume(&self, spec: VolumeSpec) -> Result<Disk, GroundError> {
        self.ground(Fault::Volume)?;
        let mut disk = self.ground.make_volume(spec).await?;
        if self.strikes(Fault::Slot) {
            disk.slot = "/proc/no/such/folder".into();
        }
        Ok(disk)
    }

    async fn volume(&self, name: InstanceGuid) -> Result<Option<Disk>, GroundError> {
        self.ground.volume(name).await
    }

    async fn volume_used(&self, name: InstanceGuid) -> Result<u64, GroundError> {
        self.ground.volume_used(name).await
    }

    async fn release_volume(&self, name: InstanceGuid) -> Result<(), GroundError> {
        self.ground.release_volume(name).await
    }

    async fn volumes(&self) -> Result<Vec<InstanceGuid>, GroundError> {
        self.ground.volumes().await
    }

    fn gateway(&self) -> Option<IpAddr> {
        None
    }
}

fn is_running(world: &World, guid: AssignmentGuid) -> Option<()> {
    let state = &world.instances.get(&guid)?.state;
    matches!(state, InstanceState::Running { .. }).then_some(())
}

async fn assert_nothing_left(stage: &Stage, what: &str) {
    assert_eq!(stage.runtime.names(), [], "{what}");
    assert_eq!(
        (stage.ground.leased(), stage.ground.volume_count()),
        (0, 0),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_may_fail_and_nothing_of_the_failed_start_is_left() {
    for fault in [
        Fault::Image,
        Fault::Lease,
        Fault::Volume,
        Fault::Slot,
        Fault::Reserve,
        Fault::Connect,
        Fault::Clear,
        Fault::Arm,
    ] {
        let stage = Stage::new().await;
        let faulty = Faulty {
            runtime: stage.runtime.clone(),
            ground: stage.ground.clone(),
            plan: Arc::new(Mutex::new((fault, 1))),
        };
        let edges = (Arc::new(faulty.clone()), Arc::new(faulty.clone()));
        let _agent = support::start(stage.config(), edges.0, edges.1, &stage.controller).await;
        let controller = &stage.controller;
        let what = format!("{fault:?}");
        let guid = controller.assign(1, 0, web(SERVER));
        let running = move |world: &World| is_running(world, guid);
        controller.eventually(&what, 60, running).await;
        let starts = controller.world.lock().instances[&guid].starts;
        // Clearing away was not needed yet; everything else failed once.
        let failed = u32::from(fault != Fault::Clear);
        assert_eq!(starts, failed, "{what}");
        let told = |world: &World| (world.crashes.len() == failed as usize).then_some(());
        controller
            .eventually(&format!("{what} is told"), 10, told)
            .await;
        for crash in &controller.world.lock().crashes {
            assert!(
                matches!(crash.reason, CrashReason::StartFailed { .. }),
                "{what} {:?}",
                crash.reason
            );
        }
        assert_eq!(stage.runtime.names(), [guid.instance(starts)], "{what}");
        assert_eq!(stage.ground.volume_count(), 1, "{what}");
        controller.remove(guid);
        let gone = |world: &World| world.instances.is_empty().then_some(());
        controller
            .eventually(&format!("{what} is gone"), 60, gone)
            .await;
        assert_nothing_left(&stage, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_end_at_any_moment_of_a_start_and_of_a_stop() {
    let clock = Clock::system();
    for step in 0..12_u64 {
        let stage = Stage::new().await;
        let controller = &stage.controller;
        let moment = Duration::from_millis(step * 7);
        let agent = stage.agent().await;
        let guid = controller.assign(1, 0, web(SERVER));
        clock.sleep(moment).await;
        agent.end().await;
        let agent = stage.agent().await;
        let what = format!("ended {moment:?} after the assignment");
        let running = move |world: &World| is_running(world, guid);
        controller.eventually(&what, 60, running).await;
        assert_eq!(stage.runtime.running().len(), 1, "{what}");
        controller.remove(guid);
        clock.sleep(moment).await;
        agent.end().await;
        let _agent = stage.agent().await;
        let what = format!("ended {moment:?} after the removal");
        let gone = |world: &World| world.instances.is_empty().then_some(());
        controller.eventually(&what, 60, gone).await;
        assert_nothing_left(&stage, &what).await;
    }
}
