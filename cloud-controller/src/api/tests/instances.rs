//! Instances, routes, environment and services of a pushed app, as `cf app`, `cf apps`, `cf env`
//! and `cf routes` read them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cfx_protocol::actual::{Address, CellReport, InstanceReport, Usage, digest};
use cfx_protocol::cell::{Capacity, CellRegistration, CellUsage};
use cfx_protocol::id::{AssignmentGuid, CellGuid, ProcessGuid};
use cfx_protocol::instance::{CrashReason, InstanceState};
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::push::{Target, assert_has};
use crate::state::intent::{Intent, IntentChunk, IntentPhase};

const MIB: u64 = 1024 * 1024;

fn assignment(index: u32) -> AssignmentGuid {
    AssignmentGuid(Uuid::from_u128(u128::from(index) + 500))
}

fn intent(index: u32) -> Intent {
    Intent {
        assignment: assignment(index),
        index,
        version: 1,
        cell: CellGuid::NIL,
        memory_mb: 64,
        disk_mb: 64,
        phase: IntentPhase::Run,
    }
}

/// Three of four instances are placed; a cell reports two of them.
async fn play_cell(target: &Target, app: &str) {
    let process: ProcessGuid = app.parse().expect("a guid");
    let chunk = IntentChunk {
        process,
        chunk: 0,
        intents: vec![intent(0), intent(1), intent(2)],
    };
    target.harness.write(|draft, _| draft.put(chunk)).await;
    let now = target.harness.context.clock.now();
    let since = now.checked_sub(Duration::from_secs(90)).expect("in range");
    let running = InstanceState::Running { since, ready: true };
    let crashed = InstanceState::Crashed {
        since,
        reason: CrashReason::OutOfMemory { limit_mb: 64 },
        next_retry_at: None,
    };
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let report = |index: u32, state: InstanceState, usage: bool| InstanceReport {
        assignment: assignment(index),
        instance: assignment(index).instance(0),
        starts: 0,
        state,
        crashes: 0,
        address: usage.then_some(Address {
            host: local,
            port: 61_000,
            internal_ip: local,
        }),
        usage: usage.then_some(Usage {
            sampled_at: now,
            cpu: 0.25,
            cpu_entitlement: 0.5,
            memory_bytes: 10 * MIB,
            disk_bytes: 2 * MIB,
            log_rate_bytes: 17,
            pids: 3,
        }),
        outcome: None,
    };
    let capacity = Capacity {
        memory_mb: 1_000,
        disk_mb: 1_000,
        slots: 10,
        cpu_millicores: 2_000,
        starts: 4,
    };
    let observed = &target.harness.context.observed;
    observed.register(
        CellRegistration {
            guid: CellGuid::NIL,
            name: "cell-1".to_owned(),
            zone: "z1".to_owned(),
            runtime: "docker".to_owned(),
            version: "0".to_owned(),
            stacks: Vec::new(),
            tags: Vec::new(),
            capacity,
            address: local,
            gateway: None,
        },
        Duration::ZERO,
    );
    let instances = vec![report(0, running, true), report(1, crashed, false)];
    let taken = observed.report(
        CellReport {
            cell: CellGuid::NIL,
            boot: Uuid::from_u128(1),
            sequence: 1,
            applied: None,
            digest: digest(&instances),
            full: true,
            instances,
            gone: Vec::new(),
            crashes: Vec::new(),
            usage: CellUsage::default(),
            healthy: true,
            draining: false,
        },
        Duration::ZERO,
    );
    assert!(taken, "the report is full");
}

#[tokio::test]
async fn every_wanted_instance_is_listed_whether_it_is_seen_or_not() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let scale = format!("/v3/apps/{app}/processes/web/actions/scale");
    let scaled = target
        .send(Method::POST, &scale, json!({"instances": "4"}))
        .await;
    assert_eq!(scaled.status, 202, "{scaled:?}");
    play_cell(&target, &app).await;
    let stats = target.get(&format!("/v3/processes/{app}/stats")).await;
    let all = stats["resources"].as_array().expect("a list");
    let states: Vec<&str> = all.iter().filter_map(|it| it["state"].as_str()).collect();
    assert_eq!(states, ["RUNNING", "CRASHED", "STARTING", "DOWN"]);
    let first = &all[0];
    assert_has(
        first,
        &[
            "/type",
            "/instance_guid",
            "/host",
            "/instance_internal_ip",
            "/fds_quota",
            "/usage/time",
        ],
    );
    assert_eq!(first["uptime"], 90);
    assert_eq!(first["routable"], true);
    assert_eq!(first["usage"]["mem"], 10 * MIB);
    assert_eq!(first["usage"]["disk"], 2 * MIB);
    assert_eq!(first["usage"]["cpu_entitlement"], 0.5);
    assert_eq!(first["instance_ports"][0]["external"], 61_000);
    assert_eq!(first["instance_ports"][0]["internal"], 8_080);
    assert_eq!(first["mem_quota"], 1024 * MIB);
    assert_eq!(all[1]["details"], "Exited with status 137 (out of memory)");
    assert_eq!(all[1]["usage"]["mem"], 0);
    assert_eq!(all[3]["usage"], Value::Null);

    let path = format!(
        "/v3/processes?space_guids={}&embed=process_instances",
        target.space
    );
    let processes = target.get(&path).await;
    let web = processes["resources"].as_array().expect("a list");
    let web = web.iter().find(|it| it["type"] == "web").expect("web");
    let instances = &web["process_instances"];
    assert_eq!(
        instances[0],
        json!({"index": 0, "state": "RUNNING", "since": 90})
    );
    assert_eq!(instances[3], json!({"index": 3, "state": "DOWN"}));

    let stop = format!("/v3/apps/{app}/actions/stop");
    target.send(Method::POST, &stop, Value::Null).await;
    let stats = target.get(&format!("/v3/processes/{app}/stats")).await;
    let all = stats["resources"].as_array().expect("a list");
    assert!(all.iter().all(|it| it["state"] == "DOWN"), "{stats}");
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn lists_hide_commands_and_absurd_scales_are_refused() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let path = format!("/v3/processes/{app}");
    let command = json!({"command": "./serve --password=s3cret"});
    assert_eq!(target.send(Method::PATCH, &path, command).await.status, 200);
    let listed = target.get(&format!("/v3/apps/{app}/processes")).await;
    assert!(!listed.to_string().contains("s3cret"));
    let scale = format!("/v3/processes/{app}/actions/scale");
    for wrong in [
        json!({"instances": -1}),
        json!({"instances": 1_000_000_000}),
        json!({"instances": 1.5}),
        json!({"instances": "many"}),
        json!({"memory_in_mb": 0}),
        json!({"memory_in_mb": 1_e30}),
        json!({"disk_in_mb": -5}),
        json!({"log_rate_limit_in_bytes_per_second": -2}),
        json!({"instanecs": 3}),
    ] {
        let reply = target.send(Method::POST, &scale, wrong.clone()).await;
        assert_eq!(reply.status, 422, "{wrong}: {reply:?}");
    }
    let huge = json!({"memory_in_mb": 99_999 * 1024});
    assert_eq!(target.send(Method::POST, &scale, huge).await.status, 202);
}

#[tokio::test]
async fn an_instance_can_be_replaced_by_its_index() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    play_cell(&target, &app).await;
    let path = format!("/v3/apps/{app}/processes/web/instances/0");
    let gone = target.send(Method::DELETE, &path, Value::Null).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    let state = target.harness.context.state.read();
    let process: ProcessGuid = app.parse().expect("a guid");
    let phases: Vec<_> = state.intents_of(process).map(|it| it.phase).collect();
    assert!(
        matches!(phases[0], IntentPhase::Unroute { .. }),
        "{phases:?}"
    );
    assert_eq!(phases[1], IntentPhase::Run);
    for index in ["7", "x", "-1"] {
        let path = format!("/v3/apps/{app}/processes/web/instances/{index}");
        let (status, _, detail) = target
            .send(Method::DELETE, &path, Value::Null)
            .await
            .error();
        assert_eq!((status, detail.as_str()), (404, "Instance not found"));
    }
}

#[tokio::test]
async fn after_a_restart_the_instances_of_before_are_not_shown_as_running() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    play_cell(&target, &app).await;
    let stats = format!("/v3/apps/{app}/processes/web/stats");
    let before = target.get(&stats).await;
    assert_eq!(before["resources"][0]["state"], "RUNNING", "{before}");
    let restart = format!("/v3/apps/{app}/actions/restart");
    let restarted = target.send(Method::POST, &restart, Value::Null).await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    let after = target.get(&stats).await;
    assert_eq!(after["resources"][0]["state"], "DOWN", "{after}");
}

#[tokio::test]
async fn env_shows_what_the_cli_prints() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let path = format!("/v3/apps/{app}/environment_variables");
    let set = json!({"var": {"GREETING": "hello", "GONE": "x"}});
    assert_eq!(target.send(Method::PATCH, &path, set).await.status, 200);
    let unset = json!({"var": {"GONE": null}});
    let left = target.send(Method::PATCH, &path, unset).await.json();
    assert_eq!(left["var"], json!({"GREETING": "hello"}));
    for wrong in [
        json!({"PORT": "1"}),
        json!({"VCAP_X": "1"}),
        json!({"N": 1}),
    ] {
        let reply = target
            .send(Method::PATCH, &path, json!({"var": wrong}))
            .await;
        assert_eq!(reply.status, 422, "{reply:?}");
    }
    let env = target.get(&format!("/v3/apps/{app}/env")).await;
    assert_eq!(env["environment_variables"]["GREETING"], "hello");
    assert_eq!(env["system_env_json"], json!({"VCAP_SERVICES": {}}));
    let application = &env["application_env_json"]["VCAP_APPLICATION"];
    assert_has(
        application,
        &[
            "/application_id",
            "/application_version",
            "/cf_api",
            "/limits/mem",
            "/space_id",
            "/organization_name",
            "/process_id",
        ],
    );
    assert_eq!(application["uris"], json!(["shop.apps.test"]));
    assert_eq!(env["staging_env_json"], json!({}));
    assert_eq!(env["running_env_json"], json!({}));
}

#[tokio::test]
async fn a_route_is_found_by_what_it_is_and_by_what_it_is_not() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let domains = format!("/v3/organizations/{}/domains", target.organization);
    let domains = target.get(&domains).await;
    let domain = domains["resources"].as_array().expect("a list");
    let domain = domain.iter().find(|it| it["name"] == "apps.test");
    let domain = domain.expect("the default")["guid"].as_str().expect("guid");
    let new = |host: &str, path: &str| {
        json!({
            "host": host,
            "path": path,
            "relationships": {
                "space": {"data": {"guid": target.space}},
                "domain": {"data": {"guid": domain}},
            },
        })
    };
    let made = target
        .send(Method::POST, "/v3/routes", new("shop", "/cart"))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let (_, _, detail) = target
        .send(Method::POST, "/v3/routes", new("shop", "/cart"))
        .await
        .error();
    assert!(detail.contains("Route already exists"), "{detail}");
    let count = async |query: &str| {
        let found = target.get(&format!("/v3/routes?{query}")).await;
        found["pagination"]["total_results"].clone()
    };
    assert_eq!(count("hosts=shop").await, 2);
    assert_eq!(count("hosts=shop&paths=").await, 1);
    assert_eq!(count("hosts=").await, 0);
    assert_eq!(count(&format!("app_guids={app}")).await, 1);
    assert_eq!(count(&format!("space_guids={}", target.space)).await, 2);

    let route = made.guid();
    let path = format!("/v3/routes/{route}/destinations");
    let to = json!({"destinations": [{"app": {"guid": app}, "protocol": "http2"}]});
    let inserted = target.send(Method::POST, &path, to).await.json();
    let destination = &inserted["destinations"][0];
    assert_eq!(destination["protocol"], "http2");
    assert_eq!(destination["weight"], Value::Null);
    let guid = destination["guid"].as_str().expect("a guid");
    let gone = target
        .send(Method::DELETE, &format!("{path}/{guid}"), Value::Null)
        .await;
    assert_eq!(gone.status, 204, "{gone:?}");
    let reserved = format!("/v3/domains/{domain}/route_reservations?host=shop&path=/cart");
    assert_eq!(target.get(&reserved).await, json!({"matching_route": true}));
    let unmapped = format!("/v3/spaces/{}/routes?unmapped=true", target.space);
    let deleted = target.send(Method::DELETE, &unmapped, Value::Null).await;
    target.done(&deleted).await;
    assert_eq!(
        target.get(&reserved).await,
        json!({"matching_route": false})
    );
    let bindings = "/v3/service_route_bindings?include=service_instance&route_guids=x";
    assert_eq!(target.get(bindings).await["resources"], json!([]));
}

#[tokio::test]
async fn a_user_provided_service_goes_its_way_without_jobs() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let new = json!({
        "type": "user-provided",
        "name": "stock",
        "credentials": {"uri": "redis://h"},
        "tags": ["cache"],
        "relationships": {"space": {"data": {"guid": target.space}}},
    });
    let instance = target
        .send(Method::POST, "/v3/service_instances", new.clone())
        .await;
    assert_eq!(instance.status, 201, "{instance:?}");
    assert!(!instance.headers.contains_key("location"));
    assert!(!instance.text.contains("redis://"), "{instance:?}");
    let again = target
        .send(Method::POST, "/v3/service_instances", new)
        .await;
    assert!(again.error().2.contains("name is taken"), "{again:?}");
    let instance = instance.guid();
    let bind = json!({
        "type": "app",
        "relationships": {
            "app": {"data": {"guid": app}},
            "service_instance": {"data": {"guid": instance}},
        },
    });
    let path = "/v3/service_credential_bindings";
    let binding = target.send(Method::POST, path, bind).await;
    assert_eq!(binding.status, 201, "{binding:?}");
    assert_eq!(binding.json()["last_operation"]["state"], "succeeded");
    let listed = format!("{path}?include=app&service_instance_guids={instance}");
    let listed = target.get(&listed).await;
    assert_eq!(listed["included"]["apps"][0]["name"], "shop");
    let env = target.get(&format!("/v3/apps/{app}/env")).await;
    let services = &env["system_env_json"]["VCAP_SERVICES"]["user-provided"];
    assert_eq!(services[0]["credentials"]["uri"], "redis://h");
    let uups = format!("/v3/service_instances/{instance}");
    let patch = json!({"credentials": {"uri": "redis://other"}});
    assert_eq!(target.send(Method::PATCH, &uups, patch).await.status, 200);
    let unbind = format!("{path}/{}", binding.guid());
    let gone = target.send(Method::DELETE, &unbind, Value::Null).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(
        target.send(Method::DELETE, &uups, Value::Null).await.status,
        204
    );
    for empty in ["service_offerings", "service_plans", "service_brokers"] {
        let list = target.get(&format!("/v3/{empty}?per_page=5000")).await;
        assert_eq!(list["resources"], json!([]));
    }
}

#[tokio::test]
async fn a_rolling_deployment_is_seen_from_its_start_to_its_end() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let current = target
        .get(&format!("/v3/apps/{app}/droplets/current"))
        .await;
    let new = json!({
        "droplet": {"guid": current["guid"]},
        "strategy": "rolling",
        "options": {"max_in_flight": 2},
        "relationships": {"app": {"data": {"guid": app}}},
    });
    let made = target.send(Method::POST, "/v3/deployments", new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = made.json();
    assert_eq!(shown["status"]["value"], "ACTIVE");
    assert_eq!(shown["status"]["reason"], "DEPLOYING");
    assert_eq!(shown["options"]["max_in_flight"], 2);
    assert_eq!(shown["new_processes"][0]["type"], "web");
    assert_has(
        &shown,
        &["/status/details/last_status_change", "/droplet/guid"],
    );
    let active = format!("/v3/deployments?app_guids={app}&status_values=ACTIVE");
    assert_eq!(target.get(&active).await["pagination"]["total_results"], 1);
    let path = format!("/v3/deployments/{}/actions/cancel", made.guid());
    let cancelled = target.send(Method::POST, &path, Value::Null).await.json();
    assert_eq!(cancelled["status"]["reason"], "CANCELING");
    let (_, _, detail) = target
        .harness
        .get("/v3/deployments/nothing", &target.token)
        .await
        .error();
    assert_eq!(detail, "Deployment not found");
}

#[tokio::test]
async fn a_task_is_listed_cancelled_and_told() {
    let target = Target::new().await;
    let app = target.push("shop").await;
    let path = format!("/v3/apps/{app}/tasks");
    let made = target
        .send(
            Method::POST,
            &path,
            json!({"command": "echo hi", "name": "greet"}),
        )
        .await;
    assert_eq!(made.status, 202, "{made:?}");
    assert_eq!(made.json()["state"], "PENDING");
    assert_eq!(made.json()["sequence_id"], 1);
    let listed = target.get(&format!("{path}?sequence_ids=1")).await;
    assert_eq!(listed["resources"][0]["name"], "greet");
    let cancel = format!("/v3/tasks/{}/cancel", made.guid());
    let cancelled = target.send(Method::PUT, &cancel, Value::Null).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    let shown = target.get(&format!("/v3/tasks/{}", made.guid())).await;
    assert_eq!(shown["state"], "FAILED");
    assert_eq!(shown["result"]["failure_reason"], "task was cancelled");
    let empty = target.send(Method::POST, &path, json!({})).await;
    assert_eq!(empty.status, 422, "{empty:?}");
}
