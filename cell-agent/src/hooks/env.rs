//! The environment an instance sees: what the controller sent, completed with what only the cell
//! knows. Pure.
//!
//! Precedence, weakest first: the image's own, the cell's defaults, the controller's (which has
//! the user's in it), what Cloud Foundry fixes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cfx_protocol::actual::Address;
use cfx_protocol::desired::{InstanceSpec, Root, Work};
use cfx_protocol::id::InstanceGuid;
use serde_json::{Value, json};

use crate::runtime::ImageDefaults;

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
pub(crate) const HOME: &str = "/home/vcap";
pub(crate) const APP: &str = "/home/vcap/app";

/// What only the cell knows about one start.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub instance: InstanceGuid,
    pub index: u32,
    /// `CF_INSTANCE_IP`.
    pub cell: IpAddr,
    pub address: Option<Address>,
    /// The ports the process listens on; the first is `PORT`.
    pub ports: &'a [u16],
    /// Set for docker images.
    pub image: Option<&'a ImageDefaults>,
}

/// The whole environment of one start.
#[must_use]
pub fn environment(spec: &InstanceSpec, facts: &Facts<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if let Some(image) = facts.image {
        let pairs = image.env.iter().filter_map(|pair| pair.split_once('='));
        env.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    defaults(spec, facts, &mut env);
    env.extend(spec.env.clone());
    if matches!(spec.root, Root::Stack { .. }) {
        home(&spec.work, &mut env);
    }
    identity(spec, facts, &mut env);
    network(spec, facts, &mut env);
    complete_vcap_application(spec, facts, &mut env);
    env
}

fn defaults(spec: &InstanceSpec, facts: &Facts<'_>, env: &mut BTreeMap<String, String>) {
    let mut default = |key: &str, value: &str| {
        env.entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    };
    default("PATH", PATH_DEFAULT);
    match facts.image {
        // What docker does when the image does not say; its passwd file is not ours to read.
        Some(image) if matches!(image.user.as_str(), "" | "0" | "root") => default("HOME", "/root"),
        Some(_) => default("HOME", "/"),
        None => default("LANG", "en_US.UTF-8"),
    }
    if let Work::Staging(staging) = &spec.work {
        default("CF_STACK", &staging.stack);
    }
}

/// Where a buildpack app lives, whatever its user has set.
fn home(work: &Work, env: &mut BTreeMap<String, String>) {
    let mut set = |key: &str, value: &str| {
        env.insert(key.to_owned(), value.to_owned());
    };
    set("USER", "vcap");
    if matches!(work, Work::Staging(_)) {
        set("HOME", HOME);
        set("TMPDIR", "/tmp");
        return;
    }
    set("HOME", APP);
    set("PWD", APP);
    set("TMPDIR", "/home/vcap/tmp");
    set("DEPS_DIR", "/home/vcap/deps");
}

fn identity(spec: &InstanceSpec, facts: &Facts<'_>, env: &mut BTreeMap<String, String>) {
    let mut set = |key: &str, value: String| {
        env.insert(key.to_owned(), value);
    };
    set("MEMORY_LIMIT", format!("{}m", spec.limits.memory_mb));
    set("CF_INSTANCE_GUID", facts.instance.to_string());
    set("INSTANCE_GUID", facts.instance.to_string());
    if matches!(spec.work, Work::Process { .. }) {
        set("CF_INSTANCE_INDEX", facts.index.to_string());
        set("INSTANCE_INDEX", facts.index.to_string());
    }
}

fn network(spec: &InstanceSpec, facts: &Facts<'_>, env: &mut BTreeMap<String, String>) {
    let mut set = |key: &str, value: String| {
        env.insert(key.to_owned(), value);
    };
    set("CF_INSTANCE_IP", facts.cell.to_string());
    let internal = facts
        .address
        .map_or(facts.cell, |address| address.internal_ip);
    set("CF_INSTANCE_INTERNAL_IP", internal.to_string());
    let first = facts.ports.first();
    let (Work::Process { .. }, Some(address), Some(first)) = (&spec.work, facts.address, first)
    else {
        set("CF_INSTANCE_PORT", String::new());
        set("CF_INSTANCE_ADDR", String::new());
        set("CF_INSTANCE_PORTS", "[]".to_owned());
        return;
    };
    set("PORT", first.to_string());
    set("VCAP_APP_PORT", first.to_string());
    set("VCAP_APP_HOST", "0.0.0.0".to_owned());
    set("CF_INSTANCE_PORT", address.port.to_string());
    set(
        "CF_INSTANCE_ADDR",
        format!("{}:{}", address.host, address.port),
    );
    set("CF_INSTANCE_PORTS", ports(address, facts.ports).to_string());
}

/// Ports beyond the first are reached from outside only when the instance has an address of its
/// own there.
fn ports(address: Address, internal: &[u16]) -> Value {
    let list = internal.iter().enumerate().map(|(position, port)| {
        if address.host == address.internal_ip {
            json!({"external": port, "internal": port})
        } else if position == 0 {
            json!({"external": address.port, "internal": port})
        } else {
            json!({"internal": port})
        }
    });
    Value::Array(list.collect())
}

fn complete_vcap_application(
    spec: &InstanceSpec,
    facts: &Facts<'_>,
    env: &mut BTreeMap<String, String>,
) {
    const KEY: &str = "VCAP_APPLICATION";
    let parsed = env.get(KEY).map(|text| serde_json::from_str(text));
    let Some(Ok(Value::Object(mut application))) = parsed else {
        // Not the controller's: left as it is.
        return;
    };
    if matches!(spec.work, Work::Staging(_)) {
        return;
    }
    application.insert("host".to_owned(), json!("0.0.0.0"));
    application.insert("instance_id".to_owned(), json!(facts.instance.to_string()));
    application.insert("instance_index".to_owned(), json!(facts.index));
    if let (Work::Process { .. }, Some(port)) = (&spec.work, facts.ports.first()) {
        application.insert("port".to_owned(), json!(port));
    }
    env.insert(KEY.to_owned(), Value::Object(application).to_string());
}

#[cfg(test)]
mod tests;
