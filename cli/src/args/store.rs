//! Backups of the stores of a platform.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Back the platform's state up, or restore it
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    Backup(BackupArgs),
    Restore(RestoreArgs),
}

/// The roles that keep a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreRole {
    Controller,
    Autoscaler,
}

impl StoreRole {
    /// Its part of a data folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Autoscaler => "autoscaler",
        }
    }
}

/// Write the state of a stopped platform to a new file
#[derive(Debug, Args)]
#[command(after_help = "\
A backup holds state: orgs, spaces, apps, routes, services, users, and their secrets, so only
you can read it. It holds no blobs (packages and droplets), and not the platform's authority:
copy DIR/controller/blobs and DIR/controller/authority beside it.
The autoscaler keeps rules and their evidence in a store of its own: --role autoscaler.

Example:
  cfx store backup monday.backup && cp -a ~/.cfx/data/controller/blobs monday.blobs")]
pub(crate) struct BackupArgs {
    /// File to make
    pub(crate) file: PathBuf,
    /// Data folder of the stopped platform [default: ~/.cfx/data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Whose store
    #[arg(long, default_value = "controller")]
    pub(crate) role: StoreRole,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make the state of a stopped platform from a backup
#[derive(Debug, Args)]
#[command(after_help = "\
A backup holds no blobs (packages and droplets). In the folder that it was made from they are
still there; in another one, put them to DIR/controller/blobs before the platform starts, and
the authority to DIR/controller/authority, or cells on other machines have to join again.
The autoscaler keeps rules and their evidence in a store of its own: --role autoscaler.

Example:
  cfx store restore monday.backup --data ~/.cfx/data --replace && cfx up")]
pub(crate) struct RestoreArgs {
    /// What `cfx store backup` made
    pub(crate) file: PathBuf,
    /// Data folder of the stopped platform
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Move a store that is there aside first; it is not deleted
    #[arg(long)]
    pub(crate) replace: bool,
    /// Whose store
    #[arg(long, default_value = "controller")]
    pub(crate) role: StoreRole,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
