//! Routes and domains.

use clap::Args;

use super::value::route_path;

/// What names a route on a domain.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RouteName {
    /// Host part, such as shop
    #[arg(short = 'n', long, value_name = "HOST")]
    pub(crate) hostname: Option<String>,
    /// Path the route starts with, such as /checkout
    #[arg(long, value_name = "PATH", value_parser = route_path)]
    pub(crate) path: Option<String>,
}

/// List the routes of the targeted space
#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    /// Those of all spaces of the org
    #[arg(long)]
    pub(crate) org_level: bool,
    /// Only those whose labels match, such as env=prod
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) labels: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Create a route, to be mapped later
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cfx create-route apps.localhost --hostname shop --path /checkout"
)]
pub(crate) struct CreateRouteArgs {
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) route: RouteName,
}

/// Delete a route
#[derive(Debug, Args)]
pub(crate) struct DeleteRouteArgs {
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) route: RouteName,
    /// Without asking
    #[arg(short = 'f')]
    pub(crate) force: bool,
}

/// Let a route lead to an app; creates the route when there is none
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cfx map-route shop apps.localhost --hostname www")]
pub(crate) struct MapRouteArgs {
    pub(crate) app: String,
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) route: RouteName,
    /// Protocol that the app speaks: http1 or http2
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) app_protocol: Option<String>,
    /// Port that the app listens on
    #[arg(long, value_name = "PORT")]
    pub(crate) app_port: Option<u16>,
}

/// Stop a route from leading to an app
#[derive(Debug, Args)]
pub(crate) struct UnmapRouteArgs {
    pub(crate) app: String,
    pub(crate) domain: String,
    #[command(flatten)]
    pub(crate) route: RouteName,
}

/// List the domains of the targeted org
#[derive(Debug, Args)]
pub(crate) struct DomainsArgs {
    /// Only those whose labels match, such as env=prod
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) labels: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
