use cfx_protocol::health::Check;
use cfx_protocol::route::EndpointProtocol;
use serde_json::json;

use super::apply::{Applying, Step};
use super::*;
use crate::actions::app::app_named;
use crate::actions::fixture::World;
use crate::actions::{route, service};
use crate::state::Link;
use crate::state::app::{App, Lifecycle};
use crate::state::route::Route;

fn apply(world: &mut World, text: &str) -> Result<(), Refused> {
    let manifest = parse(text)?;
    let applying = Applying {
        manifest: &manifest,
        space: world.space,
    };
    world.act(|draft, act| applying.all(draft, act))
}

fn app(world: &World, name: &str) -> App {
    App::clone(&app_named(&world.draft, world.space, name).expect("an app"))
}

fn urls(world: &World, name: &str) -> Vec<String> {
    let app = app(world, name);
    let routes = world.draft.linked::<Route>(Link::RoutesTo(app.guid.0));
    let mut urls: Vec<_> = routes.map(|it| route::url(&world.draft, it)).collect();
    urls.sort();
    urls
}

#[test]
fn a_manifest_makes_apps_with_all_that_it_says() {
    let mut world = World::new();
    let new = serde_json::from_value(json!({
        "type": "user-provided", "name": "stock",
        "relationships": {"space": {"data": {"guid": world.space}}},
    }))
    .expect("a request");
    world
        .act(|draft, act| service::create_instance(draft, act, &new))
        .expect("creates");
    apply(
        &mut world,
        r#"
---
version: 1
defaults: &defaults
  memory: 256M
  env: {STAGE: prod}
applications:
- name: shop
  <<: *defaults
  path: ./somewhere
  buildpacks: [go_buildpack]
  command: ./serve --port $PORT
  disk_quota: 512MB
  instances: 3
  log-rate-limit-per-second: 16K
  health-check-type: http
  health-check-http-endpoint: /healthz
  timeout: 90
  metadata: {labels: {tier: front}, annotations: {note: 7}}
  services: [stock]
  routes:
  - route: shop.apps.test
  - route: www.apps.test/cart
    protocol: http2
  processes:
  - type: worker
    command: ./work
    instances: 2
    memory: 1G
- name: other
  no-route: true
"#,
    )
    .expect("applies");
    let shop = app(&world, "shop");
    assert_eq!(shop.environment["STAGE"], "prod");
    assert_eq!(shop.meta.labels["tier"], "front");
    let Lifecycle::Buildpack { buildpacks, .. } = &shop.lifecycle else {
        panic!("{shop:?}");
    };
    assert_eq!(buildpacks, &["go_buildpack"]);
    let web = world.process(shop.guid, "web");
    assert_eq!((web.instances, web.memory_mb, web.disk_mb), (3, 256, 512));
    assert_eq!(web.log_rate_bytes, Some(16 * 1024));
    assert_eq!(web.command.as_deref(), Some("./serve --port $PORT"));
    assert_eq!(web.health.start_timeout_s, 90);
    assert!(matches!(&web.health.check, Check::Http { endpoint } if endpoint == "/healthz"));
    let worker = world.process(shop.guid, "worker");
    assert_eq!((worker.instances, worker.memory_mb), (2, 1024));
    assert_eq!(
        urls(&world, "shop"),
        ["shop.apps.test", "www.apps.test/cart"]
    );
    let protocols = world.draft.linked::<Route>(Link::RoutesTo(shop.guid.0));
    let http2 = protocols.filter(|it| it.destinations[0].protocol == EndpointProtocol::Http2);
    assert_eq!(http2.count(), 1);
    assert!(urls(&world, "other").is_empty());
}

#[test]
fn a_second_push_changes_nothing_and_keeps_the_route() {
    let mut world = World::new();
    let text = "applications: [{name: shop, default-route: true, memory: 64M}]";
    apply(&mut world, text).expect("applies");
    let (first, routes) = (app(&world, "shop"), urls(&world, "shop"));
    assert_eq!(routes, ["shop.apps.test"]);
    apply(&mut world, text).expect("applies");
    assert_eq!(app(&world, "shop").guid, first.guid);
    assert_eq!(urls(&world, "shop"), routes);
}

#[test]
fn an_automatic_route_comes_only_where_there_is_none() {
    let mut world = World::new();
    let text = "applications: [{name: shop, default-route: true, routes: [{route: x.apps.test}]}]";
    apply(&mut world, text).expect("applies");
    assert_eq!(urls(&world, "shop"), ["x.apps.test"]);
    apply(
        &mut world,
        "applications: [{name: shop, random-route: true}]",
    )
    .expect("applies");
    assert_eq!(urls(&world, "shop"), ["x.apps.test"]);
    apply(&mut world, "applications: [{name: shop, no-route: true}]").expect("applies");
    assert!(urls(&world, "shop").is_empty());
    apply(
        &mut world,
        "applications: [{name: shop, random-route: true}]",
    )
    .expect("applies");
    let random = urls(&world, "shop");
    assert!(
        random[0].starts_with("shop-") && random[0] != "shop.apps.test",
        "{random:?}"
    );
}

#[test]
fn null_goes_back_to_the_default_and_takes_a_variable_away() {
    let mut world = World::new();
    apply(
        &mut world,
        "applications: [{name: shop, command: ./x, env: {A: 1, B: true, C: [1]}}]",
    )
    .expect("applies");
    let shop = app(&world, "shop");
    let values: Vec<&str> = shop.environment.values().map(String::as_str).collect();
    assert_eq!(values, ["1", "true", "[1]"]);
    apply(
        &mut world,
        "applications: [{name: shop, command: null, env: {A: null}}]",
    )
    .expect("applies");
    assert_eq!(world.process(shop.guid, "web").command, None);
    assert!(!app(&world, "shop").environment.contains_key("A"));
}

#[test]
fn what_is_wrong_is_named_with_its_app() {
    for (wrong, words) in [
        (
            "applications: [{name: shop, memroy: 1G}]",
            "unknown key 'memroy'",
        ),
        ("applications: [{name: shop, memory: 1}]", "Memory"),
        ("applications: [{name: shop, memory: lots}]", "Memory"),
        ("applications: [{name: shop, instances: -1}]", "Instances"),
        (
            "applications: [{name: shop, instances: 1e99}]",
            "key 'instances'",
        ),
        ("applications: [{name: shop, disk_quota: 0M}]", "Disk"),
        ("applications: [{name: shop, env: {PORT: 1}}]", "PORT"),
        ("applications: [{name: shop, env: {VCAP_X: 1}}]", "VCAP_"),
        (
            "applications: [{name: shop, routes: [{route: nodots}]}]",
            "nodots",
        ),
        (
            "applications: [{name: shop, routes: [{rout: x.y}]}]",
            "rout",
        ),
        (
            "applications: [{name: shop, routes: [{route: 'a.b:99'}]}]",
            "TCP",
        ),
        (
            "applications: [{name: shop, no-route: true, random-route: true}]",
            "no-route",
        ),
        (
            "applications: [{name: shop, sidecars: [{name: x}]}]",
            "Sidecars",
        ),
        (
            "applications: [{name: shop, processes: [{command: x}]}]",
            "type",
        ),
        (
            "applications: [{name: shop, processes: [{type: web, path: x}]}]",
            "'path'",
        ),
        (
            "applications: [{name: shop, docker: {image: x}, buildpacks: [y]}]",
            "docker",
        ),
        ("applications: [{name: shop, lifecycle: cnb}]", "cnb"),
        ("applications: [{name: shop}, {name: shop}]", "twice"),
        ("applications: [{memory: 1G}]", "index 0"),
        ("applications: []", "at least one"),
        ("apps: []", "'apps'"),
        ("[]", "applications"),
        ("{}", "applications"),
        ("applications: {name: shop}", "applications"),
    ] {
        let refused = parse(wrong).expect_err(wrong).to_string();
        assert!(refused.contains(words), "{wrong}: {refused}");
    }
}

#[test]
fn what_only_the_state_knows_is_refused_and_changes_nothing() {
    let mut world = World::new();
    for (wrong, words) in [
        (
            "routes: [{route: a.b.example}]",
            "did not match any existing domains",
        ),
        ("services: [nothing]", "'nothing' not found"),
        ("buildpacks: [nothing]", "unknown buildpack name"),
        ("buildpacks: ['https://github.com/a/b']", "URL"),
        ("stack: cflinuxfs9", "existing stack"),
    ] {
        let text = format!("applications: [{{name: shop, {wrong}}}]");
        let refused = apply(&mut world, &text).expect_err(wrong).to_string();
        assert!(refused.contains(words), "{wrong}: {refused}");
    }
}

#[test]
fn a_bomb_of_aliases_and_deep_nesting_end_before_they_begin() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    bomb.push_str("applications: [{name: x, env: {A: *a11}}]\n");
    let refused = parse(&bomb).expect_err("a bomb").to_string();
    assert!(refused.contains("aliases"), "{refused}");
    for levels in [40, 100_000] {
        let deep = format!("applications: {}{}", "[".repeat(levels), "]".repeat(levels));
        let refused = parse(&deep).expect_err("deep").to_string();
        assert!(refused.contains("line 1"), "{refused}");
    }
    let large = format!(
        "applications: [{{name: '{}'}}]",
        "x".repeat(MANIFEST_MAX_BYTES)
    );
    assert!(parse(&large).is_err());
    let broken = "applications:\n- name: x\n   memory: 1G\n";
    let refused = parse(broken).expect_err("broken").to_string();
    assert!(refused.contains("line"), "{refused}");
}

#[test]
fn a_manifest_in_steps_is_the_manifest_at_once() {
    let routes: Vec<String> = (0..70)
        .map(|at| format!("{{route: r{at}.apps.test}}"))
        .collect();
    let text = format!(
        "applications: [{{name: shop, routes: [{}]}}]",
        routes.join(", ")
    );
    let manifest = parse(&text).expect("parses");
    let mut world = World::new();
    let applying = Applying {
        manifest: &manifest,
        space: world.space,
    };
    let steps = applying.steps();
    assert_eq!(steps[0], Step::App { app: 0 });
    assert_eq!(steps.len(), 4);
    for step in steps {
        let before = world.draft.changed();
        world
            .act(|draft, act| applying.one(draft, act, step))
            .expect("applies");
        let operations = world.draft.changed() - before;
        assert!(operations <= cfx_store::commit::COMMIT_OPS_MAX);
    }
    assert_eq!(urls(&world, "shop").len(), 70);
}

#[test]
fn a_diff_names_what_would_change_and_nothing_else() {
    let mut world = World::new();
    apply(
        &mut world,
        "applications: [{name: shop, memory: 256M, instances: 1, env: {A: x}, command: ./x}]",
    )
    .expect("applies");
    let text = "applications: [{name: shop, memory: 512M, instances: 1, env: {A: y, B: z}, \
                command: ./x, routes: [{route: shop.apps.test}]}, {name: new}]";
    let manifest = parse(text).expect("parses");
    let found = diff::diff(&world.draft, world.space, &manifest);
    let told: Vec<String> = found
        .iter()
        .map(|it| format!("{} {}", it.op, it.path))
        .collect();
    assert_eq!(
        told,
        [
            "replace /applications/0/env/A",
            "add /applications/0/env/B",
            "add /applications/0/routes/0",
            "replace /applications/0/memory",
            "add /applications/1",
        ]
    );
    let memory = &found[3];
    assert_eq!(memory.was, Some(json!("256M")));
    assert_eq!(memory.value, Some(json!("512M")));
}
