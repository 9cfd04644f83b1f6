use cfx_protocol::id::AppGuid;
use cfx_protocol::v3::route::NewDestination;

use super::super::destination::{insert_destinations, replace_destinations};
use super::super::domain::{self, create_domain, delete_domain};
use super::super::fixture::World;
use super::*;

fn new_route(world: &World, domain: &str, host: &str, path: &str) -> NewRoute {
    let domain = domain::named(&world.draft, domain).expect("a domain").guid;
    serde_json::from_value(json!({
        "host": host,
        "path": path,
        "relationships": {
            "space": {"data": {"guid": world.space}},
            "domain": {"data": {"guid": domain}},
        },
    }))
    .expect("a request")
}

fn create(world: &mut World, host: &str, path: &str) -> Result<Arc<Route>, Refused> {
    let new = new_route(world, "apps.test", host, path);
    world.act(|draft, act| create_route(draft, act, &new))
}

fn destination(app: AppGuid) -> NewDestination {
    serde_json::from_value(json!({"app": {"guid": app}})).expect("a request")
}

#[test]
fn a_route_is_unique_whatever_its_case_or_trailing_slash() {
    let mut world = World::new();
    let route = create(&mut world, "Shop", "/cart").expect("creates");
    assert_eq!(url(&world.draft, &route), "shop.apps.test/cart");
    for path in ["/cart", "/CART", "/cart/"] {
        let refused = create(&mut world, "sHop", path)
            .expect_err("taken")
            .to_string();
        let wanted = "Route already exists with host 'shop' and path";
        assert!(refused.starts_with(wanted), "{refused}");
    }
    create(&mut world, "shop", "").expect("another path of the same space");
}

#[test]
fn a_host_belongs_to_the_space_that_had_it_first() {
    let mut world = World::new();
    create(&mut world, "shop", "").expect("creates");
    let mut new = new_route(&world, "apps.test", "shop", "/steal");
    let other = SpaceGuid(uuid::Uuid::from_u128(99));
    world.draft.put(Space {
        guid: other,
        name: "other".to_owned(),
        organization: world.organization,
        meta: Meta::new(world.now),
    });
    new.relationships.space = cfx_protocol::v3::resource::ToOne::to(other);
    let refused = world.act(|draft, act| create_route(draft, act, &new));
    let message = refused.expect_err("reserved").to_string();
    assert!(message.contains("reserved for another space"), "{message}");
}

#[test]
fn hosts_and_paths_keep_the_rules() {
    let mut world = World::new();
    let long = "x".repeat(64);
    for host in ["", "a b", "a.b", "ü", "*x", long.as_str()] {
        assert!(create(&mut world, host, "").is_err(), "{host}");
    }
    let long = format!("/{}", "x".repeat(128));
    for path in ["cart", "/", "//", "/a?b", "/a b", long.as_str()] {
        assert!(create(&mut world, "shop", path).is_err(), "{path}");
    }
    create(&mut world, "*", "").expect("a wildcard");
    for (host, path) in [("*", ""), ("back", "/x")] {
        let new = new_route(&world, domain::INTERNAL, host, path);
        let refused = world.act(|draft, act| create_route(draft, act, &new));
        assert!(refused.is_err(), "{host}{path}");
    }
}

#[test]
fn inserting_a_destination_twice_is_inserting_it_once() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let route = create(&mut world, "shop", "").expect("creates").guid;
    let new = [destination(app)];
    let mut insert = || world.act(|draft, act| insert_destinations(draft, act, route, &new));
    let first = insert().expect("inserts").destinations.clone();
    assert_eq!(insert().expect("inserts").destinations, first);
    let mapped = world.events();
    let mapped = mapped.iter().filter(|kind| *kind == "audit.app.map-route");
    assert_eq!(mapped.count(), 1);
}

#[test]
fn replacing_destinations_keeps_the_guids_of_those_that_stay() {
    let mut world = World::new();
    let (one, two) = (world.new_app("one"), world.new_app("two"));
    let route = create(&mut world, "shop", "").expect("creates").guid;
    let mut replace = |apps: &[AppGuid]| {
        let new: Vec<_> = apps.iter().map(|app| destination(*app)).collect();
        let replaced = world.act(|draft, act| replace_destinations(draft, act, route, &new));
        replaced.map(|route| route.destinations.clone())
    };
    let first = replace(&[one]).expect("replaces");
    let both = replace(&[one, two]).expect("replaces");
    assert_eq!(both[0], first[0]);
    assert!(replace(&[one, one]).is_err());
    assert!(replace(&[]).expect("replaces").is_empty());
}

#[test]
fn options_that_are_not_offered_are_refused_and_null_removes_one() {
    let given = |value: Value| {
        let map = value.as_object().expect("an object").clone();
        options(RouteOptions::default(), &map)
    };
    let least = given(json!({"loadbalancing": "least-connection"})).expect("offered");
    assert_eq!(least.balancing, Balancing::LeastConnection);
    let null = json!({"loadbalancing": null});
    let back = options(least, null.as_object().expect("an object")).expect("removes");
    assert_eq!(back, RouteOptions::default());
    assert!(given(json!({"loadbalancing": "hash"})).is_err());
    assert!(given(json!({"hash_header": "x"})).is_err());
}

#[test]
fn nobody_takes_a_domain_above_or_below_another_tenants() {
    let mut world = World::new();
    let new = |name: &str, owner: Option<cfx_protocol::id::OrgGuid>| {
        let mut new = json!({"name": name});
        if let Some(owner) = owner {
            new["relationships"] = json!({"organization": {"data": {"guid": owner}}});
        }
        serde_json::from_value(new).expect("a request")
    };
    let (own, mut made) = (Some(world.organization), Vec::new());
    let mut create = |name: &str, owner| {
        let new = new(name, owner);
        let created = world.act(|draft, act| create_domain(draft, act, &new));
        made.push(name.to_owned());
        created.map(|domain| domain.guid)
    };
    let mine = create("mine.example", own).expect("creates");
    create("deep.mine.example", own).expect("one's own subdomain");
    assert!(create("mine.example", own).is_err());
    assert!(create("shared.mine.example", None).is_err());
    for wrong in [
        "x",
        "nodots",
        "-a.example",
        "a..example",
        "a_b.example",
        "*.example",
    ] {
        assert!(create(wrong, own).is_err(), "{wrong}");
    }
    let done = world.act(|draft, act| delete_domain(draft, act, mine));
    assert_eq!(done, Ok(super::super::deletion::Progress::Done));
}
