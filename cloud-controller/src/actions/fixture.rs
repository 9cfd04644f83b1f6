//! A small world for tests of actions: an organisation with a space, the platform's domains and a
//! buildpack.

use cfx_process::entropy::IdSource;
use cfx_protocol::actual::StagedDroplet;
use cfx_protocol::id::{
    AppGuid, BuildpackGuid, DropletGuid, OrgGuid, PackageGuid, SpaceGuid, UserGuid,
};
use cfx_protocol::v3::app::{NewApp, SpaceRelationship};
use cfx_protocol::v3::build::NewBuild;
use cfx_protocol::v3::package::NewPackage;
use cfx_protocol::v3::resource::{Reference, ToOne};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Act, app, build, domain, package};
use crate::state::Draft;
use crate::state::app::App;
use crate::state::audit_event::{AuditEvent, Party};
use crate::state::build::{Build, BuildCreator};
use crate::state::buildpack::Buildpack;
use crate::state::meta::Meta;
use crate::state::organization::Organization;
use crate::state::package::BlobFacts;
use crate::state::process::Process;
use crate::state::space::Space;

pub(crate) struct World {
    pub(crate) draft: Draft,
    pub(crate) ids: IdSource,
    pub(crate) now: Timestamp,
    pub(crate) organization: OrgGuid,
    pub(crate) space: SpaceGuid,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            draft: Draft::empty(),
            ids: IdSource::seeded(7),
            now: Timestamp::from_second(1_800_000_000).expect("in range"),
            organization: OrgGuid(Uuid::from_u128(1)),
            space: SpaceGuid(Uuid::from_u128(2)),
        };
        let meta = Meta::new(world.now);
        world.draft.put(Organization {
            guid: world.organization,
            name: "org".to_owned(),
            suspended: false,
            meta: meta.clone(),
        });
        world.draft.put(Space {
            guid: world.space,
            name: "space".to_owned(),
            organization: world.organization,
            meta: meta.clone(),
        });
        world.draft.put(Buildpack {
            guid: BuildpackGuid(Uuid::from_u128(3)),
            name: "go_buildpack".to_owned(),
            position: 1,
            enabled: true,
            locked: false,
            stack: None,
            filename: None,
            blob: Some(blob("b")),
            meta,
        });
        domain::ensure_platform_domains(&mut world.draft, world.now, &world.ids, "apps.test");
        world
    }

    /// Do something as somebody.
    pub(crate) fn act<T>(&mut self, action: impl FnOnce(&mut Draft, &Act<'_>) -> T) -> T {
        let act = Act {
            now: self.now,
            ids: &self.ids,
            actor: Party {
                guid: "somebody".to_owned(),
                kind: "user".to_owned(),
                name: "somebody".to_owned(),
            },
        };
        action(&mut self.draft, &act)
    }

    pub(crate) fn new_app(&mut self, name: &str) -> AppGuid {
        let new = NewApp {
            name: name.to_owned(),
            relationships: SpaceRelationship {
                space: ToOne::to(self.space),
            },
            environment_variables: None,
            lifecycle: None,
            metadata: None,
        };
        let app = self.act(|draft, act| app::create_app(draft, act, &new));
        app.expect("creates").guid
    }

    /// A package whose bits have come.
    pub(crate) fn new_package(&mut self, app: AppGuid) -> PackageGuid {
        let new: NewPackage = serde_json::from_value(json!({
            "type": "bits",
            "relationships": {"app": {"data": {"guid": app}}},
        }))
        .expect("a request");
        self.act(|draft, act| {
            let made = package::create_package(draft, act, &new).expect("creates");
            package::uploaded(draft, act, made.guid, blob("a")).expect("takes the bits");
            made.guid
        })
    }

    pub(crate) fn begin_build(&mut self, package: PackageGuid) -> Build {
        let new = NewBuild {
            package: Reference { guid: package },
            lifecycle: None,
            staging_memory_in_mb: None,
            staging_disk_in_mb: None,
            staging_log_rate_limit_bytes_per_second: None,
            metadata: None,
        };
        let build = self.act(|draft, act| build::create_build(draft, act, &new, creator()));
        Build::clone(&build.expect("begins"))
    }

    /// An app with a droplet that has these process types.
    pub(crate) fn staged_app(&mut self, name: &str, types: &[(&str, &str)]) -> AppGuid {
        let app = self.new_app(name);
        let droplet = self.stage(app, types);
        self.act(|draft, act| app::assign_droplet(draft, act, app, droplet))
            .expect("assigns");
        app
    }

    /// Another droplet for an app.
    pub(crate) fn stage(&mut self, app: AppGuid, types: &[(&str, &str)]) -> DropletGuid {
        let package = self.new_package(app);
        let begun = self.begin_build(package);
        let staged = staged(types);
        self.act(|draft, act| {
            build::droplet_uploaded(draft, begun.guid, blob("d"));
            build::finish_staging(draft, act, begun.guid, &Ok(staged));
        });
        begun.droplet
    }

    pub(crate) fn app(&self, guid: AppGuid) -> App {
        App::clone(self.draft.get::<App>(&guid).expect("an app"))
    }

    pub(crate) fn process(&self, app: AppGuid, kind: &str) -> Process {
        let found = app::process_of(&self.draft, app, kind);
        Process::clone(&found.expect("a process"))
    }

    /// Kinds of all events, oldest first.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events: Vec<_> = self.draft.all::<AuditEvent>().collect();
        events.sort_by_key(|event| event.created_at);
        events.into_iter().map(|event| event.kind.clone()).collect()
    }
}

pub(crate) fn blob(letter: &str) -> BlobFacts {
    BlobFacts {
        sha256: letter.repeat(64),
        size_bytes: 10,
    }
}

pub(crate) fn creator() -> BuildCreator {
    BuildCreator {
        guid: UserGuid::NIL,
        name: "somebody".to_owned(),
        email: String::new(),
    }
}

/// What a cell says of a droplet whose digest is that of `blob("d")`.
pub(crate) fn staged(types: &[(&str, &str)]) -> StagedDroplet {
    let types = types.iter();
    StagedDroplet {
        sha256: blob("d").sha256,
        size_bytes: 10,
        detected_buildpack: "go".to_owned(),
        buildpacks: vec!["go_buildpack".to_owned()],
        process_types: types
            .map(|(name, command)| ((*name).to_owned(), (*command).to_owned()))
            .collect(),
        cache: None,
    }
}
