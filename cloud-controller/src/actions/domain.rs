//! Domains, shared by all or private to an organisation.

use std::sync::Arc;

use cfx_process::entropy::IdSource;
use cfx_protocol::id::{DomainGuid, OrgGuid};
use cfx_protocol::v3::domain::NewDomain;
use jiff::Timestamp;
use serde_json::json;

use super::deletion::{Budget, Progress};
use super::{Act, Refused, Target, metadata, route};
use crate::state::audit_event::Party;
use crate::state::domain::Domain;
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::route::Route;
use crate::state::{Draft, Link, State};

/// Longest domain name (DNS).
const NAME_MAX_CHARS: usize = 253;
/// Reached only from instances, by each other.
pub const INTERNAL: &str = "apps.internal";

pub fn create_domain(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewDomain,
) -> Result<Arc<Domain>, Refused> {
    let name = new.name.to_lowercase();
    check_name(&name)?;
    let relationships = new.relationships.as_ref();
    let organization = relationships
        .and_then(|to| to.organization.as_ref())
        .and_then(|to| to.data)
        .map(|to| to.guid);
    let shared = relationships.and_then(|to| to.shared_organizations.as_ref());
    if shared.is_some_and(|to| !to.data.is_empty()) {
        return Err(Refused::unprocessable(
            "Sharing a private domain with other organizations is not supported",
        ));
    }
    if new.router_group.is_some() {
        return Err(Refused::unprocessable(
            "Router group: there are no TCP routers; create the domain without one",
        ));
    }
    let internal = new.internal.unwrap_or(false);
    check_owner(draft, organization, internal)?;
    check_free(draft, &name, organization)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    let domain = draft.put(Domain {
        guid: act.ids.guid(),
        name,
        internal,
        organization,
        default: false,
        meta,
    });
    record(draft, act, &domain, "audit.domain.create");
    Ok(domain)
}

/// Delete a domain with all its routes, some at a time.
pub fn delete_domain(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: DomainGuid,
) -> Result<Progress, Refused> {
    let domain = draft
        .get::<Domain>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Domain"))?;
    if domain.default {
        return Err(Refused::Unprocessable(format!(
            "The domain '{}' is the platform's own: start the platform with another `--domain` \
             first.",
            domain.name
        )));
    }
    let mut budget = Budget::of_one_commit();
    let routes = draft.linked::<Route>(Link::RoutesUnder(guid.0));
    for route in routes.map(|route| route.guid).collect::<Vec<_>>() {
        if !budget.take() {
            return Ok(Progress::More);
        }
        route::delete_route(draft, act, route)?;
    }
    record(draft, act, &domain, "audit.domain.delete-request");
    draft.delete::<Domain>(&guid);
    Ok(Progress::Done)
}

/// At start: the configured domain of apps and the internal one are there, and the configured one
/// is the default.
pub fn ensure_platform_domains(
    draft: &mut Draft,
    now: Timestamp,
    ids: &IdSource,
    apps_domain: &str,
) {
    let apps_domain = apps_domain.to_lowercase();
    for (name, internal) in [(apps_domain.as_str(), false), (INTERNAL, true)] {
        if named(draft, name).is_none() {
            draft.put(Domain {
                guid: ids.guid(),
                name: name.to_owned(),
                internal,
                organization: None,
                default: false,
                meta: Meta::new(now),
            });
        }
    }
    let changed: Vec<(DomainGuid, bool)> = draft
        .all::<Domain>()
        .filter(|domain| domain.default != (domain.name == apps_domain))
        .map(|domain| (domain.guid, !domain.default))
        .collect();
    for (guid, default) in changed {
        draft.update::<Domain>(&guid, |domain| domain.default = default);
    }
}

/// Where routes go that name no domain.
#[must_use]
pub fn default_domain(state: &State, organization: OrgGuid) -> Option<Arc<Domain>> {
    let usable = |domain: &&Arc<Domain>| {
        !domain.internal
            && domain
                .organization
                .is_none_or(|owner| owner == organization)
    };
    let mut domains: Vec<_> = state.all::<Domain>().filter(usable).collect();
    domains.sort_by_key(|domain| {
        (
            !domain.default,
            domain.organization.is_some(),
            domain.meta.created_at,
        )
    });
    domains.first().map(|domain| Arc::clone(domain))
}

#[must_use]
pub fn named(state: &State, name: &str) -> Option<Arc<Domain>> {
    state
        .all::<Domain>()
        .find(|domain| domain.name == name)
        .cloned()
}

fn check_name(name: &str) -> Result<(), Refused> {
    let refuse = |why: &str| Err(Refused::Unprocessable(format!("Name {why}")));
    if name.len() < 3 || name.len() > NAME_MAX_CHARS {
        return refuse(&format!(
            "must be between 3 and {NAME_MAX_CHARS} characters"
        ));
    }
    if !name.contains('.') {
        return refuse("must contain at least one \".\"");
    }
    let legal = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if !name.split('.').all(legal) {
        return refuse("does not comply with RFC 1035 standards");
    }
    Ok(())
}

fn check_owner(draft: &Draft, owner: Option<OrgGuid>, internal: bool) -> Result<(), Refused> {
    let Some(owner) = owner else { return Ok(()) };
    if internal {
        return Err(Refused::unprocessable(
            "Cannot associate an internal domain with an organization",
        ));
    }
    if draft.get::<Organization>(&owner).is_none() {
        return Err(Refused::Unprocessable(format!(
            "Organization with guid '{owner}' does not exist or you do not have access to it."
        )));
    }
    Ok(())
}

/// A name must not be taken, and nobody may sit above or below another tenant's domain.
fn check_free(draft: &Draft, name: &str, owner: Option<OrgGuid>) -> Result<(), Refused> {
    for other in draft.all::<Domain>() {
        if other.name == name {
            return Err(Refused::Unprocessable(format!(
                "The domain name \"{name}\" is already in use"
            )));
        }
        let related = is_below(name, &other.name) || is_below(&other.name, name);
        let foreign = match (owner, other.organization) {
            (_, None) => false,
            (Some(owner), Some(other)) => owner != other,
            (None, Some(_)) => true,
        };
        if related && foreign {
            return Err(Refused::Unprocessable(format!(
                "The domain name \"{name}\" cannot be created because \"{}\" is already reserved \
                 by another domain",
                other.name
            )));
        }
    }
    check_no_route(draft, name)
}

/// A new domain must not take over what an existing route answers.
fn check_no_route(draft: &Draft, name: &str) -> Result<(), Refused> {
    let Some((host, parent)) = name.split_once('.') else {
        return Ok(());
    };
    let Some(parent) = named(draft, parent) else {
        return Ok(());
    };
    let mut routes = draft.linked::<Route>(Link::RoutesUnder(parent.guid.0));
    if routes.any(|route| route.host == host) {
        return Err(Refused::Unprocessable(format!(
            "The domain name \"{name}\" cannot be created because \"{name}\" is already reserved \
             by a route"
        )));
    }
    Ok(())
}

fn is_below(name: &str, other: &str) -> bool {
    name.strip_suffix(other)
        .is_some_and(|rest| rest.ends_with('.'))
}

fn record(draft: &mut Draft, act: &Act<'_>, domain: &Domain, kind: &str) {
    let target = Target {
        party: Party {
            guid: domain.guid.to_string(),
            kind: "domain".to_owned(),
            name: domain.name.clone(),
        },
        space: None,
        organization: domain.organization,
    };
    act.record(draft, kind, target, json!({"name": domain.name}));
}
