//! `/v3/audit_events`: what was done, for `cf events`.

use cfx_protocol::v3::audit_event as wire;
use cfx_protocol::v3::resource::Reference;
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Call};
use super::response::{self, seconds};
use crate::state::audit_event::{AuditEvent, Party};
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::space::Space;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let (types, targets) = (query.filter("types"), query.filter("target_guids"));
    let spaces = query.filter("space_guids");
    let organizations = query.filter("organization_guids");
    let visible = call.state.all::<AuditEvent>().filter(|event| {
        types.admits(&event.kind)
            && targets.admits(&event.target.guid)
            && spaces.admits_any(event.space)
            && organizations.admits_any(event.organization)
            && sees(&call, event)
    });
    let dated = visible.map(|event| std::sync::Arc::new(Dated::of(event)));
    pagination::page(&call.base, &query, dated, |event| {
        present(&call.base, &event.event)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let found = call.state.get::<AuditEvent>(&call.guid());
    let event = found.filter(|event| sees(&call, event));
    let event = event.ok_or_else(|| ApiError::not_found("Event"))?;
    response::ok(present(&call.base, event))
}

/// Events outlive their space and organisation; then only those who see everything see them.
fn sees(call: &Call, event: &AuditEvent) -> bool {
    let space = event
        .space
        .filter(|guid| call.state.get::<Space>(guid).is_some());
    let organization = event
        .organization
        .filter(|guid| call.state.get::<Organization>(guid).is_some());
    let scope = match (space, organization) {
        (Some(guid), _) => Scope::Space(guid),
        (None, Some(guid)) => Scope::Organization(guid),
        (None, None) => Scope::Platform,
    };
    call.may(Action::AuditEventRead, scope)
}

/// Lists sort by `Meta`, which an event, being never changed, does not have.
#[derive(Debug)]
struct Dated {
    event: std::sync::Arc<AuditEvent>,
    meta: Meta,
}

impl Dated {
    fn of(event: &std::sync::Arc<AuditEvent>) -> Self {
        Self {
            event: event.clone(),
            meta: Meta::new(event.created_at),
        }
    }
}

impl Listed for Dated {
    fn guid(&self) -> Uuid {
        self.event.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

fn present(base: &Base, event: &AuditEvent) -> wire::AuditEvent {
    let party = |party: &Party| wire::Party {
        guid: party.guid.clone(),
        kind: party.kind.clone(),
        name: party.name.clone(),
    };
    let path = format!("/v3/audit_events/{}", event.guid);
    wire::AuditEvent {
        guid: event.guid,
        created_at: seconds(event.created_at),
        updated_at: seconds(event.created_at),
        kind: event.kind.clone(),
        actor: party(&event.actor),
        target: party(&event.target),
        data: event.data.clone(),
        space: event.space.map(|guid| Reference { guid }),
        organization: event.organization.map(|guid| Reference { guid }),
        links: [("self".to_owned(), base.link(&path))].into(),
    }
}
