//! `autoscale`: rules that scale apps. One file for what changes rules, one for what asks about
//! them, one for what tries them out.

mod backtest;
mod exchange;
mod explain;
mod history;
mod rules;
mod simulate;

use cfx_rules::Policy;

use crate::args::AutoscaleCommand;
use crate::client::resource::App;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

pub(crate) async fn autoscale(context: &Context, command: &AutoscaleCommand) -> Outcome {
    match command {
        AutoscaleCommand::Add(args) => rules::add(context, args).await,
        AutoscaleCommand::Remove(args) => rules::remove(context, args).await,
        AutoscaleCommand::Rules(args) => rules::rules(context, args).await,
        AutoscaleCommand::Enable(args) => rules::switch(context, &args.app, true).await,
        AutoscaleCommand::Disable(args) => rules::switch(context, &args.app, false).await,
        AutoscaleCommand::Pause(args) => rules::pause(context, args).await,
        AutoscaleCommand::Resume(args) => rules::resume(context, &args.app).await,
        AutoscaleCommand::Explain(args) => explain::explain(context, args).await,
        AutoscaleCommand::History(args) => history::history(context, args).await,
        AutoscaleCommand::Simulate(args) => simulate::simulate(context, args),
        AutoscaleCommand::Backtest(args) => backtest::backtest(context, args).await,
        AutoscaleCommand::Import(args) => exchange::import(context, args).await,
        AutoscaleCommand::Export(args) => exchange::export(context, args).await,
    }
}

/// Where the autoscaler keeps what belongs to an app.
fn path(app: &App, what: &str) -> String {
    format!("/v1/apps/{}/{what}", app.guid)
}

/// Rules as typed; an error says what could stand there.
fn parse(text: &str) -> Outcome<Policy> {
    Policy::parse(text).map_err(|error| {
        Failure::new(error.to_string()).next("`cfx help autoscale` shows rules of every kind")
    })
}
