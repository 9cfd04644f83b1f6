//! User-provided services and their bindings to apps.

use clap::Args;

/// What a user-provided service tells the apps it is bound to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServiceFlags {
    /// JSON, a file with JSON, or names of credentials to ask for, such as "user, password"
    #[arg(short = 'p', value_name = "CREDENTIALS", allow_hyphen_values = true)]
    pub(crate) credentials: Option<String>,
    /// Tags, such as "redis, stock"
    #[arg(short = 't', value_name = "TAGS")]
    pub(crate) tags: Option<String>,
    /// Syslog drain that bound apps are told of; cfx itself sends it nothing
    #[arg(short = 'l', value_name = "URL")]
    pub(crate) syslog_drain: Option<String>,
    /// Route service, kept for other tools; cfx routes nothing through it
    #[arg(short = 'r', value_name = "URL")]
    pub(crate) route_service: Option<String>,
}

/// Make credentials known to apps as a service
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cfx create-user-provided-service stock -p '{\"uri\":\"redis://:secret@10.0.0.5:6379/0\"}' -t redis
  cfx create-user-provided-service stock -p credentials.json
  cfx create-user-provided-service stock -p \"user, password\"   asks for both
  cfx bind-service shop stock && cfx restart shop              the shop reads VCAP_SERVICES")]
pub(crate) struct CreateUserProvidedServiceArgs {
    pub(crate) service: String,
    #[command(flatten)]
    pub(crate) flags: ServiceFlags,
}

/// Change a user-provided service; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "\
Bound apps see it after a restart. An empty value removes: -t '' -l '' -r '' -p '{}'.

Example:
  cfx update-user-provided-service stock -p '{\"uri\":\"redis://:other@10.0.0.5:6379/0\"}'")]
pub(crate) struct UpdateUserProvidedServiceArgs {
    pub(crate) service: String,
    #[command(flatten)]
    pub(crate) flags: ServiceFlags,
}

/// Let an app see a service; it does after a restart
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cfx bind-service shop stock && cfx restart shop")]
pub(crate) struct BindServiceArgs {
    pub(crate) app: String,
    pub(crate) service: String,
    /// Name by which the app sees it [default: the service's]
    #[arg(long, value_name = "NAME")]
    pub(crate) binding_name: Option<String>,
}

/// Let an app see a service no more
#[derive(Debug, Args)]
pub(crate) struct UnbindServiceArgs {
    pub(crate) app: String,
    pub(crate) service: String,
}

/// List the services of the targeted space
#[derive(Debug, Args)]
pub(crate) struct ServicesArgs {
    /// Do not ask which apps they are bound to
    #[arg(long)]
    pub(crate) no_apps: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show a service and the apps it is bound to
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    pub(crate) service: String,
    /// Print its guid and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) guid: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Delete a service and its bindings
#[derive(Debug, Args)]
pub(crate) struct DeleteServiceArgs {
    pub(crate) service: String,
    /// Without asking
    #[arg(short = 'f')]
    pub(crate) force: bool,
}
