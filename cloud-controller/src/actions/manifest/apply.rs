//! Making apps as a manifest wants them. What runs is not touched: that is for the restart that
//! follows; only the number of instances counts at once.

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, OrgGuid, SpaceGuid};
use cfx_protocol::v3::app::{LifecycleDataPatch, LifecyclePatch, NewApp, SpaceRelationship};
use cfx_protocol::v3::process::{ProcessPatch, Scale};
use cfx_protocol::v3::resource::{Number, ToOne};
use serde_json::{Map, Value, json};

use super::schema::{AppManifest, Automatic, WantedLifecycle, WantedProcess, WantedRoutes};
use super::{Manifest, host, routes};
use crate::actions::process::{WEB, change_process, new_process, resize};
use crate::actions::route::{Place, place_route, route_at};
use crate::actions::{
    Act, Refused, app, destination, domain, environment, lifecycle, metadata, service,
};
use crate::state::app::{App, Lifecycle};
use crate::state::meta::Meta;
use crate::state::process::Process;
use crate::state::route::{Destination, Route};
use crate::state::service::ServiceBinding;
use crate::state::space::Space;
use crate::state::{Draft, Link};

/// Routes or services of one step: three operations each, and a commit has 128.
const PER_STEP: usize = 30;

/// A part of a manifest that fits into one commit, whatever the manifest's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The app itself: environment, processes, features.
    App { app: usize },
    /// Some of its routes, from this one on.
    Routes { app: usize, from: usize },
    /// Some of its services, from this one on.
    Services { app: usize, from: usize },
}

/// A manifest for a space.
#[derive(Debug, Clone, Copy)]
pub struct Applying<'a> {
    pub manifest: &'a Manifest,
    pub space: SpaceGuid,
}

impl Applying<'_> {
    /// All of it, in order.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (app, wanted) in self.manifest.apps.iter().enumerate() {
            steps.push(Step::App { app });
            let routes = match &wanted.routes {
                WantedRoutes::None => 0,
                WantedRoutes::These { routes, .. } => routes.len(),
            };
            let chunks = |count: usize| (0..count.max(1)).step_by(PER_STEP);
            steps.extend(chunks(routes).map(|from| Step::Routes { app, from }));
            if !wanted.services.is_empty() {
                let services = chunks(wanted.services.len());
                steps.extend(services.map(|from| Step::Services { app, from }));
            }
        }
        steps
    }

    /// Do everything in one commit.
    pub fn all(&self, draft: &mut Draft, act: &Act<'_>) -> Result<(), Refused> {
        let mut steps = self.steps().into_iter();
        steps.try_for_each(|step| self.one(draft, act, step))
    }

    /// Do one step.
    pub fn one(&self, draft: &mut Draft, act: &Act<'_>, step: Step) -> Result<(), Refused> {
        let (Step::App { app: at } | Step::Routes { app: at, .. } | Step::Services { app: at, .. }) =
            step;
        let Some(wanted) = self.manifest.apps.get(at) else {
            return Ok(());
        };
        let done = match step {
            Step::App { .. } => apply_app(draft, act, self.space, wanted),
            Step::Routes { from, .. } => self.routes(draft, act, wanted, from),
            Step::Services { from, .. } => self.services(draft, act, wanted, from),
        };
        done.map_err(|refused| labelled(&wanted.name, refused))
    }

    fn routes(
        &self,
        draft: &mut Draft,
        act: &Act<'_>,
        wanted: &AppManifest,
        from: usize,
    ) -> Result<(), Refused> {
        let app = self.app(draft, wanted)?;
        let (wanted_routes, automatic) = match &wanted.routes {
            WantedRoutes::None => return unmap_all(draft, act, app.guid),
            WantedRoutes::These { routes, automatic } => (routes, automatic),
        };
        let organization = organization(draft, self.space)?;
        for wanted in wanted_routes.iter().skip(from).take(PER_STEP) {
            let place = routes::place(draft, organization, &wanted.url)?;
            let mut route = route_for(draft, act, self.space, place)?;
            let options = wanted.options.clone();
            if let Some(options) = options.filter(|options| route.options != *options) {
                route = draft.put(Route {
                    options,
                    ..Route::clone(&route)
                });
            }
            lead(draft, act, &route, &app, wanted.protocol)?;
        }
        let is_last = from + PER_STEP >= wanted_routes.len();
        let has_routes = draft
            .linked::<Route>(Link::RoutesTo(app.guid.0))
            .next()
            .is_some();
        match automatic {
            Some(automatic) if is_last && !has_routes => {
                let place = automatic_place(draft, act, organization, &app, *automatic)?;
                let route = route_for(draft, act, self.space, place)?;
                lead(draft, act, &route, &app, Default::default())
            }
            _ => Ok(()),
        }
    }

    fn services(
        &self,
        draft: &mut Draft,
        act: &Act<'_>,
        wanted: &AppManifest,
        from: usize,
    ) -> Result<(), Refused> {
        let app = self.app(draft, wanted)?;
        for wanted in wanted.services.iter().skip(from).take(PER_STEP) {
            let instance = service::instance_named(draft, self.space, &wanted.name);
            let instance = instance.ok_or_else(|| {
                Refused::Unprocessable(format!("Service instance '{}' not found", wanted.name))
            })?;
            let bound = draft
                .linked::<ServiceBinding>(Link::BindingsOf(app.guid.0))
                .any(|binding| binding.instance == instance.guid);
            if bound {
                continue;
            }
            let name = wanted.binding_name.as_deref();
            service::bind(draft, act, &app, &instance, name, Meta::new(act.now))?;
        }
        Ok(())
    }

    fn app(&self, draft: &Draft, wanted: &AppManifest) -> Result<Arc<App>, Refused> {
        app::app_named(draft, self.space, &wanted.name).ok_or(Refused::NotFound("App"))
    }
}

/// The sentence says which app it is about.
fn labelled(name: &str, refused: Refused) -> Refused {
    match refused {
        Refused::Unprocessable(text) => {
            Refused::Unprocessable(format!("For application '{name}': {text}"))
        }
        other => other,
    }
}

fn apply_app(
    draft: &mut Draft,
    act: &Act<'_>,
    space: SpaceGuid,
    wanted: &AppManifest,
) -> Result<(), Refused> {
    let found = app::app_named(draft, space, &wanted.name);
    let app = match &found {
        Some(app) => app.clone(),
        None => app::create_app(draft, act, &new_app(space, wanted))?,
    };
    let mut app = App::clone(&app);
    if found.is_some() {
        app.lifecycle = changed_lifecycle(draft, &app, wanted)?;
    }
    metadata::apply(&mut app.meta, wanted.metadata.clone())?;
    app.features.extend(wanted.features.clone());
    app.meta.updated_at = act.now;
    let app = draft.put(app);
    if !wanted.environment.is_empty() {
        let value = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let patch: Map<String, Value> = wanted
            .environment
            .iter()
            .map(|(name, text)| (name.clone(), value(text)))
            .collect();
        environment::patch_environment(draft, act, app.guid, &patch)?;
    }
    for process in &wanted.processes {
        apply_process(draft, act, app.guid, process)?;
    }
    let data = json!({"request": {"manifest": {"name": wanted.name}}});
    app::record(draft, act, &app, "audit.app.apply_manifest", data);
    Ok(())
}

fn new_app(space: SpaceGuid, wanted: &AppManifest) -> NewApp {
    NewApp {
        name: wanted.name.clone(),
        relationships: SpaceRelationship {
            space: ToOne::to(space),
        },
        environment_variables: None,
        lifecycle: Some(lifecycle_patch(&wanted.lifecycle)),
        metadata: None,
    }
}

fn lifecycle_patch(wanted: &WantedLifecycle) -> LifecyclePatch {
    match wanted {
        WantedLifecycle::Docker => LifecyclePatch {
            kind: Some("docker".to_owned()),
            data: LifecycleDataPatch::default(),
        },
        WantedLifecycle::Buildpack { buildpacks, stack } => LifecyclePatch {
            kind: Some("buildpack".to_owned()),
            data: LifecycleDataPatch {
                buildpacks: buildpacks.clone().map(Some),
                stack: stack.clone().map(Some),
            },
        },
    }
}

/// A manifest that says nothing of buildpacks or docker leaves the lifecycle of an app as it is.
fn changed_lifecycle(draft: &Draft, app: &App, wanted: &AppManifest) -> Result<Lifecycle, Refused> {
    let says_nothing = matches!(
        &wanted.lifecycle,
        WantedLifecycle::Buildpack {
            buildpacks: None,
            stack: None
        }
    );
    if says_nothing {
        return Ok(app.lifecycle.clone());
    }
    let patch = lifecycle_patch(&wanted.lifecycle);
    lifecycle::patched(draft, &app.lifecycle, &patch, false)
}

fn apply_process(
    draft: &mut Draft,
    act: &Act<'_>,
    app: AppGuid,
    wanted: &WantedProcess,
) -> Result<(), Refused> {
    let found = app::process_of(draft, app, &wanted.process_type);
    let process: Arc<Process> = found.unwrap_or_else(|| {
        let instances = u32::from(wanted.process_type == WEB);
        draft.put(new_process(act, app, &wanted.process_type, instances))
    });
    let nothing = WantedProcess {
        process_type: wanted.process_type.clone(),
        ..WantedProcess::default()
    };
    if *wanted == nothing {
        return Ok(());
    }
    let number = |amount: u32| Number(i64::from(amount));
    let log_rate =
        |rate: Option<u64>| Number(rate.map_or(-1, |rate| i64::try_from(rate).unwrap_or(i64::MAX)));
    let scale = Scale {
        instances: wanted.instances.map(number),
        memory_in_mb: wanted.memory_mb.map(number),
        disk_in_mb: wanted.disk_mb.map(number),
        log_rate_limit_in_bytes_per_second: wanted.log_rate.map(log_rate),
    };
    resize(draft, act, process.guid, &scale)?;
    let patch = ProcessPatch {
        command: wanted.command.clone(),
        health_check: wanted.health.clone(),
        readiness_health_check: wanted.readiness.clone(),
        metadata: None,
    };
    change_process(draft, act, process.guid, &patch).map(drop)
}

/// The route that is there, or a new one.
fn route_for(
    draft: &mut Draft,
    act: &Act<'_>,
    space: SpaceGuid,
    place: Place,
) -> Result<Arc<Route>, Refused> {
    match route_at(draft, &place) {
        Some(route) if route.space == space => Ok(route),
        Some(_) => Err(Refused::unprocessable(
            "Routes cannot be mapped to destinations in different spaces.",
        )),
        None => place_route(
            draft,
            act,
            space,
            place,
            Default::default(),
            Meta::new(act.now),
        ),
    }
}

/// Lead a route to the app's web process; a change of protocol replaces the destination.
fn lead(
    draft: &mut Draft,
    act: &Act<'_>,
    route: &Arc<Route>,
    app: &App,
    protocol: cfx_protocol::route::EndpointProtocol,
) -> Result<(), Refused> {
    let ours = |to: &Destination| to.app == app.guid && to.process_type == WEB;
    if route
        .destinations
        .iter()
        .any(|to| ours(to) && to.protocol == protocol)
    {
        return Ok(());
    }
    let mut destinations = route.destinations.clone();
    destinations.retain(|to| !(ours(to) && to.port.is_none()));
    destinations.push(Destination {
        guid: act.ids.guid(),
        app: app.guid,
        process_type: WEB.to_owned(),
        port: None,
        protocol,
    });
    destination::replace(draft, act, route, destinations).map(drop)
}

fn automatic_place(
    draft: &Draft,
    act: &Act<'_>,
    organization: OrgGuid,
    app: &App,
    automatic: Automatic,
) -> Result<Place, Refused> {
    let domain = domain::default_domain(draft, organization);
    let domain = domain.ok_or_else(|| Refused::unprocessable("There is no domain for routes"))?;
    let host = match automatic {
        Automatic::Default => host::of_name(&app.name)?,
        Automatic::Random => host::random(&app.name, act.ids)?,
    };
    Ok(Place {
        domain: domain.guid,
        host,
        path: String::new(),
    })
}

fn unmap_all(draft: &mut Draft, act: &Act<'_>, app: AppGuid) -> Result<(), Refused> {
    let routes = draft.linked::<Route>(Link::RoutesTo(app.0));
    for route in routes.cloned().collect::<Vec<_>>() {
        let mut kept = route.destinations.clone();
        kept.retain(|to| to.app != app);
        destination::replace(draft, act, &route, kept)?;
    }
    Ok(())
}

fn organization(draft: &Draft, space: SpaceGuid) -> Result<OrgGuid, Refused> {
    let space = draft.get::<Space>(&space);
    space
        .map(|space| space.organization)
        .ok_or(Refused::NotFound("Space"))
}
