//! User-provided service instances, and their bindings to apps.

use cfx_protocol::id::{AppGuid, ServiceBindingGuid, ServiceInstanceGuid, SpaceGuid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Link;
use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInstance {
    pub guid: ServiceInstanceGuid,
    pub name: String,
    pub space: SpaceGuid,
    pub credentials: Map<String, Value>,
    pub tags: Vec<String>,
    pub syslog_drain_url: Option<String>,
    pub route_service_url: Option<String>,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBinding {
    pub guid: ServiceBindingGuid,
    pub instance: ServiceInstanceGuid,
    pub app: AppGuid,
    pub name: Option<String>,
    pub meta: Meta,
}

guid_record!(ServiceInstance, ServiceInstanceGuid, "service_instance", self => [Link::ServiceInstancesOf(self.space.0)]);
guid_record!(ServiceBinding, ServiceBindingGuid, "service_binding", self => [
    Link::BindingsOf(self.app.0),
    Link::BindingsTo(self.instance.0),
]);
