//! One instance on real ground: engine, volume, network, resolver and slot together, over the
//! restart of an agent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_cell_agent::hooks::ground::Ground as _;
use cfx_cell_agent::hooks::machine::Machine;
use cfx_cell_agent::network::{Network, NetworkConfig, choose_range};
use cfx_cell_agent::resolver::{self, Resolver, ResolverConfig};
use cfx_cell_agent::runtime::docker::{Docker, DockerConfig, SOCKET_DEFAULT};
use cfx_cell_agent::runtime::{
    ContainerLimits, ContainerName, Mount, Reservation, RootFs, Runtime, Signal, User,
};
use cfx_cell_agent::slot::{Attached, Command, Program, Slot, launcher};
use cfx_cell_agent::volume::{Volume, VolumeSpec, Volumes};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::Supervisor;
use ipnet::Ipv4Net;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

const DEADLINE: Duration = Duration::from_secs(60);
/// Tasks that are told to stop do so at once.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const USER: User = User {
    uid: 4_300_002,
    gid: 4_300_002,
};
/// Stands in for the router, on the gateway.
const ROUTER_PORT: u16 = 18_080;
const APP_PORT: u16 = 8080;

/// The app: asks the router by name, then serves what it got.
const APP: &str = r#"
import http.server, os, socket
name = "shop.apps.localhost"
address = socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0]
router = socket.create_connection((name, int(os.environ["ROUTER"])), 5)
said = router.makefile().readline().strip()
print(address, said, os.getcwd(), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())
    def log_message(self, *words):
        print("request", self.path, flush=True)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"#;

/// Everything an agent holds; a restarted agent makes it anew on the same folder.
struct Ground {
    docker: Arc<Docker>,
    network: Network,
    volumes: Volumes,
    resolver: Resolver,
    supervisor: Supervisor,
}

impl Ground {
    async fn open(config: &DockerConfig, range: Ipv4Net) -> Self {
        let supervisor = Supervisor::new("test", Shutdown::new());
        let docker = Docker::connect(config.clone(), &supervisor, Clock::system()).await;
        let network = NetworkConfig {
            range,
            gateway_ports: vec![ROUTER_PORT],
            denied: Vec::new(),
        };
        let network = Network::open(network, &supervisor)
            .await
            .expect("a network");
        let gateway = network.gateway();
        let names = ResolverConfig {
            listen: SocketAddr::from((gateway, resolver::PORT)),
            answer: gateway,
            domains: vec!["apps.localhost".to_owned()],
            upstreams: Vec::new(),
        };
        let resolver = Resolver::start(names, &supervisor)
            .await
            .expect("a resolver");
        Self {
            docker: docker.expect("the engine answers"),
            network,
            volumes: Volumes::new(config.directory.join("volumes")).expect("volumes"),
            resolver,
            supervisor,
        }
    }

    /// As when the agent dies: tasks end, nothing is undone.
    async fn die(self) {
        self.supervisor.shutdown().request();
        let ended = tokio::time::timeout(STOP_DEADLINE, self.supervisor.join(DEADLINE)).await;
        ended.expect("every task heeds the wish to stop");
    }
}

fn reservation(volume: &Volume, address: Ipv4Addr, gateway: Ipv4Addr) -> Reservation {
    let writable = |source: &PathBuf, target: &str| Mount {
        source: source.clone(),
        target: target.into(),
        read_only: false,
    };
    Reservation {
        name: volume.name,
        hostname: "shop-0".to_owned(),
        root: RootFs::Stack("host".to_owned()),
        user: Some(USER),
        limits: ContainerLimits {
            memory_bytes: 128 << 20,
            cpu_shares: 128,
            pids: 64,
            fds: 1024,
        },
        mounts: vec![
            writable(&volume.home, "/home/vcap"),
            writable(&volume.tmp, "/tmp"),
        ],
        layer: None,
        slot: volume.slot.clone(),
        address: Some(address.into()),
        network: None,
        nameserver: Some(gateway.into()),
        labels: BTreeMap::new(),
    }
}

fn command() -> Command {
    let env = [
        ("PATH", "/usr/bin:/bin"),
        ("ROUTER", &ROUTER_PORT.to_string()),
    ];
    Command {
        program: Program::Shell("exec /usr/bin/python3 app.py".to_owned()),
        env: env
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        directory: "/home/vcap/app".to_owned(),
    }
}

async fn line(attached: &mut Attached) -> String {
    let mut text = String::new();
    let mut lines = BufReader::with_capacity(1, &mut attached.stdout);
    let read = tokio::time::timeout(DEADLINE, lines.read_line(&mut text)).await;
    let length = read.expect("in time").expect("read");
    if length == 0 {
        attached
            .stderr
            .read_to_string(&mut text)
            .await
            .expect("read");
        panic!("the app ended: {text}");
    }
    text.trim_end().to_owned()
}

/// One request to the app, from the machine.
fn get(address: Ipv4Addr) -> String {
    let clock = Clock::system();
    loop {
        match TcpStream::connect((address, APP_PORT)) {
            Ok(mut stream) => {
                stream
                    .write_all(b"GET /hot HTTP/1.0\r\n\r\n")
                    .expect("asked");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("answered");
                return answer;
            }
            Err(error) => assert!(clock.monotonic() < DEADLINE, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_finds_the_router_by_name_and_outlives_its_agent() {
    let ids = IdSource::system();
    let folder = tempfile::tempdir().expect("a folder");
    let config = DockerConfig {
        socket: SOCKET_DEFAULT.into(),
        cell: ids.guid(),
        launcher: launcher::install(folder.path()).expect("the launcher"),
        directory: folder.path().join("cell"),
        host_stack: true,
    };
    let droplet = folder.path().join("droplet");
    std::fs::create_dir_all(droplet.join("app")).expect("made");
    std::fs::write(droplet.join("app/app.py"), APP).expect("written");
    let chooser = Supervisor::new("test", Shutdown::new());
    let range = choose_range(config.cell, &chooser).await.expect("a range");

    let first = Ground::open(&config, range).await;
    let gateway = first.network.gateway();
    let router = TcpListener::bind((gateway, ROUTER_PORT)).expect("the router's port");
    let router = std::thread::spawn(move || {
        let (mut stream, _) = router.accept().expect("a caller");
        stream.write_all(b"sold-out\n").expect("answered");
    });
    let name: ContainerName = ids.guid();
    let address = Ipv4Addr::from(u32::from(range.network()) + 2);
    let volume = first.volumes.make(&VolumeSpec {
        name,
        size_bytes: 16 << 20,
        owner: Some(USER),
        droplet: Some(droplet),
        comes_again: true,
    });
    let volume = volume.expect("a volume");
    let slot = Slot::create(volume.slot.clone(), Some(USER)).expect("a slot");
    let reservation = reservation(&volume, address, gateway);
    let container = first.docker.reserve(&reservation).await.expect("reserved");
    let pid = container.pid.expect("it runs");
    first.network.attach(pid, address).await.expect("attached");
    let mut attached = slot.arm(&command(), &Clock::system()).await.expect("armed");
    let said = line(&mut attached).await;
    assert_eq!(said, format!("{gateway} sold-out /home/vcap/app"));
    router.join().expect("the router answered");
    assert!(get(address).ends_with("\r\n\r\nsold-out"));
    assert_eq!(line(&mut attached).await, "request /hot");

    drop(attached);
    first.die().await;
    assert!(get(address).ends_with("sold-out"), "while no agent lives");

    let second = Ground::open(&config, range).await;
    assert_eq!(second.resolver.address().ip(), gateway);
    assert_eq!(second.docker.adopt().await.expect("listed"), [container]);
    assert_eq!(second.network.attached().expect("listed"), [address]);
    assert_eq!(second.volumes.adopt(name).expect("looked"), Some(volume));
    let mut attached = slot.attach().expect("the launcher is there");
    assert_eq!(
        line(&mut attached).await,
        "request /hot",
        "what was written meanwhile"
    );
    second
        .docker
        .signal(name, Signal::Term)
        .await
        .expect("told to stop");
    let ended = tokio::time::timeout(DEADLINE, attached.lifeline.ended()).await;
    ended.expect("it ends");
    let record = slot.exit_record().expect("read").expect("a record");
    assert_eq!((record.status, record.signal), (143, Some(15)));
    second.docker.release(name).await.expect("released");
    second.volumes.release(name).expect("released");
    second.network.close().await.expect("closed");
    second.die().await;
}

fn rules() -> String {
    let saved = std::process::Command::new("iptables-save").output();
    String::from_utf8(saved.expect("run").stdout).expect("text")
}

#[tokio::test]
async fn a_cell_for_routers_elsewhere_offers_ports_of_its_machine() {
    let supervisor = Supervisor::new("test", Shutdown::new());
    let ids = IdSource::system();
    let range = choose_range(ids.guid(), &supervisor)
        .await
        .expect("a range");
    let config = NetworkConfig {
        range,
        gateway_ports: Vec::new(),
        denied: Vec::new(),
    };
    let network = Network::open(config.clone(), &supervisor)
        .await
        .expect("a network");
    let folder = tempfile::tempdir().expect("a folder");
    let volumes = Volumes::new(folder.path().to_path_buf()).expect("volumes");
    let outside = Ipv4Addr::new(192, 0, 2, 77).into();
    let machine = Machine::new(network, volumes, Clock::system()).reached_at(outside);
    let (one, two) = (ids.guid(), ids.guid());
    let first = machine.lease(one, None, 8080).await.expect("leased");
    let second = machine.lease(two, None, 9090).await.expect("leased");
    assert_eq!((first.host, first.port), (outside, 61_002));
    let forward = |port: u16, to: std::net::IpAddr, target: u16| {
        format!("--dport {port} -j DNAT --to-destination {to}:{target}\n")
    };
    let of_first = forward(61_002, first.internal_ip, 8080);
    let of_second = forward(61_003, second.internal_ip, 9090);
    assert!(rules().contains(&of_first) && rules().contains(&of_second));
    assert_eq!(machine.lease(one, None, 8080).await.expect("again"), first);
    machine.free(one).await.expect("freed");
    assert!(!rules().contains(&of_first) && rules().contains(&of_second));
    machine.free(two).await.expect("freed");
    let network = Network::open(config, &supervisor).await.expect("opened");
    network.close().await.expect("closed");
}
