use cfx_protocol::desired::{BlobRef, Limits, Owner, StagingWork};
use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{
    AppGuid, AssignmentGuid, BuildGuid, DropletGuid, OrgGuid, PackageGuid, ProcessGuid, SpaceGuid,
    TaskGuid,
};
use uuid::Uuid;

use super::*;

fn spec(work: Work, root: Root, env: &[(&str, &str)]) -> InstanceSpec {
    InstanceSpec {
        owner: Owner {
            org: OrgGuid::NIL,
            org_name: "o".into(),
            space: SpaceGuid::NIL,
            space_name: "s".into(),
            app: AppGuid::NIL,
            app_name: "a".into(),
        },
        work,
        root,
        limits: Limits {
            memory_mb: 256,
            disk_mb: 1_024,
            log_rate_bytes: None,
            pids: 1,
            fds: 1,
        },
        env: env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ports: vec![8080, 9090],
    }
}

fn web() -> Work {
    Work::Process {
        process: ProcessGuid::NIL,
        process_type: "web".into(),
        command: None,
        health: HealthCheck::default(),
        readiness: ReadinessCheck::default(),
    }
}

fn task() -> Work {
    Work::Task {
        task: TaskGuid::NIL,
        name: "t".into(),
        command: "true".into(),
    }
}

fn staging() -> Work {
    Work::Staging(StagingWork {
        build: BuildGuid::NIL,
        package: BlobRef {
            guid: PackageGuid::NIL,
            sha256: String::new(),
            size_bytes: 0,
        },
        droplet: DropletGuid::NIL,
        buildpacks: vec![],
        detect: true,
        stack: "host".into(),
        cache: None,
        timeout_s: 1,
    })
}

fn stack() -> Root {
    Root::Stack {
        name: "host".into(),
        droplet: None,
    }
}

fn image() -> Root {
    Root::Image {
        reference: "shop".into(),
        username: None,
        password: None,
    }
}

fn instance() -> InstanceGuid {
    AssignmentGuid(Uuid::from_u128(0xabc)).instance(0)
}

fn env_of(
    spec: &InstanceSpec,
    host: &str,
    image: Option<&ImageDefaults>,
) -> BTreeMap<String, String> {
    let address = Address {
        host: host.parse().expect("an address"),
        port: 60_001,
        internal_ip: "100.64.0.2".parse().expect("an address"),
    };
    let facts = Facts {
        instance: instance(),
        index: 2,
        cell: "10.0.0.5".parse().expect("an address"),
        address: Some(address),
        ports: &spec.ports,
        image,
    };
    environment(spec, &facts)
}

fn check(env: &BTreeMap<String, String>, expected: &[(&str, &str)], absent: &[&str]) {
    for (key, value) in expected {
        assert_eq!(env.get(*key).map(String::as_str), Some(*value), "{key}");
    }
    for key in absent {
        assert_eq!(env.get(*key), None, "{key}");
    }
}

#[test]
fn a_buildpack_app_sees_the_whole_contract() {
    let application = r#"{"application_name":"shop","limits":{"mem":256}}"#;
    let spec = spec(
        web(),
        stack(),
        &[
            ("VCAP_APPLICATION", application),
            ("LANG", "C"),
            ("HOME", "/mine"),
            ("PORT", "1"),
            ("GREETING", "hi"),
        ],
    );
    let env = env_of(&spec, "10.0.0.5", None);
    let guid = instance().to_string();
    check(
        &env,
        &[
            ("PORT", "8080"),
            ("VCAP_APP_PORT", "8080"),
            ("VCAP_APP_HOST", "0.0.0.0"),
            ("HOME", "/home/vcap/app"),
            ("PWD", "/home/vcap/app"),
            ("TMPDIR", "/home/vcap/tmp"),
            ("DEPS_DIR", "/home/vcap/deps"),
            ("USER", "vcap"),
            ("LANG", "C"),
            ("GREETING", "hi"),
            ("MEMORY_LIMIT", "256m"),
            ("INSTANCE_INDEX", "2"),
            ("CF_INSTANCE_INDEX", "2"),
            ("CF_INSTANCE_GUID", &guid),
            ("INSTANCE_GUID", &guid),
            ("CF_INSTANCE_IP", "10.0.0.5"),
            ("CF_INSTANCE_INTERNAL_IP", "100.64.0.2"),
            ("CF_INSTANCE_PORT", "60001"),
            ("CF_INSTANCE_ADDR", "10.0.0.5:60001"),
            (
                "CF_INSTANCE_PORTS",
                r#"[{"external":60001,"internal":8080},{"internal":9090}]"#,
            ),
        ],
        &["CF_STACK"],
    );
    let vcap: Value = serde_json::from_str(&env["VCAP_APPLICATION"]).expect("JSON");
    assert_eq!(
        vcap,
        json!({
            "application_name": "shop", "limits": {"mem": 256}, "host": "0.0.0.0",
            "instance_id": guid, "instance_index": 2, "port": 8080,
        })
    );
    let path = &env["PATH"];
    assert!(path.contains("/usr/bin"), "{path}");
}

#[test]
fn with_an_address_of_its_own_every_port_is_reached_from_outside() {
    let env = env_of(&spec(web(), stack(), &[]), "100.64.0.2", None);
    let ports = r#"[{"external":8080,"internal":8080},{"external":9090,"internal":9090}]"#;
    check(
        &env,
        &[("CF_INSTANCE_PORTS", ports), ("LANG", "en_US.UTF-8")],
        &[],
    );
}

#[test]
fn a_task_has_no_port_and_no_index() {
    let spec = spec(task(), stack(), &[("VCAP_APPLICATION", "{}")]);
    let env = env_of(&spec, "10.0.0.5", None);
    check(
        &env,
        &[
            ("CF_INSTANCE_PORT", ""),
            ("CF_INSTANCE_ADDR", ""),
            ("CF_INSTANCE_PORTS", "[]"),
            ("CF_INSTANCE_INTERNAL_IP", "100.64.0.2"),
            ("HOME", "/home/vcap/app"),
        ],
        &[
            "PORT",
            "VCAP_APP_PORT",
            "CF_INSTANCE_INDEX",
            "INSTANCE_INDEX",
        ],
    );
    assert!(!env["VCAP_APPLICATION"].contains("port"));
}

#[test]
fn a_staging_knows_its_stack_and_leaves_vcap_application_alone() {
    let spec = spec(staging(), stack(), &[("VCAP_APPLICATION", "{}")]);
    let env = env_of(&spec, "10.0.0.5", None);
    check(
        &env,
        &[
            ("CF_STACK", "host"),
            ("CF_INSTANCE_PORT", ""),
            ("CF_INSTANCE_ADDR", ""),
            ("CF_INSTANCE_PORTS", "[]"),
            ("CF_INSTANCE_IP", "10.0.0.5"),
            ("VCAP_APPLICATION", "{}"),
            ("LANG", "en_US.UTF-8"),
        ],
        &["PORT", "CF_INSTANCE_INDEX"],
    );
}

#[test]
fn an_image_keeps_its_own_env_below_the_user_s_below_cloud_foundry_s() {
    let defaults = ImageDefaults {
        env: [
            "HOME=/home/some_docker_user",
            "SOME_VAR=some_docker_value",
            "BAD_QUOTE='",
            "BAD_SHELL=$1",
            "PORT=1",
            "EMPTY=",
            "PATH=/myapp/bin",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..ImageDefaults::default()
    };
    let spec = spec(web(), image(), &[("SOME_VAR", "mine")]);
    let env = env_of(&spec, "10.0.0.5", Some(&defaults));
    check(
        &env,
        &[
            ("HOME", "/home/some_docker_user"),
            ("SOME_VAR", "mine"),
            ("BAD_QUOTE", "'"),
            ("BAD_SHELL", "$1"),
            ("PORT", "8080"),
            ("EMPTY", ""),
            ("PATH", "/myapp/bin"),
        ],
        &["LANG", "TMPDIR", "DEPS_DIR", "USER"],
    );
}

#[test]
fn broken_vcap_application_is_passed_on_and_harms_nothing() {
    for text in ["not json", "[]", "null"] {
        let spec = spec(web(), stack(), &[("VCAP_APPLICATION", text)]);
        check(
            &env_of(&spec, "10.0.0.5", None),
            &[("VCAP_APPLICATION", text)],
            &[],
        );
    }
}
