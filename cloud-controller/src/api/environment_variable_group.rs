//! `/v3/environment_variable_groups/{running,staging}`.

use serde_json::{Map, Value, json};

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::permission::Action;
use super::request::{Body, Call};
use super::response;
use crate::actions::environment::{self, Group};
use crate::state::app::EnvironmentGroup;

pub(super) async fn show(call: Call) -> Answer {
    let group = group(&call)?;
    present(&call, group)
}

/// `{"var": {"NAME": "value", "OTHER": null}}`: null takes one away.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Patch {
    var: Map<String, Value>,
}

pub(super) async fn update(mut call: Call, Body(patch): Body<Patch>) -> Answer {
    let group = group(&call)?;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    call.write(|draft, act| environment::patch_group(draft, act, group, &patch.var))
        .await?;
    call.state = call.context.state.read();
    present(&call, group)
}

fn group(call: &Call) -> Result<Group, ApiError> {
    match call.param("name") {
        "running" => Ok(Group::Running),
        "staging" => Ok(Group::Staging),
        _ => Err(ApiError::not_found("Environment variable group")),
    }
}

fn present(call: &Call, group: Group) -> Answer {
    let name = group.name();
    let record = call.state.get::<EnvironmentGroup>(&name.to_owned());
    let path = format!("/v3/environment_variable_groups/{name}");
    response::ok(json!({
        "name": name,
        "var": environment::group_variables(&call.state, group),
        "updated_at": record.map(|record| response::seconds(record.meta.updated_at)),
        "links": { "self": call.base.link(&path) },
    }))
}
