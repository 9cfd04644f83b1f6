//! Real namespaces, links and rules: these tests need root. Each has a range of its own, in the
//! part of the shared address space that no cell's guid leads to while a test runs.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;

use super::*;

const PORT: u16 = 8080;

/// A network, and processes with namespaces of their own.
struct Cell {
    network: Network,
    supervisor: Supervisor,
    processes: Vec<Child>,
}

impl Cell {
    async fn open() -> Self {
        let supervisor = Supervisor::new("test", Shutdown::new());
        let cell = IdSource::system().guid();
        let range = choose_range(cell, &supervisor).await.expect("a range");
        let config = NetworkConfig {
            range,
            gateway_ports: vec![PORT],
            denied: vec!["192.0.2.128/25".parse().expect("a range")],
        };
        let network = Network::open(config, &supervisor).await.expect("a network");
        Self {
            network,
            supervisor,
            processes: Vec::new(),
        }
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network.range().network()) + number)
    }

    /// A process in a namespace of its own; its standard output ends when it is there.
    fn process(&mut self) -> u32 {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo up; exec sleep 60 >&-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut text = String::new();
        let mut stdout = child.stdout.take().expect("its output");
        stdout.read_to_string(&mut text).expect("read");
        assert_eq!(text, "up\n");
        let pid = child.id();
        self.processes.push(child);
        pid
    }

    /// A process in a namespace that is held open here.
    fn enter(&mut self, namespace: &File) -> u32 {
        use std::os::fd::AsRawFd;
        let path = format!(
            "--net=/proc/{}/fd/{}",
            std::process::id(),
            namespace.as_raw_fd()
        );
        let mut child = Command::new("nsenter")
            .args([&path, "sh", "-c", "echo up; exec sleep 60 >&-"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut text = String::new();
        let mut stdout = child.stdout.take().expect("its output");
        stdout.read_to_string(&mut text).expect("read");
        assert_eq!(text, "up\n");
        let pid = child.id();
        self.processes.push(child);
        pid
    }

    /// The number of an address's link on the machine.
    fn link(&self, address: Ipv4Addr) -> Option<String> {
        let network = &self.network;
        let name = network.names.veth(network.config.range, address);
        let path = Path::new(LINKS).join(name.expect("a name"));
        std::fs::read_to_string(path.join("ifindex")).ok()
    }

    /// The kernel clears a namespace away a little after its last user has gone.
    async fn until_gone(&self, address: Ipv4Addr) {
        let gone = async {
            while self.link(address).is_some() {
                tokio::task::yield_now().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
        gone.expect("the link is still there");
    }

    /// A server in the namespace of a process.
    fn listen(&mut self, pid: u32) {
        let script = format!(
            "import socket\ns=socket.create_server(('',{PORT}))\nprint('up',flush=True)\n\
             while True: c,_=s.accept(); c.close()"
        );
        let mut child = Command::new("nsenter")
            .args(["--net", "-t", &pid.to_string()])
            .args(["/usr/bin/python3", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut up = [0; 3];
        let stdout = child.stdout.as_mut().expect("its output");
        stdout.read_exact(&mut up).expect("it listens");
        self.processes.push(child);
    }

    fn inside(pid: u32, line: &str) -> Output {
        Command::new("nsenter")
            .args(["--net", "-t", &pid.to_string(), "bash", "-c", line])
            .output()
            .expect("run")
    }

    /// Connects from inside; what is rejected or dropped fails within a second.
    fn reaches(pid: u32, to: Ipv4Addr, port: u16) -> bool {
        let line = format!("timeout 1 bash -c '</dev/tcp/{to}/{port}'");
        Self::inside(pid, &line).status.success()
    }

    async fn close(mut self) {
        self.end_processes();
        self.network.close().await.expect("closed");
    }

    fn end_processes(&mut self) {
        for mut process in std::mem::take(&mut self.processes) {
            process.kill().expect("killed");
            process.wait().expect("reaped");
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.end_processes();
        if !std::thread::panicking() {
            return;
        }
        // A failed test leaves nothing either; its own runtime stands still by now.
        let config = self.network.config.clone();
        let close = move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let supervisor = Supervisor::new("test", Shutdown::new());
                let again = Network::open(config, &supervisor).await.expect("opened");
                again.close().await.expect("closed");
            });
        };
        std::thread::spawn(close).join().expect("closed");
    }
}

/// All that the machine's network consists of.
fn machine_state() -> String {
    let line = "ip -o link; ip -o addr; ip route; iptables-save";
    let output = Command::new("sh").args(["-c", line]).output();
    String::from_utf8(output.expect("run").stdout).expect("text")
}

#[tokio::test]
async fn instances_reach_the_gateway_s_ports_and_nobody_else_of_the_machine() {
    let mut cell = Cell::open().await;
    let (one, two) = (cell.process(), cell.process());
    let (first, second) = (cell.address(2), cell.address(3));
    cell.network.attach(one, first).await.expect("attached");
    cell.network.attach(two, second).await.expect("attached");
    cell.listen(two);
    let gateway = cell.network.gateway();
    let router = TcpListener::bind((gateway, PORT)).expect("the router's port");
    let secret = TcpListener::bind((gateway, 0)).expect("another port");
    let secret_port = secret.local_addr().expect("its address").port();

    let to = SocketAddr::from((second, PORT));
    let reached = TcpStream::connect_timeout(&to, Duration::from_secs(2));
    assert!(
        reached.is_ok(),
        "the machine reaches its instances: {reached:?}"
    );
    assert!(Cell::reaches(one, gateway, PORT), "the router");
    assert!(Cell::reaches(two, second, PORT), "itself");
    assert!(!Cell::reaches(one, gateway, secret_port), "another port");
    assert!(!Cell::reaches(one, second, PORT), "another instance");
    assert!(!Cell::reaches(one, Ipv4Addr::new(127, 0, 0, 1), PORT));
    let refused = Cell::inside(one, "ip -4 -o addr; ip route; ip -6 addr; ip neigh");
    let told = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        told.contains(&format!("default via {gateway} dev eth0")),
        "{told}"
    );
    assert!(
        told.contains("PERMANENT") && !told.contains("inet6 fe80"),
        "{told}"
    );
    drop(router);
    cell.close().await;
}

#[tokio::test]
async fn link_local_and_denied_addresses_are_refused_at_once() {
    let mut cell = Cell::open().await;
    let pid = cell.process();
    cell.network
        .attach(pid, cell.address(2))
        .await
        .expect("attached");
    for denied in [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(192, 0, 2, 200),
    ] {
        // Refused by the machine, not lost on the way: the answer comes before the time is up.
        let line = format!("</dev/tcp/{denied}/80");
        let output = Cell::inside(pid, &format!("timeout 5 bash -c '{line}'"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("refused") || told.contains("unreachable"),
            "{told}"
        );
    }
    cell.close().await;
}

#[tokio::test]
async fn an_address_moves_to_the_next_start_and_goes_with_its_namespace() {
    let mut cell = Cell::open().await;
    let address = cell.address(2);
    let first = cell.process();
    cell.network.attach(first, address).await.expect("attached");
    // The crashed start's namespace may linger; the next one takes the address over.
    let second = cell.process();
    cell.network
        .attach(second, address)
        .await
        .expect("attached anew");
    assert_eq!(cell.network.attached().expect("listed"), [address]);
    let told = Cell::inside(first, "ip -o link").stdout;
    assert!(!String::from_utf8_lossy(&told).contains("eth0"));
    cell.network.detach(address).await.expect("detached");
    cell.network.detach(address).await.expect("detached again");
    assert_eq!(
        cell.network.attached().expect("listed"),
        Vec::<Ipv4Addr>::new()
    );
    let foreign = cell
        .network
        .attach(second, Ipv4Addr::new(10, 1, 2, 3))
        .await;
    assert!(matches!(foreign, Err(NetworkError::ForeignAddress(_))));
    let own = cell.network.attach(std::process::id(), address).await;
    assert!(matches!(own, Err(NetworkError::NoNamespace(_))), "{own:?}");
    cell.close().await;
}

#[tokio::test]
async fn a_namespace_made_ahead_is_ready_for_whoever_enters_it_and_goes_with_the_last_user() {
    let mut cell = Cell::open().await;
    let (used, unused) = (cell.address(5), cell.address(6));
    let held = cell.network.make_namespace(used).await.expect("made");
    let link = cell.link(used).expect("a link");
    let pid = cell.enter(&held);
    cell.network.attach(pid, used).await.expect("attached");
    assert_eq!(cell.link(used), Some(link), "it was there already");
    drop(held);
    cell.listen(pid);
    TcpStream::connect((used, PORT)).expect("it answers");
    let gateway = cell.network.gateway();
    let _listener = TcpListener::bind((gateway, PORT)).expect("bound");
    assert!(Cell::reaches(pid, gateway, PORT));

    // Another namespace has to be attached, whatever had the address before.
    let other = cell.process();
    cell.network.attach(other, used).await.expect("attached");
    cell.listen(other);
    TcpStream::connect((used, PORT)).expect("it answers");
    assert!(
        !Cell::reaches(pid, gateway, PORT),
        "it has lost its address"
    );

    drop(cell.network.make_namespace(unused).await.expect("made"));
    cell.until_gone(unused).await;
    cell.end_processes();
    cell.until_gone(used).await;
    cell.close().await;
}

#[tokio::test]
async fn a_network_is_found_again_by_the_next_agent_and_leaves_nothing() {
    let mut cell = Cell::open().await;
    let pid = cell.process();
    let address = cell.address(2);
    cell.network.attach(pid, address).await.expect("attached");
    // On the first one's supervisor: it must outlive that agent.
    let supervisor = cell.supervisor.clone();
    let again = Network::open(cell.network.config.clone(), &supervisor)
        .await
        .expect("opened again");
    assert_eq!(again.attached().expect("listed"), [address]);
    let name = again.names.prefix.clone();
    let gateway = format!("{}/32", again.gateway());
    assert!(machine_state().contains(&name) && machine_state().contains(&gateway));
    cell.close().await;
    again.close().await.expect("closed again");
    let left = machine_state();
    let range = again.range().to_string();
    for trace in [name.to_uppercase(), name, gateway, range] {
        assert!(!left.contains(&trace), "{trace} in {left}");
    }
}

/// Another machine: a namespace on a link of its own, with the two addresses of that link.
fn other_machine(cell: &mut Cell, link: &str) -> (u32, Ipv4Addr) {
    let pid = cell.process();
    let line = format!(
        "ip link add {link} type veth peer name other netns {pid} && \
         ip addr add 198.18.7.1/30 dev {link} && ip link set {link} up && \
         nsenter --net -t {pid} sh -c 'ip addr add 198.18.7.2/30 dev other && \
         ip link set other up && ip route add default via 198.18.7.1'"
    );
    let made = Command::new("sh")
        .args(["-c", &line])
        .output()
        .expect("run");
    assert!(made.status.success(), "{made:?}");
    (pid, Ipv4Addr::new(198, 18, 7, 1))
}

#[tokio::test]
async fn routers_on_other_machines_reach_instances_by_the_cell_s_ports() {
    let mut cell = Cell::open().await;
    let (one, two) = (cell.process(), cell.process());
    let (first, second) = (cell.address(2), cell.address(3));
    cell.network.attach(one, first).await.expect("attached");
    cell.network.attach(two, second).await.expect("attached");
    cell.listen(one);
    let (router, machine) = other_machine(&mut cell, "other-machine");
    let port = cell.network.outside_port(first).expect("a port");
    assert_eq!(port, 61_002);
    assert!(!Cell::reaches(router, machine, port), "not yet");
    let to = SocketAddrV4::new(first, PORT);
    let forward = Forward { port, to };
    cell.network.forward(forward).await.expect("forwarded");
    cell.network
        .forward(forward)
        .await
        .expect("forwarded again");
    let rules = machine_state();
    assert_eq!(
        rules.matches(&format!("--dport {port} ")).count(),
        1,
        "{rules}"
    );
    cell.network.set_forwards(&[forward]).await.expect("set");
    assert!(Cell::reaches(router, machine, port), "from another machine");
    let here = SocketAddr::from((machine, port));
    let reached = TcpStream::connect_timeout(&here, Duration::from_secs(2));
    assert!(reached.is_ok(), "from the cell's own machine: {reached:?}");
    assert!(
        !Cell::reaches(router, first, PORT),
        "never by its inner address"
    );
    assert!(!Cell::reaches(two, machine, port), "never from an instance");
    cell.network.set_forwards(&[]).await.expect("set");
    assert!(!Cell::reaches(router, machine, port), "no longer");
    let foreign = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 80);
    let refused = cell
        .network
        .set_forwards(&[Forward { port, to: foreign }])
        .await;
    assert!(matches!(refused, Err(NetworkError::ForeignAddress(_))));
    cell.close().await;
}

#[test]
fn names_lead_back_to_addresses() {
    let range: Ipv4Net = "100.64.112.0/20".parse().expect("a range");
    let names = Names::new(range).expect("names");
    let address = Ipv4Addr::new(100, 64, 127, 254);
    let name = names.veth(range, address).expect("a name");
    assert_eq!(name, "cfx644070-ffe");
    assert_eq!(names.address(range, &name), Some(address));
    for other in [
        "cfx644070",
        "cfx644080-2",
        "cfx644070-1",
        "cfx644070-zz",
        "eth0",
    ] {
        assert_eq!(names.address(range, other), None, "{other}");
    }
    let huge: Ipv4Net = "10.0.0.0/8".parse().expect("a range");
    assert!(matches!(
        Names::new(huge),
        Err(NetworkError::UnusableRange(_))
    ));
}
