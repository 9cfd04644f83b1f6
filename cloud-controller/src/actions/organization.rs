//! Making, changing and deleting organisations.

use std::sync::Arc;

use cfx_protocol::id::{OrgGuid, UserGuid};
use cfx_protocol::v3::organization::{NewOrganization, OrganizationPatch};
use serde_json::{Value, json};

use super::deletion::{Budget, Progress};
use super::{Act, Refused, Target, domain, limits, metadata, name, role, space};
use crate::state::domain::Domain;
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::role::{RoleTarget, RoleType};
use crate::state::space::Space;
use crate::state::{Draft, Link};

/// A user who makes their own organisation (where operators allow that) manages it.
pub fn create(
    draft: &mut Draft,
    act: &Act<'_>,
    new: NewOrganization,
    manager: Option<UserGuid>,
) -> Result<Arc<Organization>, Refused> {
    name::check(&new.name)?;
    refuse_taken(draft, &new.name, None)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata)?;
    let made = Organization {
        guid: act.ids.guid(),
        name: new.name,
        suspended: new.suspended,
        meta,
    };
    limits::check_fits(&made, "Labels and annotations")?;
    let made = draft.put(made);
    let request = json!({ "name": made.name, "suspended": made.suspended });
    record(draft, act, "create", &made, json!({ "request": request }));
    if let Some(user) = manager {
        let target = RoleTarget::Organization(made.guid);
        for held in [RoleType::OrganizationUser, RoleType::OrganizationManager] {
            role::grant(draft, act, user, held, target)?;
        }
    }
    Ok(made)
}

pub fn update(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: OrgGuid,
    patch: OrganizationPatch,
) -> Result<Arc<Organization>, Refused> {
    let found = draft.get::<Organization>(&guid);
    let mut changed = Organization::clone(found.ok_or(Refused::NotFound("Organization"))?);
    let request = json!({ "name": patch.name, "suspended": patch.suspended });
    if let Some(name) = patch.name {
        name::check(&name)?;
        refuse_taken(draft, &name, Some(guid))?;
        changed.name = name;
    }
    changed.suspended = patch.suspended.unwrap_or(changed.suspended);
    metadata::apply(&mut changed.meta, patch.metadata)?;
    changed.meta.updated_at = act.now;
    limits::check_fits(&changed, "Labels and annotations")?;
    let changed = draft.put(changed);
    record(
        draft,
        act,
        "update",
        &changed,
        json!({ "request": request }),
    );
    Ok(changed)
}

/// The organisation with its spaces and private domains, some at a time: each step is a commit of
/// its own, and what is left after a crash goes with the next delete.
pub fn delete(draft: &mut Draft, act: &Act<'_>, guid: OrgGuid) -> Result<Progress, Refused> {
    let organization = draft.get::<Organization>(&guid).cloned();
    let organization = organization.ok_or(Refused::NotFound("Organization"))?;
    let mut spaces = draft.linked::<Space>(Link::SpacesOf(guid.0));
    if let Some(first) = spaces.next().map(|space| space.guid) {
        drop(spaces);
        // One space a step: together they could be too much for one commit.
        return space::delete(draft, act, first).map(|_| Progress::More);
    }
    drop(spaces);
    let mut domains = draft
        .all::<Domain>()
        .filter(|domain| domain.organization == Some(guid));
    if let Some(first) = domains.next().map(|domain| domain.guid) {
        drop(domains);
        return domain::delete_domain(draft, act, first).map(|_| Progress::More);
    }
    drop(domains);
    if role::delete_in(draft, guid.0, &mut Budget::of_one_commit()) == Progress::More {
        return Ok(Progress::More);
    }
    let data = json!({ "request": { "recursive": true } });
    record(draft, act, "delete-request", &organization, data);
    draft.delete::<Organization>(&guid);
    Ok(Progress::Done)
}

fn refuse_taken(draft: &Draft, name: &str, but: Option<OrgGuid>) -> Result<(), Refused> {
    let lower = name.to_lowercase();
    let taken =
        |other: &&Arc<Organization>| Some(other.guid) != but && other.name.to_lowercase() == lower;
    match draft.all::<Organization>().find(taken) {
        None => Ok(()),
        Some(_) => Err(Refused::Unprocessable(format!(
            "Organization '{name}' already exists."
        ))),
    }
}

fn record(draft: &mut Draft, act: &Act<'_>, verb: &str, organization: &Organization, data: Value) {
    let target = Target::organization(organization);
    act.record(draft, &format!("audit.organization.{verb}"), target, data);
}
