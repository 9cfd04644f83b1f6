//! What Cloud Foundry has and this platform has not: quotas, security groups, isolation segments.
//! Their lists are empty, which is the truth, and enough for `cf org` and `cf space`.

use serde_json::{Value, json};

use super::error::Answer;
use super::pagination;
use super::query::Query;
use super::request::Call;
use super::{organization, response, space};

/// A list of things that there are none of.
pub(super) async fn list(call: Call, query: Query) -> Answer {
    pagination::plain(&call.base, &query, Vec::<Value>::new())
}

/// The same, of a space that one must see.
pub(super) async fn list_of_space(call: Call, query: Query) -> Answer {
    space::find(&call, call.guid())?;
    list(call, query).await
}

/// A relationship of a space to nothing.
pub(super) async fn relationship_of_space(call: Call) -> Answer {
    space::find(&call, call.guid())?;
    response::ok(json!({ "data": null }))
}

/// A relationship of an organisation to nothing.
pub(super) async fn relationship_of_organization(call: Call) -> Answer {
    organization::find(&call, call.guid())?;
    response::ok(json!({ "data": null }))
}
