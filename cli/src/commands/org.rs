//! `orgs`, `create-org`, `spaces`, `create-space`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::args::{CreateOrgArgs, CreateSpaceArgs, OrgsArgs, SpacesArgs};
use crate::client::resource::NamedResource;
use crate::client::{Api, ClientError, query};
use crate::context::{Context, find_org};
use crate::failure::Outcome;
use crate::output::Table;
use crate::session::Named;

pub(crate) async fn orgs(context: &Context, args: &OrgsArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let mut pairs = vec![("order_by", "name")];
    pairs.extend(
        args.labels
            .as_deref()
            .map(|selector| ("label_selector", selector)),
    );
    let path = query::with("/v3/organizations", &pairs);
    let orgs: Vec<NamedResource> = logged_in.api.list(&path).await?;
    if args.json {
        return context.terminal.json(&orgs);
    }
    context
        .terminal
        .note(format!("Orgs, as {}:", logged_in.user));
    names(context, &orgs, "No orgs. Make one: `cfx create-org NAME`.");
    Ok(())
}

pub(crate) async fn spaces(context: &Context, args: &SpacesArgs) -> Outcome {
    let in_org = context.in_org()?;
    let mut pairs = vec![
        ("organization_guids", in_org.org.guid.as_str()),
        ("order_by", "name"),
    ];
    pairs.extend(
        args.labels
            .as_deref()
            .map(|selector| ("label_selector", selector)),
    );
    let spaces: Vec<NamedResource> = in_org.api.list(&query::with("/v3/spaces", &pairs)).await?;
    if args.json {
        return context.terminal.json(&spaces);
    }
    let place = format!("Spaces in org {}, as {}:", in_org.org.name, in_org.user);
    context.terminal.note(place);
    names(
        context,
        &spaces,
        "No spaces. Make one: `cfx create-space NAME`.",
    );
    Ok(())
}

fn names(context: &Context, all: &[NamedResource], none: &str) {
    let mut table = Table::new(["name"]);
    for one in all {
        table.row([context.terminal.style().name(&one.name)]);
    }
    if table.is_empty() {
        context.terminal.say(none);
    } else {
        context.terminal.table(&table);
    }
}

pub(crate) async fn create_org(context: &Context, args: &CreateOrgArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let terminal = &context.terminal;
    terminal.say(format!(
        "Creating org {} as {}...",
        args.org, logged_in.user
    ));
    let body = json!({"name": args.org, "suspended": false});
    match logged_in
        .api
        .post::<Value>("/v3/organizations", &body)
        .await
    {
        Ok(_) => {}
        Err(error) if error.is_unprocessable("already exists") => {
            terminal.warn(format!("org {} exists already", args.org));
        }
        Err(error) => return Err(error.into()),
    }
    terminal.ok();
    terminal.note(format!("Next: `cfx target -o {}`", args.org));
    Ok(())
}

pub(crate) async fn create_space(context: &Context, args: &CreateSpaceArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let org = match &args.org {
        Some(name) => find_org(&logged_in.api, name).await?,
        None => context.in_org()?.org,
    };
    let terminal = &context.terminal;
    terminal.say(format!(
        "Creating space {} in org {} as {}...",
        args.space, org.name, logged_in.user
    ));
    let body = json!({
        "name": args.space,
        "relationships": {"organization": {"data": {"guid": org.guid}}},
    });
    match logged_in
        .api
        .post::<NamedResource>("/v3/spaces", &body)
        .await
    {
        Ok(space) => give_roles(context, &logged_in.api, &org, &space).await?,
        Err(error) if error.is_unprocessable("ame must be unique per organization") => {
            terminal.warn(format!("space {} exists already", args.space));
        }
        Err(error) => return Err(error.into()),
    }
    terminal.ok();
    terminal.note(format!(
        "Next: `cfx target -o {} -s {}`",
        org.name, args.space
    ));
    Ok(())
}

/// Whoever makes a space manages it and develops in it.
async fn give_roles(context: &Context, api: &Api, org: &Named, space: &NamedResource) -> Outcome {
    let session = context.session.load()?;
    let claims = session.tokens.and_then(|tokens| tokens.claims());
    let claims = claims.unwrap_or_default();
    let user = match (&claims.user_name, &claims.client_id) {
        (Some(name), _) => {
            let origin = claims.origin.as_deref().unwrap_or("uaa");
            json!({"username": name, "origin": origin})
        }
        (None, Some(client)) => json!({"guid": client}),
        (None, None) => return Ok(()),
    };
    let member = json!({
        "type": "organization_user",
        "relationships": {
            "user": {"data": user},
            "organization": {"data": {"guid": org.guid}},
        },
    });
    match api.post::<Value>("/v3/roles", &member).await {
        Ok(_) => {}
        Err(error) if is_had_or_forbidden(&error) => {}
        Err(error) => return Err(error.into()),
    }
    for role in ["space_manager", "space_developer"] {
        let body = json!({
            "type": role,
            "relationships": {
                "user": {"data": user},
                "space": {"data": {"guid": space.guid}},
            },
        });
        match api.post::<Value>("/v3/roles", &body).await {
            Ok(_) => {}
            Err(error) if error.is_unprocessable("already has") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_had_or_forbidden(error: &ClientError) -> bool {
    error.is_unprocessable("already has") || error.status() == Some(StatusCode::FORBIDDEN)
}
