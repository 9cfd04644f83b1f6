//! `/v3/feature_flags`.

use cfx_protocol::v3::feature_flag::{self as wire, FeatureFlagPatch};
use jiff::Timestamp;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination;
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, seconds};
use crate::actions::feature_flag;
use crate::state::feature_flag::FeatureFlag;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let flags = feature_flag::DEFAULTS
        .iter()
        .filter_map(|(name, _)| feature_flag::get(&call.state, name))
        .map(|flag| present(&call.base, &flag));
    pagination::plain(&call.base, &query, flags.collect())
}

pub(super) async fn show(call: Call) -> Answer {
    response::ok(present(&call.base, &find(&call)?))
}

pub(super) async fn update(call: Call, Body(patch): Body<FeatureFlagPatch>) -> Answer {
    let name = find(&call)?.name;
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let changed = call
        .write(|draft, act| feature_flag::update(draft, act, &name, patch))
        .await?;
    response::ok(present(&call.base, &changed))
}

fn find(call: &Call) -> Result<FeatureFlag, ApiError> {
    let found = feature_flag::get(&call.state, call.param("name"));
    found.ok_or_else(|| ApiError::not_found("Feature flag"))
}

fn present(base: &Base, flag: &FeatureFlag) -> wire::FeatureFlag {
    let path = format!("/v3/feature_flags/{}", flag.name);
    let set = flag.updated_at != Timestamp::UNIX_EPOCH;
    wire::FeatureFlag {
        name: flag.name.clone(),
        enabled: flag.enabled,
        updated_at: set.then(|| seconds(flag.updated_at)),
        custom_error_message: flag.custom_error_message.clone(),
        links: [("self".to_owned(), base.link(&path))].into(),
    }
}
