//! What each verb does. One file a group; `run` is the list of them all.

mod app;
mod autoscale;
mod completion;
mod credentials;
mod curl;
mod delete;
mod deployment;
mod environment;
mod events;
mod lifecycle;
mod load;
mod logs;
mod names;
mod org;
mod platform;
mod push;
mod rehearse;
mod route;
mod scale;
mod service;
mod staging;
mod starting;
mod store;
mod summary;
mod target;
mod why;

pub(crate) use target::resolve;

use crate::args::{CellsCommand, Command};
use crate::context::Context;
use crate::failure::Outcome;

/// Does it need all of the machine's threads, rather than one?
pub(crate) fn is_threaded(command: &Command) -> bool {
    match command {
        Command::Up(_) | Command::Serve(_) => true,
        Command::Bench(args) => crate::bench::is_threaded(args),
        _ => false,
    }
}

pub(crate) async fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Up(args) => Box::pin(crate::platform::up(context, args)).await,
        Command::Serve(args) => Box::pin(crate::platform::serve(context, &args)).await,
        Command::Status(args) => platform::status(context, &args).await,
        Command::Api(args) => target::api(context, &args).await,
        Command::Login(args) => target::login(context, args).await,
        Command::Logout(_) => target::logout(context),
        Command::Target(args) => target::target(context, &args).await,
        Command::Orgs(args) => org::orgs(context, &args).await,
        Command::CreateOrg(args) => org::create_org(context, &args).await,
        Command::Spaces(args) => org::spaces(context, &args).await,
        Command::CreateSpace(args) => org::create_space(context, &args).await,
        Command::Push(args) => Box::pin(push::push(context, *args)).await,
        Command::Apps(args) => app::apps(context, &args).await,
        Command::App(args) => app::app(context, &args).await,
        Command::Scale(args) => scale::scale(context, &args).await,
        Command::Start(args) => lifecycle::start(context, &args).await,
        Command::Stop(args) => lifecycle::stop(context, &args).await,
        Command::Restart(args) => lifecycle::restart(context, &args).await,
        Command::Restage(args) => lifecycle::restage(context, &args).await,
        Command::Delete(args) => delete::delete(context, &args).await,
        Command::RestartAppInstance(args) => lifecycle::restart_instance(context, &args).await,
        Command::Logs(args) => logs::logs(context, &args).await,
        Command::Events(args) => events::events(context, &args).await,
        Command::Env(args) => environment::env(context, &args).await,
        Command::SetEnv(args) => environment::set_env(context, &args).await,
        Command::UnsetEnv(args) => environment::unset_env(context, &args).await,
        Command::Routes(args) => route::routes(context, &args).await,
        Command::CreateRoute(args) => route::create_route(context, &args).await,
        Command::DeleteRoute(args) => route::delete_route(context, &args).await,
        Command::MapRoute(args) => route::map_route(context, &args).await,
        Command::UnmapRoute(args) => route::unmap_route(context, &args).await,
        Command::Domains(args) => route::domains(context, &args).await,
        Command::Services(args) => service::services(context, &args).await,
        Command::Service(args) => service::service(context, &args).await,
        Command::CreateUserProvidedService(args) => service::create(context, &args).await,
        Command::UpdateUserProvidedService(args) => service::update(context, &args).await,
        Command::BindService(args) => service::bind(context, &args).await,
        Command::UnbindService(args) => service::unbind(context, &args).await,
        Command::DeleteService(args) => service::delete(context, &args).await,
        Command::Autoscale(args) => Box::pin(autoscale::autoscale(context, &args.command)).await,
        Command::Store(args) => Box::pin(store::store(context, &args)).await,
        Command::Cells(args) => match &args.command {
            None => platform::cells(context, args.json).await,
            Some(CellsCommand::JoinToken(args)) => platform::join_token(context, args).await,
        },
        Command::Why(args) => why::why(context, &args).await,
        Command::Bench(args) => Box::pin(crate::bench::bench(context, args)).await,
        Command::Load(args) => Box::pin(load::load(context, &args)).await,
        Command::Rehearse(args) => Box::pin(rehearse::rehearse(context, &args)).await,
        Command::Curl(args) => curl::curl(context, &args).await,
        Command::Completion(args) => completion::completion(context, &args),
    }
}
