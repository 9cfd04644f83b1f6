//! The scripted runtime keeps the contract, and its script.

use super::*;
use crate::runtime::contract::{self, Bench};
use crate::runtime::{ContainerLimits, User};

struct Script(Scripted);

fn reservation(number: u128) -> Reservation {
    Reservation {
        name: uuid::Uuid::from_u128(number).into(),
        hostname: "instance".to_owned(),
        root: RootFs::Stack("host".to_owned()),
        user: Some(User { uid: 1, gid: 1 }),
        limits: ContainerLimits {
            memory_bytes: 1 << 20,
            cpu_shares: 2,
            pids: 1,
            fds: 1,
        },
        mounts: Vec::new(),
        layer: None,
        slot: "/slot".into(),
        address: None,
        network: None,
        nameserver: None,
        labels: BTreeMap::new(),
    }
}

#[async_trait]
impl Bench for Script {
    fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(self.0.clone())
    }

    async fn restarted(&self) -> Arc<dyn Runtime> {
        self.runtime()
    }

    async fn reservation(&self) -> Reservation {
        let number = self.0.calls().len();
        reservation(number as u128 + 1)
    }

    async fn waits(&self, _name: ContainerName) {}

    async fn run_to_end(&self, name: ContainerName, status: u8) {
        let record = ExitRecord {
            status: status.into(),
            out_of_memory: false,
        };
        self.0.end(name, record);
    }
}

#[tokio::test]
async fn the_contract_of_runtimes_is_kept() {
    contract::check(&Script(Scripted::new(Clock::system()))).await;
}

#[tokio::test]
async fn calls_wait_fail_and_vanish_as_told() {
    let clock = Clock::system();
    let runtime = Scripted::new(clock.clone());
    let name = reservation(1).name;
    runtime.delay(Call::Reserve, Duration::from_millis(20));
    runtime.fail_next(Call::Reserve, RuntimeError::NoContainer(name));
    let before = clock.monotonic();
    assert!(runtime.reserve(&reservation(1)).await.is_err());
    assert!(clock.monotonic() - before >= Duration::from_millis(20));
    runtime
        .reserve(&reservation(1))
        .await
        .expect("the next one");
    runtime.ignore_term(name);
    runtime.signal(name, Signal::Term).await.expect("sent");
    assert_eq!(runtime.running(), [name]);
    runtime.vanish(name);
    assert!(runtime.exit_record(name).await.is_err());
    let reserved = (Call::Reserve, Some(name));
    assert_eq!(runtime.calls()[..2], [reserved, reserved]);
}
