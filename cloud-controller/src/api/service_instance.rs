//! `/v3/service_instances`: user-provided ones.

use std::sync::Arc;

use cfx_protocol::id::ServiceInstanceGuid;
use cfx_protocol::v3::app::SpaceRelationship;
use cfx_protocol::v3::resource::ToOne;
use cfx_protocol::v3::service_instance::{
    self as wire, LastOperation, NewServiceInstance, ServiceInstancePatch,
};
use serde_json::json;
use uuid::Uuid;

use super::access::Scope;
use super::app;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use crate::actions;
use crate::state::meta::Meta;
use crate::state::service::ServiceInstance;
use crate::state::space::Space;

const KIND: &str = "user-provided";

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let names = query.filter("names");
    let spaces = query.filter("space_guids");
    let organizations = query.filter("organization_guids");
    let kinds = query.filter("type");
    let state = call.state.clone();
    let admitted = state.all::<ServiceInstance>().filter(|instance| {
        let space = state.get::<Space>(&instance.space);
        call.sees(Action::ServiceRead, instance.space)
            && names.admits(&instance.name)
            && spaces.admits_guid(instance.space)
            && (organizations.is_absent()
                || organizations.admits_any(space.map(|space| space.organization)))
            && kinds.admits(KIND)
    });
    pagination::page(&call.base, &query, admitted.cloned(), |instance| {
        present(&call.base, instance)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let instance = find(&call, call.guid())?;
    response::ok(present(&call.base, &instance))
}

pub(super) async fn create(call: Call, Body(new): Body<NewServiceInstance>) -> Answer {
    let space = new.relationships.space.data.map(|to| to.guid);
    app::require_space(&call, space, Action::ServiceWrite)?;
    let instance = call
        .write(|draft, act| actions::service::create_instance(draft, act, &new))
        .await?;
    response::created(present(&call.base, &instance))
}

pub(super) async fn update(call: Call, Body(patch): Body<ServiceInstancePatch>) -> Answer {
    let instance = find_to(&call, call.guid())?;
    let instance = call
        .write(|draft, act| actions::service::update_instance(draft, act, instance.guid, &patch))
        .await?;
    response::ok(present(&call.base, &instance))
}

pub(super) async fn delete(call: Call) -> Answer {
    let instance = find_to(&call, call.guid())?;
    call.write(|draft, act| actions::service::delete_instance(draft, act, instance.guid))
        .await?;
    response::no_content()
}

pub(super) async fn credentials(call: Call) -> Answer {
    let instance = find(&call, call.guid())?;
    if !call.may(Action::ServiceSecretsRead, Scope::Space(instance.space)) {
        return Err(ApiError::forbidden());
    }
    response::ok(&instance.credentials)
}

/// Only managed instances have parameters, and there are none.
pub(super) async fn parameters(call: Call) -> Answer {
    find(&call, call.guid())?;
    Err(ApiError::new(
        super::error::Code::InvalidRequest,
        "This service does not support fetching service instance parameters.",
    ))
}

pub(super) async fn permissions(call: Call) -> Answer {
    let instance = find(&call, call.guid())?;
    let scope = Scope::Space(instance.space);
    response::ok(json!({
        "read": true,
        "manage": call.may(Action::ServiceWrite, scope),
    }))
}

/// No instance is shared.
pub(super) async fn shared_spaces(call: Call) -> Answer {
    let instance = find(&call, call.guid())?;
    let path = format!("/v3/service_instances/{}", instance.guid);
    let link = call
        .base
        .link(&format!("{path}/relationships/shared_spaces"));
    response::ok(json!({"data": [], "links": {"self": link}}))
}

pub(super) async fn shared_spaces_usage(call: Call) -> Answer {
    find(&call, call.guid())?;
    response::ok(json!({"usage_summary": []}))
}

/// The instance, if the caller sees it.
pub(super) fn find(
    call: &Call,
    guid: ServiceInstanceGuid,
) -> Result<Arc<ServiceInstance>, ApiError> {
    let instance = call.state.get::<ServiceInstance>(&guid).cloned();
    instance
        .filter(|instance| call.sees(Action::ServiceRead, instance.space))
        .ok_or_else(|| ApiError::not_found("Service instance"))
}

fn find_to(call: &Call, guid: ServiceInstanceGuid) -> Result<Arc<ServiceInstance>, ApiError> {
    let instance = find(call, guid)?;
    call.require(Action::ServiceWrite, Scope::Space(instance.space))?;
    Ok(instance)
}

pub(super) fn present(base: &Base, instance: &ServiceInstance) -> wire::ServiceInstance {
    let path = format!("/v3/service_instances/{}", instance.guid);
    let link = |name: &str, path: String| (name.to_owned(), base.link(&path));
    wire::ServiceInstance {
        guid: instance.guid,
        created_at: seconds(instance.meta.created_at),
        updated_at: seconds(instance.meta.updated_at),
        name: instance.name.clone(),
        tags: instance.tags.clone(),
        kind: KIND.to_owned(),
        syslog_drain_url: instance.syslog_drain_url.clone(),
        route_service_url: instance.route_service_url.clone(),
        last_operation: last_operation(&instance.meta),
        relationships: SpaceRelationship {
            space: ToOne::to(instance.space),
        },
        metadata: metadata(&instance.meta),
        links: [
            link("self", path.clone()),
            link("space", format!("/v3/spaces/{}", instance.space)),
            link("credentials", format!("{path}/credentials")),
            link(
                "service_credential_bindings",
                format!(
                    "/v3/service_credential_bindings?service_instance_guids={}",
                    instance.guid
                ),
            ),
            link(
                "service_route_bindings",
                format!(
                    "/v3/service_route_bindings?service_instance_guids={}",
                    instance.guid
                ),
            ),
        ]
        .into(),
    }
}

/// What was asked for is done when it is answered.
pub(super) fn last_operation(meta: &Meta) -> LastOperation {
    let kind = if meta.updated_at == meta.created_at {
        "create"
    } else {
        "update"
    };
    LastOperation {
        kind: kind.to_owned(),
        state: "succeeded".to_owned(),
        description: "Operation succeeded".to_owned(),
        created_at: seconds(meta.created_at),
        updated_at: seconds(meta.updated_at),
    }
}

impl Listed for ServiceInstance {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn name(&self) -> &str {
        &self.name
    }
}
