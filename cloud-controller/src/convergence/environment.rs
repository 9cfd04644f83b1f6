//! The environment that an instance gets from the platform and its users, complete but for what
//! only its cell knows. Precedence, weakest first: the operator's group, the app's own, the
//! platform's.

use cfx_protocol::desired::{FDS_MAX, Owner};
use serde_json::{Map, Value, json};

use super::spec::Variables;
use crate::state::build::Build;
use crate::state::process::{Process, RunningVersion};
use crate::state::task::Task;

/// Credentials with a URI of one of these become `DATABASE_URL`.
const DATABASE_SCHEMES: [&str; 7] = [
    "mysql",
    "mysql2",
    "postgres",
    "postgresql",
    "db2",
    "informix",
    "sqlserver",
];

pub(super) fn of_process(
    process: &Process,
    running: &RunningVersion,
    owner: &Owner,
    cf_api: &str,
) -> Variables {
    let version = uuid::Uuid::new_v5(&process.guid.0, &running.version.to_be_bytes());
    let mut application = application(owner, cf_api, running.memory_mb, running.disk_mb);
    application.extend([
        ("application_version".to_owned(), json!(version)),
        ("version".to_owned(), json!(version)),
        ("application_uris".to_owned(), json!(running.uris)),
        ("uris".to_owned(), json!(running.uris)),
        ("process_id".to_owned(), json!(process.guid)),
        ("process_type".to_owned(), json!(process.process_type)),
    ]);
    complete(
        running.environment.clone(),
        application,
        &running.vcap_services,
    )
}

pub(super) fn of_task(task: &Task, owner: &Owner, cf_api: &str) -> Variables {
    let application = application(owner, cf_api, task.memory_mb, task.disk_mb);
    complete(task.environment.clone(), application, &task.vcap_services)
}

pub(super) fn of_build(build: &Build, owner: &Owner, cf_api: &str) -> Variables {
    let application = application(owner, cf_api, build.memory_mb, build.disk_mb);
    complete(build.environment.clone(), application, &build.vcap_services)
}

fn application(owner: &Owner, cf_api: &str, memory_mb: u32, disk_mb: u32) -> Map<String, Value> {
    let application = json!({
        "application_id": owner.app,
        "application_name": owner.app_name,
        "name": owner.app_name,
        "application_uris": [],
        "uris": [],
        "cf_api": cf_api,
        "limits": {"fds": FDS_MAX, "mem": memory_mb, "disk": disk_mb},
        "space_id": owner.space,
        "space_name": owner.space_name,
        "organization_id": owner.org,
        "organization_name": owner.org_name,
    });
    match application {
        Value::Object(application) => application,
        _ => Map::new(),
    }
}

fn complete(
    mut variables: Variables,
    application: Map<String, Value>,
    vcap_services: &str,
) -> Variables {
    let services = match vcap_services {
        "" => "{}",
        services => services,
    };
    if let Some(url) = database_url(services) {
        variables.insert("DATABASE_URL".to_owned(), url);
    }
    let application = Value::Object(application).to_string();
    variables.insert("VCAP_APPLICATION".to_owned(), application);
    variables.insert("VCAP_SERVICES".to_owned(), services.to_owned());
    variables
}

/// The `uri` of the first bound service that is a relational database.
fn database_url(vcap_services: &str) -> Option<String> {
    let services: Map<String, Value> = serde_json::from_str(vcap_services).ok()?;
    let instances = services.values().filter_map(Value::as_array).flatten();
    let uris = instances.filter_map(|instance| instance["credentials"]["uri"].as_str());
    let is_database = |uri: &&str| {
        let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| DATABASE_SCHEMES.contains(&scheme))
    };
    uris.into_iter().find(is_database).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_database_among_the_services_becomes_database_url() {
        let services = json!({"user-provided": [
            {"credentials": {"uri": "https://queue"}},
            {"credentials": {}},
            {"credentials": {"uri": "postgres://u:p@db/1"}},
            {"credentials": {"uri": "mysql://later"}},
        ]});
        let found = database_url(&services.to_string());
        assert_eq!(found.as_deref(), Some("postgres://u:p@db/1"));
        assert_eq!(database_url("{}"), None);
        assert_eq!(database_url("not JSON"), None);
    }

    #[test]
    fn the_platforms_own_variables_win_over_the_users() {
        let user = Variables::from([("VCAP_SERVICES".to_owned(), "mine".to_owned())]);
        let all = complete(user, Map::new(), "");
        assert_eq!(all["VCAP_SERVICES"], "{}");
        assert_eq!(all["VCAP_APPLICATION"], "{}");
    }
}
