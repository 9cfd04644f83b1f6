use serde_json::Value;

use super::super::fixture::World;
use super::super::vcap;
use super::*;

fn new_instance(world: &World, name: &str) -> NewServiceInstance {
    serde_json::from_value(json!({
        "type": "user-provided",
        "name": name,
        "credentials": {"uri": "redis://h:6379", "password": "s3cret"},
        "tags": ["cache"],
        "relationships": {"space": {"data": {"guid": world.space}}},
    }))
    .expect("a request")
}

fn create(world: &mut World, name: &str) -> Result<Arc<ServiceInstance>, Refused> {
    let new = new_instance(world, name);
    world.act(|draft, act| create_instance(draft, act, &new))
}

fn bind_to(
    world: &mut World,
    app: cfx_protocol::id::AppGuid,
    instance: ServiceInstanceGuid,
) -> Result<Arc<ServiceBinding>, Refused> {
    let new = serde_json::from_value(json!({
        "type": "app",
        "relationships": {
            "app": {"data": {"guid": app}},
            "service_instance": {"data": {"guid": instance}},
        },
    }))
    .expect("a request");
    world.act(|draft, act| create_binding(draft, act, &new))
}

#[test]
fn a_bound_instance_is_in_vcap_services_and_gone_with_its_binding() {
    let mut world = World::new();
    let app = world.new_app("shop");
    let instance = create(&mut world, "stock").expect("creates");
    assert!(vcap::services(&world.draft, &world.app(app)).is_empty());
    let binding = bind_to(&mut world, app, instance.guid).expect("binds");
    let services = Value::Object(vcap::services(&world.draft, &world.app(app)));
    let entry = &services["user-provided"][0];
    assert_eq!(entry["name"], "stock");
    assert_eq!(entry["label"], "user-provided");
    assert_eq!(entry["credentials"]["uri"], "redis://h:6379");
    assert_eq!(entry["tags"], json!(["cache"]));
    assert_eq!(entry["binding_guid"], json!(binding.guid));
    assert_eq!(entry["volume_mounts"], json!([]));
    let again = bind_to(&mut world, app, instance.guid);
    let message = again.expect_err("bound").to_string();
    assert_eq!(message, "The app is already bound to the service instance");
    world
        .act(|draft, act| delete_instance(draft, act, instance.guid))
        .expect("deletes");
    assert!(world.draft.get::<ServiceBinding>(&binding.guid).is_none());
    assert!(vcap::services(&world.draft, &world.app(app)).is_empty());
}

#[test]
fn names_are_unique_and_secrets_are_in_no_event() {
    let mut world = World::new();
    create(&mut world, "stock").expect("creates");
    let message = create(&mut world, "stock").expect_err("taken").to_string();
    assert_eq!(message, "The service instance name is taken: stock.");
    let events = world.draft.all::<crate::state::audit_event::AuditEvent>();
    for event in events {
        assert!(!event.data.to_string().contains("s3cret"), "{event:?}");
    }
}

#[test]
fn what_only_brokers_offer_and_wrong_urls_are_refused() {
    let mut world = World::new();
    let space = json!({"space": {"data": {"guid": world.space}}});
    for wrong in [
        json!({"type": "managed", "name": "db"}),
        json!({"type": "other", "name": "db"}),
        json!({"type": "user-provided", "name": ""}),
        json!({"type": "user-provided", "name": "db", "route_service_url": "http://x"}),
        json!({"type": "user-provided", "name": "db", "syslog_drain_url": "no url"}),
        json!({"type": "user-provided", "name": "db", "tags": ["x".repeat(3_000)]}),
        json!({"type": "user-provided", "name": "db", "credentials": {"k": "x".repeat(40_000)}}),
    ] {
        let mut wrong = wrong;
        wrong["relationships"] = space.clone();
        let new: NewServiceInstance = serde_json::from_value(wrong.clone()).expect("a request");
        let refused = world.act(|draft, act| create_instance(draft, act, &new));
        assert!(refused.is_err(), "{wrong}");
    }
}
