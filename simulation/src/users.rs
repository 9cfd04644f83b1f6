//! The users: they make apps, and then scale, restart, update, stop and delete them. What they
//! were told is done is written down here, and must stay so.

use std::collections::BTreeMap;

use cfx_cloud_controller::actions::deletion::{Progress, delete_app};
use cfx_cloud_controller::actions::deployment::create_deployment;
use cfx_cloud_controller::actions::{Act, Refused, app, process, task};
use cfx_cloud_controller::state::domain::Domain;
use cfx_cloud_controller::state::droplet::{Droplet, DropletContent, DropletState};
use cfx_cloud_controller::state::meta::Meta;
use cfx_cloud_controller::state::organization::Organization;
use cfx_cloud_controller::state::package::BlobFacts;
use cfx_cloud_controller::state::process::Process;
use cfx_cloud_controller::state::route::{Destination, Route};
use cfx_cloud_controller::state::space::Space;
use cfx_cloud_controller::state::task::Task;
use cfx_cloud_controller::state::{Draft, Link};
use cfx_protocol::id::{
    AppGuid, DomainGuid, DropletGuid, OrgGuid, ProcessGuid, RouteGuid, SpaceGuid,
};
use cfx_protocol::route::EndpointProtocol;
use cfx_protocol::v3::app::{AppRelationship, NewApp, SpaceRelationship};
use cfx_protocol::v3::deployment::{NewDeployment, NewDeploymentOptions};
use cfx_protocol::v3::process::Scale;
use cfx_protocol::v3::resource::{Number, ToOne};
use cfx_protocol::v3::task::NewTask;

use crate::around::Around;
use crate::controller::{Answer, Controller};
use crate::dice::Dice;
use crate::scenario::AppShape;
use crate::trace::Fact;

/// Most instances a user asks for.
const INSTANCES_MAX: u32 = 7;

/// What an app is to be, as its user was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub exists: bool,
    pub started: bool,
    pub instances: u32,
}

#[derive(Debug, Default)]
pub struct Users {
    /// Of each app, all that it may be: more than one when an answer was lost.
    pub promised: BTreeMap<AppGuid, Vec<Wanted>>,
    pub commands: u64,
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Scale(u32),
    Restart,
    RestartInstance(u32),
    Stop,
    Start,
    Update(i64),
    RunTask,
    CancelTask,
    Delete,
}

impl Users {
    /// A platform with its apps, all of them started. Answers what each process is like.
    pub fn begin(
        &mut self,
        controller: &mut Controller,
        apps: &[AppShape],
        around: &mut Around,
    ) -> BTreeMap<ProcessGuid, AppShape> {
        let mut dice = around.dice.fork();
        let (space, domain): (SpaceGuid, DomainGuid) = (dice.guid(), dice.guid());
        let made = controller.command(around, |draft, act| {
            found(draft, act, dice.guid(), space, domain);
            let all = apps.iter().enumerate();
            all.map(|(number, shape)| {
                let guid = push(draft, act, &mut dice, (space, domain), number, shape)?;
                Ok((guid, shape.clone()))
            })
            .collect::<Result<Vec<_>, Refused>>()
        });
        let Answer::Done(made) = made else {
            unreachable!("a new platform takes its first apps: {made:?}");
        };
        for (guid, shape) in &made {
            let wanted = Wanted {
                exists: true,
                started: true,
                instances: shape.instances,
            };
            self.promised.insert(*guid, vec![wanted]);
        }
        made.into_iter()
            .map(|(guid, shape)| (ProcessGuid(guid.0), shape))
            .collect()
    }

    /// One command of somebody.
    pub fn ask(&mut self, controller: &mut Controller, around: &mut Around) {
        let apps: Vec<_> = self.promised.keys().copied().collect();
        let guid = *around.dice.pick(&apps);
        let command = draw(&mut around.dice);
        let answer = controller.command(around, |draft, act| carry_out(draft, act, guid, command));
        self.commands += 1;
        let number = apps.iter().position(|app| *app == guid).unwrap_or_default();
        around.tell(Fact::Note(format!(
            "user: {command:?} app-{number}: {answer:?}"
        )));
        let Some(promised) = self.promised.get_mut(&guid) else {
            return;
        };
        let after: Vec<_> = promised
            .iter()
            .map(|wanted| wanted.after(command))
            .collect();
        match answer {
            Answer::Done(()) => *promised = after,
            Answer::Lost => promised.extend(after),
            Answer::Refused | Answer::Failed => {}
        }
    }
}

impl Wanted {
    fn after(self, command: Command) -> Self {
        match command {
            Command::Scale(instances) => Self { instances, ..self },
            Command::Restart | Command::Start | Command::Update(_) => Self {
                started: true,
                ..self
            },
            Command::RestartInstance(_) | Command::RunTask | Command::CancelTask => self,
            Command::Stop => Self {
                started: false,
                ..self
            },
            Command::Delete => Self {
                exists: false,
                started: false,
                instances: 0,
            },
        }
    }
}

fn draw(dice: &mut Dice) -> Command {
    match dice.between(0, 23) {
        0..=5 => Command::Scale(dice.count(0, INSTANCES_MAX)),
        6..=7 => Command::Restart,
        8..=10 => Command::RestartInstance(dice.count(0, 3)),
        11 => Command::Stop,
        12..=13 => Command::Start,
        14..=16 => Command::Update(i64::from(dice.count(1, 3))),
        17..=21 => Command::RunTask,
        22 => Command::CancelTask,
        _ => Command::Delete,
    }
}

fn carry_out(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    command: Command,
) -> Result<(), Refused> {
    let web = ProcessGuid(guid.0);
    match command {
        Command::Scale(instances) => {
            let scale = Scale {
                instances: Some(Number(instances.into())),
                ..Scale::default()
            };
            process::scale(draft, act, web, &scale).map(drop)
        }
        Command::Restart => app::restart(draft, act, guid).map(drop),
        Command::RestartInstance(index) => process::terminate_instance(draft, act, web, index),
        Command::Stop => app::stop(draft, act, guid).map(drop),
        Command::Start => app::start(draft, act, guid).map(drop),
        Command::Update(in_flight) => {
            let options = NewDeploymentOptions {
                max_in_flight: Some(Number(in_flight)),
                ..NewDeploymentOptions::default()
            };
            let new = NewDeployment {
                relationships: AppRelationship {
                    app: ToOne::to(guid),
                },
                droplet: None,
                revision: None,
                strategy: None,
                options: Some(options),
                metadata: None,
            };
            create_deployment(draft, act, &new).map(drop)
        }
        Command::RunTask => {
            let new = NewTask {
                command: Some("run".to_owned()),
                name: None,
                memory_in_mb: Some(Number(64)),
                disk_in_mb: None,
                log_rate_limit_in_bytes_per_second: None,
                droplet_guid: None,
                template: None,
                metadata: None,
            };
            task::create_task(draft, act, guid, &new).map(drop)
        }
        Command::CancelTask => {
            let mut tasks = draft.linked::<Task>(Link::TasksOf(guid.0));
            let first = tasks.next().map(|task| task.guid);
            drop(tasks);
            let first = first.ok_or(Refused::NotFound("Task"))?;
            task::cancel_task(draft, act, first).map(drop)
        }
        Command::Delete => {
            while delete_app(draft, act, guid)? == Progress::More {}
            Ok(())
        }
    }
}

/// An organisation, a space and a domain.
fn found(
    draft: &mut Draft,
    act: &Act<'_>,
    organization: OrgGuid,
    space: SpaceGuid,
    domain: DomainGuid,
) {
    let meta = Meta::new(act.now);
    draft.put(Organization {
        guid: organization,
        name: "org".to_owned(),
        suspended: false,
        meta: meta.clone(),
    });
    draft.put(Space {
        guid: space,
        name: "space".to_owned(),
        organization,
        meta: meta.clone(),
    });
    let name = "apps.localhost".to_owned();
    draft.put(Domain {
        guid: domain,
        name,
        internal: false,
        organization: None,
        default: true,
        meta,
    });
}

/// An app with a droplet and a route, started.
fn push(
    draft: &mut Draft,
    act: &Act<'_>,
    dice: &mut Dice,
    (space, domain): (SpaceGuid, DomainGuid),
    number: usize,
    shape: &AppShape,
) -> Result<AppGuid, Refused> {
    let name = format!("app-{number}");
    let new = NewApp {
        name: name.clone(),
        relationships: SpaceRelationship {
            space: ToOne::to(space),
        },
        environment_variables: None,
        lifecycle: None,
        metadata: None,
    };
    let guid = app::create_app(draft, act, &new)?.guid;
    draft.update::<Process>(&ProcessGuid(guid.0), |process| {
        process.instances = shape.instances;
        process.memory_mb = shape.memory_mb;
        process.health.start_timeout_s = shape.start_timeout_s;
    });
    let droplet = droplet(draft, act, dice.guid(), guid);
    app::assign_droplet(draft, act, guid, droplet)?;
    draft.put(Route {
        guid: dice.guid::<RouteGuid>(),
        host: name,
        path: String::new(),
        domain,
        space,
        destinations: vec![Destination {
            guid: dice.guid(),
            app: guid,
            process_type: "web".to_owned(),
            port: None,
            protocol: EndpointProtocol::Http1,
        }],
        options: cfx_protocol::route::RouteOptions::default(),
        meta: Meta::new(act.now),
    });
    app::start(draft, act, guid)?;
    Ok(guid)
}

fn droplet(draft: &mut Draft, act: &Act<'_>, guid: DropletGuid, app: AppGuid) -> DropletGuid {
    draft.put(Droplet {
        guid,
        app,
        package: None,
        build: None,
        state: DropletState::Staged,
        error: None,
        content: DropletContent::Buildpack {
            blob: Some(BlobFacts {
                sha256: "0".repeat(64),
                size_bytes: 1,
            }),
            stack: "host".to_owned(),
            buildpacks: Vec::new(),
            detected_buildpack: None,
        },
        process_types: BTreeMap::from([("web".to_owned(), "run".to_owned())]),
        meta: Meta::new(act.now),
    });
    guid
}
