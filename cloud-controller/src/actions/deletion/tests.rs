use cfx_protocol::id::RouteGuid;
use cfx_store::commit::COMMIT_OPS_MAX;

use super::super::fixture::World;
use super::*;
use crate::state::audit_event::AuditEvent;
use crate::state::domain::Domain;
use crate::state::meta::Meta;
use crate::state::route::Destination;

/// Far more of everything than one commit takes.
fn crowded(world: &mut World) -> AppGuid {
    let app = world.staged_app("shop", &[("web", "./serve"), ("worker", "./work")]);
    world
        .act(|draft, act| app::start(draft, act, app))
        .expect("starts");
    for _ in 0..40 {
        world.stage(app, &[("web", "./serve")]);
    }
    let domain = world.draft.all::<Domain>().next().expect("one").guid;
    for at in 0..100_u128 {
        world.draft.put(Route {
            guid: RouteGuid(Uuid::from_u128(10_000 + at)),
            host: format!("host-{at}"),
            path: String::new(),
            domain,
            space: world.space,
            destinations: vec![Destination {
                guid: world.ids.guid(),
                app,
                process_type: "web".to_owned(),
                port: None,
                protocol: Default::default(),
            }],
            options: Default::default(),
            meta: Meta::new(world.now),
        });
    }
    app
}

#[test]
fn a_crowded_app_goes_in_steps_that_each_fit_a_commit_and_leaves_nothing() {
    let mut world = World::new();
    let app = crowded(&mut world);
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 100, "it does not end");
        let before = world.draft.changed();
        let progress = world.act(|draft, act| delete_app(draft, act, app));
        let operations = world.draft.changed() - before;
        assert!(operations <= COMMIT_OPS_MAX, "{operations} operations");
        if progress.expect("deletes") == Progress::Done {
            break;
        }
        let left = world.app(app);
        assert_eq!(left.desired_state, DesiredState::Stopped);
    }
    assert!(steps > 1, "the test is to need several");
    let draft = &world.draft;
    assert_eq!(draft.all::<App>().count(), 0);
    assert_eq!(draft.all::<Process>().count(), 0);
    assert_eq!(draft.all::<Package>().count(), 0);
    assert_eq!(draft.all::<Build>().count(), 0);
    assert_eq!(draft.all::<Droplet>().count(), 0);
    assert!(
        draft
            .all::<Route>()
            .all(|route| route.destinations.is_empty())
    );
    let requests = draft.all::<AuditEvent>();
    let requests = requests.filter(|event| event.kind == "audit.app.delete-request");
    assert_eq!(requests.count(), 1);
}

#[test]
fn emptying_a_space_takes_its_routes_too() {
    let mut world = World::new();
    crowded(&mut world);
    let mut steps = 0;
    let space = world.space;
    while world.act(|draft, act| empty_space(draft, act, space)) == Ok(Progress::More) {
        steps += 1;
        assert!(steps < 100, "it does not end");
    }
    assert_eq!(world.draft.all::<Route>().count(), 0);
    assert_eq!(world.draft.all::<App>().count(), 0);
}
