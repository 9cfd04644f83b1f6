//! User-provided services: `create-` and `update-user-provided-service`, `bind-service`,
//! `unbind-service`, `services`, `service`, `delete-service`.

use serde_json::{Map, Value, json};

use super::credentials;
use super::names::{GUIDS_PER_REQUEST, names_of};
use crate::args::{
    BindServiceArgs, CreateUserProvidedServiceArgs, DeleteServiceArgs, ServiceArgs, ServiceFlags,
    ServicesArgs, UnbindServiceArgs, UpdateUserProvidedServiceArgs,
};
use crate::client::query;
use crate::client::resource::{App, ServiceBinding, ServiceInstance};
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::output::{Fields, Table};

const INSTANCES: &str = "/v3/service_instances";
const BINDINGS: &str = "/v3/service_credential_bindings";

pub(crate) async fn create(context: &Context, args: &CreateUserProvidedServiceArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    let mut body = body(context, &args.flags)?;
    body.insert("type".into(), json!("user-provided"));
    body.insert("name".into(), json!(args.service));
    let owner = json!({"space": {"data": {"guid": space.space.guid}}});
    body.insert("relationships".into(), owner);
    terminal.say(format!(
        "Creating user-provided service {} in {}...",
        args.service,
        space.place()
    ));
    match space.api.post::<Value>(INSTANCES, &body).await {
        Ok(_) => {}
        Err(error) if error.is_unprocessable("name is taken") => {
            terminal.warn(format!(
                "service {} exists already and was not changed",
                args.service
            ));
        }
        Err(error) => return Err(error.into()),
    }
    terminal.ok();
    Ok(())
}

pub(crate) async fn update(context: &Context, args: &UpdateUserProvidedServiceArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    let body = body(context, &args.flags)?;
    if body.is_empty() {
        return Err(Failure::new("nothing to change was named")
            .next("name it: -p CREDENTIALS, -t TAGS, -l URL or -r URL"));
    }
    let service = find(&space, &args.service).await?;
    require_user_provided(&service)?;
    terminal.say(format!(
        "Updating user-provided service {} in {}...",
        service.name,
        space.place()
    ));
    let path = format!("{INSTANCES}/{}", service.guid);
    space.api.patch::<Value>(&path, &body).await?;
    terminal.ok();
    terminal.note("Bound apps see it after a restart: `cfx restart APP`");
    Ok(())
}

/// What the flags name, and nothing else.
fn body(context: &Context, flags: &ServiceFlags) -> Outcome<Map<String, Value>> {
    let mut body = Map::new();
    if let Some(text) = &flags.credentials {
        let credentials = credentials::read(text, &context.terminal)?;
        body.insert("credentials".into(), Value::Object(credentials));
    }
    if let Some(text) = &flags.tags {
        body.insert("tags".into(), json!(credentials::tags(text)));
    }
    if let Some(url) = &flags.syslog_drain {
        body.insert("syslog_drain_url".into(), json!(url));
    }
    if let Some(url) = &flags.route_service {
        body.insert("route_service_url".into(), json!(url));
    }
    Ok(body)
}

pub(crate) async fn bind(context: &Context, args: &BindServiceArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    let app = space.app(&args.app).await?;
    let service = find(&space, &args.service).await?;
    terminal.say(format!(
        "Binding service {} to app {} in {}...",
        service.name,
        app.name,
        space.place()
    ));
    let mut body = json!({
        "type": "app",
        "relationships": {
            "app": {"data": {"guid": app.guid}},
            "service_instance": {"data": {"guid": service.guid}},
        },
    });
    if let Some(name) = &args.binding_name {
        body["name"] = json!(name);
    }
    match bind_and_wait(&space, &body).await {
        Ok(()) => {
            terminal.ok();
            terminal.note(format!(
                "The app sees it after a restart: `cfx restart {}`",
                app.name
            ));
            return Ok(());
        }
        Err(error) if error.is_unprocessable("already bound") => {
            terminal.warn(format!("app {} is bound to it already", app.name));
        }
        Err(error) => return Err(error.into()),
    }
    terminal.ok();
    Ok(())
}

/// Other platforms answer with a job where a broker is asked.
async fn bind_and_wait(space: &InSpace, body: &Value) -> Result<(), crate::client::ClientError> {
    let bytes = body.to_string().into();
    let answer = space
        .api
        .send(http::Method::POST, BINDINGS, Some(bytes))
        .await?;
    if answer.status == http::StatusCode::ACCEPTED {
        space.api.finish(&answer).await?;
    }
    Ok(())
}

pub(crate) async fn unbind(context: &Context, args: &UnbindServiceArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    let app = space.app(&args.app).await?;
    let service = find(&space, &args.service).await?;
    terminal.say(format!(
        "Unbinding service {} from app {} in {}...",
        service.name,
        app.name,
        space.place()
    ));
    let bound = bindings_between(&space, &app, &service).await?;
    if bound.is_empty() {
        terminal.warn(format!("app {} is not bound to it", app.name));
    }
    for binding in bound {
        let path = format!("{BINDINGS}/{}", binding.guid);
        space.api.delete(&path).await?;
    }
    terminal.ok();
    Ok(())
}

async fn bindings_between(
    space: &InSpace,
    app: &App,
    service: &ServiceInstance,
) -> Outcome<Vec<ServiceBinding>> {
    let pairs = [
        ("app_guids", app.guid.as_str()),
        ("service_instance_guids", service.guid.as_str()),
        ("type", "app"),
    ];
    Ok(space.api.list(&query::with(BINDINGS, &pairs)).await?)
}

pub(crate) async fn services(context: &Context, args: &ServicesArgs) -> Outcome {
    let space = context.in_space()?;
    let pairs = [
        ("space_guids", space.space.guid.as_str()),
        ("order_by", "name"),
        ("per_page", "5000"),
    ];
    let services: Vec<ServiceInstance> = space.api.list(&query::with(INSTANCES, &pairs)).await?;
    let lines = if args.no_apps {
        services.iter().map(|one| Line::new(one, &[])).collect()
    } else {
        with_apps(&space, &services).await?
    };
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&lines);
    }
    terminal.note(format!("Services in {}:", space.place()));
    if lines.is_empty() {
        terminal.say("No services. Make one: `cfx create-user-provided-service NAME -p JSON`.");
        return Ok(());
    }
    let mut table = Table::new(["name", "type", "tags", "bound apps"]);
    for line in lines {
        let apps: Vec<String> = line.bindings.into_iter().map(|bound| bound.app).collect();
        table.row([
            terminal.style().name(&line.name),
            line.kind,
            line.tags.join(", "),
            apps.join(", "),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

pub(crate) async fn service(context: &Context, args: &ServiceArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    let service = find(&space, &args.service).await?;
    if args.guid {
        terminal.say(&service.guid);
        return Ok(());
    }
    let lines = with_apps(&space, std::slice::from_ref(&service)).await?;
    let Some(line) = lines.into_iter().next() else {
        return Ok(());
    };
    if args.json {
        return terminal.json(&line);
    }
    terminal.note(format!("Service {} in {}:", line.name, space.place()));
    let mut fields = Fields::new();
    fields
        .add("name", terminal.style().name(&line.name))
        .add("guid", &line.guid)
        .add("type", &line.kind)
        .add("tags", line.tags.join(", "))
        .add("syslog drain", line.syslog_drain_url.unwrap_or_default())
        .add("route service", line.route_service_url.unwrap_or_default());
    terminal.fields(&fields);
    terminal.blank();
    if line.bindings.is_empty() {
        let name = &line.name;
        terminal.say(format!("Bound to no app: `cfx bind-service APP {name}`."));
        return Ok(());
    }
    let mut table = Table::new(["bound app", "binding name"]);
    for bound in line.bindings {
        table.row([
            terminal.style().name(&bound.app),
            bound.name.unwrap_or_default(),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

/// A service as the lists show it.
#[derive(Debug, serde::Serialize)]
struct Line {
    guid: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    tags: Vec<String>,
    syslog_drain_url: Option<String>,
    route_service_url: Option<String>,
    bindings: Vec<Bound>,
}

#[derive(Debug, Clone, serde::Serialize)]
struct Bound {
    guid: String,
    app: String,
    name: Option<String>,
}

impl Line {
    fn new(service: &ServiceInstance, bindings: &[Bound]) -> Self {
        Self {
            guid: service.guid.clone(),
            name: service.name.clone(),
            kind: service.kind.clone(),
            tags: service.tags.clone(),
            syslog_drain_url: service.syslog_drain_url.clone(),
            route_service_url: service.route_service_url.clone(),
            bindings: bindings.to_vec(),
        }
    }
}

async fn with_apps(space: &InSpace, services: &[ServiceInstance]) -> Outcome<Vec<Line>> {
    let mut bindings: Vec<ServiceBinding> = Vec::new();
    for some in services.chunks(GUIDS_PER_REQUEST) {
        let filter = query::any_of(some.iter().map(|service| service.guid.as_str()));
        let path = format!("{BINDINGS}?service_instance_guids={filter}&type=app&per_page=5000");
        bindings.extend(space.api.list::<ServiceBinding>(&path).await?);
    }
    let apps = bindings.iter().filter_map(ServiceBinding::app);
    let apps = names_of(&space.api, "/v3/apps", apps).await?;
    let lines = services.iter().map(|service| {
        let ours = bindings
            .iter()
            .filter(|binding| binding.service() == Some(&service.guid));
        let mut bound: Vec<Bound> = ours
            .filter_map(|binding| {
                let guid = binding.app()?;
                Some(Bound {
                    guid: binding.guid.clone(),
                    app: apps.get(guid).cloned().unwrap_or_else(|| guid.to_owned()),
                    name: binding.name.clone(),
                })
            })
            .collect();
        bound.sort_by(|a, b| a.app.cmp(&b.app));
        Line::new(service, &bound)
    });
    Ok(lines.collect())
}

pub(crate) async fn delete(context: &Context, args: &DeleteServiceArgs) -> Outcome {
    let space = context.in_space()?;
    let terminal = &context.terminal;
    let name = &args.service;
    if !args.force && !terminal.confirm(&format!("Really delete the service {name}?")) {
        terminal.say("Nothing was deleted.");
        return Ok(());
    }
    terminal.say(format!("Deleting service {name} in {}...", space.place()));
    match look(&space, name).await? {
        Some(service) => {
            space
                .api
                .delete(&format!("{INSTANCES}/{}", service.guid))
                .await?;
        }
        None => terminal.warn(format!("service {name} does not exist")),
    }
    terminal.ok();
    Ok(())
}

async fn look(space: &InSpace, name: &str) -> Outcome<Option<ServiceInstance>> {
    let pairs = [("names", name), ("space_guids", &space.space.guid)];
    let path = query::with(INSTANCES, &pairs);
    Ok(space.api.list(&path).await?.into_iter().next())
}

async fn find(space: &InSpace, name: &str) -> Outcome<ServiceInstance> {
    look(space, name).await?.ok_or_else(|| {
        Failure::new(format!(
            "there is no service `{name}` in org {} / space {}",
            space.org.name, space.space.name
        ))
        .next("`cfx services` lists them; `cfx create-user-provided-service` makes one")
    })
}

fn require_user_provided(service: &ServiceInstance) -> Outcome {
    if service.kind == "user-provided" {
        return Ok(());
    }
    let (name, kind) = (&service.name, &service.kind);
    Err(Failure::new(format!("{name} is a {kind} service"))
        .next("only user-provided services are updated like this"))
}
