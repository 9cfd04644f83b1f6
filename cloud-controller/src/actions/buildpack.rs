//! Buildpacks: their order, and what is known of their content.

use std::sync::Arc;

use cfx_protocol::id::{BuildpackGuid, JobGuid};
use cfx_protocol::v3::buildpack::{BuildpackPatch, NewBuildpack};
use cfx_protocol::v3::resource::Number;
use serde_json::json;

use super::{Act, Refused, Target, job, limits, metadata, name};
use crate::state::Draft;
use crate::state::audit_event::Party;
use crate::state::buildpack::Buildpack;
use crate::state::job::JobError;
use crate::state::meta::Meta;
use crate::state::package::BlobFacts;
use crate::state::stack::Stack;

/// Buildpacks of a platform: detection asks them one after the other, and moving one renumbers
/// all in one commit.
const BUILDPACKS_MAX: usize = 100;
const UPLOAD: &str = "buildpack.upload";

pub fn create(
    draft: &mut Draft,
    act: &Act<'_>,
    new: NewBuildpack,
) -> Result<Arc<Buildpack>, Refused> {
    name::check(&new.name)?;
    let lifecycle = new.lifecycle.as_deref().unwrap_or("buildpack");
    if lifecycle != "buildpack" {
        return Err(Refused::unprocessable("Lifecycle must be 'buildpack'"));
    }
    if draft.all::<Buildpack>().count() >= BUILDPACKS_MAX {
        return Err(Refused::Unprocessable(format!(
            "There may be {BUILDPACKS_MAX} buildpacks; delete one first"
        )));
    }
    refuse_unknown_stack(draft, new.stack.as_deref())?;
    refuse_taken(draft, &new.name, new.stack.as_deref(), None)?;
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata)?;
    let made = Buildpack {
        guid: act.ids.guid(),
        name: new.name,
        position: 0,
        enabled: new.enabled.unwrap_or(true),
        locked: new.locked.unwrap_or(false),
        stack: new.stack,
        filename: None,
        blob: None,
        meta,
    };
    limits::check_fits(&made, "Labels and annotations")?;
    let position = position(new.position.unwrap_or(Number(1)))?;
    let guid = draft.put(made).guid;
    let made = place(draft, guid, position)?;
    record(draft, act, "create", &made);
    Ok(made)
}

pub fn update(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: BuildpackGuid,
    patch: BuildpackPatch,
) -> Result<Arc<Buildpack>, Refused> {
    let mut changed = Buildpack::clone(&*find(draft, guid)?);
    if let Some(name) = patch.name {
        name::check(&name)?;
        changed.name = name;
    }
    if let Some(stack) = patch.stack {
        refuse_unknown_stack(draft, stack.as_deref())?;
        changed.stack = stack;
    }
    refuse_taken(draft, &changed.name, changed.stack.as_deref(), Some(guid))?;
    changed.enabled = patch.enabled.unwrap_or(changed.enabled);
    changed.locked = patch.locked.unwrap_or(changed.locked);
    metadata::apply(&mut changed.meta, patch.metadata)?;
    changed.meta.updated_at = act.now;
    limits::check_fits(&changed, "Labels and annotations")?;
    let mut changed = draft.put(changed);
    if let Some(wanted) = patch.position {
        changed = place(draft, guid, position(wanted)?)?;
    }
    record(draft, act, "update", &changed);
    Ok(changed)
}

/// Its content has arrived and was judged. `stack` is what its own manifest says.
pub fn uploaded(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: BuildpackGuid,
    filename: &str,
    blob: BlobFacts,
    stack: Option<String>,
) -> Result<JobGuid, Refused> {
    let mut changed = Buildpack::clone(&*find(draft, guid)?);
    refuse_locked(&changed)?;
    name::check(filename)?;
    if let Some(stack) = stack {
        if let Err(error) = judge_stack(draft, &changed, &stack) {
            return Ok(job::failed(draft, act, UPLOAD, error));
        }
        changed.stack = Some(stack);
    }
    changed.filename = Some(filename.to_owned());
    changed.blob = Some(blob);
    changed.meta.updated_at = act.now;
    let changed = draft.put(changed);
    record(draft, act, "upload", &changed);
    Ok(job::completed(draft, act, UPLOAD))
}

/// The CLI explains these three by their numbers.
fn judge_stack(draft: &Draft, buildpack: &Buildpack, stack: &str) -> Result<(), JobError> {
    let (code, title, detail) = if refuse_unknown_stack(draft, Some(stack)).is_err() {
        let detail = format!("Uploaded buildpack stack ({stack}) does not exist");
        (390_012, "CF-BuildpackStackDoesNotExist", detail)
    } else if let Some(own) = buildpack.stack.as_deref().filter(|own| *own != stack) {
        let detail = format!("Uploaded buildpack stack ({stack}) does not match {own}");
        (390_011, "CF-BuildpackStacksDontMatch", detail)
    } else if refuse_taken(draft, &buildpack.name, Some(stack), Some(buildpack.guid)).is_err() {
        let detail = format!(
            "The buildpack name {} is already in use for the stack {stack}",
            buildpack.name
        );
        (290_000, "CF-BuildpackNameStackTaken", detail)
    } else {
        return Ok(());
    };
    Err(JobError {
        code,
        title: title.to_owned(),
        detail,
    })
}

pub fn delete(draft: &mut Draft, act: &Act<'_>, guid: BuildpackGuid) -> Result<(), Refused> {
    let gone = find(draft, guid)?;
    draft.delete::<Buildpack>(&guid);
    renumber(draft, ordered(draft));
    record(draft, act, "delete", &gone);
    Ok(())
}

/// A buildpack may take no upload.
pub fn refuse_locked(buildpack: &Buildpack) -> Result<(), Refused> {
    if buildpack.locked {
        return Err(Refused::unprocessable(
            "The buildpack is locked: unlock it before you upload",
        ));
    }
    Ok(())
}

/// A buildpack that comes with the platform is there, with the content of this version, unless an
/// operator locked it or uploaded something else under its name.
pub fn ensure_system(draft: &mut Draft, act: &Act<'_>, name: &str, blob: BlobFacts) {
    let filename = format!("{name}-{}.zip", env!("CARGO_PKG_VERSION"));
    let found = draft
        .all::<Buildpack>()
        .find(|it| it.name == name && it.stack.is_none());
    match found.cloned() {
        None => {
            let position = u32::try_from(draft.all::<Buildpack>().count()).unwrap_or(u32::MAX);
            draft.put(Buildpack {
                guid: act.ids.guid(),
                name: name.to_owned(),
                position: position.saturating_add(1),
                enabled: true,
                locked: false,
                stack: None,
                filename: Some(filename),
                blob: Some(blob),
                meta: Meta::new(act.now),
            });
        }
        Some(known) => {
            let prefix = format!("{name}-");
            let ours = known
                .filename
                .as_ref()
                .is_some_and(|file| file.starts_with(&prefix));
            if ours && !known.locked && known.blob.as_ref() != Some(&blob) {
                draft.update::<Buildpack>(&known.guid, |buildpack| {
                    buildpack.blob = Some(blob);
                    buildpack.filename = Some(filename);
                    buildpack.meta.updated_at = act.now;
                });
            }
        }
    }
}

fn find(draft: &Draft, guid: BuildpackGuid) -> Result<Arc<Buildpack>, Refused> {
    let found = draft.get::<Buildpack>(&guid).cloned();
    found.ok_or(Refused::NotFound("Buildpack"))
}

fn position(wanted: Number) -> Result<u32, Refused> {
    u32::try_from(wanted.0)
        .ok()
        .filter(|position| *position >= 1)
        .ok_or_else(|| Refused::unprocessable("Position must be greater than or equal to 1"))
}

/// Put one in its place; the others move on.
fn place(draft: &mut Draft, guid: BuildpackGuid, position: u32) -> Result<Arc<Buildpack>, Refused> {
    let mut order = ordered(draft);
    order.retain(|other| *other != guid);
    let at = usize::try_from(position - 1).unwrap_or(usize::MAX);
    order.insert(at.min(order.len()), guid);
    renumber(draft, order);
    find(draft, guid)
}

fn ordered(draft: &Draft) -> Vec<BuildpackGuid> {
    let mut all: Vec<_> = draft.all::<Buildpack>().collect();
    all.sort_by_key(|buildpack| {
        (
            buildpack.position,
            buildpack.meta.created_at,
            buildpack.guid,
        )
    });
    all.into_iter().map(|buildpack| buildpack.guid).collect()
}

fn renumber(draft: &mut Draft, order: Vec<BuildpackGuid>) {
    for (position, guid) in (1..).zip(order) {
        let moved = draft
            .get::<Buildpack>(&guid)
            .is_some_and(|it| it.position != position);
        if moved {
            draft.update::<Buildpack>(&guid, |buildpack| buildpack.position = position);
        }
    }
}

fn refuse_unknown_stack(draft: &Draft, stack: Option<&str>) -> Result<(), Refused> {
    let Some(stack) = stack else { return Ok(()) };
    if draft.all::<Stack>().any(|known| known.name == stack) {
        return Ok(());
    }
    Err(Refused::Unprocessable(format!(
        "Stack '{stack}' does not exist"
    )))
}

fn refuse_taken(
    draft: &Draft,
    name: &str,
    stack: Option<&str>,
    but: Option<BuildpackGuid>,
) -> Result<(), Refused> {
    let taken = |other: &&Arc<Buildpack>| {
        Some(other.guid) != but && other.name == name && other.stack.as_deref() == stack
    };
    match draft.all::<Buildpack>().find(taken) {
        None => Ok(()),
        Some(_) => Err(Refused::Unprocessable(match stack {
            Some(stack) => {
                format!("Buildpack with name '{name}' and stack '{stack}' already exists")
            }
            None => format!("Buildpack with name '{name}' and an unassigned stack already exists"),
        })),
    }
}

fn record(draft: &mut Draft, act: &Act<'_>, verb: &str, buildpack: &Buildpack) {
    let target = Target {
        party: Party {
            guid: buildpack.guid.to_string(),
            kind: "buildpack".to_owned(),
            name: buildpack.name.clone(),
        },
        space: None,
        organization: None,
    };
    let data = json!({ "request": { "name": buildpack.name, "position": buildpack.position } });
    act.record(draft, &format!("audit.buildpack.{verb}"), target, data);
}

#[cfg(test)]
mod tests {
    use cfx_process::entropy::IdSource;
    use jiff::Timestamp;

    use super::*;
    use crate::actions::act::platform;

    fn new(name: &str, position: i64) -> NewBuildpack {
        NewBuildpack {
            name: name.into(),
            stack: None,
            position: Some(Number(position)),
            enabled: None,
            locked: None,
            lifecycle: None,
            metadata: None,
        }
    }

    fn names(draft: &Draft) -> Vec<(u32, String)> {
        let guids = ordered(draft);
        let found = guids.iter().filter_map(|guid| draft.get::<Buildpack>(guid));
        found.map(|it| (it.position, it.name.clone())).collect()
    }

    #[test]
    fn buildpacks_stay_numbered_whatever_comes_goes_or_moves() {
        let (mut draft, ids) = (Draft::empty(), IdSource::seeded(1));
        let act = Act {
            now: Timestamp::UNIX_EPOCH,
            ids: &ids,
            actor: platform(),
        };
        for (name, position) in [("a", 1), ("b", 99), ("c", 1)] {
            create(&mut draft, &act, new(name, position)).expect("made");
        }
        let expected = |order: [&str; 3]| {
            (1..)
                .zip(order.map(str::to_owned))
                .collect::<Vec<(u32, String)>>()
        };
        assert_eq!(names(&draft), expected(["c", "a", "b"]));
        let first = ordered(&draft)[0];
        let patch = BuildpackPatch {
            position: Some(Number(3)),
            ..BuildpackPatch::default()
        };
        update(&mut draft, &act, first, patch).expect("moved");
        assert_eq!(names(&draft), expected(["a", "b", "c"]));
        let first = ordered(&draft)[0];
        delete(&mut draft, &act, first).expect("deleted");
        assert_eq!(
            names(&draft),
            vec![(1, "b".to_owned()), (2, "c".to_owned())]
        );
        assert!(create(&mut draft, &act, new("b", 1)).is_err());
    }

    #[test]
    fn a_system_buildpack_is_refreshed_unless_an_operator_took_it_over() {
        let (mut draft, ids) = (Draft::empty(), IdSource::seeded(1));
        let act = Act {
            now: Timestamp::UNIX_EPOCH,
            ids: &ids,
            actor: platform(),
        };
        let blob = |n: u64| BlobFacts {
            sha256: n.to_string(),
            size_bytes: n,
        };
        ensure_system(&mut draft, &act, "python_buildpack", blob(1));
        ensure_system(&mut draft, &act, "python_buildpack", blob(2));
        let guid = ordered(&draft)[0];
        let content = |draft: &Draft| find(draft, guid).expect("there").blob.clone();
        assert_eq!(content(&draft), Some(blob(2)));
        uploaded(&mut draft, &act, guid, "mine.zip", blob(3), None).expect("uploaded");
        ensure_system(&mut draft, &act, "python_buildpack", blob(4));
        assert_eq!(content(&draft), Some(blob(3)));
        assert_eq!(ordered(&draft).len(), 1);
    }
}
