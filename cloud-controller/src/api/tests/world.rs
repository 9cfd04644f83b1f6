//! Two organisations with one of everything, made through the API: one in which every kind of
//! role is held by somebody, and a foreign one that none of them may see.

use cfx_protocol::id::{
    AppGuid, DropletGuid, OrgGuid, PackageGuid, ProcessGuid, SpaceGuid, UserGuid,
};
use http::Method;
use serde_json::{Value, json};

use super::harness::Harness;
use crate::actions::role;
use crate::actions::user::{self, NewAccount};
use crate::state::app::App;
use crate::state::droplet::{Droplet, DropletState};
use crate::state::package::{BlobFacts, Package, PackageContent, PackageState};
use crate::state::role::{RoleTarget, RoleType};
use crate::state::user::User;

/// Who asks: a name, groups beyond the ordinary ones, and a role in the own organisation.
pub(super) const PRINCIPALS: [(&str, Option<&str>, Option<RoleType>); 12] = [
    ("an admin", Some("cloud_controller.admin"), None),
    (
        "a reading admin",
        Some("cloud_controller.admin_read_only"),
        None,
    ),
    (
        "global auditor",
        Some("cloud_controller.global_auditor"),
        None,
    ),
    ("org manager", None, Some(RoleType::OrganizationManager)),
    ("org auditor", None, Some(RoleType::OrganizationAuditor)),
    (
        "org billing",
        None,
        Some(RoleType::OrganizationBillingManager),
    ),
    ("org user", None, Some(RoleType::OrganizationUser)),
    ("space manager", None, Some(RoleType::SpaceManager)),
    ("space developer", None, Some(RoleType::SpaceDeveloper)),
    ("space auditor", None, Some(RoleType::SpaceAuditor)),
    ("space supporter", None, Some(RoleType::SpaceSupporter)),
    ("outsider", None, None),
];

/// One of everything in one organisation.
#[derive(Debug, Clone)]
pub(super) struct Side {
    pub(super) organization: OrgGuid,
    pub(super) space: SpaceGuid,
    pub(super) app: AppGuid,
    pub(super) process: ProcessGuid,
    pub(super) domain: String,
    pub(super) route: String,
    pub(super) destination: String,
    /// Of the platform, not of the organisation.
    pub(super) buildpack: String,
    pub(super) package: String,
    pub(super) build: String,
    pub(super) droplet: String,
    pub(super) deployment: String,
    pub(super) task: String,
    pub(super) instance: String,
    pub(super) binding: String,
    pub(super) role: String,
    pub(super) member: UserGuid,
    pub(super) event: String,
}

impl Side {
    /// Where its things are read.
    pub(super) fn paths(&self) -> Vec<String> {
        vec![
            format!("/v3/organizations/{}", self.organization),
            format!("/v3/spaces/{}", self.space),
            format!("/v3/apps/{}", self.app),
            format!("/v3/processes/{}", self.process),
            format!("/v3/domains/{}", self.domain),
            format!("/v3/routes/{}", self.route),
            format!("/v3/packages/{}", self.package),
            format!("/v3/builds/{}", self.build),
            format!("/v3/droplets/{}", self.droplet),
            format!("/v3/deployments/{}", self.deployment),
            format!("/v3/tasks/{}", self.task),
            format!("/v3/service_instances/{}", self.instance),
            format!("/v3/service_credential_bindings/{}", self.binding),
            format!("/v3/roles/{}", self.role),
        ]
    }
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) own: Side,
    pub(super) foreign: Side,
    users: Vec<(&'static str, UserGuid)>,
}

impl World {
    pub(super) async fn build(harness: &Harness) -> Self {
        let admin = harness.admin_token().await;
        let own = build_side(harness, &admin, "own").await;
        let foreign = build_side(harness, &admin, "foreign").await;
        let mut users = Vec::new();
        for (name, group, held) in PRINCIPALS {
            let guid = make_user(harness, name, group).await;
            if let Some(held) = held {
                give(harness, guid, held, &own).await;
            }
            users.push((name, guid));
        }
        Self {
            own,
            foreign,
            users,
        }
    }

    pub(super) fn user(&self, name: &str) -> UserGuid {
        let found = self.users.iter().find(|(known, _)| *known == name);
        found.expect("a principal").1
    }
}

async fn make_user(harness: &Harness, name: &str, group: Option<&str>) -> UserGuid {
    let account = NewAccount {
        username: name.to_owned(),
        origin: "uaa".to_owned(),
        password_hash: None,
        given_name: String::new(),
        family_name: String::new(),
        email: String::new(),
    };
    harness
        .write(|draft, act| {
            let guid = user::create(draft, act, account).expect("a user").guid;
            draft.update::<User>(&guid, |user| {
                user.groups.extend(group.map(str::to_owned));
            });
            guid
        })
        .await
}

async fn give(harness: &Harness, user: UserGuid, held: RoleType, side: &Side) {
    let organization = RoleTarget::Organization(side.organization);
    let space = RoleTarget::Space(side.space);
    let roles = match role::is_of_organization(held) {
        true => vec![(held, organization)],
        false => vec![(RoleType::OrganizationUser, organization), (held, space)],
    };
    harness
        .write(|draft, act| {
            for (held, target) in roles {
                role::grant(draft, act, user, held, target).expect("granted");
            }
        })
        .await;
}

/// Makes things as the admin.
struct Maker<'a> {
    harness: &'a Harness,
    admin: &'a str,
}

impl Maker<'_> {
    async fn make(&self, path: &str, body: Value) -> String {
        self.harness.post(path, self.admin, body).await.guid()
    }
}

fn to(guid: impl ToString) -> Value {
    json!({"data": {"guid": guid.to_string()}})
}

async fn build_side(harness: &Harness, admin: &str, name: &str) -> Side {
    let maker = Maker { harness, admin };
    let in_org = |guid: &str| json!({"organization": to(guid)});
    let org = maker.make("/v3/organizations", json!({"name": name})).await;
    let space = json!({"name": "space", "relationships": in_org(&org)});
    let space = maker.make("/v3/spaces", space).await;
    let domain = json!({"name": format!("{name}.test"), "relationships": in_org(&org)});
    let domain = maker.make("/v3/domains", domain).await;
    let buildpack = json!({"name": format!("{name}_buildpack")});
    let buildpack = maker.make("/v3/buildpacks", buildpack).await;
    let member = make_user(harness, &format!("{name} member"), None).await;
    let role = json!({"type": "organization_user", "relationships": {
        "user": to(member), "organization": to(&org),
    }});
    let role = maker.make("/v3/roles", role).await;
    let app = build_app(&maker, &space).await;
    let (route, destination) = build_route(&maker, &space, &domain, &app.app).await;
    let (instance, binding) = build_service(&maker, &space, &app.app).await;
    let events = format!(
        "/v3/audit_events?target_guids={}&types=audit.app.create",
        app.app
    );
    let events = harness.get(&events, admin).await.json();
    Side {
        organization: org.parse().expect("a guid"),
        space: space.parse().expect("a guid"),
        app: app.app.parse().expect("a guid"),
        process: app.app.parse().expect("a guid"),
        domain,
        route,
        destination,
        buildpack,
        package: app.package,
        build: app.build,
        droplet: app.droplet,
        deployment: app.deployment,
        task: app.task,
        instance,
        binding,
        role,
        member,
        event: events["resources"][0]["guid"]
            .as_str()
            .expect("a guid")
            .to_owned(),
    }
}

struct AppParts {
    app: String,
    package: String,
    build: String,
    droplet: String,
    deployment: String,
    task: String,
}

async fn build_app(maker: &Maker<'_>, space: &str) -> AppParts {
    let new = json!({"name": "app", "relationships": {"space": to(space)}});
    let app = maker.make("/v3/apps", new).await;
    let of_app = json!({"app": to(&app)});
    let package = json!({"type": "bits", "relationships": of_app});
    let package = maker.make("/v3/packages", package).await;
    let of_app = json!({"relationships": of_app});
    let droplet = maker.make("/v3/droplets", of_app.clone()).await;
    stage(maker.harness, &app, &package, &droplet).await;
    let tasks = format!("/v3/apps/{app}/tasks");
    AppParts {
        build: maker
            .make("/v3/builds", json!({"package": {"guid": package}}))
            .await,
        task: maker.make(&tasks, json!({"command": "true"})).await,
        deployment: maker.make("/v3/deployments", of_app).await,
        app,
        package,
        droplet,
    }
}

async fn build_route(maker: &Maker<'_>, space: &str, domain: &str, app: &str) -> (String, String) {
    let at = json!({"space": to(space), "domain": to(domain)});
    let new = json!({"host": "www", "relationships": at});
    let route = maker.make("/v3/routes", new).await;
    let path = format!("/v3/routes/{route}/destinations");
    let ends = json!({"destinations": [{"app": {"guid": app}}]});
    let mapped = maker.harness.post(&path, maker.admin, ends).await.json();
    let destination = mapped["destinations"][0]["guid"].as_str();
    (route, destination.expect("a guid").to_owned())
}

async fn build_service(maker: &Maker<'_>, space: &str, app: &str) -> (String, String) {
    let in_space = json!({"space": to(space)});
    let new = json!({"type": "user-provided", "name": "db", "relationships": in_space});
    let instance = maker.make("/v3/service_instances", new).await;
    let ends = json!({"app": to(app), "service_instance": to(&instance)});
    let bind = json!({"type": "app", "relationships": ends});
    let binding = maker.make("/v3/service_credential_bindings", bind).await;
    (instance, binding)
}

/// As if the package had been uploaded and a build had made the droplet.
async fn stage(harness: &Harness, app: &str, package: &str, droplet: &str) {
    let app: AppGuid = app.parse().expect("a guid");
    let package: PackageGuid = package.parse().expect("a guid");
    let droplet: DropletGuid = droplet.parse().expect("a guid");
    let blob = BlobFacts {
        sha256: "0".repeat(64),
        size_bytes: 1,
    };
    harness
        .write(|draft, _| {
            draft.update::<Package>(&package, |package| {
                package.state = PackageState::Ready;
                package.content = PackageContent::Bits { blob: Some(blob) };
            });
            draft.update::<Droplet>(&droplet, |droplet| {
                droplet.state = DropletState::Staged;
                droplet.process_types.insert("web".into(), "run".into());
            });
            draft.update::<App>(&app, |app| app.current_droplet = Some(droplet));
        })
        .await;
}

#[tokio::test]
async fn everything_in_the_world_is_there() {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let admin = harness.admin_token().await;
    for path in world.own.paths().into_iter().chain(world.foreign.paths()) {
        let reply = harness.send(Method::GET, &path, Some(&admin), "").await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
}
