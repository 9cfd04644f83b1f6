//! User-provided service instances, and their bindings to apps. Both are done when they are asked
//! for: there is no broker to wait for.

use std::sync::Arc;

use cfx_protocol::id::{ServiceBindingGuid, ServiceInstanceGuid, SpaceGuid};
use cfx_protocol::v3::service_credential_binding::NewServiceCredentialBinding;
use cfx_protocol::v3::service_instance::{NewServiceInstance, ServiceInstancePatch};
use serde_json::json;
use url::Url;

use super::limits::check_fits;
use super::{Act, Refused, Target, app, metadata, name};
use crate::state::app::App;
use crate::state::meta::Meta;
use crate::state::service::{ServiceBinding, ServiceInstance};
use crate::state::space::Space;
use crate::state::{Draft, Link, State};

/// Longest tags of one instance together, characters (Cloud Foundry's limit).
const TAGS_MAX_CHARS: usize = 2_048;
/// Longest URL, characters.
const URL_MAX_CHARS: usize = 2_048;
/// Bindings of one instance, so that deleting it stays one commit.
const BINDINGS_MAX: usize = 50;
/// What takes the room when an instance's record is too large.
const WHAT: &str = "The credentials of the service instance";

pub fn create_instance(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewServiceInstance,
) -> Result<Arc<ServiceInstance>, Refused> {
    match new.kind.as_str() {
        "user-provided" => {}
        "managed" => {
            return Err(Refused::unprocessable(
                "Invalid service plan. Ensure that the service plan exists, is available, and you \
                 have access to it. (There are no service brokers: create a user-provided service.)",
            ));
        }
        _ => {
            return Err(Refused::unprocessable(
                "Type must be one of 'managed', 'user-provided'",
            ));
        }
    }
    let space = new.relationships.space.data.map(|to| to.guid);
    let space = space
        .filter(|guid| draft.get::<Space>(guid).is_some())
        .ok_or_else(|| {
            Refused::unprocessable(
                "Invalid space. Ensure that the space exists and you have access to it.",
            )
        })?;
    name::check(&new.name)?;
    check_name_is_free(draft, space, &new.name, None)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let instance = ServiceInstance {
        guid: act.ids.guid(),
        name: new.name.clone(),
        space,
        credentials: new.credentials.clone().unwrap_or_default(),
        tags: checked_tags(new.tags.clone().unwrap_or_default())?,
        syslog_drain_url: checked_url("Syslog drain url", new.syslog_drain_url.as_deref())?,
        route_service_url: checked_route_service(new.route_service_url.as_deref())?,
        meta,
    };
    check_fits(&instance, WHAT)?;
    let instance = draft.put(instance);
    record(draft, act, &instance, "create");
    Ok(instance)
}

/// Change an instance. Apps that are bound see it when they are restarted.
pub fn update_instance(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ServiceInstanceGuid,
    patch: &ServiceInstancePatch,
) -> Result<Arc<ServiceInstance>, Refused> {
    let mut instance = ServiceInstance::clone(&*find(draft, guid)?);
    if let Some(wanted) = &patch.name {
        name::check(wanted)?;
        check_name_is_free(draft, instance.space, wanted, Some(guid))?;
        instance.name = wanted.clone();
    }
    if let Some(credentials) = &patch.credentials {
        instance.credentials = credentials.clone().unwrap_or_default();
    }
    if let Some(tags) = &patch.tags {
        instance.tags = checked_tags(tags.clone())?;
    }
    if let Some(url) = &patch.syslog_drain_url {
        instance.syslog_drain_url = checked_url("Syslog drain url", url.as_deref())?;
    }
    if let Some(url) = &patch.route_service_url {
        instance.route_service_url = checked_route_service(url.as_deref())?;
    }
    metadata::apply(&mut instance.meta, patch.metadata.clone())?;
    instance.meta.updated_at = act.now;
    check_fits(&instance, WHAT)?;
    let instance = draft.put(instance);
    record(draft, act, &instance, "update");
    Ok(instance)
}

/// Delete an instance with its bindings.
pub fn delete_instance(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ServiceInstanceGuid,
) -> Result<(), Refused> {
    let instance = find(draft, guid)?;
    let bindings = draft.linked::<ServiceBinding>(Link::BindingsTo(guid.0));
    for binding in bindings.map(|binding| binding.guid).collect::<Vec<_>>() {
        draft.delete::<ServiceBinding>(&binding);
    }
    record(draft, act, &instance, "delete");
    draft.delete::<ServiceInstance>(&guid);
    Ok(())
}

/// Bind an instance to an app, which sees it when it is restarted.
pub fn create_binding(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewServiceCredentialBinding,
) -> Result<Arc<ServiceBinding>, Refused> {
    if new.kind != "app" {
        return Err(Refused::unprocessable(
            "Service credential bindings of type 'key' are not supported for user-provided \
             service instances.",
        ));
    }
    if new
        .parameters
        .as_ref()
        .is_some_and(|given| !given.is_empty())
    {
        return Err(Refused::unprocessable(
            "Binding parameters are not supported for user-provided service instances",
        ));
    }
    let app = new.relationships.app.and_then(|to| to.data);
    let app = app
        .and_then(|to| draft.get::<App>(&to.guid).cloned())
        .ok_or_else(|| {
            Refused::unprocessable(
                "The app could not be found: ensure it exists and you have access to it",
            )
        })?;
    let instance = new.relationships.service_instance.data;
    let instance = instance
        .and_then(|to| draft.get::<ServiceInstance>(&to.guid).cloned())
        .ok_or_else(|| {
            Refused::unprocessable(
                "The service instance could not be found: ensure it exists and you have access to it",
            )
        })?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    bind(draft, act, &app, &instance, new.name.as_deref(), meta)
}

/// As `create_binding`, for those who have found app and instance already.
pub(super) fn bind(
    draft: &mut Draft,
    act: &Act<'_>,
    app: &App,
    instance: &ServiceInstance,
    binding_name: Option<&str>,
    meta: Meta,
) -> Result<Arc<ServiceBinding>, Refused> {
    if app.space != instance.space {
        return Err(Refused::unprocessable(
            "The service instance and the app are in different spaces",
        ));
    }
    check_unbound(draft, app, instance, binding_name)?;
    if let Some(text) = binding_name {
        name::check(text)?;
    }
    let binding = draft.put(ServiceBinding {
        guid: act.ids.guid(),
        instance: instance.guid,
        app: app.guid,
        name: binding_name.map(str::to_owned),
        meta,
    });
    record_binding(draft, act, &binding, app, "create");
    Ok(binding)
}

pub fn delete_binding(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: ServiceBindingGuid,
) -> Result<(), Refused> {
    let binding = draft
        .get::<ServiceBinding>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Service credential binding"))?;
    if let Ok(app) = app::find(draft, binding.app) {
        record_binding(draft, act, &binding, &app, "delete");
    }
    draft.delete::<ServiceBinding>(&guid);
    Ok(())
}

/// The instance of a name in a space.
#[must_use]
pub fn instance_named(state: &State, space: SpaceGuid, name: &str) -> Option<Arc<ServiceInstance>> {
    let mut instances = state.linked::<ServiceInstance>(Link::ServiceInstancesOf(space.0));
    instances.find(|instance| instance.name == name).cloned()
}

fn find(draft: &Draft, guid: ServiceInstanceGuid) -> Result<Arc<ServiceInstance>, Refused> {
    draft
        .get::<ServiceInstance>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Service instance"))
}

fn check_name_is_free(
    state: &State,
    space: SpaceGuid,
    name: &str,
    own: Option<ServiceInstanceGuid>,
) -> Result<(), Refused> {
    match instance_named(state, space, name) {
        Some(other) if Some(other.guid) != own => Err(Refused::Unprocessable(format!(
            "The service instance name is taken: {name}."
        ))),
        _ => Ok(()),
    }
}

fn check_unbound(
    draft: &Draft,
    app: &App,
    instance: &ServiceInstance,
    binding_name: Option<&str>,
) -> Result<(), Refused> {
    for other in draft.linked::<ServiceBinding>(Link::BindingsOf(app.guid.0)) {
        if other.instance == instance.guid {
            return Err(Refused::unprocessable(
                "The app is already bound to the service instance",
            ));
        }
        if binding_name.is_some() && other.name.as_deref() == binding_name {
            return Err(Refused::unprocessable(
                "The binding name is invalid. App binding names must be unique. The app already \
                 has a binding with this name.",
            ));
        }
    }
    let bindings = draft.linked::<ServiceBinding>(Link::BindingsTo(instance.guid.0));
    if bindings.count() >= BINDINGS_MAX {
        return Err(Refused::Unprocessable(format!(
            "The service instance is bound to {BINDINGS_MAX} apps already; create another one"
        )));
    }
    Ok(())
}

fn checked_tags(tags: Vec<String>) -> Result<Vec<String>, Refused> {
    let characters: usize = tags.iter().map(|tag| tag.chars().count()).sum();
    if characters > TAGS_MAX_CHARS {
        return Err(Refused::Unprocessable(format!(
            "Tags combined length of tags cannot exceed {TAGS_MAX_CHARS} characters"
        )));
    }
    Ok(tags)
}

/// The empty URL means none.
fn checked_url(what: &str, text: Option<&str>) -> Result<Option<String>, Refused> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > URL_MAX_CHARS || Url::parse(text).is_err() {
        return Err(Refused::Unprocessable(format!(
            "{what} must be a valid URL"
        )));
    }
    Ok(Some(text.to_owned()))
}

fn checked_route_service(text: Option<&str>) -> Result<Option<String>, Refused> {
    let url = checked_url("Route service url", text)?;
    if url.as_ref().is_some_and(|url| !url.starts_with("https://")) {
        return Err(Refused::unprocessable("Route service url must be https"));
    }
    Ok(url)
}

fn record(draft: &mut Draft, act: &Act<'_>, instance: &ServiceInstance, verb: &str) {
    let target = Target::in_space(
        draft,
        instance.space,
        "user_provided_service_instance",
        instance.guid,
        &instance.name,
    );
    let kind = format!("audit.user_provided_service_instance.{verb}");
    let data = json!({"request": {"name": instance.name, "credentials": "[PRIVATE DATA HIDDEN]"}});
    act.record(draft, &kind, target, data);
}

fn record_binding(
    draft: &mut Draft,
    act: &Act<'_>,
    binding: &ServiceBinding,
    app: &App,
    verb: &str,
) {
    let name = binding.name.as_deref().unwrap_or_default();
    let target = Target::in_space(draft, app.space, "service_binding", binding.guid, name);
    let data = json!({
        "request": {
            "type": "app",
            "relationships": {
                "service_instance": {"data": {"guid": binding.instance}},
                "app": {"data": {"guid": binding.app}},
            },
        },
    });
    act.record(
        draft,
        &format!("audit.service_binding.{verb}"),
        target,
        data,
    );
}

#[cfg(test)]
mod tests;
