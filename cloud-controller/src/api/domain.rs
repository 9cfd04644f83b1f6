//! `/v3/domains`, and those that an organisation may use.

use std::sync::Arc;

use cfx_protocol::id::{DomainGuid, OrgGuid};
use cfx_protocol::v3::domain::{self as wire, NewDomain, RouteReservation};
use cfx_protocol::v3::resource::{Reference, ToMany, ToOne};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{job, organization};
use crate::actions;
use crate::actions::route::{Place, route_at};
use crate::state::domain::Domain;
use crate::state::meta::Meta;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let organizations = query.filter("organization_guids");
    let state = call.state.clone();
    let admitted = state.all::<Domain>().filter(|domain| {
        is_visible(&call, domain)
            && (organizations.is_absent() || organizations.admits_any(domain.organization))
    });
    page(&call, &query, admitted.cloned())
}

/// The shared ones and the organisation's own.
pub(super) async fn list_of_organization(call: Call, query: Query) -> Answer {
    let owner = organization::find(&call, call.guid())?.guid;
    let state = call.state.clone();
    let usable = |domain: &&Arc<Domain>| domain.organization.is_none_or(|other| other == owner);
    page(&call, &query, state.all::<Domain>().filter(usable).cloned())
}

fn page(call: &Call, query: &Query, domains: impl Iterator<Item = Arc<Domain>>) -> Answer {
    let names = query.filter("names");
    let admitted = domains.filter(|domain| names.admits(&domain.name));
    pagination::page(&call.base, query, admitted, |domain| {
        present(&call.base, domain)
    })
}

pub(super) async fn default_of_organization(call: Call) -> Answer {
    let owner = organization::find(&call, call.guid())?.guid;
    let domain = actions::domain::default_domain(&call.state, owner);
    let domain = domain.ok_or_else(|| ApiError::not_found("Domain"))?;
    response::ok(present(&call.base, &domain))
}

pub(super) async fn show(call: Call) -> Answer {
    let domain = find(&call, call.guid())?;
    response::ok(present(&call.base, &domain))
}

pub(super) async fn create(call: Call, Body(new): Body<NewDomain>) -> Answer {
    let relationships = new.relationships.as_ref();
    let owner = relationships
        .and_then(|to| to.organization.as_ref())
        .and_then(|to| to.data);
    require_write(&call, owner.map(|to| to.guid))?;
    let domain = call
        .write(|draft, act| actions::domain::create_domain(draft, act, &new))
        .await?;
    response::created(present(&call.base, &domain))
}

pub(super) async fn delete(call: Call) -> Answer {
    let domain = find(&call, call.guid())?;
    require_write(&call, domain.organization)?;
    job::of_steps(&call, "domain.delete", |draft, act| {
        actions::domain::delete_domain(draft, act, domain.guid)
    })
    .await
}

/// Is there a route at this place, in whichever space?
pub(super) async fn route_reservations(call: Call, query: Query) -> Answer {
    let domain = find(&call, call.guid())?;
    let place = Place {
        domain: domain.guid,
        host: query.get("host").unwrap_or_default().to_lowercase(),
        path: query.get("path").unwrap_or_default().to_owned(),
    };
    response::ok(RouteReservation {
        matching_route: route_at(&call.state, &place).is_some(),
    })
}

/// The domain, if the caller sees it.
pub(super) fn find(call: &Call, guid: DomainGuid) -> Result<Arc<Domain>, ApiError> {
    let domain = call.state.get::<Domain>(&guid).cloned();
    domain
        .filter(|domain| is_visible(call, domain))
        .ok_or_else(|| ApiError::not_found("Domain"))
}

/// Shared ones are for everybody's eyes.
fn is_visible(call: &Call, domain: &Domain) -> bool {
    domain
        .organization
        .is_none_or(|owner| call.sees_in(Action::DomainRead, owner) || sees_a_space_of(call, owner))
}

fn sees_a_space_of(call: &Call, owner: OrgGuid) -> bool {
    let mut spaces = call
        .state
        .linked::<crate::state::space::Space>(crate::state::Link::SpacesOf(owner.0));
    spaces.any(|space| call.sees(Action::DomainRead, space.guid))
}

fn require_write(call: &Call, owner: Option<OrgGuid>) -> Result<(), ApiError> {
    match owner {
        None => call.require(Action::DomainSharedWrite, Scope::Platform),
        Some(owner) => {
            organization::find(call, owner).map_err(|_| {
                ApiError::unprocessable(format!(
                    "Organization with guid '{owner}' does not exist or you do not have access \
                     to it."
                ))
            })?;
            call.require(Action::DomainPrivateWrite, Scope::Organization(owner))
        }
    }
}

pub(super) fn present(base: &Base, domain: &Domain) -> wire::Domain {
    let path = format!("/v3/domains/{}", domain.guid);
    let mut links = cfx_protocol::v3::resource::Links::from([
        ("self".to_owned(), base.link(&path)),
        (
            "route_reservations".to_owned(),
            base.link(&format!("{path}/route_reservations")),
        ),
    ]);
    if let Some(owner) = domain.organization {
        let owner = base.link(&format!("/v3/organizations/{owner}"));
        links.insert("organization".to_owned(), owner);
    }
    wire::Domain {
        guid: domain.guid,
        created_at: seconds(domain.meta.created_at),
        updated_at: seconds(domain.meta.updated_at),
        name: domain.name.clone(),
        internal: domain.internal,
        router_group: None,
        supported_protocols: vec!["http".to_owned()],
        relationships: wire::DomainRelationships {
            organization: ToOne {
                data: domain.organization.map(|guid| Reference { guid }),
            },
            shared_organizations: ToMany { data: Vec::new() },
        },
        metadata: metadata(&domain.meta),
        links,
    }
}

impl Listed for Domain {
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
