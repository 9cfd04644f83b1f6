//! The command line: verbs, flags and help. Where the cf CLI has the verb, the flags are its own.
//!
//! Only words become meaning here; what a command does is in `commands/`.

mod app;
mod autoscale;
mod bench;
mod load;
mod platform;
mod push;
mod rehearse;
mod route;
mod service;
mod store;
mod target;
mod value;

use clap::{Parser, Subcommand};

pub(crate) use app::*;
pub(crate) use autoscale::*;
pub(crate) use bench::*;
pub(crate) use load::*;
pub(crate) use platform::*;
pub(crate) use push::*;
pub(crate) use rehearse::*;
pub(crate) use route::*;
pub(crate) use service::*;
pub(crate) use store::*;
pub(crate) use target::*;

/// A Cloud Foundry-style platform in one binary, and the CLI to use it.
#[derive(Debug, Parser)]
#[command(
    name = "cfx",
    version,
    propagate_version = false,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
First steps:
  cfx up                          start a platform on this machine
  cfx push shop -p ./shop         push an app
  cfx app shop                    see how it is
  cfx why shop/0                  see why an instance is where it is

`cfx help COMMAND` shows a command's flags and examples."
)]
pub(crate) struct Args {
    /// Show each request and how long it took
    #[arg(short = 'v', long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpArgs),
    Serve(ServeArgs),
    Status(StatusArgs),
    Api(ApiArgs),
    #[command(visible_alias = "l")]
    Login(LoginArgs),
    #[command(visible_alias = "lo")]
    Logout(LogoutArgs),
    #[command(visible_alias = "t")]
    Target(TargetArgs),
    #[command(visible_alias = "o")]
    Orgs(OrgsArgs),
    #[command(visible_alias = "co")]
    CreateOrg(CreateOrgArgs),
    Spaces(SpacesArgs),
    #[command(visible_alias = "csp")]
    CreateSpace(CreateSpaceArgs),
    #[command(visible_alias = "p")]
    Push(Box<PushArgs>),
    #[command(visible_alias = "a")]
    Apps(AppsArgs),
    App(AppArgs),
    Scale(ScaleArgs),
    #[command(visible_alias = "st")]
    Start(StartArgs),
    #[command(visible_alias = "sp")]
    Stop(StopArgs),
    #[command(visible_alias = "rs")]
    Restart(RestartArgs),
    #[command(visible_alias = "rg")]
    Restage(RestageArgs),
    #[command(visible_alias = "d")]
    Delete(DeleteArgs),
    RestartAppInstance(RestartAppInstanceArgs),
    Logs(LogsArgs),
    Events(EventsArgs),
    #[command(visible_alias = "e")]
    Env(EnvArgs),
    #[command(visible_alias = "se")]
    SetEnv(SetEnvArgs),
    #[command(visible_alias = "ue")]
    UnsetEnv(UnsetEnvArgs),
    #[command(visible_alias = "r")]
    Routes(RoutesArgs),
    CreateRoute(CreateRouteArgs),
    DeleteRoute(DeleteRouteArgs),
    MapRoute(MapRouteArgs),
    UnmapRoute(UnmapRouteArgs),
    Domains(DomainsArgs),
    #[command(visible_alias = "s")]
    Services(ServicesArgs),
    Service(ServiceArgs),
    #[command(visible_alias = "cups")]
    CreateUserProvidedService(CreateUserProvidedServiceArgs),
    #[command(visible_alias = "uups")]
    UpdateUserProvidedService(UpdateUserProvidedServiceArgs),
    #[command(visible_alias = "bs")]
    BindService(BindServiceArgs),
    #[command(visible_alias = "us")]
    UnbindService(UnbindServiceArgs),
    #[command(visible_alias = "ds")]
    DeleteService(DeleteServiceArgs),
    #[command(visible_alias = "as")]
    Autoscale(AutoscaleArgs),
    Cells(CellsArgs),
    Why(WhyArgs),
    Store(StoreArgs),
    Curl(CurlArgs),
    Load(Box<LoadArgs>),
    Rehearse(Box<RehearseArgs>),
    Bench(BenchArgs),
    Completion(CompletionArgs),
}

/// The words as clap is to see them: `cfx h` is `cfx help`, `cfx version` is `cfx --version`.
pub(crate) fn normalise(words: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut words = words;
    if let Some(first) = words.get_mut(1) {
        match first.to_str() {
            Some("h") => *first = "help".into(),
            Some("version") => *first = "--version".into(),
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests;
