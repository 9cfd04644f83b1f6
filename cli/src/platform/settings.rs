//! What `cfx up` was told: flags over the config file over defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use cfx_cell_agent::config::{OVERCOMMIT_MAX, OVERCOMMIT_MIN, READY_MAX, SLOTS_DEFAULT, WARM_MAX};
use cfx_cell_agent::equipment::RuntimeChoice;
use cfx_cell_agent::runtime::docker::SOCKET_DEFAULT;
use cfx_process::config;
use serde::Deserialize;

use crate::args::{RuntimeFlag, UpArgs};
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};

const API_PORT_DEFAULT: u16 = 8880;
const HTTP_PORT_DEFAULT: u16 = 8080;
const HTTPS_PORT_DEFAULT: u16 = 8443;
const DOMAIN_DEFAULT: &str = "apps.localhost";
/// Most cells of one process: each has its own agent, links and folders.
const CELLS_MAX: u32 = 64;
/// Each is a rule that packets to the machine pass.
const GATEWAY_PORTS_MAX: usize = 64;
/// Longest domain name (RFC 1035) less room for an app's host.
const DOMAIN_MAX_BYTES: usize = 180;
/// Shortest password, characters.
const PASSWORD_MIN_CHARS: usize = 8;

/// Most instances of one cell: it has 4,096 addresses, and a freed one rests for a while.
const SLOTS_MAX: u32 = 4_000;

/// A platform on one machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: IpAddr,
    pub(crate) api_port: u16,
    pub(crate) http_port: u16,
    pub(crate) https_port: u16,
    pub(crate) domain: String,
    pub(crate) cells: u32,
    /// Instances that each cell makes ahead.
    pub(crate) warm: usize,
    /// Volumes and networks made ahead; none: the cell's own default.
    pub(crate) ready: Option<usize>,
    /// Ports of this machine that instances may reach beside the router's.
    pub(crate) gateway_ports: Vec<u16>,
    /// Instances of each cell.
    pub(crate) slots: u32,
    /// Memory and disk are offered this many times.
    pub(crate) overcommit_memory: f64,
    pub(crate) overcommit_disk: f64,
    pub(crate) runtime: RuntimeFlag,
    pub(crate) docker_socket: PathBuf,
    pub(crate) admin_password: Option<String>,
    pub(crate) trace_starts: bool,
}

/// The file as typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    data: Option<PathBuf>,
    listen: Option<IpAddr>,
    api_port: Option<u16>,
    http_port: Option<u16>,
    https_port: Option<u16>,
    domain: Option<String>,
    cells: Option<u32>,
    warm: Option<usize>,
    ready: Option<usize>,
    gateway_ports: Option<Vec<u16>>,
    slots: Option<u32>,
    overcommit_memory: Option<f64>,
    overcommit_disk: Option<f64>,
    runtime: Option<RuntimeFlag>,
    docker_socket: Option<PathBuf>,
    admin_password: Option<String>,
}

impl From<RuntimeFlag> for RuntimeChoice {
    fn from(flag: RuntimeFlag) -> Self {
        match flag {
            RuntimeFlag::Auto => Self::Auto,
            RuntimeFlag::Docker => Self::Docker,
            RuntimeFlag::Sandbox => Self::Sandbox,
        }
    }
}

impl Settings {
    pub(crate) fn read(args: UpArgs, environment: &Environment) -> Outcome<Self> {
        let file = match &args.config {
            Some(path) => load(path)?,
            None => File::default(),
        };
        let settings = Self {
            data: args
                .data
                .or(file.data)
                .unwrap_or_else(|| environment.data.clone()),
            listen: args
                .listen
                .or(file.listen)
                .unwrap_or_else(|| Ipv4Addr::LOCALHOST.into()),
            api_port: args.api_port.or(file.api_port).unwrap_or(API_PORT_DEFAULT),
            http_port: args
                .http_port
                .or(file.http_port)
                .unwrap_or(HTTP_PORT_DEFAULT),
            https_port: args
                .https_port
                .or(file.https_port)
                .unwrap_or(HTTPS_PORT_DEFAULT),
            domain: args
                .domain
                .or(file.domain)
                .unwrap_or_else(|| DOMAIN_DEFAULT.to_owned()),
            cells: args.cells.or(file.cells).unwrap_or(1),
            warm: args.warm.or(file.warm).unwrap_or(0),
            ready: args.ready.or(file.ready),
            gateway_ports: args
                .gateway_ports
                .or(file.gateway_ports)
                .unwrap_or_default(),
            slots: args.slots.or(file.slots).unwrap_or(SLOTS_DEFAULT),
            overcommit_memory: args
                .overcommit_memory
                .or(file.overcommit_memory)
                .unwrap_or(1.0),
            overcommit_disk: args.overcommit_disk.or(file.overcommit_disk).unwrap_or(1.0),
            runtime: args.runtime.or(file.runtime).unwrap_or(RuntimeFlag::Auto),
            docker_socket: args
                .docker_socket
                .or(file.docker_socket)
                .unwrap_or_else(|| SOCKET_DEFAULT.into()),
            admin_password: args.admin_password.or(file.admin_password),
            trace_starts: args.trace_starts,
        };
        settings.check()
    }

    fn check(mut self) -> Outcome<Self> {
        self.data = std::path::absolute(&self.data).map_err(|error| {
            Failure::new(format!("{} is no folder: {error}", self.data.display()))
                .next("give a folder: --data DIR")
        })?;
        self.domain = self.domain.trim_matches('.').to_ascii_lowercase();
        if !is_domain(&self.domain) {
            return Err(Failure::new(format!("`{}` is no domain name", self.domain))
                .next("for example --domain apps.localhost"));
        }
        if !(1..=CELLS_MAX).contains(&self.cells) {
            let message = format!("{} cells: one process runs 1 to {CELLS_MAX}", self.cells);
            return Err(
                Failure::new(message).next("run more cells on other machines: `cfx serve cell`")
            );
        }
        self.check_capacity()?;
        let ports = [self.api_port, self.http_port, self.https_port];
        if ports.contains(&0)
            || ports[0] == ports[1]
            || ports[1] == ports[2]
            || ports[0] == ports[2]
        {
            return Err(
                Failure::new("the three ports must differ, and none may be 0")
                    .next("for example --api-port 8880 --http-port 8080 --https-port 8443"),
            );
        }
        if self.gateway_ports.contains(&0) || self.gateway_ports.len() > GATEWAY_PORTS_MAX {
            let message = format!("gateway ports: at most {GATEWAY_PORTS_MAX}, and none may be 0");
            return Err(Failure::new(message).next("for example --gateway-ports 6379,5432"));
        }
        let short = |password: &String| password.chars().count() < PASSWORD_MIN_CHARS;
        if self.admin_password.as_ref().is_some_and(short) {
            let message =
                format!("the admin password has fewer than {PASSWORD_MIN_CHARS} characters");
            return Err(Failure::new(message).next("give a longer one, or none: cfx makes one"));
        }
        Ok(self)
    }

    fn check_capacity(&self) -> Outcome {
        if !(1..=SLOTS_MAX).contains(&self.slots) {
            let message = format!("{} slots: one cell runs 1 to {SLOTS_MAX}", self.slots);
            return Err(Failure::new(message).next("have more cells: --cells N"));
        }
        if self.warm > WARM_MAX {
            let message = format!(
                "--warm {}: a cell makes at most {WARM_MAX} ahead",
                self.warm
            );
            return Err(Failure::new(message).next("for example --warm 20"));
        }
        if let Some(ready) = self.ready.filter(|ready| *ready > READY_MAX) {
            let message = format!("--ready {ready}: a cell makes at most {READY_MAX} ahead");
            return Err(Failure::new(message).next("for example --ready 20"));
        }
        let is_meant = |factor: f64| (OVERCOMMIT_MIN..=OVERCOMMIT_MAX).contains(&factor);
        if !is_meant(self.overcommit_memory) || !is_meant(self.overcommit_disk) {
            let message =
                format!("overcommit factors must be between {OVERCOMMIT_MIN} and {OVERCOMMIT_MAX}");
            return Err(Failure::new(message).next("for example --overcommit-memory 2"));
        }
        Ok(())
    }

    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.listen, port)
    }

    /// Where programs on this machine reach the API.
    pub(crate) fn api_url(&self) -> String {
        let host = match self.listen {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        format!("http://{}", SocketAddr::new(host, self.api_port))
    }
}

fn load(path: &Path) -> Outcome<File> {
    config::load(path).map_err(|error| {
        Failure::new(error.to_string()).next("its keys are the names of the flags: `cfx help up`")
    })
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.len() <= DOMAIN_MAX_BYTES && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::from_variables(|name| (name == "CFX_HOME").then(|| "/home/.cfx".to_owned()))
    }

    fn read(args: UpArgs) -> Outcome<Settings> {
        Settings::read(args, &environment())
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("up.yml");
        std::fs::write(
            &path,
            "cells: 3\napi-port: 9000\nruntime: docker\ngateway-ports: [6379]\n\
             slots: 3000\novercommit-memory: 4\n",
        )
        .expect("written");
        let settings = read(UpArgs {
            config: Some(path),
            api_port: Some(9001),
            ..UpArgs::default()
        })
        .expect("valid");
        assert_eq!(
            (settings.cells, settings.api_port, settings.http_port),
            (3, 9001, 8080)
        );
        assert_eq!(settings.runtime, RuntimeFlag::Docker);
        assert_eq!(settings.gateway_ports, [6379]);
        assert_eq!((settings.slots, settings.overcommit_memory), (3_000, 4.0));
        assert_eq!(settings.data, PathBuf::from("/home/.cfx/data"));
        assert_eq!(settings.api_url(), "http://127.0.0.1:9001");
    }

    #[test]
    fn an_unknown_key_is_told_with_file_and_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("up.yml");
        std::fs::write(&path, "cells: 3\napi_port: 1\n").expect("written");
        let failure = read(UpArgs {
            config: Some(path),
            ..UpArgs::default()
        })
        .expect_err("unknown key");
        assert!(
            failure.message().contains("up.yml:2:"),
            "{}",
            failure.message()
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_next_step() {
        for args in [
            UpArgs {
                cells: Some(0),
                ..UpArgs::default()
            },
            UpArgs {
                warm: Some(WARM_MAX + 1),
                ..UpArgs::default()
            },
            UpArgs {
                cells: Some(1_000),
                ..UpArgs::default()
            },
            UpArgs {
                http_port: Some(8880),
                ..UpArgs::default()
            },
            UpArgs {
                api_port: Some(0),
                ..UpArgs::default()
            },
            UpArgs {
                gateway_ports: Some(vec![6379, 0]),
                ..UpArgs::default()
            },
            UpArgs {
                slots: Some(100_000),
                ..UpArgs::default()
            },
            UpArgs {
                overcommit_memory: Some(f64::NAN),
                ..UpArgs::default()
            },
            UpArgs {
                domain: Some("a b".into()),
                ..UpArgs::default()
            },
            UpArgs {
                domain: Some(String::new()),
                ..UpArgs::default()
            },
            UpArgs {
                admin_password: Some("short".into()),
                ..UpArgs::default()
            },
        ] {
            let failure = read(args.clone()).expect_err("nonsense");
            assert!(failure.next_step().is_some(), "{args:?}");
        }
    }
}
