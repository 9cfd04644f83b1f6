//! `/v3/service_credential_bindings`: of apps to user-provided instances. And the lists that the
//! CLI reads beside them, which are empty: there are no brokers and no route services.

use std::collections::BTreeSet;
use std::sync::Arc;

use cfx_protocol::id::{AppGuid, ServiceBindingGuid, ServiceInstanceGuid};
use cfx_protocol::v3::resource::ToOne;
use cfx_protocol::v3::service_credential_binding::{
    self as wire, BindingDetails, NewServiceCredentialBinding,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, service_instance};
use crate::actions;
use crate::state::app::App;
use crate::state::meta::Meta;
use crate::state::service::{ServiceBinding, ServiceInstance};

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let filters = [
        query.filter("app_guids"),
        query.filter("app_names"),
        query.filter("service_instance_guids"),
        query.filter("service_instance_names"),
        query.filter("names"),
        query.filter("type"),
    ];
    let [apps, app_names, instances, instance_names, names, kinds] = &filters;
    let state = call.state.clone();
    let admitted = state.all::<ServiceBinding>().filter(|binding| {
        let (Some(app), Some(instance)) = (
            state.get::<App>(&binding.app),
            state.get::<ServiceInstance>(&binding.instance),
        ) else {
            return false;
        };
        call.sees(Action::ServiceRead, app.space)
            && apps.admits_guid(app.guid)
            && app_names.admits(&app.name)
            && instances.admits_guid(instance.guid)
            && instance_names.admits(&instance.name)
            && (names.is_absent() || binding.name.as_ref().is_some_and(|it| names.admits(it)))
            && kinds.admits("app")
    });
    pagination::page_with(
        &call.base,
        &query,
        "created_at",
        admitted.cloned(),
        |binding| present(&call.base, binding),
        |bindings| included(&call, &query, bindings),
    )
}

pub(super) async fn show(call: Call) -> Answer {
    let (_, binding) = find(&call)?;
    response::ok(present(&call.base, &binding))
}

pub(super) async fn create(call: Call, Body(new): Body<NewServiceCredentialBinding>) -> Answer {
    require_visible(&call, &new)?;
    let binding = call
        .write(|draft, act| actions::service::create_binding(draft, act, &new))
        .await?;
    response::created(present(&call.base, &binding))
}

pub(super) async fn delete(call: Call) -> Answer {
    let (app, binding) = find(&call)?;
    call.require(Action::ServiceBind, Scope::Space(app.space))?;
    call.write(|draft, act| actions::service::delete_binding(draft, act, binding.guid))
        .await?;
    response::no_content()
}

pub(super) async fn details(call: Call) -> Answer {
    let (app, binding) = find(&call)?;
    if !call.may(Action::ServiceSecretsRead, Scope::Space(app.space)) {
        return Err(ApiError::forbidden());
    }
    let instance = call.state.get::<ServiceInstance>(&binding.instance);
    let instance = instance.ok_or_else(|| ApiError::not_found("Service instance"))?;
    response::ok(BindingDetails {
        credentials: instance.credentials.clone(),
        syslog_drain_url: instance.syslog_drain_url.clone(),
        volume_mounts: Vec::new(),
    })
}

pub(super) async fn parameters(call: Call) -> Answer {
    find(&call)?;
    Err(ApiError::new(
        super::error::Code::InvalidRequest,
        "This service does not support fetching service binding parameters.",
    ))
}

/// A list of what there is none of.
pub(super) async fn none(call: Call, query: Query) -> Answer {
    pagination::plain(&call.base, &query, Vec::<()>::new())
}

fn require_visible(call: &Call, new: &NewServiceCredentialBinding) -> Result<(), ApiError> {
    let guid: Option<AppGuid> = new
        .relationships
        .app
        .and_then(|to| to.data)
        .map(|to| to.guid);
    if let Some(guid) = guid {
        let app = app::find(call, guid).map_err(|_| {
            ApiError::unprocessable(
                "The app could not be found: ensure it exists and you have access to it",
            )
        })?;
        call.require(Action::ServiceBind, Scope::Space(app.space))?;
    }
    let instance = new.relationships.service_instance.data.map(|to| to.guid);
    if let Some(guid) = instance {
        service_instance::find(call, guid).map_err(|_| {
            ApiError::unprocessable(
                "The service instance could not be found: ensure it exists and you have access \
                 to it",
            )
        })?;
    }
    Ok(())
}

fn find(call: &Call) -> Result<(Arc<App>, Arc<ServiceBinding>), ApiError> {
    let not_found = || ApiError::not_found("Service credential binding");
    let guid: ServiceBindingGuid = call.guid();
    let binding = call.state.get::<ServiceBinding>(&guid).cloned();
    let binding = binding.ok_or_else(not_found)?;
    let app = call.state.get::<App>(&binding.app).cloned();
    let app = app.filter(|app| call.sees(Action::ServiceRead, app.space));
    Ok((app.ok_or_else(not_found)?, binding))
}

/// `include=app,service_instance`.
fn included(call: &Call, query: &Query, bindings: &[Arc<ServiceBinding>]) -> Option<Value> {
    let mut included = serde_json::Map::new();
    if query.names("include", "app") {
        let guids: BTreeSet<AppGuid> = bindings.iter().map(|binding| binding.app).collect();
        let apps = guids
            .into_iter()
            .filter_map(|guid| app::find(call, guid).ok());
        let shown: Vec<_> = apps.map(|it| app::present(&call.base, &it)).collect();
        included.insert("apps".to_owned(), json!(shown));
    }
    if query.names("include", "service_instance") {
        let guids = bindings.iter().map(|binding| binding.instance);
        let guids: BTreeSet<ServiceInstanceGuid> = guids.collect();
        let found = guids
            .into_iter()
            .filter_map(|guid| service_instance::find(call, guid).ok());
        let shown: Vec<_> = found
            .map(|it| service_instance::present(&call.base, &it))
            .collect();
        included.insert("service_instances".to_owned(), json!(shown));
    }
    (!included.is_empty()).then_some(Value::Object(included))
}

fn present(base: &Base, binding: &ServiceBinding) -> wire::ServiceCredentialBinding {
    let path = format!("/v3/service_credential_bindings/{}", binding.guid);
    let link = |name: &str, path: String| (name.to_owned(), base.link(&path));
    wire::ServiceCredentialBinding {
        guid: binding.guid,
        created_at: seconds(binding.meta.created_at),
        updated_at: seconds(binding.meta.updated_at),
        name: binding.name.clone(),
        kind: "app".to_owned(),
        last_operation: service_instance::last_operation(&binding.meta),
        relationships: wire::BindingRelationships {
            app: ToOne::to(binding.app),
            service_instance: ToOne::to(binding.instance),
        },
        metadata: metadata(&binding.meta),
        links: [
            link("self", path.clone()),
            link("details", format!("{path}/details")),
            link("app", format!("/v3/apps/{}", binding.app)),
            link(
                "service_instance",
                format!("/v3/service_instances/{}", binding.instance),
            ),
        ]
        .into(),
    }
}

impl Listed for ServiceBinding {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}
