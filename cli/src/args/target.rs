//! Where commands go, as whom, and in which org and space.

use std::path::PathBuf;

use clap::Args;

/// Set or show the API that commands talk to
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx api                                    show the target
  cfx api http://127.0.0.1:8880              a local platform
  cfx api https://api.example.org --ca-cert authority.pem")]
pub(crate) struct ApiArgs {
    /// Address of the API; https when no scheme is given
    pub(crate) url: Option<String>,
    /// Accept any certificate
    #[arg(long, conflicts_with = "ca_cert")]
    pub(crate) skip_ssl_validation: bool,
    /// PEM file of the authority to trust
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Forget the target and the login
    #[arg(long, conflicts_with = "url")]
    pub(crate) unset: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Log in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx login                                  asks for what it needs
  cfx login -a http://127.0.0.1:8880 -u admin -o demo -s dev
  cfx login -u ci -p \"$PASSWORD\"             passwords on a command line are seen by others")]
pub(crate) struct LoginArgs {
    /// Address of the API
    #[arg(short = 'a', value_name = "URL")]
    pub(crate) api: Option<String>,
    /// User name
    #[arg(short = 'u', value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Password
    #[arg(short = 'p', value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
    /// Org to target
    #[arg(short = 'o', value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// Space to target
    #[arg(short = 's', value_name = "SPACE")]
    pub(crate) space: Option<String>,
    /// Identity provider
    #[arg(long)]
    pub(crate) origin: Option<String>,
    /// Accept any certificate
    #[arg(long, conflicts_with = "ca_cert")]
    pub(crate) skip_ssl_validation: bool,
    /// PEM file of the authority to trust
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
}

/// Log out
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {}

/// Set or show the org and space that commands work in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx target                  show it
  cfx target -o demo -s dev   set it")]
pub(crate) struct TargetArgs {
    /// Org
    #[arg(short = 'o', value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// Space
    #[arg(short = 's', value_name = "SPACE")]
    pub(crate) space: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the orgs
#[derive(Debug, Args)]
pub(crate) struct OrgsArgs {
    /// Only those whose labels match, such as env=prod
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) labels: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Create an org
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cfx create-org demo")]
pub(crate) struct CreateOrgArgs {
    pub(crate) org: String,
}

/// List the spaces of the targeted org
#[derive(Debug, Args)]
pub(crate) struct SpacesArgs {
    /// Only those whose labels match, such as env=prod
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) labels: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Create a space
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cfx create-space dev -o demo")]
pub(crate) struct CreateSpaceArgs {
    pub(crate) space: String,
    /// Org it belongs to; the targeted one by default
    #[arg(short = 'o', value_name = "ORG")]
    pub(crate) org: Option<String>,
}
