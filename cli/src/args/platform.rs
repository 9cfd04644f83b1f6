//! The platform itself: starting it, looking into it, talking to its API directly.

use std::net::IpAddr;
use std::path::PathBuf;

use cfx_protocol::link::Role;
use clap::{Args, Subcommand, ValueEnum};

use super::value::{AppAndIndex, app_and_index};

/// Start a whole platform on this machine
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
The first start makes the user `admin` with a password that only you can read, in DIR.
A later start on the same folder brings every app back.

Examples:
  cfx up
  cfx up --data ./lab --api-port 9880 --http-port 9080 --https-port 9443   a second one beside it
  cfx up --config platform.yml                                        flags win over the file")]
pub(crate) struct UpArgs {
    /// Read settings from a YAML file; its keys are the names of these flags
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder that holds everything [default: ~/.cfx/data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub(crate) listen: Option<IpAddr>,
    /// Port of the API [default: 8880]
    #[arg(long, value_name = "PORT")]
    pub(crate) api_port: Option<u16>,
    /// Port where apps answer HTTP [default: 8080]
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
    /// Port where apps answer HTTPS [default: 8443]
    #[arg(long, value_name = "PORT")]
    pub(crate) https_port: Option<u16>,
    /// Domain of apps [default: apps.localhost]
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Number of cells [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) cells: Option<u32>,
    /// Instances that each cell makes ahead, so that starts take milliseconds [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) warm: Option<usize>,
    /// Volumes and networks that each cell makes ahead [default: 8]
    #[arg(long, value_name = "N")]
    pub(crate) ready: Option<usize>,
    /// More ports of this machine that instances may reach, such as 6379,5432
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    pub(crate) gateway_ports: Option<Vec<u16>>,
    /// Most instances of one cell [default: 250]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// Offer the machine's memory this many times: apps rarely use all they may [default: 1]
    #[arg(long, value_name = "FACTOR")]
    pub(crate) overcommit_memory: Option<f64>,
    /// Offer the machine's disk this many times [default: 1]
    #[arg(long, value_name = "FACTOR")]
    pub(crate) overcommit_disk: Option<f64>,
    /// What instances run on [default: auto]
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) runtime: Option<RuntimeFlag>,
    /// Where the Docker Engine listens [default: /var/run/docker.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) docker_socket: Option<PathBuf>,
    /// Log each step of each start, with its time
    #[arg(long)]
    pub(crate) trace_starts: bool,
    /// Password of the user `admin`
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) admin_password: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RuntimeFlag {
    /// Docker when it answers, else sandboxes
    #[default]
    Auto,
    /// The Docker Engine: stacks and images
    Docker,
    /// Nothing but the kernel: stacks only
    Sandbox,
}

/// Run one role of a platform on many machines
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  cfx serve cell --config cell.yml")]
pub(crate) struct ServeArgs {
    pub(crate) role: ServeRole,
    /// YAML file with the role's settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServeRole {
    Controller,
    Cell,
    Router,
    Autoscaler,
}

/// Show how the platform is
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the cells, or admit a new one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  cfx cells
  cfx cells join-token   a token that admits one cell once"
)]
pub(crate) struct CellsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<CellsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CellsCommand {
    JoinToken(JoinTokenArgs),
}

/// Make a token that admits one new cell or router, once
#[derive(Debug, Args)]
pub(crate) struct JoinTokenArgs {
    /// What it admits
    #[arg(long, default_value = "cell")]
    pub(crate) role: JoinRole,
    /// Minutes it lives [default: 60]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub(crate) ttl: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinRole {
    Cell,
    Router,
}

impl From<JoinRole> for Role {
    fn from(role: JoinRole) -> Self {
        match role {
            JoinRole::Cell => Self::Cell,
            JoinRole::Router => Self::Router,
        }
    }
}

/// Tell why an instance is where it is, or why it is nowhere
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx why shop      every instance
  cfx why shop/3    one of them")]
pub(crate) struct WhyArgs {
    /// An app, or one instance of it
    #[arg(value_name = "APP[/INDEX]", value_parser = app_and_index)]
    pub(crate) instance: AppAndIndex,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send a request to the API as the logged-in user
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx curl /v3/apps
  cfx curl /v3/apps/GUID -X PATCH -d '{\"name\":\"shop2\"}'
  cfx curl /v3/spaces -d @space.json --fail")]
pub(crate) struct CurlArgs {
    /// Path, with a query if need be
    pub(crate) path: String,
    /// Method; GET, or POST with -d
    #[arg(short = 'X', value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// Header to add, such as 'If-Match: x'
    #[arg(short = 'H', value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Body, or @FILE
    #[arg(short = 'd', value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// Print status and headers too
    #[arg(short = 'i')]
    pub(crate) include: bool,
    /// End with exit code 22 on an HTTP error
    #[arg(short = 'f', long)]
    pub(crate) fail: bool,
    /// Write the body to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Print a shell's completion script
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(cfx completion bash)
  cfx completion zsh > ~/.zfunc/_cfx
  cfx completion fish > ~/.config/fish/completions/cfx.fish")]
pub(crate) struct CompletionArgs {
    pub(crate) shell: ShellFlag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellFlag {
    Bash,
    Zsh,
    Fish,
}
