//! `delete`.

use crate::args::DeleteArgs;
use crate::client::resource::Route;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

pub(crate) async fn delete(context: &Context, args: &DeleteArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    if !args.force {
        let question = format!("Really delete the app {}?", args.app);
        if !terminal.confirm(&question) {
            terminal.say("Nothing was deleted.");
            return Ok(());
        }
    }
    terminal.say(format!("Deleting app {} in {}...", args.app, space.place()));
    let Some(app) = space.find_app(&args.app).await? else {
        terminal.warn(format!("app {} does not exist", args.app));
        terminal.ok();
        return Ok(());
    };
    let mut routes = Vec::new();
    if args.routes {
        routes = space
            .api
            .list::<Route>(&format!("/v3/apps/{}/routes", app.guid))
            .await?;
        refuse_shared(&routes, &app.guid)?;
    }
    space.api.delete(&format!("/v3/apps/{}", app.guid)).await?;
    for route in &routes {
        match space
            .api
            .delete(&format!("/v3/routes/{}", route.guid))
            .await
        {
            Ok(()) => {}
            // Somebody else was faster.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    terminal.ok();
    Ok(())
}

fn refuse_shared(routes: &[Route], app: &str) -> Outcome {
    let shared = routes
        .iter()
        .find(|route| route.destinations.iter().any(|to| to.app.guid != app));
    match shared {
        None => Ok(()),
        Some(route) => Err(Failure::new(format!(
            "the route {} leads to other apps too; nothing was deleted",
            route.url
        ))
        .next("unmap it first (`cfx unmap-route`), or delete without -r")),
    }
}
