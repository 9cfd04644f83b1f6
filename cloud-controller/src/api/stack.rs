//! `/v3/stacks`.

use cfx_protocol::v3::stack as wire;
use uuid::Uuid;

use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::query::Query;
use super::request::{Base, Call};
use super::response::{self, metadata, seconds};
use crate::state::meta::Meta;
use crate::state::stack::Stack;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let names = query.filter("names");
    let default = query.flag("default")?;
    let found = call.state.all::<Stack>().filter(|stack| {
        names.admits(&stack.name) && default.is_none_or(|default| stack.default == default)
    });
    pagination::page(&call.base, &query, found.cloned(), |stack| {
        present(&call.base, stack)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let found = call.state.get::<Stack>(&call.guid());
    let stack = found.ok_or_else(|| ApiError::not_found("Stack"))?;
    response::ok(present(&call.base, stack))
}

fn present(base: &Base, stack: &Stack) -> wire::Stack {
    let path = format!("/v3/stacks/{}", stack.guid);
    wire::Stack {
        guid: stack.guid,
        created_at: seconds(stack.meta.created_at),
        updated_at: seconds(stack.meta.updated_at),
        name: stack.name.clone(),
        description: stack.description.clone(),
        default: stack.default,
        build_rootfs_image: stack.name.clone(),
        run_rootfs_image: stack.name.clone(),
        metadata: metadata(&stack.meta),
        links: [("self".to_owned(), base.link(&path))].into(),
    }
}

impl Listed for Stack {
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
