//! The target behind the v3 API: two lists read it, and a conditional scale changes it.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use cfx_protocol::id::{AppGuid, ProcessGuid};
use cfx_rules::units::Second;
use cfx_rules::window::Running;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{Change, DISABLE_LABEL, Target, TargetError, Workload};
use crate::public_api::{Ask, CallError, JSON, PublicApi};

/// Apps asked about in one request, so that its URL stays below 4 KiB.
const APPS_PER_REQUEST: usize = 100;

/// The platform's cloud controller.
#[derive(Debug, Clone)]
pub struct CloudController(PublicApi);

impl CloudController {
    #[must_use]
    pub fn new(api: PublicApi) -> Self {
        Self(api)
    }

    async fn list<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        guids: &str,
    ) -> Result<Vec<T>, CallError> {
        let path = format!("{path}={guids}&per_page=5000");
        let page: Page<T> = self.0.call(Ask::get(&path)).await?.json(&path)?;
        Ok(page.resources)
    }
}

/// Only what is needed, so that any Cloud Foundry will do.
#[derive(Debug, Deserialize)]
struct Page<T> {
    resources: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct App {
    guid: AppGuid,
    name: String,
    state: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Deserialize)]
struct Process {
    guid: ProcessGuid,
    instances: u32,
    relationships: Relationships,
    #[serde(default)]
    process_instances: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    index: u32,
    state: String,
    /// Seconds in this state.
    #[serde(default)]
    since: Option<u32>,
}

impl Instance {
    fn running(&self, now: Second) -> Option<Running> {
        let since = self.since.filter(|_| self.state == "RUNNING")?;
        Some(Running {
            index: self.index,
            since: now - Second::from(since),
        })
    }
}

#[derive(Debug, Deserialize)]
struct Relationships {
    app: ToOne,
}

#[derive(Debug, Deserialize)]
struct ToOne {
    data: Named,
}

#[derive(Debug, Deserialize)]
struct Named {
    guid: AppGuid,
}

#[derive(Debug, Deserialize)]
struct Instances {
    instances: u32,
}

#[async_trait]
impl Target for CloudController {
    async fn workloads(&self, apps: &[AppGuid], now: Second) -> Result<Vec<Workload>, TargetError> {
        let mut found = Vec::with_capacity(apps.len());
        for some in apps.chunks(APPS_PER_REQUEST) {
            let guids: Vec<_> = some.iter().map(ToString::to_string).collect();
            let guids = guids.join(",");
            let apps: Vec<App> = self.list("/v3/apps?guids", &guids).await?;
            let path = "/v3/processes?types=web&embed=process_instances&app_guids";
            let processes: Vec<Process> = self.list(path, &guids).await?;
            let mut of_app: HashMap<_, _> = processes
                .into_iter()
                .map(|process| (process.relationships.app.data.guid, process))
                .collect();
            let workload = |app: App| {
                let process = of_app.remove(&app.guid)?;
                let label = app.metadata.labels.get(DISABLE_LABEL);
                Some(Workload {
                    app: app.guid,
                    name: app.name,
                    process: process.guid,
                    instances: process.instances,
                    running: process
                        .process_instances
                        .iter()
                        .filter_map(|it| it.running(now))
                        .collect(),
                    is_started: app.state == "STARTED",
                    is_disabled: label.is_some_and(|value| value.as_deref() == Some("true")),
                })
            };
            found.extend(apps.into_iter().filter_map(workload));
        }
        Ok(found)
    }

    async fn scale(&self, change: &Change) -> Result<(), TargetError> {
        let path = format!("/v3/processes/{}", change.process);
        let reply = self.0.call(Ask::get(&path)).await?;
        let now: Instances = reply.json(&path)?;
        if now.instances != change.from {
            return Err(TargetError::Stale);
        }
        let body = json!({ "instances": change.to }).to_string();
        let mut ask = Ask::post(format!("{path}/actions/scale"), JSON, body);
        // A platform without entity tags cannot promise more than the look above.
        ask.if_match = reply.etag;
        match self.0.call(ask).await {
            Ok(_) => Ok(()),
            Err(error) if error.status() == Some(StatusCode::PRECONDITION_FAILED) => {
                Err(TargetError::Stale)
            }
            Err(error) => Err(error.into()),
        }
    }
}
