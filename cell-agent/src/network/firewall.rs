//! What instances may reach, in chains of the cell's own beside whatever else filters packets on
//! the machine (Docker drops what is forwarded and not its own).
//!
//! `iptables`, because its rules share tables with Docker's on every engine in use; all rules of a
//! cell are replaced in one transaction.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;

use ipnet::Ipv4Net;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Forward, Names, NetworkConfig, NetworkError, io};

/// Where machines keep credentials for whoever asks from inside.
const LINK_LOCAL: &str = "169.254.0.0/16";
/// The links of all cells, as iptables matches them.
const ALL_CELLS: &str = "cfx+";
/// The machine's own loopback, which leads nowhere else.
const LOOPBACK: &str = "127.0.0.0/8";
/// Seconds to wait for another user of the firewall.
const LOCK_WAIT: &str = "10";

struct Chains {
    forward: String,
    input: String,
    nat: String,
    /// Made only when something is forwarded, and left alone by `install`.
    forwards: String,
}

impl Chains {
    fn of(names: &Names) -> Self {
        let tag = names.prefix.to_uppercase();
        Self {
            forward: format!("{tag}-FORWARD"),
            input: format!("{tag}-INPUT"),
            nat: format!("{tag}-NAT"),
            forwards: format!("{tag}-DNAT"),
        }
    }

    /// The rules that lead into the chains of every cell.
    fn jumps(&self, names: &Names, range: Ipv4Net) -> [Jump; 4] {
        let veths = names.veths();
        let range = range.to_string();
        [
            Jump::new("filter", "FORWARD", &["-i", &veths], &self.forward),
            Jump::new("filter", "FORWARD", &["-o", &veths], &self.forward),
            Jump::new("filter", "INPUT", &["-i", &veths], &self.input),
            Jump::new("nat", "POSTROUTING", &["-s", &range], &self.nat),
        ]
    }

    /// Those that lead to forwarded ports: from other machines and from this one, but not from
    /// instances, which reach each other through the router alone.
    fn forward_jumps(&self) -> [Jump; 2] {
        let local = ["-m", "addrtype", "--dst-type", "LOCAL"];
        let outside = [&["!", "-i", ALL_CELLS], local.as_slice()].concat();
        let here = [&["!", "-d", LOOPBACK], local.as_slice()].concat();
        [
            Jump::new("nat", "PREROUTING", &outside, &self.forwards),
            Jump::new("nat", "OUTPUT", &here, &self.forwards),
        ]
    }

    fn all(&self) -> [(&'static str, &str); 4] {
        [
            ("filter", &self.forward),
            ("filter", &self.input),
            ("nat", &self.nat),
            ("nat", &self.forwards),
        ]
    }
}

/// A rule of a built-in chain that leads into one of the cell's.
struct Jump {
    table: &'static str,
    chain: &'static str,
    rule: Vec<String>,
}

impl Jump {
    fn new(table: &'static str, chain: &'static str, matches: &[&str], to: &str) -> Self {
        let rule = [matches, &["-j", to]].concat();
        Self {
            table,
            chain,
            rule: rule.into_iter().map(str::to_owned).collect(),
        }
    }

    async fn is_there(&self) -> Result<bool, NetworkError> {
        let (there, _) = iptables(self.table, "-C", self.chain, &self.rule).await?;
        Ok(there)
    }

    async fn ensure(&self) -> Result<(), NetworkError> {
        if self.is_there().await? {
            return Ok(());
        }
        succeed(iptables(self.table, "-I", self.chain, &self.rule).await?)
    }

    async fn remove(&self) -> Result<(), NetworkError> {
        if !self.is_there().await? {
            return Ok(());
        }
        succeed(iptables(self.table, "-D", self.chain, &self.rule).await?)
    }
}

impl Forward {
    fn rule(&self) -> Vec<String> {
        let (port, to) = (self.port.to_string(), self.to.to_string());
        let words = [
            "-p",
            "tcp",
            "--dport",
            &port,
            "-j",
            "DNAT",
            "--to-destination",
            &to,
        ];
        words.map(str::to_owned).into()
    }
}

pub(super) async fn install(
    names: &Names,
    gateway: Ipv4Addr,
    config: &NetworkConfig,
) -> Result<(), NetworkError> {
    let chains = Chains::of(names);
    restore(&rules(&chains, names, gateway, config)).await?;
    for jump in chains.jumps(names, config.range) {
        jump.ensure().await?;
    }
    Ok(())
}

/// Forward one more port, beside those that are forwarded already.
pub(super) async fn add_forward(names: &Names, forward: &Forward) -> Result<(), NetworkError> {
    let chains = Chains::of(names);
    let (made, _) = iptables("nat", "-N", &chains.forwards, &[]).await?;
    if made {
        for jump in chains.forward_jumps() {
            jump.ensure().await?;
        }
    }
    let rule = forward.rule();
    let (there, _) = iptables("nat", "-C", &chains.forwards, &rule).await?;
    if there {
        return Ok(());
    }
    succeed(iptables("nat", "-A", &chains.forwards, &rule).await?)
}

/// Forward exactly these ports of the machine. One transaction: what stays is never interrupted.
pub(super) async fn forward(names: &Names, forwards: &[Forward]) -> Result<(), NetworkError> {
    let chains = Chains::of(names);
    let mut text = format!("*nat\n:{} - [0:0]\n", chains.forwards);
    for forward in forwards {
        // Writing to a string cannot fail.
        let rule = forward.rule().join(" ");
        writeln!(text, "-A {} {rule}", chains.forwards).unwrap_or_default();
    }
    restore(&(text + "COMMIT\n")).await?;
    for jump in chains.forward_jumps() {
        jump.ensure().await?;
    }
    Ok(())
}

/// Removing what is not there succeeds.
pub(super) async fn remove(names: &Names, range: Ipv4Net) -> Result<(), NetworkError> {
    let chains = Chains::of(names);
    for jump in chains.jumps(names, range) {
        jump.remove().await?;
    }
    for jump in chains.forward_jumps() {
        jump.remove().await?;
    }
    for (table, chain) in chains.all() {
        let (there, _) = iptables(table, "-F", chain, &[]).await?;
        if there {
            succeed(iptables(table, "-X", chain, &[]).await?)?;
        }
    }
    Ok(())
}

/// The cell's rules as `iptables-restore` reads them.
fn rules(chains: &Chains, names: &Names, gateway: Ipv4Addr, config: &NetworkConfig) -> String {
    let veths = names.veths();
    let Chains {
        forward,
        input,
        nat,
        ..
    } = chains;
    let mut text = format!("*filter\n:{forward} - [0:0]\n:{input} - [0:0]\n");
    let mut rule = |chain: &str, words: &str| {
        // Writing to a string cannot fail.
        writeln!(text, "-A {chain} {words}").unwrap_or_default();
    };
    rule(
        forward,
        "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    );
    // Addresses of the cell that the machine forwards on purpose.
    rule(
        forward,
        &format!("-o {veths} -m conntrack --ctstate DNAT -j ACCEPT"),
    );
    rule(forward, &format!("-o {ALL_CELLS} -j REJECT"));
    rule(forward, &format!("-d {LINK_LOCAL} -j REJECT"));
    for range in &config.denied {
        rule(forward, &format!("-d {range} -j REJECT"));
    }
    rule(
        forward,
        &format!("-i {veths} -s {} -j ACCEPT", config.range),
    );
    rule(forward, "-j DROP");
    rule(
        input,
        "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    );
    for protocol in ["udp", "tcp"] {
        rule(
            input,
            &format!("-d {gateway} -p {protocol} --dport 53 -j ACCEPT"),
        );
    }
    for port in &config.gateway_ports {
        rule(
            input,
            &format!("-d {gateway} -p tcp --dport {port} -j ACCEPT"),
        );
    }
    rule(input, "-p tcp -j REJECT --reject-with tcp-reset");
    rule(input, "-j REJECT");
    let masquerade = format!("-A {nat} ! -o {ALL_CELLS} -j MASQUERADE\n");
    text + "COMMIT\n*nat\n:" + nat + " - [0:0]\n" + &masquerade + "COMMIT\n"
}

async fn restore(rules: &str) -> Result<(), NetworkError> {
    let program = "iptables-restore";
    let run = io("run iptables-restore");
    let attempt = async {
        let mut child = Command::new(program)
            .args(["--noflush", "-w", LOCK_WAIT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(rules.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = attempt.await.map_err(run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(NetworkError::Firewall {
        program,
        detail: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Whether it succeeded, and what it said.
async fn iptables(
    table: &str,
    order: &str,
    chain: &str,
    rule: &[String],
) -> Result<(bool, String), NetworkError> {
    let output = Command::new("iptables")
        .args(["-w", LOCK_WAIT, "-t", table, order, chain])
        .args(rule)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(io("run iptables"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((output.status.success(), said))
}

fn succeed((success, detail): (bool, String)) -> Result<(), NetworkError> {
    if success {
        return Ok(());
    }
    let program = "iptables";
    Err(NetworkError::Firewall { program, detail })
}
