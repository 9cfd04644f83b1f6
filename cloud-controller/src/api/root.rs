//! Where things are: `/`, `/v3`, `/v3/info`.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use cfx_protocol::v3::platform::CfxMeta;
use serde_json::{Value, json};

use super::endpoints;
use super::error::Answer;
use super::request::{Base, Visitor};
use super::response;

/// The version of Cloud Foundry's API that this one honours.
pub(crate) const API_VERSION: &str = "3.211.0";
/// The first thing that every client reads. `log_cache` is a bare origin because its clients
/// put their own path there; `login` and `uaa` have one prefix.
pub(super) async fn show(visitor: Visitor) -> Answer {
    let base = &visitor.base;
    let settings = &visitor.context.settings;
    let cfx = CfxMeta {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        http_port: settings.http_port,
        https_port: settings.https_port,
    };
    response::ok(json!({ "links": {
        "self": link(base, ""),
        "cloud_controller_v2": Value::Null,
        "cloud_controller_v3": {
            "href": base.href("/v3"),
            "meta": { "version": API_VERSION },
        },
        "login": link(base, "/uaa"),
        "uaa": link(base, "/uaa"),
        "log_cache": link(base, ""),
        "logging": Value::Null,
        "log_stream": Value::Null,
        "network_policy_v0": Value::Null,
        "network_policy_v1": Value::Null,
        "routing": Value::Null,
        "credhub": Value::Null,
        "app_ssh": Value::Null,
        "cfx": { "href": base.href("/cfx/v1"), "meta": cfx },
    }}))
}

/// The collections that the table of endpoints has.
pub(super) async fn v3(visitor: Visitor) -> Answer {
    static COLLECTIONS: OnceLock<Vec<String>> = OnceLock::new();
    let base = &visitor.base;
    let collections = COLLECTIONS
        .get_or_init(collections)
        .iter()
        .map(|name| (name.clone(), link(base, &format!("/v3/{name}"))));
    let own = [("self".to_owned(), link(base, "/v3"))];
    let links: serde_json::Map<String, Value> = own.into_iter().chain(collections).collect();
    response::ok(json!({ "links": links }))
}

fn collections() -> Vec<String> {
    let rows = endpoints::all().into_iter();
    let names = rows.filter_map(|row| row.path.strip_prefix("/v3/").map(str::to_owned));
    let names: BTreeSet<String> = names.filter(|name| !name.contains('/')).collect();
    names.into_iter().filter(|name| name != "info").collect()
}

pub(super) async fn info(visitor: Visitor) -> Answer {
    let base = &visitor.base;
    response::ok(json!({
        "name": "cfx",
        "build": env!("CARGO_PKG_VERSION"),
        "version": 0,
        "description": "Cloud Foundry on cfx",
        "custom": {},
        "cli_version": { "minimum": "", "recommended": "" },
        "osbapi_version": "2.17",
        "rate_limits": { "enabled": false },
        "links": { "self": link(base, "/v3/info"), "support": { "href": "" } },
    }))
}

fn link(base: &Base, path: &str) -> Value {
    json!({ "href": base.href(path) })
}
