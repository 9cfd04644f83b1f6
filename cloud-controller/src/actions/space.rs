//! Making, changing and emptying spaces.

use std::sync::Arc;

use cfx_protocol::id::{OrgGuid, SpaceGuid};
use cfx_protocol::v3::resource::MetadataPatch;
use cfx_protocol::v3::space::SpacePatch;
use serde_json::{Value, json};

use super::deletion::{self, Budget, Progress};
use super::{Act, Refused, Target, limits, metadata, name, role};
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::space::Space;
use crate::state::{Draft, Link};

pub fn create(
    draft: &mut Draft,
    act: &Act<'_>,
    organization: OrgGuid,
    name: String,
    patch: Option<MetadataPatch>,
) -> Result<Arc<Space>, Refused> {
    name::check(&name)?;
    if draft.get::<Organization>(&organization).is_none() {
        return Err(Refused::unprocessable(
            "Invalid organization. Ensure the organization exists and you have access to it.",
        ));
    }
    refuse_taken(draft, organization, &name, None)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, patch)?;
    let made = Space {
        guid: act.ids.guid(),
        name,
        organization,
        meta,
    };
    limits::check_fits(&made, "Labels and annotations")?;
    let made = draft.put(made);
    let request = json!({ "name": made.name });
    record(draft, act, "create", &made, json!({ "request": request }));
    Ok(made)
}

pub fn update(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: SpaceGuid,
    patch: SpacePatch,
) -> Result<Arc<Space>, Refused> {
    let found = draft.get::<Space>(&guid);
    let mut changed = Space::clone(found.ok_or(Refused::NotFound("Space"))?);
    let request = json!({ "name": patch.name });
    if let Some(name) = patch.name {
        name::check(&name)?;
        refuse_taken(draft, changed.organization, &name, Some(guid))?;
        changed.name = name;
    }
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

/// The space with all that is in it, some at a time.
pub fn delete(draft: &mut Draft, act: &Act<'_>, guid: SpaceGuid) -> Result<Progress, Refused> {
    let space = draft.get::<Space>(&guid).cloned();
    let space = space.ok_or(Refused::NotFound("Space"))?;
    if deletion::empty_space(draft, act, guid)? == Progress::More {
        return Ok(Progress::More);
    }
    if role::delete_in(draft, guid.0, &mut Budget::of_one_commit()) == Progress::More {
        return Ok(Progress::More);
    }
    let data = json!({ "request": { "recursive": true } });
    record(draft, act, "delete-request", &space, data);
    draft.delete::<Space>(&guid);
    Ok(Progress::Done)
}

fn refuse_taken(
    draft: &Draft,
    organization: OrgGuid,
    name: &str,
    but: Option<SpaceGuid>,
) -> Result<(), Refused> {
    let lower = name.to_lowercase();
    let mut spaces = draft.linked::<Space>(Link::SpacesOf(organization.0));
    if spaces.any(|other| Some(other.guid) != but && other.name.to_lowercase() == lower) {
        return Err(Refused::unprocessable(
            "Name must be unique per organization",
        ));
    }
    Ok(())
}

/// Leave an event about a space.
fn record(draft: &mut Draft, act: &Act<'_>, verb: &str, space: &Space, data: Value) {
    let target = Target::in_space(draft, space.guid, "space", space.guid, &space.name);
    act.record(draft, &format!("audit.space.{verb}"), target, data);
}
