//! `api`, `login`, `logout`, `target`.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::args::{ApiArgs, LoginArgs, TargetArgs};
use crate::client::resource::NamedResource;
use crate::client::{self, Api, Grant, Trust, query};
use crate::context::{Context, find_org, find_space};
use crate::failure::{Failure, Outcome};
use crate::output::Fields;
use crate::session::{Named, Session, Target};

/// Wrong passwords that are asked for again.
const PASSWORD_TRIES: u32 = 3;

pub(crate) async fn api(context: &Context, args: &ApiArgs) -> Outcome {
    let mut session = context.session.load()?;
    if args.unset {
        context.session.save(&Session::default())?;
        context.terminal.say("The target is forgotten.");
        return Ok(());
    }
    if let Some(url) = &args.url {
        context
            .terminal
            .note(format!("Setting API endpoint to {url}..."));
        let trust = trust(args.skip_ssl_validation, args.ca_cert.as_deref())?;
        let target = resolve(context, url, &trust).await?;
        session.retarget(target);
        context.session.save(&session)?;
    }
    let Some(target) = &session.target else {
        return Err(Failure::new("no API endpoint is set")
            .next("set it with `cfx api URL`, or start a platform with `cfx up`"));
    };
    if args.json {
        return context.terminal.json(&json!({
            "url": target.url,
            "api_version": target.api_version,
            "log_cache": target.log_cache,
        }));
    }
    let mut fields = Fields::new();
    fields
        .add("API endpoint", &target.url)
        .add("API version", &target.api_version);
    context.terminal.fields(&fields);
    if session.tokens.is_none() {
        context.terminal.note("Not logged in. Use `cfx login`.");
    }
    Ok(())
}

pub(crate) fn logout(context: &Context) -> Outcome {
    let mut session = context.session.load()?;
    session.log_out();
    context.session.save(&session)?;
    context.terminal.ok();
    Ok(())
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Outcome {
    let mut session = context.session.load()?;
    let url = match (&args.api, &session.target) {
        (Some(url), _) => url.clone(),
        (None, Some(target)) => target.url.clone(),
        (None, None) => ask(context, "API endpoint", "-a URL")?,
    };
    let trust = match &session.target {
        Some(target) if args.ca_cert.is_none() && !args.skip_ssl_validation => target.trust(),
        _ => super::target::trust(args.skip_ssl_validation, args.ca_cert.as_deref())?,
    };
    let target = resolve(context, &url, &trust).await?;
    context
        .terminal
        .say(format!("API endpoint: {}", target.url));
    session.retarget(target.clone());
    session.log_out();
    session.tokens = Some(authenticate(context, &target, &args).await?);
    context.terminal.ok();
    context.session.save(&session)?;
    let api = Api::new(
        &session,
        target,
        context.session.clone(),
        context.clock.clone(),
        Arc::clone(&context.terminal),
    )?;
    session.org = choose_org(context, &api, args.org.as_deref()).await?;
    if let Some(org) = &session.org {
        session.space = choose_space(context, &api, org, args.space.as_deref()).await?;
    }
    context.session.save(&session)?;
    context.terminal.blank();
    show(context, &session);
    Ok(())
}

pub(crate) async fn target(context: &Context, args: &TargetArgs) -> Outcome {
    let logged_in = context.logged_in()?;
    let mut session = context.session.load()?;
    if let Some(name) = &args.org {
        let org = find_org(&logged_in.api, name).await?;
        // The old space belongs to the old org.
        session.space = None;
        if args.space.is_none() {
            session.space = only_space(&logged_in.api, &org).await?;
        }
        session.org = Some(org);
    }
    if let Some(name) = &args.space {
        let org = session.org.as_ref().ok_or_else(|| {
            Failure::new("no org is targeted").next("choose one: `cfx target -o ORG -s SPACE`")
        })?;
        session.space = Some(find_space(&logged_in.api, org, name).await?);
    }
    context.session.save(&session)?;
    if args.json {
        return context.terminal.json(&json!({
            "api": session.target.as_ref().map(|target| &target.url),
            "user": logged_in.user,
            "org": session.org,
            "space": session.space,
        }));
    }
    show(context, &session);
    Ok(())
}

/// What answers at a URL, as a target.
pub(crate) async fn resolve(context: &Context, url: &str, trust: &Trust) -> Outcome<Target> {
    let url = client::address(url)?;
    let terminal = Arc::clone(&context.terminal);
    let found = client::discover(&url, trust, context.clock.clone(), terminal).await?;
    if found.is_old() {
        context.terminal.warn(format!(
            "the API has version {}, older than what this cfx knows; some commands may fail",
            found.api_version
        ));
    }
    let ports = found.cfx.unwrap_or_default();
    let (authority, skip_ssl_validation) = match trust {
        Trust::System => (None, false),
        Trust::Authority(pem) => (Some(pem.clone()), false),
        Trust::Anyone => (None, true),
    };
    Ok(Target {
        url,
        api_version: found.api_version,
        login: found.login,
        uaa: found.uaa,
        log_cache: found.log_cache,
        http_port: ports.http_port,
        https_port: ports.https_port,
        authority,
        skip_ssl_validation,
    })
}

fn trust(skip_ssl_validation: bool, ca_cert: Option<&Path>) -> Outcome<Trust> {
    match ca_cert {
        _ if skip_ssl_validation => Ok(Trust::Anyone),
        None => Ok(Trust::System),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(pem) => Ok(Trust::Authority(pem)),
            Err(error) => Err(
                Failure::new(format!("cannot read {}: {error}", path.display()))
                    .next("give the PEM file of the platform's authority: --ca-cert FILE"),
            ),
        },
    }
}

async fn authenticate(
    context: &Context,
    target: &Target,
    args: &LoginArgs,
) -> Outcome<client::Tokens> {
    let environment = &context.environment;
    let user = match args.user.clone().or_else(|| environment.user.clone()) {
        Some(user) => user,
        None => ask(context, "User", "-u USER")?,
    };
    let given = args
        .password
        .clone()
        .or_else(|| environment.password.clone());
    let tries = if given.is_some() { 1 } else { PASSWORD_TRIES };
    let mut attempt = 1;
    loop {
        let password = match &given {
            Some(password) => password.clone(),
            None => context.terminal.ask_secret("Password").ok_or_else(|| {
                Failure::new("there is no terminal to ask for the password")
                    .next("give it in the variable CF_PASSWORD, or with -p")
            })?,
        };
        context.terminal.say("Authenticating...");
        let grant = Grant::Password {
            user: &user,
            password: &password,
            origin: args.origin.as_deref(),
        };
        let terminal = Arc::clone(&context.terminal);
        match client::log_in(target, context.clock.clone(), terminal, grant).await {
            Ok(tokens) => return Ok(tokens),
            Err(error @ client::ClientError::Login { .. }) if attempt < tries => {
                context.terminal.warn(error.to_string());
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn ask(context: &Context, question: &str, flag: &str) -> Outcome<String> {
    let missing = || {
        Failure::new(format!("no {} is given", question.to_lowercase()))
            .next(format!("give it: `cfx login {flag}`"))
    };
    if !context.terminal.is_interactive() {
        return Err(missing());
    }
    let answer = context.terminal.ask(question);
    answer.filter(|text| !text.is_empty()).ok_or_else(missing)
}

async fn choose_org(context: &Context, api: &Api, name: Option<&str>) -> Outcome<Option<Named>> {
    if let Some(name) = name {
        return find_org(api, name).await.map(Some);
    }
    let orgs = api.list("/v3/organizations?order_by=name").await?;
    Ok(choose(context, "org", orgs))
}

async fn choose_space(
    context: &Context,
    api: &Api,
    org: &Named,
    name: Option<&str>,
) -> Outcome<Option<Named>> {
    if let Some(name) = name {
        return find_space(api, org, name).await.map(Some);
    }
    Ok(choose(context, "space", spaces_of(api, org).await?))
}

async fn only_space(api: &Api, org: &Named) -> Outcome<Option<Named>> {
    let mut spaces = spaces_of(api, org).await?;
    Ok(match spaces.len() {
        1 => spaces.pop().map(Named::from),
        _ => None,
    })
}

async fn spaces_of(api: &Api, org: &Named) -> Outcome<Vec<NamedResource>> {
    let pairs = [
        ("organization_guids", org.guid.as_str()),
        ("order_by", "name"),
    ];
    Ok(api.list(&query::with("/v3/spaces", &pairs)).await?)
}

/// The only one, or the one the user picks.
fn choose(context: &Context, noun: &str, mut all: Vec<NamedResource>) -> Option<Named> {
    if all.len() == 1 {
        return all.pop().map(Named::from);
    }
    if all.is_empty() || !context.terminal.is_interactive() {
        return None;
    }
    context.terminal.blank();
    for (number, one) in all.iter().enumerate() {
        context
            .terminal
            .say(format!("{}. {}", number + 1, one.name));
    }
    let answer = context
        .terminal
        .ask(&format!("Select the {noun} (enter to skip)"))?;
    let by_number = answer.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let chosen = by_number
        .filter(|place| *place < all.len())
        .or_else(|| all.iter().position(|one| one.name == answer))?;
    Some(all.swap_remove(chosen).into())
}

fn show(context: &Context, session: &Session) {
    let mut fields = Fields::new();
    if let Some(target) = &session.target {
        fields
            .add("API endpoint", &target.url)
            .add("API version", &target.api_version);
    }
    let user = session.tokens.as_ref().map(client::Tokens::user_name);
    fields.add("user", user.unwrap_or_default());
    let name = |named: &Option<Named>| named.as_ref().map(|named| named.name.clone());
    fields
        .add("org", name(&session.org).unwrap_or_default())
        .add("space", name(&session.space).unwrap_or_default());
    context.terminal.fields(&fields);
    if session.org.is_none() {
        context
            .terminal
            .note("No org is targeted. Use `cfx target -o ORG`.");
    } else if session.space.is_none() {
        context
            .terminal
            .note("No space is targeted. Use `cfx target -s SPACE`.");
    }
}
